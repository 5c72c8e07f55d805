"""A client of the Bonawitz protocol: what it accepts, what it answers, what it never says. [CCS 2017, figure 4]

It believes nothing that it can check: each step below verifies first, builds the answer, and only then replaces the
state, so that a refused message leaves everything as it was. One method a round, in the order of the paper.
"""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np

from mpc.field import FieldError
from mpc.keys import AgreementKey, AgreementSecret, BadSignature, KeyRefused, SigningKey
from mpc.prg import SEED_BYTES, Seed
from mpc.randomness import Randomness
from protocols import masking
from protocols.channels import opening
from protocols.contributor import HearsServer
from protocols.errors import SERVER, AbortReason, DropReason, LocalProtocolError, PartyId, PeerMisbehaved
from protocols.evidence import Statement
from protocols.ledger import Ledger
from protocols.machine import Aborted, Aggregate, Finished
from protocols.messages import (
    Abort,
    AdvertiseKeys,
    Confirm,
    DeliverShares,
    DroppedReveal,
    FallbackRequest,
    FallbackShares,
    Invitation,
    MaskedInput,
    MaskKeyReveal,
    Result,
    Reveal,
    Roster,
    ShareKeys,
    SurvivorReveal,
    Survivors,
    UnmaskRequest,
    UnmaskShares,
)
from protocols.secagg import bindings, snapshots, vouching
from protocols.secagg.dealing import NO_SHARE, Bundles, deal, held_shares, open_bundles, points_of, seal_bundles
from protocols.secagg.neighbours import EVERYBODY, Neighbourhood
from protocols.secagg.shares import SHARE_BYTES
from protocols.secagg.states import (
    AwaitingConfirmations,
    AwaitingInvitation,
    AwaitingResult,
    AwaitingRoster,
    AwaitingShares,
    AwaitingSurvivors,
    Ended,
    Revealed,
    State,
)
from protocols.secagg.vouching import Revealing
from protocols.session import SessionParams, Terms, Variant, domain
from protocols.standing import Standing
from protocols.wire import PartySet

Step = tuple[State, Any]  # with what it says, None for nothing
T = TypeVar("T")


class Client(HearsServer):
    """One contributor in one session."""

    _first = AwaitingInvitation
    _ended = Ended
    _abort = Abort
    _before_masking = (AwaitingInvitation, AwaitingRoster, AwaitingShares)
    _format = snapshots.CLIENT

    @classmethod
    def standing_at(
        cls,
        state: State,
        *,
        me: PartyId,
        identity: SigningKey,
        terms: Terms,
        rand: Randomness,
        ledger: Ledger,
        standing: Standing,
    ) -> "Client":
        """A client that came to `state` by keys that were shared in another way (`protocols/epoch`)."""
        client = cls(me, identity=identity, terms=terms, rand=rand)
        client._state, client._standing = state, standing
        client._ledger = standing.written(ledger, ended=isinstance(state, Ended))
        return client

    def _opened(self, state: State) -> bytes | None:
        return bindings.open_session(state.params, state.own) if isinstance(state, AwaitingRoster) else None

    def _confirmed(self, state: State) -> Statement | None:
        match state:
            case AwaitingConfirmations() | Revealed() | AwaitingResult() if state.params.variant is Variant.ACTIVE:
                return bindings.confirmation(state.shared, state.u3)
            case _:
                return None

    def _step(self, state: State, message: Any) -> tuple[State, list[Any]]:
        after, answer = self._take(state, message)
        return after, [] if answer is None else [answer]

    def _take(self, state: State, message: Any) -> Step:
        """The table of transitions. What is not in it is refused."""
        match state, message:
            case _, Abort():
                return Ended(Aborted(self._told(message.reason))), None
            case AwaitingInvitation(), Invitation():
                return self._advertise_keys(message)
            case AwaitingRoster(), Roster():
                return self._share_keys(state, message)
            case AwaitingShares(), DeliverShares():
                return self._mask_input(state, message)
            case AwaitingSurvivors(), Survivors():
                return self._fix_survivors(state, message)
            case AwaitingConfirmations(), Survivors() if message.u3 != state.u3:
                with servers_signature():
                    bindings.verify_survivors(self._server_key, state.shared, message)
                raise PeerMisbehaved(
                    SERVER, DropReason.SECOND_ANSWER, "another set of survivors, signed, after the first"
                )
            case AwaitingConfirmations(), UnmaskRequest():
                return self._reveal(state, message)
            case Revealed(), FallbackRequest():
                return self._reveal_mask_shares(state, message)
            case ((Revealed() | AwaitingResult()), Result()):
                return self._finish(state, message), None
            case _:
                name, where = type(message).__name__, type(state).__name__
                raise PeerMisbehaved(SERVER, DropReason.UNEXPECTED, f"{name} while {where}")

    # Round 0

    def _advertise_keys(self, message: Invitation) -> Step:
        params = message.params
        self._terms.check_invitation(params, domain(self._rand))
        self._ledger.check_attempt(self._standing.key, self._terms)
        channel_secret = AgreementSecret.generate(self._rand)
        mask_secret = AgreementSecret.generate(self._rand)
        channel_key, mask_key = channel_secret.public.raw, mask_secret.public.raw
        signature = b""
        if params.variant is Variant.ACTIVE:
            signature = bindings.sign_keys(self._identity, params.digest, self._me, channel_key, mask_key)
        own = AdvertiseKeys(self._me, channel_key, mask_key, signature)
        deal_secret = Seed(self._rand.bytes(SEED_BYTES))
        return AwaitingRoster(params, own, channel_secret, mask_secret, deal_secret), own

    # Round 1

    def _share_keys(self, state: AwaitingRoster, roster: Roster) -> Step:
        threshold = self._check_roster(state, roster)
        session = bindings.session_digest(state.params, roster.entries)
        if state.params.variant is Variant.ACTIVE:
            with servers_signature():
                bindings.verify_roster(self._server_key, session, roster)
        u1 = {entry.client: entry for entry in roster.entries}
        return self._share_with(state, session, threshold, u1, points_of(u1, u1), EVERYBODY)

    def _share_with(
        self,
        state: AwaitingRoster,
        session: bytes,
        threshold: int,
        u1: Mapping[PartyId, AdvertiseKeys],
        points: Mapping[PartyId, int],
        neighbours: Neighbourhood,
    ) -> Step:
        """Our secrets, dealt to the holders that have points. `u1`: the entries of all that we deal with, ours too."""
        params, me = state.params, self._me
        self_secret, dealt = deal(state.deal_secret, state.mask_secret, session, threshold=threshold, points=points)
        channels = {
            peer: bindings.channel(session, me, state.channel_secret, entry) for peer, entry in u1.items() if peer != me
        }
        bundles = seal_bundles(dealt, channels, session, me)
        answer = self._shared_keys(params, session, self_secret, dealt, bundles)
        own_share = dealt[me][:SHARE_BYTES] if me in dealt else NO_SHARE  # of our mask secret we keep no share
        after = AwaitingShares(
            params, threshold, session, u1, opening(channels), state.mask_secret, self_secret, own_share, neighbours
        )  # fmt: skip
        return after, answer

    def _shared_keys(
        self,
        params: SessionParams,
        session: bytes,
        self_secret: bytes,
        dealt: Mapping[PartyId, bytes],
        bundles: Mapping[PartyId, bytes],
    ) -> ShareKeys:
        if params.variant is Variant.CURIOUS:
            return ShareKeys(b"", bundles, b"")
        commitment = bindings.self_commitment(session, self._me, self_secret)
        if params.accountable:
            return vouching.vouched(self._identity, session, self._me, ShareKeys(commitment, bundles, b""), dealt)
        covered = bindings.bundles_digest(bundles)
        signature = bindings.sign_shares(self._identity, session, self._me, commitment, covered)
        return ShareKeys(commitment, bundles, signature)

    def _check_roster(self, state: AwaitingRoster, roster: Roster) -> int:
        """The threshold for this U1. Raises PeerMisbehaved on any entry that does not belong."""
        ids = [entry.client for entry in roster.entries]
        if ids != sorted(set(ids)) or state.own not in roster.entries:
            raise PeerMisbehaved(
                SERVER, DropReason.WRONG_SET, "a roster that is not in order, or without our own entry"
            )
        threshold = self._terms.check_cohort(state.params, ids)
        self._check_entries(state.params, roster.entries)
        return threshold

    def _check_entries(self, params: SessionParams, entries: Collection[AdvertiseKeys]) -> None:
        """Each signed by its party, all keys canonical and different. Raises PeerMisbehaved."""
        keys = {key for entry in entries for key in (entry.channel_key, entry.mask_key)}
        if len(keys) != 2 * len(entries):
            raise PeerMisbehaved(SERVER, DropReason.BAD_KEY, "a key appears twice in the roster")
        invite = params.digest
        for entry in entries:
            try:
                AgreementKey(entry.channel_key), AgreementKey(entry.mask_key)
                if params.variant is Variant.ACTIVE:
                    bindings.verify_keys(self._terms.members[entry.client], invite, entry)
            except (KeyRefused, BadSignature) as exc:
                raise PeerMisbehaved(SERVER, DropReason.BAD_KEY, f"the keys of party {entry.client}: {exc}") from exc

    # Round 2

    def _mask_input(self, state: AwaitingShares, message: DeliverShares) -> Step:
        if self._input is None:
            raise LocalProtocolError("the input must be set before the shares are delivered")
        u2 = message.u2
        self._check_subset(u2, state.neighbours.cohort or frozenset(state.u1), state.threshold, state.params, "U2")
        shared = bindings.shared_digest(state.session, u2)
        if state.params.variant is Variant.ACTIVE:
            with servers_signature():
                bindings.verify_u2(self._server_key, shared, message)
        opened, broken = open_bundles(state, self._me, message)
        broken = self._unvouched(state, message, opened) or broken
        if broken:
            return _accuse(broken[0])
        leaf_seeds = self._leaf_seeds(state, shared, u2)
        spec = state.params.spec
        vector = np.concatenate([self._input, spec.field.zeros(spec.canaries)])
        own_seed = bindings.self_seed(shared, self._me, state.self_secret)
        masking.mask(vector, spec.field, me=self._me, self_seed=own_seed, leaf_seeds=leaf_seeds)
        after = AwaitingSurvivors(
            state.params, state.threshold, shared, u2, self._leaves_to_keep(leaf_seeds),
            *held_shares(opened, self._me, state.own_self_share),
            state.neighbours,
        )  # fmt: skip
        return after, self._masked_input(state.params, shared, spec.field.pack(vector))

    def _unvouched(self, state: AwaitingShares, message: DeliverShares, opened: Bundles) -> list[PartyId]:
        """In an accountable session: the dealers whose bundle does not open, or is not what they signed for."""
        if not state.params.accountable:
            if message.vouchers:
                raise PeerMisbehaved(SERVER, DropReason.WRONG_SET, "vouchers, where dealers sign for no shares")
            return []
        holders = len(state.neighbours.holders_in(state.neighbours.cohort or frozenset(state.u1)))
        members = self._terms.members
        return sorted(vouching.unvouched(self._me, state.session, holders, members, message, opened))

    def _leaves_to_keep(self, leaf_seeds: Mapping[PartyId, Seed]) -> Mapping[PartyId, Seed]:
        """Those that are revealed where a peer drops."""
        return leaf_seeds

    def _masked_input(self, params: SessionParams, shared: bytes, masked: bytes) -> Any:
        return MaskedInput(masked)

    def _leaf_seeds(self, state: AwaitingShares, shared: bytes, u2: PartySet) -> dict[PartyId, Seed]:
        mine, my_key = state.mask_secret, state.u1[self._me].mask_key
        return {
            peer: bindings.leaf_seed(shared, self._me, mine, my_key, peer, AgreementKey(state.u1[peer].mask_key))
            for peer in sorted(state.neighbours.peers_in(u2) - {self._me})
        }

    # Rounds 2 to 4: U3 comes once, here

    def _fix_survivors(self, state: AwaitingSurvivors, message: Survivors) -> Step:
        u3 = message.u3
        if state.params.variant is Variant.ACTIVE:
            with servers_signature():
                bindings.verify_survivors(self._server_key, state.shared, message)
        if u3 <= state.u2 and self._me not in u3:
            return Ended(Aborted(AbortReason.NOT_INCLUDED)), None
        self._check_subset(u3, state.u2, state.threshold, state.params, "U3")
        self._warnings = self._ledger.check_survivors(self._standing.key, self._terms, u3)
        lost = state.u2 - u3
        fixed = AwaitingConfirmations(
            state.params, state.threshold, state.shared, state.u2, u3,
            survivor_shares=_only(state.self_shares, u3),
            leaf_seeds=_only(state.leaf_seeds, lost),
            mask_shares=_only(state.mask_shares, lost),
            neighbours=state.neighbours,
        )  # fmt: skip
        if state.params.variant is Variant.CURIOUS:
            return self._reveal_shares(fixed)
        return fixed, Confirm(bindings.sign_confirmation(self._identity, state.shared, u3))

    def _reveal(self, state: AwaitingConfirmations, message: UnmaskRequest) -> Step:
        """For each member of U2 exactly one thing, once t members of our U3 have confirmed exactly our U3."""
        self._check_quorum(state, message)
        reveals = _self_shares(state)
        reveals |= {peer: DroppedReveal(seed.raw) for peer, seed in state.leaf_seeds.items()}
        revealed = Revealed(state.params, state.shared, state.u3, state.mask_shares)
        return revealed, self._unmask_shares(state, reveals)

    def _reveal_shares(self, state: AwaitingConfirmations) -> Step:
        """The same in shares alone: of whoever dropped, that of its mask secret. There is nothing to ask for later."""
        reveals = _self_shares(state)
        reveals |= {peer: MaskKeyReveal(share) for peer, share in state.mask_shares.items()}
        return AwaitingResult(state.params, state.shared, state.u3), self._unmask_shares(state, reveals)

    def _unmask_shares(self, state: AwaitingConfirmations, reveals: Mapping[PartyId, Reveal]) -> UnmaskShares:
        """From here on the sum counts as opened, whatever becomes of the session (rule 13)."""
        self._ledger = self._ledger.revealed(self._standing.key, self._terms, state.u3)
        return self._answered_for(state, UnmaskShares(reveals))

    def _answered_for(self, state: AwaitingConfirmations | Revealed, message: Revealing) -> Revealing:
        if not state.params.accountable:
            return message
        return vouching.answered_for(self._identity, state.shared, self._me, message)

    def _check_quorum(self, state: AwaitingConfirmations, message: UnmaskRequest) -> None:
        if not message.confirmations.keys() <= state.neighbours.holders_in(state.u3):
            raise PeerMisbehaved(SERVER, DropReason.NO_QUORUM, "confirmations from outside our U3")
        confirmed = bindings.confirmation(state.shared, state.u3)
        for client, signature in message.confirmations.items():
            try:
                bindings.verify_confirmation(self._terms.members[client], confirmed, Confirm(signature))
            except BadSignature as exc:
                raise PeerMisbehaved(SERVER, DropReason.NO_QUORUM, f"party {client} did not confirm our U3") from exc
        if len(message.confirmations) < state.threshold:
            raise PeerMisbehaved(
                SERVER,
                DropReason.NO_QUORUM,
                f"{len(message.confirmations)} confirmations, {state.threshold} are needed",
            )

    def _reveal_mask_shares(self, state: Revealed, message: FallbackRequest) -> Step:
        """Shares of the mask secrets of lost peers, once. Nothing here belongs to a member of U3."""
        if not message.dropped or not message.dropped <= state.mask_shares.keys():
            raise PeerMisbehaved(SERVER, DropReason.WRONG_SET, "a fallback for others than U2 without U3")
        shares = {peer: MaskKeyReveal(state.mask_shares[peer]) for peer in sorted(message.dropped)}
        answer = self._answered_for(state, FallbackShares(shares))
        return AwaitingResult(state.params, state.shared, state.u3), answer

    def _finish(self, state: Revealed | AwaitingResult, message: Result) -> Ended:
        if state.params.variant is Variant.ACTIVE:
            with servers_signature():
                bindings.verify_result(self._server_key, state.shared, message)
        if message.included != state.u3:
            raise PeerMisbehaved(SERVER, DropReason.WRONG_SET, "a sum over others than the survivors")
        spec = state.params.spec
        try:
            vector = spec.field.unpack(message.vector, spec.length)
        except FieldError as exc:
            raise PeerMisbehaved(
                SERVER, DropReason.BAD_LENGTH, f"the sum is not a vector of the session: {exc}"
            ) from exc
        return Ended(Finished(Aggregate(vector, message.included)))

    # Checks that several rounds share

    @property
    def _neighbours(self) -> Neighbourhood:
        return getattr(self._state, "neighbours", EVERYBODY)

    def _check_subset(self, inner: PartySet, outer: PartySet, threshold: int, params: SessionParams, name: str) -> None:
        if not inner <= outer or self._me not in inner:
            raise PeerMisbehaved(
                SERVER, DropReason.WRONG_SET, f"{name} is not a part of the set before it with us in it"
            )
        counted = len(self._neighbours.holders_in(inner))
        if counted < threshold:
            raise PeerMisbehaved(SERVER, DropReason.WRONG_SET, f"{name} has {counted} parties, {threshold} are needed")
        self._terms.require_floor(len(inner), params)


@contextmanager
def servers_signature() -> Iterator[None]:
    try:
        yield
    except BadSignature as exc:
        raise PeerMisbehaved(SERVER, DropReason.BAD_SIGNATURE, "not signed by the coordinator that we know") from exc


def _accuse(dealer: PartyId) -> Step:
    """Not every view is split, but this bundle is not what was dealt: we leave before our input does, and say whose.

    Whether the dealer sealed it so or the server changed it on the way, we cannot tell.
    """
    outcome = Aborted(AbortReason.REFUSED, DropReason.BAD_BUNDLE, dealer)
    return Ended(outcome), Abort(outcome.reason, dealer)


def _self_shares(state: AwaitingConfirmations) -> dict[PartyId, Reveal]:
    return {peer: SurvivorReveal(share) for peer, share in state.survivor_shares.items()}


def _only(shares: Mapping[PartyId, T], parties: PartySet) -> dict[PartyId, T]:
    return {peer: shares[peer] for peer in sorted(parties) if peer in shares}
