"""What a peer lacks it asks for by digest, from one that has shown that it has it; what it holds it gives by digest."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from protocols.errors import PartyId
from protocols.machine import Finished
from protocols.mesh import bindings
from protocols.mesh.certifying import certified, find, missing_hashes
from protocols.mesh.messages import (
    Digest,
    ExplicitShare,
    Fetch,
    HeldInputs,
    Holders,
    Inputs,
    Message,
    Output,
    PartialSum,
    Ready,
    Recover,
    Result,
    Share,
)
from protocols.mesh.states import (
    AwaitingHolders,
    AwaitingOutputs,
    AwaitingRoster,
    Certifying,
    CertifyingInputs,
    CertifyingSums,
    Ended,
    Recovering,
    Shared,
    State,
)
from protocols.mesh.summing import lacking_explicit
from protocols.mesh.view import View
from protocols.session import VectorSpec

Early = tuple[PartyId, Message]
Wants = dict[bytes, list[PartyId]]  # digest -> who should have it, in the order of asking


@dataclass(frozen=True, slots=True)
class Asked:
    wanted: Digest
    holder: PartyId


# What we lack


def wants(view: View, state: State, early: Sequence[Early], asked: Sequence[Asked], *, late: bool) -> Wants:
    """late: time is short, so the sum itself will do, where t peers have signed one."""
    found: Wants = {}
    match state:
        case AwaitingRoster():
            known = {bindings.session_digest(view.invite, roster) for roster in state.lists}
            _unknown(found, known, early, Share | Ready | Holders)
        case AwaitingHolders():
            known = {bindings.list_digest(holders) for holders in state.lists}
            _unknown(found, known, early, ExplicitShare | HeldInputs | Inputs | Output)
        case Certifying():
            _wants_lists(found, state, early)
            _wants_vectors(found, state)
        case AwaitingOutputs(result=None):
            if output := signed_result(state, early):
                found[output.result] = sorted(state.outputs)
    if (
        isinstance(state, Certifying | Recovering)
        and (output := signed_result(state, early))
        and (late or any(one.wanted == output.result for one in asked))
    ):
        found[output.result] = [sender for sender, message in early if agrees(message, output)]
    return {digest: [party for party in parties if party in view.left(parties)] for digest, parties in found.items()}


def _unknown(found: Wants, known: set[bytes], early: Iterable[Early], kinds: object) -> None:
    for sender, message in early:
        if isinstance(message, kinds) and message.under not in known:  # type: ignore[arg-type, union-attr]
            found.setdefault(message.under, []).append(sender)  # type: ignore[union-attr]


def _wants_lists(found: Wants, state: Certifying, early: Iterable[Early]) -> None:
    """Lists that others voted for, or stand on already."""
    known = {bindings.list_digest(listing) for listing in state.lists}
    _unknown(found, known, state.votes.items(), object)
    _unknown(found, known, early, PartialSum if isinstance(state, CertifyingInputs) else Recover)


def _wants_vectors(found: Wants, state: Certifying) -> None:
    listing = certified(state) or find(state, state.choice)
    if listing:
        digest = bindings.list_digest(listing)
        voters = [party for party, vote in sorted(state.votes.items()) if vote.under == digest]
        for wanted in missing_hashes(state).values():
            found[wanted] = [listing.proposer, *voters]
    if isinstance(state, CertifyingSums) and state.total is None:
        for wanted in lacking_explicit(state).values():
            found[wanted] = sorted(state.holding)


def ask(view: View, wanted: Wants, asked: Sequence[Asked], *, again: bool) -> tuple[list[Asked], list[Asked]]:
    """What stays asked, and what to ask now: each holder once, one at a time; `again`: even if one still may answer."""
    kept = [one for one in asked if one.wanted in wanted]
    fresh = []
    for digest, holders in wanted.items():
        before = {one.holder for one in kept if one.wanted == digest}
        open_ = [holder for holder in holders if holder not in before]
        if open_ and (again or not view.left(before)):
            fresh.append(Asked(digest, open_[0]))
    return kept, fresh


def signed_result(state: Shared, early: Sequence[Early]) -> Output | None:
    """The result that t peers signed under our D2, at least t - c of them honest."""
    said = state.outputs.values() if isinstance(state, AwaitingOutputs) else [message for _, message in early]
    outputs = [message for message in said if isinstance(message, Output) and message.under == state.shared]
    for output in outputs:
        if sum(agrees(other, output) for other in outputs) >= state.threshold:
            return output
    return None


def agrees(message: Message, output: Output) -> bool:
    """Whether it signs the same result, of the same inputs, under the same D2."""
    return isinstance(message, Output) and replace(message, signature=output.signature) == output


# What we hold


def held(spec: VectorSpec, invite: bytes, state: State, message: Fetch) -> Message | None:
    return next((item for digest, item in _items(spec, invite, state) if digest == message.wanted), None)


def _items(spec: VectorSpec, invite: bytes, state: State) -> Iterable[tuple[bytes, Message]]:
    if isinstance(state, AwaitingHolders | CertifyingInputs | CertifyingSums | Recovering | AwaitingOutputs):
        yield bindings.session_digest(invite, state.roster), state.roster
    if isinstance(state, CertifyingInputs | CertifyingSums | Recovering | AwaitingOutputs):
        yield state.shared, state.holders
    if isinstance(state, CertifyingSums | Recovering | AwaitingOutputs):
        yield bindings.list_digest(state.inputs), state.inputs
    if isinstance(state, Recovering | AwaitingOutputs):
        yield bindings.list_digest(state.sums), state.sums
    if isinstance(state, Certifying):
        yield from ((bindings.list_digest(listing), listing) for listing in state.lists)
        yield from _vectors(state.vectors)
    if isinstance(state, CertifyingSums):
        yield from _vectors(state.explicit)
    if isinstance(state, AwaitingOutputs) and state.result is not None:
        yield bindings.hash_bytes(state.result), Result(frozenset(state.inputs.hashes), state.result)
    if isinstance(state, Ended) and isinstance(state.outcome, Finished):
        packed = spec.field.pack(state.outcome.aggregate.vector)
        yield bindings.hash_bytes(packed), Result(state.outcome.aggregate.included, packed)


def _vectors(vectors: Mapping[PartyId, ExplicitShare | PartialSum]) -> Iterable[tuple[bytes, Message]]:
    for vector in vectors.values():
        yield bindings.hash_bytes(vector.vector), vector
