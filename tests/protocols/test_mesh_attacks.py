"""Every check of the mesh violated alone is refused by that check; whoever says two things is named."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from mesh_recorded import LOST, ME, PEER, PROPOSER, STRANGER, Recorded, recorded, state_of
from mesh_room import Held, MeshRoom, parties

from mpc.hashing import kdf
from protocols.errors import AbortReason, DropReason, PartyId, PeerMisbehaved
from protocols.ledger import differencing_key
from protocols.machine import Aborted, Envelope, Finished
from protocols.mesh import bindings, dealing, summing
from protocols.mesh.messages import (
    Equivocation,
    ExplicitShare,
    Fetch,
    HeldInputs,
    Hello,
    Holders,
    Inputs,
    InputVote,
    Lacking,
    Output,
    PartialSum,
    Ready,
    Recover,
    Result,
    Roster,
    Round,
    Share,
    Signed,
    Sums,
    SumVote,
)
from protocols.mesh.states import (
    AwaitingHolders,
    AwaitingOutputs,
    AwaitingRoster,
    CertifyingInputs,
    CertifyingSums,
    Ended,
    Recovering,
)
from protocols.secagg import Dispute

ZERO = bytes(32)
FORGED = bytes(64)
Make = Callable[[Recorded], tuple[PartyId, Any]]


def by(sender: int, kind: type, **changes: Any) -> Make:
    """What the sender said, with these changes, well signed."""

    def make(rec: Recorded) -> tuple[PartyId, Any]:
        return PartyId(sender), rec.signed(sender, rec.message(kind, PartyId(sender)), **changes)

    return make


def unsigned(sender: int, kind: type, **changes: Any) -> Make:
    """The same, with the signature that it had."""
    return lambda rec: (PartyId(sender), replace(rec.message(kind, PartyId(sender)), **changes))


def said(sender: int, make: Callable[[Recorded], Any]) -> Make:
    return lambda rec: (PartyId(sender), rec.signed(sender, make(rec)))


def entries(rec: Recorded) -> tuple[Hello, ...]:
    roster: Roster = rec.message(Roster)
    return roster.entries


def roster(change: Callable[[tuple[Hello, ...]], tuple[Hello, ...]]) -> Make:
    return said(0, lambda rec: Roster(PROPOSER, change(entries(rec)), b""))


def hello_of(rec: Recorded, party: int, key: bytes) -> Hello:
    signed: Hello = rec.signed(party, Hello(PartyId(party), key, b""))
    return signed


def hashes(rec: Recorded, kind: type) -> dict[PartyId, bytes]:
    listing = rec.message(kind)
    return dict(listing.hashes)


def listing(kind: type, change: Callable[[dict[PartyId, bytes]], dict[PartyId, bytes]]) -> Make:
    return said(0, lambda rec: replace(rec.message(kind), hashes=change(hashes(rec, kind))))


def explicit_of(rec: Recorded, party: int, vector: bytes | None = None) -> ExplicitShare:
    true: ExplicitShare = rec.message(ExplicitShare, PartyId(party))
    signed: ExplicitShare = rec.signed(party, true, vector=true.vector if vector is None else vector)
    return signed


def votes(rec: Recorded, kind: type, of: bytes, *signers: int) -> dict[PartyId, bytes]:
    return {PartyId(one): rec.signed(one, kind(of, b"")).signature for one in signers}


OTHER = b"\1" * 12  # another vector of the session: three elements and its canaries are five, 20 bytes


CASES: dict[str, tuple[type, DropReason, Make]] = {
    # round 0
    "a hello in another's name": (
        AwaitingRoster, DropReason.WRONG_SET, lambda rec: (PEER, rec.message(Hello, PartyId(1)))),
    "a key of low order": (AwaitingRoster, DropReason.BAD_KEY, by(3, Hello, channel_key=ZERO)),
    "the key of another": (
        AwaitingRoster, DropReason.BAD_KEY, said(3, lambda rec: hello_of(rec, 3, entries(rec)[ME].channel_key))),
    "a hello that is not signed": (AwaitingRoster, DropReason.BAD_SIGNATURE, unsigned(3, Hello, signature=FORGED)),
    # round 1
    "a roster without us": (
        AwaitingRoster, DropReason.WRONG_SET, roster(lambda all_: tuple(e for e in all_ if e.party != ME))),
    "a roster with another key of ours": (
        AwaitingRoster, DropReason.WRONG_SET,
        said(0, lambda rec: Roster(PROPOSER, tuple(
            hello_of(rec, 2, entries(rec)[1].channel_key) if e.party == ME else e for e in entries(rec)), b""))),
    "a roster out of order": (AwaitingRoster, DropReason.WRONG_SET, roster(lambda all_: all_[::-1])),
    "a roster with a stranger": (
        AwaitingRoster, DropReason.OUTSIDE_TERMS, roster(lambda all_: (*all_, replace(all_[0], party=STRANGER)))),
    "a roster that is too small": (
        AwaitingRoster, DropReason.WRONG_SET, roster(lambda all_: tuple(e for e in all_ if e.party in (0, 2)))),
    "a roster with one key twice": (
        AwaitingRoster, DropReason.BAD_KEY,
        said(0, lambda rec: Roster(PROPOSER, (
            *entries(rec)[:3], hello_of(rec, 3, entries(rec)[1].channel_key)), b""))),
    "a roster with an unsigned key": (
        AwaitingRoster, DropReason.BAD_SIGNATURE,
        roster(lambda all_: (*all_[:4], replace(all_[4], signature=FORGED)))),
    "a roster that its proposer did not sign": (
        AwaitingRoster, DropReason.BAD_SIGNATURE, unsigned(0, Roster, signature=FORGED)),
    "a share under another roster": (AwaitingHolders, DropReason.SPLIT_VIEW, by(3, Share, under=ZERO)),
    "commitments that are not signed": (
        AwaitingHolders, DropReason.BAD_SIGNATURE, unsigned(3, Share, signature=FORGED)),
    "a bundle that does not open": (AwaitingHolders, DropReason.BAD_BUNDLE, unsigned(3, Share, sealed=bytes(223))),
    "a seed that was not committed to": (
        AwaitingHolders, DropReason.BAD_BUNDLE, by(3, Share, commitments=bytes(32 * 5))),
    "too few commitments": (AwaitingHolders, DropReason.BAD_BUNDLE, by(3, Share, commitments=bytes(32))),
    # round 2
    "a report about strangers": (
        AwaitingHolders, DropReason.WRONG_SET,
        said(3, lambda rec: replace(rec.message(Ready), dealers={STRANGER: ZERO}))),
    "a report under another roster": (
        AwaitingHolders, DropReason.SPLIT_VIEW, said(3, lambda rec: replace(rec.message(Ready), under=ZERO))),
    # round 3
    "holders that are too few": (
        AwaitingHolders, DropReason.WRONG_SET,
        said(0, lambda rec: replace(rec.message(Holders), dealers={ME: ZERO, PROPOSER: ZERO}))),
    "holders with a stranger": (
        AwaitingHolders, DropReason.WRONG_SET,
        said(0, lambda rec: replace(rec.message(Holders), dealers={**rec.message(Holders).dealers, STRANGER: ZERO}))),
    "holders under another roster": (AwaitingHolders, DropReason.SPLIT_VIEW, by(0, Holders, under=ZERO)),
    "an explicit share under another U2": (CertifyingInputs, DropReason.SPLIT_VIEW, by(3, ExplicitShare, under=ZERO)),
    "an explicit share that is cut": (CertifyingInputs, DropReason.BAD_LENGTH, by(3, ExplicitShare, vector=b"")),
    "an explicit share outside the field": (
        CertifyingInputs, DropReason.BAD_LENGTH,
        said(3, lambda rec: replace(rec.message(ExplicitShare, PEER), vector=b"\xff" * 24))),
    "an explicit share that is not signed": (
        CertifyingInputs, DropReason.BAD_SIGNATURE, unsigned(3, ExplicitShare, signature=FORGED)),
    "another's explicit share": (
        CertifyingInputs, DropReason.UNEXPECTED, lambda rec: (PEER, rec.message(ExplicitShare, PartyId(1)))),
    # round 4
    "a report with a hash that nobody signed": (
        CertifyingInputs, DropReason.BAD_SIGNATURE,
        said(3, lambda rec: HeldInputs(rec.message(HeldInputs).under, {PartyId(1): Signed(ZERO, FORGED)}, b""))),
    "a list that is too short": (
        CertifyingInputs, DropReason.WRONG_SET, listing(Inputs, lambda all_: {i: all_[i] for i in list(all_)[:2]})),
    "a list with a stranger": (
        CertifyingInputs, DropReason.WRONG_SET, listing(Inputs, lambda all_: {**all_, STRANGER: ZERO})),
    "a list with another vector of ours": (
        CertifyingInputs, DropReason.WRONG_SET, listing(Inputs, lambda all_: {**all_, ME: ZERO})),
    "a list under another U2": (CertifyingInputs, DropReason.SPLIT_VIEW, by(0, Inputs, under=ZERO)),
    "a list that its proposer did not sign": (
        CertifyingInputs, DropReason.BAD_SIGNATURE, unsigned(0, Inputs, signature=FORGED)),
    "a vote that is not signed": (CertifyingInputs, DropReason.BAD_SIGNATURE, unsigned(3, InputVote, signature=FORGED)),
    # rounds 5 and 6
    "a partial sum with too few votes": (
        CertifyingInputs, DropReason.NO_QUORUM,
        lambda rec: (PEER, replace(rec.message(PartialSum, PEER), certificate={}))),
    "a partial sum with votes for another list": (
        CertifyingInputs, DropReason.NO_QUORUM,
        lambda rec: (PEER, replace(rec.message(PartialSum, PEER), certificate=votes(rec, InputVote, ZERO, 0, 1, 3)))),
    "a partial sum with the votes of strangers": (
        CertifyingInputs, DropReason.WRONG_SET,
        lambda rec: (PEER, replace(rec.message(PartialSum, PEER), certificate={STRANGER: FORGED}))),
    "a partial sum under another certificate": (CertifyingSums, DropReason.SPLIT_VIEW, by(3, PartialSum, under=ZERO)),
    "a partial sum that is not signed": (
        CertifyingSums, DropReason.BAD_SIGNATURE, unsigned(3, PartialSum, signature=FORGED)),
    "a list with fewer than t closed columns": (
        CertifyingSums, DropReason.WRONG_SET, listing(Sums, lambda all_: {i: all_[i] for i in list(all_)[:2]})),
    "a list with another column of ours": (
        CertifyingSums, DropReason.WRONG_SET, listing(Sums, lambda all_: {**all_, ME: ZERO})),
    "an input list where sums are listed": (
        CertifyingSums, DropReason.SPLIT_VIEW,
        said(0, lambda rec: Sums(rec.message(Inputs).under, PROPOSER, hashes(rec, Sums), b""))),
    # round 7
    "seeds with too few votes": (
        CertifyingSums, DropReason.NO_QUORUM,
        said(3, lambda rec: replace(rec.message(Recover, PEER), certificate=votes(rec, SumVote, ZERO, 0, 1, 3)))),
    "seeds that were not committed to": (Recovering, DropReason.BAD_SHARE, by(3, Recover, seeds={LOST: ZERO})),
    "seeds of a column that is not lost": (
        Recovering, DropReason.WRONG_SET, by(3, Recover, seeds={LOST: ZERO, PROPOSER: ZERO})),
    "shares of a column that nobody asked for": (
        Recovering, DropReason.WRONG_SET, by(3, Recover, shares={LOST: bytes(35), PROPOSER: bytes(35)})),
    "shares outside the field": (Recovering, DropReason.BAD_SHARE, by(3, Recover, shares={LOST: b"\xff" * 35})),
    "seeds that are not signed": (Recovering, DropReason.BAD_SIGNATURE, unsigned(3, Recover, signature=FORGED)),
    "a question about somebody outside U3": (
        Recovering, DropReason.WRONG_SET,
        said(3, lambda rec: Lacking(rec.message(Recover, PEER).under, parties(9), b""))),
    "a question under another certificate": (
        Recovering, DropReason.SPLIT_VIEW, said(3, lambda rec: Lacking(ZERO, parties(0), b""))),
    # round 8
    "another result": (AwaitingOutputs, DropReason.SPLIT_VIEW, by(3, Output, result=ZERO)),
    "the result over others": (AwaitingOutputs, DropReason.SPLIT_VIEW, by(3, Output, included=parties(0, 1, 3))),
    "a result that is not signed": (AwaitingOutputs, DropReason.BAD_SIGNATURE, unsigned(3, Output, signature=FORGED)),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_each_violation_is_refused_by_its_own_check_and_leaves_no_trace(case: str) -> None:
    state, reason, make = CASES[case]
    rec = recorded()
    peer = rec.peer(state, entered=True)
    before = peer.snapshot()
    sender, message = make(rec)
    with pytest.raises(PeerMisbehaved) as refusal:
        peer.receive(sender, message)
    assert (refusal.value.sender, refusal.value.reason) == (sender, reason), refusal.value.detail
    assert peer.snapshot() == before


TWICE = {
    "hellos": (AwaitingRoster, by(3, Hello), said(3, lambda rec: hello_of(rec, 3, b"\5" * 32))),
    "reports": (AwaitingHolders, said(3, lambda rec: rec.message(Ready)),
                said(3, lambda rec: replace(rec.message(Ready), dealers={}))),
    "votes": (CertifyingInputs, by(3, InputVote), by(3, InputVote, under=ZERO)),
    "votes on sums": (CertifyingSums, by(3, SumVote), by(3, SumVote, under=ZERO)),
    "early messages of a kind": (AwaitingRoster, by(3, InputVote), by(3, InputVote, under=ZERO)),
}  # fmt: skip


@pytest.mark.parametrize("case", TWICE)
def test_a_second_answer_is_refused(case: str) -> None:
    state, first, second = TWICE[case]
    rec = recorded()
    peer = rec.peer(state, entered=True)
    peer.receive(*first(rec))
    before = peer.snapshot()
    with pytest.raises(PeerMisbehaved) as refusal:
        peer.receive(*second(rec))
    assert refusal.value.reason is DropReason.SECOND_ANSWER
    assert peer.snapshot() == before


def test_two_lists_of_one_proposer_are_refused_and_the_first_stays() -> None:
    rec = recorded()
    peer = rec.peer(CertifyingInputs, entered=True)
    peer.receive(*by(0, Inputs)(rec))
    before = peer.snapshot()
    with pytest.raises(PeerMisbehaved, match="two lists") as refusal:
        peer.receive(*listing(Inputs, lambda all_: {i: all_[i] for i in list(all_)[:4]})(rec))
    assert refusal.value.sender == PROPOSER
    assert peer.snapshot() == before


def test_a_set_of_holders_without_us_ends_the_session_before_our_input_leaves() -> None:
    rec = recorded()
    peer = rec.peer(AwaitingHolders)
    true: Holders = rec.message(Holders)
    others = {party: hash_ for party, hash_ in true.dealers.items() if party != ME}
    answers = peer.receive(PROPOSER, rec.signed(0, true, dealers=others))
    assert peer.outcome == Aborted(AbortReason.NOT_INCLUDED)
    assert not any(isinstance(answer.message, ExplicitShare) for answer in answers)


def test_holders_with_other_commitments_than_ours_never_get_our_input() -> None:
    rec = recorded()
    peer = rec.peer(AwaitingHolders)
    true: Holders = rec.message(Holders)
    assert peer.receive(PROPOSER, rec.signed(0, true, dealers={**true.dealers, PEER: ZERO})) == []
    assert isinstance(state_of(peer), AwaitingHolders)
    assert peer._now.input is not None


def test_nobody_signs_a_second_list_whoever_proposes_it() -> None:
    rec = recorded()
    peer = rec.peer(CertifyingInputs)
    voted = peer._now.state.votes[ME]  # type: ignore[union-attr]
    peer.drop(PROPOSER, DropReason.VANISHED)
    fewer = {i: hash_ for i, hash_ in hashes(rec, Inputs).items() if i != LOST}
    answers = peer.receive(PartyId(1), rec.signed(1, rec.message(Inputs), proposer=PartyId(1), hashes=fewer))
    assert answers == []
    assert peer._now.state.votes[ME] is voted  # type: ignore[union-attr]


def test_a_list_whose_proposers_turn_has_not_come_waits() -> None:
    rec = recorded()
    peer = rec.peer(CertifyingInputs, entered=True)
    for party in (0, 1, 3, 4):
        peer.receive(PartyId(party), explicit_of(rec, party))
    early = rec.signed(1, rec.message(Inputs), proposer=PartyId(1))
    assert peer.receive(PartyId(1), early) == []
    (envelope,) = peer.drop(PROPOSER, DropReason.VANISHED)[1:]
    assert isinstance(envelope.message, InputVote)


def test_nothing_is_opened_without_the_certificate() -> None:
    """t - 1 votes for the list, and as many as one likes for another."""
    rec = recorded()
    peer = rec.peer(CertifyingInputs, entered=True)
    for party in (0, 1, 3, 4):
        peer.receive(PartyId(party), explicit_of(rec, party))
    said_ = [e.message for e in peer.receive(*by(0, Inputs)(rec))]
    assert [type(message) for message in said_] == [InputVote]
    peer.receive(*by(0, InputVote)(rec))
    assert peer.receive(*by(3, InputVote, under=ZERO)(rec))[0].recipients == (PEER,)  # it asks for that list
    assert peer.receive(*by(4, InputVote, under=ZERO)(rec)) == []
    assert isinstance(state_of(peer), CertifyingInputs)
    assert any(isinstance(e.message, PartialSum) for e in peer.receive(*by(1, InputVote)(rec)))


# Equivocation


class Twofaced:
    """An honest machine but for one message class, which the others get in another form."""

    def __init__(self, rec: MeshRoom, peer: Any, kind: type, *fooled: int) -> None:
        self._room, self._peer, self._kind = rec, peer, kind
        self._fooled = {PartyId(one) for one in fooled}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._peer, name)

    def _split(self, envelopes: list[Envelope]) -> list[Envelope]:
        return [one for envelope in envelopes for one in self._faces(envelope)]

    def _faces(self, envelope: Envelope) -> list[Envelope]:
        if not isinstance(envelope.message, self._kind):
            return [envelope]
        message: Any = envelope.message
        spec = self._room.params.spec
        vector = spec.field.unpack(message.vector, spec.masked_length)
        vector[0] = (int(vector[0]) + 1) % spec.field.modulus
        other = replace(message, vector=spec.field.pack(vector))
        other = bindings.sign(self._room.identities[message.party], self._room.params.digest, other)
        fooled = tuple(one for one in envelope.recipients if one in self._fooled)
        rest = tuple(one for one in envelope.recipients if one not in self._fooled)
        return [Envelope(rest, message), Envelope(fooled, other)]

    def receive(self, sender: PartyId, message: Any) -> list[Envelope]:
        return self._split(self._peer.receive(sender, message))

    def drop(self, party: PartyId, reason: DropReason) -> list[Envelope]:
        return self._split(self._peer.drop(party, reason))

    def close_round(self) -> list[Envelope]:
        return self._split(self._peer.close_round())


def two_faced(liar: int, kind: type, *fooled: int, n: int = 5) -> Held:
    room = MeshRoom(clients=n, length=3)
    peers: dict[PartyId, Any] = dict(room.peers())
    peers[PartyId(liar)] = Twofaced(room, peers[PartyId(liar)], kind, *fooled)
    return room.hold(machines=peers)


@pytest.mark.parametrize("fooled", [(0,), (1, 2), (3,), (0, 1, 3)], ids=str)
def test_a_party_with_two_explicit_shares_is_named_by_all_and_left_out(fooled: tuple[int, ...]) -> None:
    held = two_faced(4, ExplicitShare, *fooled)
    for party in (0, 1, 2, 3):
        peer = held.machines[PartyId(party)]
        assert set(peer.named) == {4}
        assert peer.dropped[PartyId(4)][1] is DropReason.SECOND_ANSWER
        assert isinstance(peer.outcome, Finished)
        assert peer.outcome.aggregate.included == {0, 1, 2, 3}
        assert np.array_equal(peer.outcome.aggregate.vector, held.room.plain_sum({PartyId(i) for i in range(4)}))
        require_proof(held.room, peer.named[PartyId(4)])


@pytest.mark.parametrize("fooled", [(0,), (1, 2), (0, 1, 3)], ids=str)
def test_a_party_with_two_partial_sums_is_named_and_its_column_is_opened(fooled: tuple[int, ...]) -> None:
    held = two_faced(4, PartialSum, *fooled)
    for party in (0, 1, 2, 3):
        peer = held.machines[PartyId(party)]
        assert set(peer.named) == {4}
        assert isinstance(peer.outcome, Finished)
        assert peer.outcome.aggregate.included == {0, 1, 2, 3, 4}
        assert np.array_equal(peer.outcome.aggregate.vector, held.room.plain_sum(set(held.room.parties)))


def require_proof(room: MeshRoom, proof: Equivocation) -> None:
    """Anybody who knows the identities can check it."""
    key, invite = room.terms.members[proof.party], room.params.digest
    for signed in (proof.one, proof.other):
        bindings.verify_hash(key, invite, proof.of, proof.under, proof.party, signed)
    assert proof.one.hash != proof.other.hash


def test_the_second_of_two_explicit_shares_to_one_peer_names_its_party() -> None:
    rec = recorded()
    peer = rec.peer(CertifyingInputs, entered=True)
    peer.receive(PEER, explicit_of(rec, 3))
    answers = peer.receive(PEER, explicit_of(rec, 3, bytes(24)[: rec.room.params.spec.masked_size]))
    assert set(peer.named) == {PEER}
    assert [type(answer.message) for answer in answers] == [Equivocation]
    assert set(answers[0].recipients) == {0, 1, 4}


def test_a_list_with_a_convicted_party_is_not_signed_but_a_certificate_of_the_others_is_followed() -> None:
    rec = recorded()
    peer = rec.peer(CertifyingInputs, entered=True)
    for party in (0, 1, 3, 4):
        peer.receive(PartyId(party), explicit_of(rec, party))
    peer.receive(PartyId(1), proof_against(rec, 3))
    assert peer.receive(*by(0, Inputs)(rec)) == []
    for voter in (0, 1, 4):
        answers = peer.receive(*by(voter, InputVote)(rec))
    assert any(isinstance(answer.message, PartialSum) for answer in answers)


def proof_against(rec: Recorded, party: int) -> Equivocation:
    one, other = explicit_of(rec, party), explicit_of(rec, party, bytes(rec.room.params.spec.masked_size))
    return Equivocation(
        Round.EXPLICIT, one.under, PartyId(party), bindings.signed_hash(one), bindings.signed_hash(other)
    )


# Wrong shares, wrong seeds, wrong columns


class Editing:
    """An honest machine whose messages of one class go through `edit`; what comes back is signed again."""

    def __init__(self, room: MeshRoom, me: int, kind: type, edit: Callable[[Any], Any]) -> None:
        self._room, self._peer, self._kind, self._edit = room, room.peer(PartyId(me)), kind, edit
        self._me = PartyId(me)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._peer, name)

    def _edited(self, envelopes: list[Envelope]) -> list[Envelope]:
        return [self._one(envelope) for envelope in envelopes]

    def _one(self, envelope: Envelope) -> Envelope:
        if not isinstance(envelope.message, self._kind):
            return envelope
        edited = self._edit(envelope.message)
        return replace(
            envelope, message=bindings.sign(self._room.identities[self._me], self._room.params.digest, edited)
        )

    def receive(self, sender: PartyId, message: Any) -> list[Envelope]:
        return self._edited(self._peer.receive(sender, message))

    def drop(self, party: PartyId, reason: DropReason) -> list[Envelope]:
        return self._edited(self._peer.drop(party, reason))

    def close_round(self) -> list[Envelope]:
        return self._edited(self._peer.close_round())


def edited(liar: int, kind: type, edit: Callable[[Any], Any], lost: dict[int, Round], n: int = 5) -> Held:
    room = MeshRoom(clients=n, length=3)
    peers: dict[PartyId, Any] = dict(room.peers()) | {PartyId(liar): Editing(room, liar, kind, edit)}
    return room.hold(lost, machines=peers)


def require_sum_of_all(held: Held, *honest: int) -> None:
    for party in honest:
        outcome = held.machines[PartyId(party)].outcome
        assert isinstance(outcome, Finished)
        assert np.array_equal(outcome.aggregate.vector, held.room.plain_sum(outcome.aggregate.included))
        assert outcome.aggregate.included == set(held.room.parties)


def test_a_dealer_that_shows_wrong_seeds_is_named_and_its_true_ones_come_from_shares() -> None:
    held = edited(1, Recover, lambda one: replace(one, seeds=dict.fromkeys(one.seeds, ZERO)), {4: Round.PARTIAL})
    require_sum_of_all(held, 0, 2, 3)
    for party in (0, 2, 3):
        assert held.machines[PartyId(party)].dropped[PartyId(1)][1] is DropReason.BAD_SHARE


def test_a_wrong_share_is_corrected_and_disputed() -> None:
    held = edited(0, Recover, lambda one: replace(one, shares=dict.fromkeys(one.shares, bytes(35))), {4: Round.PARTIAL})
    require_sum_of_all(held, 1, 2, 3)
    noticed = [held.machines[PartyId(party)].disputes for party in (1, 2, 3)]  # by those to whom it was one of t
    assert set().union(*noticed) == {Dispute(dealer=PartyId(4), holder=PROPOSER)}


def test_a_dealer_whose_shares_fit_nothing_ends_the_session_and_is_accused(monkeypatch: pytest.MonkeyPatch) -> None:
    """4 commits to its seeds and seals them, but deals shares of others; then it is lost and nobody can rebuild."""
    true = dealing.deal

    def deal(secret: Any, session: bytes, dealer: PartyId, u1: Any, threshold: int) -> dealing.Dealt:
        dealt = true(secret, session, dealer, u1, threshold)
        if dealer != LOST:
            return dealt
        other = true(type(secret)(kdf(secret.raw, "other")), session, dealer, u1, threshold)
        bundles = {h: replace(bundle, shares=other.bundles[h].shares) for h, bundle in dealt.bundles.items()}
        return replace(dealt, bundles=bundles)

    monkeypatch.setattr("protocols.mesh.opening.deal", deal)
    held = MeshRoom(clients=5, length=3).hold({4: Round.PARTIAL})
    for peer in held.left.values():
        assert peer.outcome == Aborted(AbortReason.UNMASK_INCONSISTENT, DropReason.BAD_SHARE, LOST)


def test_an_input_that_is_not_zero_where_the_canaries_lie_gives_no_result(monkeypatch: pytest.MonkeyPatch) -> None:
    room = MeshRoom(clients=4, length=3)
    true = summing.explicit_share

    def spoil(vector: Any, seeds: Any, **given: Any) -> Any:
        if np.array_equal(vector[:3], room.inputs[PartyId(3)]):
            vector[-1] = 1
        return true(vector, seeds, **given)

    monkeypatch.setattr(summing, "explicit_share", spoil)
    held = room.hold()
    assert {peer.outcome for peer in held.left.values()} == {Aborted(AbortReason.UNMASK_INCONSISTENT)}


# Fetching


class Deaf:
    """A machine that some messages of a sender never reach, as where it crashes amid a broadcast: the first or all."""

    def __init__(self, peer: Any, sender: int, kind: type, most: int) -> None:
        self._peer, self._sender, self._kind, self._left = peer, sender, kind, most

    def __getattr__(self, name: str) -> Any:
        return getattr(self._peer, name)

    def receive(self, sender: PartyId, message: Any) -> list[Envelope]:
        if sender == self._sender and isinstance(message, self._kind) and self._left:
            self._left -= 1
            return []
        return self._peer.receive(sender, message)


FETCHED = [Holders, Inputs, Sums, ExplicitShare, PartialSum]


@pytest.mark.parametrize(("kind", "most"), [(Roster, 1), *((kind, most) for kind in FETCHED for most in (1, 99))])
def test_what_never_came_is_fetched_from_whoever_has_it(kind: type, most: int) -> None:
    """For good: its sender is asked first and its answer is lost too, so another one is asked at the deadline."""
    room = MeshRoom(clients=4, length=3)
    peers: dict[PartyId, Any] = dict(room.peers())
    peers[PartyId(2)] = Deaf(room.peer(PartyId(2)), 0, kind, most)
    room.hold(machines=peers).require_exact(0, 1, 2, 3)


def test_a_peer_that_missed_every_vote_follows_the_certificates_of_the_others() -> None:
    room = MeshRoom(clients=5, length=3)
    peers: dict[PartyId, Any] = dict(room.peers())
    for sender in (0, 1, 3, 4):
        peers[PartyId(2)] = Deaf(peers[PartyId(2)], sender, InputVote, 99)
    room.hold(machines=peers).require_exact(0, 1, 2, 3, 4)


def test_a_peer_that_fell_behind_takes_the_sum_that_t_others_signed() -> None:
    """It hears no explicit share of 4, from nobody: the others go on, and at the end it asks for the sum itself."""
    room = MeshRoom(clients=5, length=3)
    peers: dict[PartyId, Any] = dict(room.peers())
    for sender in (0, 1, 3, 4):
        peers[PartyId(2)] = Deaf(peers[PartyId(2)], sender, ExplicitShare, 99)
    held = room.hold(machines=peers)
    held.require_exact(0, 1, 2, 3, 4)


def test_a_sum_that_t_peers_did_not_sign_is_not_taken() -> None:
    rec = recorded()
    peer = rec.peer(Recovering, entered=True)
    true: Output = rec.message(Output, PEER)
    for party in (1, 3):
        peer.receive(*by(party, Output)(rec))
    with pytest.raises(PeerMisbehaved, match="did not ask for"):
        peer.receive(PEER, Result(true.included, b""))
    peer.receive(*by(0, Output)(rec))
    peer.close_round()  # the first asks for shares that it lacks, the second for the sum
    assert peer.can_close
    (question,) = peer.close_round()
    assert question.message == Fetch(true.result)


# The ledger


def test_a_step_that_was_opened_is_not_opened_again_over_others() -> None:
    """Rule 13: the second session of the same model over one party less ends where its sum would be signed."""
    first = MeshRoom(clients=5, length=3)
    held = first.hold()
    ledger = held.machines[PartyId(1)].ledger
    assert ledger.times(differencing_key(first.terms.subject)) == 1
    again = MeshRoom(clients=5, length=3)
    peers = {me: again.peer(me, ledger=held.machines[me].ledger) for me in again.parties}
    second = again.hold({4: Round.EXPLICIT}, machines=peers)
    second.require_no_result()
    assert {peer.outcome.cause for peer in second.left.values()} == {DropReason.SUMMED_BEFORE}


def test_the_ledger_holds_the_session_while_it_is_open() -> None:
    rec = recorded()
    assert len(rec.peer(CertifyingInputs).ledger.sessions) == 1
    assert rec.peer(Ended).ledger.sessions == ()


def test_of_a_proposer_that_signs_many_rosters_two_are_kept_whoever_passes_them_on() -> None:
    rec = recorded()
    peer = rec.peer(AwaitingRoster)
    sizes = []
    liar, passing_on = (party for party in rec.room.parties if party not in (ME, LOST, PROPOSER))
    for number in range(1, 6):
        stranger = hello_of(rec, LOST, bytes([9, number]) * 16)
        others = (entry for entry in entries(rec) if entry.party != LOST)
        ordered = tuple(sorted((*others, stranger), key=lambda entry: entry.party))
        peer.receive(passing_on, rec.signed(liar, Roster(liar, ordered, b"")))
        sizes.append(len(peer.snapshot()))
    assert sizes[0] < sizes[1] == sizes[-1]


@pytest.mark.parametrize(("clients", "colluding", "fewest"), [(6, 0, 4), (7, 0, 4), (6, 1, 4), (7, 2, 5)])
def test_a_roster_covers_more_than_half_of_the_consortium_and_its_colluders(
    clients: int, colluding: int, fewest: int
) -> None:
    """Else two groups that do not hear each other would each have a sum of their own."""
    room = MeshRoom(clients=clients, colluding=colluding, length=3)
    peers = room.peers()
    hellos = {me: peer.start()[0].message for me, peer in peers.items()}
    first = peers[PartyId(0)]
    for heard in range(1, clients):
        assert first.can_close is (heard >= fewest), f"with {heard} of {clients}"
        first.receive(PartyId(heard), hellos[PartyId(heard)])


def test_a_certificate_has_the_votes_of_a_majority_of_the_consortium_and_not_of_a_roster() -> None:
    """Two rosters of five out of eight share two members: had three of five been enough, each could have a sum."""
    late = {5: Round.HELLO, 6: Round.HELLO, 7: Round.HELLO, 4: Round.EXPLICIT}
    room = MeshRoom(clients=8, colluding=0, length=3)
    room.hold(late).require_no_result()
    room.hold({5: Round.HELLO, 6: Round.HELLO, 4: Round.EXPLICIT}).require_exact(0, 1, 2, 3, 7)
