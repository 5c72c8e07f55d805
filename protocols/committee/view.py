"""What every step of a member may look at beside its state: itself, its terms, the session and its committee."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from mpc.keys import AgreementKey, BadSignature, KeyRefused, SigningKey, VerifyKey
from protocols.committee import bindings
from protocols.committee.messages import AdvertiseKey, Card, Committee
from protocols.committee.numbers import Numbers
from protocols.errors import SERVER, DropReason, PartyId, PeerMisbehaved
from protocols.session import SessionParams, Terms
from protocols.wire import PartySet


@dataclass(frozen=True, slots=True)
class View:
    me: PartyId
    identity: SigningKey
    terms: Terms
    params: SessionParams
    numbers: Numbers

    def check_card(self, card: Card | Committee) -> bytes:
        """D. Raises PeerMisbehaved unless so many aggregators signed these keys under I that a sum can be certified."""
        invite, ids = self.params.digest, [entry.aggregator for entry in card.entries]
        if ids != sorted(set(ids)) or not set(ids) <= set(self.numbers.aggregators):
            raise PeerMisbehaved(SERVER, DropReason.WRONG_SET, "a card that is not in order, or with strangers on it")
        if len(ids) < self.numbers.enough:
            raise PeerMisbehaved(
                SERVER, DropReason.WRONG_SET, f"a card of {len(ids)} aggregators, {self.numbers.enough} are needed"
            )
        if len({entry.channel_key for entry in card.entries}) != len(ids):
            raise PeerMisbehaved(SERVER, DropReason.BAD_KEY, "a key appears twice on the card")
        for entry in card.entries:
            check_key(self.terms.members[entry.aggregator], invite, entry, sender=SERVER)
        session = bindings.session_digest(invite, card.entries)
        with servers_signature():
            bindings.verify_card(self.terms.coordinator_key, session, card)
        return session

    def check_quorum(
        self, signatures: Mapping[PartyId, bytes], of: PartySet, verify: Callable[[VerifyKey, bytes], None]
    ) -> None:
        """Raises PeerMisbehaved unless at least q of these aggregators signed, and everybody that is named did."""
        if not signatures.keys() <= of:
            raise PeerMisbehaved(SERVER, DropReason.NO_QUORUM, "signatures of others than our committee")
        for party, signature in signatures.items():
            try:
                verify(self.terms.members[party], signature)
            except BadSignature as exc:
                raise PeerMisbehaved(
                    SERVER, DropReason.NO_QUORUM, f"party {party} did not sign what we stand on"
                ) from exc
        if len(signatures) < self.numbers.quorum:
            raise PeerMisbehaved(
                SERVER, DropReason.NO_QUORUM, f"{len(signatures)} signatures, {self.numbers.quorum} are needed"
            )


def check_key(identity: VerifyKey, invite: bytes, entry: AdvertiseKey, *, sender: PartyId) -> None:
    """Raises PeerMisbehaved unless the key is one that can be used and its aggregator signed it under I."""
    try:
        AgreementKey(entry.channel_key)
        bindings.verify_key(identity, invite, entry)
    except (KeyRefused, BadSignature) as exc:
        raise PeerMisbehaved(sender, DropReason.BAD_KEY, f"the key of party {entry.aggregator}: {exc}") from exc


@contextmanager
def servers_signature() -> Iterator[None]:
    try:
        yield
    except BadSignature as exc:
        raise PeerMisbehaved(SERVER, DropReason.BAD_SIGNATURE, "not signed by the coordinator that we know") from exc
