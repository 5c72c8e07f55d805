"""Rounds 3 to 6: vectors are gathered, listed and certified; first the explicit shares, then the partial sums.

Both go the same way. Each peer broadcasts a vector with a signature over its hash, and reports to the proposer which
vectors of the others it holds. The proposer lists those that it holds whole. A peer that holds every vector of the
list, by hash, signs it; it signs one list, ever. t such votes are a certificate, and with 2t > n + c there is one at
most.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from mpc.field import FieldError
from mpc.keys import BadSignature
from protocols.errors import DropReason, PartyId, PeerMisbehaved
from protocols.machine import Envelope
from protocols.mesh import bindings
from protocols.mesh.messages import (
    Equivocation,
    ExplicitShare,
    HeldInputs,
    HeldSums,
    Inputs,
    InputVote,
    Listing,
    Message,
    PartialSum,
    Report,
    Round,
    Signed,
    Sums,
    SumVote,
    Vector,
    Vote,
)
from protocols.mesh.states import Certificate, Certifying, CertifyingInputs
from protocols.mesh.view import Equivocated, View, once, require_members, require_under

C = TypeVar("C", bound=Certifying)


@dataclass(frozen=True, slots=True)
class _Kinds:
    of: Round
    vector: type[Vector]
    report: type[Report]
    listing: type[Listing]
    vote: type[Vote]


_INPUTS = _Kinds(Round.EXPLICIT, ExplicitShare, HeldInputs, Inputs, InputVote)
_SUMS = _Kinds(Round.PARTIAL, PartialSum, HeldSums, Sums, SumVote)


def _kinds(state: Certifying) -> _Kinds:
    return _INPUTS if isinstance(state, CertifyingInputs) else _SUMS


def least(view: View, state: Certifying) -> int:
    """Inputs: as many as a sum must cover. Sums: t columns that stay closed, at least t - c of them honest."""
    return max(state.threshold, view.floor) if isinstance(state, CertifyingInputs) else state.threshold


def u2(state: Certifying) -> Mapping[PartyId, bytes]:
    return state.holders.dealers


def takes(state: Certifying, message: Message) -> bool:
    """Whether the message is one of this stage."""
    kinds = _kinds(state)
    return isinstance(message, kinds.vector | kinds.report | kinds.listing | kinds.vote)


def take(view: View, state: C, sender: PartyId, message: Message) -> C:
    match message:
        case ExplicitShare() | PartialSum():
            return _take_vector(view, state, sender, message)
        case HeldInputs() | HeldSums():
            return _take_report(view, state, sender, message)
        case Inputs() | Sums():
            return _take_list(view, state, sender, message)
        case InputVote() | SumVote():
            return _take_vote(view, state, sender, message)
        case _:
            raise TypeError(f"{type(message).__name__} is not taken here")


# Vectors


def _take_vector(view: View, state: C, sender: PartyId, vector: Vector) -> C:
    """From its party itself, or fetched: then it is one that our list asks for."""
    require_under(vector.under, state.under, sender)
    require_members([vector.party], u2(state), sender)
    signed = bindings.signed_hash(vector)
    if vector.party != sender and signed.hash not in missing_hashes(state).values():
        raise PeerMisbehaved(sender, DropReason.UNEXPECTED, f"a vector of party {vector.party} that we did not ask for")
    check_vector(view, state.under, sender, vector)
    if (known := state.vectors.get(vector.party)) and vector.party not in view.named:
        _compare(view, state, vector.party, bindings.signed_hash(known), signed)
        return state
    return replace(state, vectors={**state.vectors, vector.party: vector})


def check_vector(view: View, under: bytes, sender: PartyId, vector: Vector) -> None:
    of = Round.PARTIAL if isinstance(vector, PartialSum) else Round.EXPLICIT
    view.require_hash(of, under, vector.party, bindings.signed_hash(vector), sender=sender)
    spec = view.params.spec
    try:
        spec.field.unpack(vector.vector, spec.masked_length)
    except FieldError as exc:
        raise PeerMisbehaved(sender, DropReason.BAD_LENGTH, f"not a vector of the session: {exc}") from exc


def _compare(view: View, state: Certifying, party: PartyId, known: Signed, other: Signed) -> None:
    """Raises Equivocated on two hashes. Both signatures are checked by now."""
    if known.hash != other.hash:
        raise Equivocated(Equivocation(_kinds(state).of, state.under, party, known, other))


# Reports


def has_gathered(view: View, state: Certifying) -> bool:
    return view.me not in state.reports and view.left(u2(state)) <= state.vectors.keys()


def report(view: View, state: C) -> tuple[C, list[Envelope]]:
    held = {party: bindings.signed_hash(vector) for party, vector in state.vectors.items()}
    message = view.sign(_kinds(state).report(state.under, held, b""))
    return replace(state, reports={**state.reports, view.me: message}), view.to_leader(u2(state), message)


def _take_report(view: View, state: C, sender: PartyId, message: Report) -> C:
    require_under(message.under, state.under, sender)
    if known := state.reports.get(sender):
        return once(state, known == message, sender, "another report than before")
    view.require_signed(sender, message, sender=sender)
    require_members(message.held, u2(state), sender)
    for party, signed in message.held.items():
        _check_reported(view, state, sender, party, signed)
    return replace(state, reports={**state.reports, sender: message})


def _check_reported(view: View, state: Certifying, sender: PartyId, party: PartyId, signed: Signed) -> None:
    """Against what we hold, and against what others say they hold: two hashes under one party's signature convict
    it.
    """
    known = [one.held[party] for one in state.reports.values() if party in one.held]
    if vector := state.vectors.get(party):
        known.append(bindings.signed_hash(vector))
    if signed in known or party in view.named:
        return
    view.require_hash(_kinds(state).of, state.under, party, signed, sender=sender)
    for other in known:
        _compare(view, state, party, other, signed)


# The proposer


def all_have_reported(view: View, state: Certifying) -> bool:
    return min(u2(state)) == view.me and view.left(u2(state)) <= state.reports.keys()


def can_propose(view: View, state: Certifying) -> bool:
    """Not where a vote, or a list of one before us, says that others may stand on something else."""
    if view.leader(u2(state)) != view.me or view.me not in state.reports or view.left(state.votes):
        return False
    if any(one.proposer <= view.me for one in state.lists):
        return False
    return len(_listable(view, state)) >= least(view, state)


def propose(view: View, state: C) -> tuple[C, list[Envelope]]:
    listing = view.sign(_kinds(state).listing(state.under, view.me, _listable(view, state), b""))
    return replace(state, lists=(*state.lists, listing)), view.to_all(u2(state), listing)


def _listable(view: View, state: Certifying) -> dict[PartyId, bytes]:
    return {
        party: bindings.hash_bytes(state.vectors[party].vector)
        for party in sorted(state.vectors)
        if party not in view.named
    }


# Lists


def _take_list(view: View, state: C, sender: PartyId, listing: Listing) -> C:
    """Checked here; supported when it is its proposer's turn, or certified."""
    require_under(listing.under, state.under, sender)
    if listing in state.lists:
        return state
    require_members([listing.proposer], u2(state), sender)
    view.require_signed(listing.proposer, listing, sender=sender)
    if sender == listing.proposer and any(one.proposer == sender for one in state.lists):
        raise PeerMisbehaved(sender, DropReason.SECOND_ANSWER, "two lists of one proposer")
    require_members(listing.hashes, u2(state), listing.proposer)
    if len(listing.hashes) < least(view, state):
        raise PeerMisbehaved(
            listing.proposer,
            DropReason.WRONG_SET,
            f"a list of {len(listing.hashes)}, {least(view, state)} are needed",
        )
    own = bindings.hash_bytes(state.vectors[view.me].vector)
    if listing.hashes.get(view.me, own) != own:
        raise PeerMisbehaved(listing.proposer, DropReason.WRONG_SET, "a list with a vector of ours that is not ours")
    return replace(state, lists=(*state.lists, listing))


def find(state: Certifying, wanted: bytes | None) -> Listing | None:
    return next((one for one in state.lists if bindings.list_digest(one) == wanted), None)


def choose(view: View, state: C) -> C | None:
    """Supports a list whose turn it is; one with a convicted party in it never. Another than before only until we
    vote.
    """
    if view.me in state.votes:
        return None
    votes = [message.under for message in state.votes.values()]
    due = [
        (-votes.count(bindings.list_digest(one)), one.proposer, bindings.list_digest(one))
        for one in state.lists
        if one.proposer <= view.leader(u2(state)) and not one.hashes.keys() & view.named.keys()
    ]
    choice = min(due)[2] if due else None
    return None if choice == state.choice else replace(state, choice=choice)


def missing_hashes(state: Certifying) -> dict[PartyId, bytes]:
    """What the list that we support, or that is certified, asks for and we do not hold."""
    certified = find(state, state.certificate.of) if state.certificate else None
    listing = certified or find(state, state.choice)
    return {} if listing is None else lacking(listing.hashes, state.vectors)


def lacking(hashes: Mapping[PartyId, bytes], vectors: Mapping[PartyId, Vector]) -> dict[PartyId, bytes]:
    return {
        party: wanted
        for party, wanted in hashes.items()
        if party not in vectors or bindings.hash_bytes(vectors[party].vector) != wanted
    }


# Votes


def vote(view: View, state: C) -> tuple[C, list[Envelope]] | None:
    """Once, for the list that we support, when all of it lies here and nobody in it was convicted."""
    listing = find(state, state.choice)
    if listing is None or view.me in state.votes or missing_hashes(state):
        return None
    if listing.hashes.keys() & view.named.keys():
        return None
    message = view.sign(_kinds(state).vote(bindings.list_digest(listing), b""))
    return replace(state, votes={**state.votes, view.me: message}), view.to_all(u2(state), message)


def _take_vote(view: View, state: C, sender: PartyId, message: Vote) -> C:
    if known := state.votes.get(sender):
        return once(state, known == message, sender, "a vote for another list than before")
    view.require_signed(sender, message, sender=sender)
    return replace(state, votes={**state.votes, sender: message})


def take_certificate(view: View, state: C, sender: PartyId, of: bytes, signatures: Mapping[PartyId, bytes]) -> C:
    """One that a peer shows who has gone on."""
    if state.certificate is not None:
        return state
    check_certificate(view, state, sender, of, signatures)
    return replace(state, certificate=Certificate(of, signatures))


def check_certificate(
    view: View, state: Certifying, sender: PartyId, of: bytes, signatures: Mapping[PartyId, bytes]
) -> None:
    require_members(signatures, u2(state), sender)
    if len(signatures) < state.threshold:
        raise PeerMisbehaved(sender, DropReason.NO_QUORUM, f"{len(signatures)} votes, {state.threshold} are needed")
    for party, signature in signatures.items():
        try:
            bindings.verify(view.terms.members[party], view.invite, _kinds(state).vote(of, signature))
        except BadSignature as exc:
            raise PeerMisbehaved(sender, DropReason.NO_QUORUM, f"party {party} did not vote for this list") from exc


def certify(state: C) -> C | None:
    """The certificate, once t of the votes are for one list."""
    if state.certificate is not None:
        return None
    for digest in {message.under for message in state.votes.values()}:
        signatures = {party: one.signature for party, one in sorted(state.votes.items()) if one.under == digest}
        if len(signatures) >= state.threshold:
            return replace(state, certificate=Certificate(digest, signatures))
    return None


def certified(state: Certifying) -> Any:
    """The certified list, once both are here; else None."""
    return find(state, state.certificate.of) if state.certificate else None
