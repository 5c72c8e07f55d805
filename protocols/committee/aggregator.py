"""An aggregator: it holds shares, vows to one challenge, certifies one set, and sums over it once. [PROTOCOLS 3D]

Each step verifies first and builds the next state. What aggregators agree on they sign before they say what depends on
it: an offer before the nonce, a challenge before the check values, a set before the sum.
"""

from collections.abc import Mapping
from dataclasses import replace

from mpc.field import FieldError, FieldVector
from mpc.keys import AgreementKey, AgreementSecret, BadSignature, KeyRefused, SigningKey, VerifyKey
from mpc.randomness import Randomness
from mpc.sealing import SealBroken, open_sealed
from protocols.committee import bindings
from protocols.committee.checking import Plan, check_values, judge, plan, sum_shares
from protocols.committee.messages import (
    AdvertiseKey,
    Certificate,
    Certify,
    Checks,
    CheckValues,
    Committee,
    Delivery,
    Offer,
    Receipt,
    Receipts,
    SumShare,
    Vow,
    Vows,
)
from protocols.committee.numbers import Numbers
from protocols.committee.states import (
    Answered,
    AwaitingCertificate,
    AwaitingChecks,
    AwaitingCommittee,
    AwaitingReceipts,
    AwaitingVows,
    Collecting,
    Held,
)
from protocols.committee.view import View, servers_signature
from protocols.errors import SERVER, DropReason, PartyId, PeerMisbehaved
from protocols.wire import PartySet

NONCE_BYTES = 32


def invited(me: PartyId, identity: SigningKey, invite: bytes, rand: Randomness) -> AwaitingCommittee:
    """The only step that draws."""
    secret = AgreementSecret.generate(rand)
    nonce = rand.bytes(NONCE_BYTES)
    channel_key, commitment = secret.public.raw, bindings.nonce_commitment(invite, me, nonce)
    signature = bindings.sign_key(identity, invite, me, channel_key, commitment)
    return AwaitingCommittee(AdvertiseKey(me, channel_key, commitment, signature), secret, nonce)


def join(view: View, state: AwaitingCommittee, committee: Committee) -> Collecting:
    session = view.check_card(committee)
    if state.own not in committee.entries:
        raise PeerMisbehaved(SERVER, DropReason.WRONG_SET, "a committee without our own key")
    return Collecting(session, committee.entries, state.channel_secret, state.nonce, {})


# Contributions


def hold(view: View, state: Collecting, delivery: Delivery) -> Collecting:
    """One client's share, if it opens; whose does not is not in our receipt. A re-send changes nothing."""
    envelope = _check_delivery(view, state, delivery)
    if known := state.held.get(delivery.client):
        if known.envelope != envelope:
            raise PeerMisbehaved(
                SERVER, DropReason.SECOND_ANSWER, f"two contributions of party {delivery.client}, both signed"
            )
        return state
    share = _open(view, state, delivery)
    return state if share is None else replace(state, held={**state.held, delivery.client: Held(envelope, share)})


def _check_delivery(view: View, state: Collecting, delivery: Delivery) -> bytes:
    """The digest of what the client signed. Raises PeerMisbehaved where this piece is not a part of it."""
    client, place = delivery.client, _place(view.me, state)
    if client not in view.numbers.contributors:
        raise PeerMisbehaved(SERVER, DropReason.OUTSIDE_TERMS, f"party {client} is no contributor of our consortium")
    size = bindings.HASH_BYTES
    if len(delivery.hashes) != size * len(state.entries):
        raise PeerMisbehaved(SERVER, DropReason.BAD_LENGTH, "as many hashes as the card has entries are wanted")
    if bindings.hash_bytes(delivery.sealed) != delivery.hashes[size * place : size * (place + 1)]:
        raise PeerMisbehaved(SERVER, DropReason.BAD_BUNDLE, f"not the piece that party {client} signed for us")
    envelope = bindings.envelope_digest(state.session, client, delivery.ephemeral_key, delivery.hashes)
    try:
        bindings.verify_contribution(view.terms.members[client], envelope, delivery.signature)
    except BadSignature as exc:
        raise PeerMisbehaved(
            SERVER, DropReason.BAD_SIGNATURE, f"a contribution that party {client} did not sign for this committee"
        ) from exc
    return envelope


def _place(me: PartyId, state: Collecting) -> int:
    return next(place for place, entry in enumerate(state.entries) if entry.aggregator == me)


def _open(view: View, state: Collecting, delivery: Delivery) -> bytes | None:
    """The packed share; None where the client sealed something else."""
    client, key = delivery.client, delivery.ephemeral_key
    try:
        AgreementKey(key)
        sealing = bindings.sealing_key(state.session, client, view.me, state.channel_secret, key, key)
        share = open_sealed(sealing, delivery.sealed, state.session, client, view.me)
        view.numbers.spec.field.unpack(share, view.numbers.share_length)
    except (KeyRefused, SealBroken, FieldError):
        return None
    return share


# The offer, and what the receipts say


def receipt(view: View, state: Collecting, offer: Offer) -> tuple[AwaitingReceipts, Receipt]:
    """What we hold of it, by the same signed digest; and our nonce, since the offer cannot change any more."""
    offered, envelopes = check_offer(view, state.session, offer)
    held = frozenset(client for client, one in state.held.items() if envelopes.get(client) == one.envelope)
    signature = bindings.sign_receipt(view.identity, offered, held, state.nonce)
    own = Receipt(held, state.nonce, signature)
    shares = {client: state.held[client].share for client in sorted(held)}
    return AwaitingReceipts(state.entries, offered, offer.clients, own, shares), own


def check_offer(view: View, session: bytes, offer: Offer) -> tuple[bytes, dict[PartyId, bytes]]:
    """Its digest, and by client what it says was signed. Raises PeerMisbehaved."""
    offered = bindings.offer_digest(session, offer.clients, offer.envelopes)
    with servers_signature():
        bindings.verify_offer(view.terms.coordinator_key, offered, offer)
    if not offer.clients <= view.numbers.contributors:
        raise PeerMisbehaved(SERVER, DropReason.OUTSIDE_TERMS, "an offer with parties that are no contributors")
    size = bindings.HASH_BYTES
    if len(offer.envelopes) != size * len(offer.clients):
        raise PeerMisbehaved(SERVER, DropReason.BAD_LENGTH, "an offer with another number of digests than clients")
    view.terms.require_floor(len(offer.clients), view.params)
    cut = (offer.envelopes[at : at + size] for at in range(0, len(offer.envelopes), size))
    return offered, dict(zip(sorted(offer.clients), cut, strict=True))


def vow(view: View, state: AwaitingReceipts, message: Receipts) -> tuple[AwaitingVows, Vow]:
    """The challenge follows from these receipts. We vow to it: once, and answer it only when q others stand on it too.

    Otherwise a server that shows each aggregator other nonces gets values of several challenges, and what does not fit
    together about them says something of the input (decision 13).
    """
    found = _check_receipts(view, state, message)
    if view.me not in found.committee:
        raise PeerMisbehaved(SERVER, DropReason.WRONG_SET, "we do not hold all of the candidates")
    view.terms.require_floor(len(found.candidates), view.params)
    agreed = bindings.agreed_digest(state.offered, message.receipts)
    rho = bindings.challenge(state.offered, message.receipts)
    shares = {client: state.shares[client] for client in sorted(found.candidates)}
    after = AwaitingVows(agreed, rho, found.committee, found.candidates, shares)
    return after, Vow(bindings.sign_vow(view.identity, agreed))


def _check_receipts(view: View, state: AwaitingReceipts, message: Receipts) -> Plan:
    receipts, entries = message.receipts, {entry.aggregator: entry for entry in state.entries}
    if not receipts.keys() <= entries.keys() or receipts.get(view.me) != state.own:
        raise PeerMisbehaved(SERVER, DropReason.WRONG_SET, "receipts of strangers, or without our own")
    if len(receipts) < view.numbers.enough:
        raise PeerMisbehaved(
            SERVER, DropReason.WRONG_SET, f"{len(receipts)} receipts, {view.numbers.enough} are needed"
        )
    for party, one in receipts.items():
        try:
            check_receipt(view.terms.members[party], view.params.digest, state.offered, entries[party], one)
        except ReceiptRefused as exc:
            raise PeerMisbehaved(SERVER, DropReason.BAD_SIGNATURE, f"the receipt of party {party}: {exc}") from exc
    return plan(view.numbers, {party: one.held & state.clients for party, one in receipts.items()})


class ReceiptRefused(Exception):
    """Not what its aggregator signed for this offer, or a nonce that it did not commit to."""


def check_receipt(identity: VerifyKey, invite: bytes, offered: bytes, entry: AdvertiseKey, one: Receipt) -> None:
    try:
        bindings.verify_receipt(identity, offered, one)
    except BadSignature as exc:
        raise ReceiptRefused(str(exc)) from exc
    if bindings.nonce_commitment(invite, entry.aggregator, one.nonce) != entry.commitment:
        raise ReceiptRefused("its nonce is not the one that was committed to")


# The degree check, the certificate, the sum


def answer_challenge(view: View, state: AwaitingVows, message: Vows) -> tuple[AwaitingChecks, CheckValues]:
    view.check_quorum(
        message.vows, state.committee, lambda key, signature: bindings.verify_vow(key, state.agreed, signature)
    )
    values = check_values(view.numbers, state.challenge, list(state.shares.values()))
    signature = bindings.sign_values(view.identity, state.agreed, values)
    return AwaitingChecks(state.agreed, state.committee, state.candidates, state.shares), CheckValues(signature, values)


def find_included(view: View, state: AwaitingChecks, message: Checks) -> PartySet:
    """U. Raises PeerMisbehaved where the values are not those that the aggregators signed, or leave too few."""
    values = _check_values(view, state, message)
    included = judge(view.numbers, sorted(state.candidates), values).included
    view.terms.require_floor(len(included), view.params)
    return included


def _check_values(view: View, state: AwaitingChecks, message: Checks) -> Mapping[PartyId, FieldVector]:
    """By aggregator, ours among them, of at least as many as decode."""
    signers = sorted(message.signatures)
    if not state.committee >= message.signatures.keys() or view.me not in message.signatures:
        raise PeerMisbehaved(SERVER, DropReason.WRONG_SET, "check values of others than our committee with us in it")
    if len(signers) < view.numbers.enough:
        raise PeerMisbehaved(
            SERVER, DropReason.WRONG_SET, f"check values of {len(signers)}, {view.numbers.enough} are needed"
        )
    size = values_size(view.numbers, len(state.candidates))
    if len(message.values) != size * len(signers):
        raise PeerMisbehaved(SERVER, DropReason.BAD_LENGTH, "check values of another size than the candidates ask for")
    found = {}
    for place, party in enumerate(signers):
        packed = message.values[size * place : size * (place + 1)]
        try:
            bindings.verify_values(view.terms.members[party], state.agreed, packed, message.signatures[party])
            found[party] = unpack_values(view.numbers, packed, len(state.candidates))
        except (BadSignature, FieldError) as exc:
            raise PeerMisbehaved(SERVER, DropReason.BAD_SIGNATURE, f"the values of party {party}: {exc}") from exc
    return found


def values_size(numbers: Numbers, clients: int) -> int:
    return numbers.spec.field.packed_size(clients * numbers.repetitions)


def unpack_values(numbers: Numbers, packed: bytes, clients: int) -> FieldVector:
    """Raises FieldError."""
    return numbers.spec.field.unpack(packed, clients * numbers.repetitions)


def certify(view: View, state: AwaitingChecks, included: PartySet) -> tuple[AwaitingCertificate, Certify]:
    """Once: the shares are summed over U and let go of."""
    share = sum_shares(view.numbers, (state.shares[client] for client in sorted(included)))
    signature = bindings.sign_certificate(view.identity, view.params.digest, state.agreed, included)
    return AwaitingCertificate(state.agreed, state.committee, included, share), Certify(signature)


def answer(view: View, state: AwaitingCertificate, message: Certificate) -> tuple[Answered, SumShare]:
    check_certificate(view, message.signatures, state.committee, state.agreed, state.included)
    signature = bindings.sign_sum(view.identity, state.agreed, state.included, state.share)
    return Answered(state.agreed, state.included), SumShare(signature, state.share)


def check_certificate(
    view: View, signatures: Mapping[PartyId, bytes], of: PartySet, agreed: bytes, included: PartySet
) -> None:
    invite = view.params.digest

    def verify(key: VerifyKey, signature: bytes) -> None:
        bindings.verify_certificate(key, invite, agreed, included, signature)

    view.check_quorum(signatures, of, verify)
