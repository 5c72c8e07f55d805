"""What holds for every session of the mesh: the exact sum over one set, or a clean abort, and no peer says too much."""

from dataclasses import dataclass
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mesh_disorder import MeshDisorder
from mesh_room import Held, MeshRoom
from restored import NoMore, Restored
from sessions import FIELDS, bounded
from watch import Watch

from protocols.errors import LocalProtocolError, PartyId
from protocols.ledger import NOTHING_ANSWERED, Ledger
from protocols.mesh import Peer
from protocols.mesh.messages import (
    CODEC,
    ExplicitShare,
    HeldShares,
    InputVote,
    Output,
    PartialSum,
    Recover,
    Round,
    SumVote,
)

CHANCES = st.integers(0, 2**32 - 1).map(Random)
Frames = list[tuple[PartyId, PartyId, bytes]]
STAGES = tuple(stage for stage in Round if stage is not Round.DONE)


@dataclass(frozen=True)
class Session:
    n: int
    c: int
    field: str
    vanish: tuple[Round | None, ...]

    def room(self) -> MeshRoom:
        return MeshRoom(clients=self.n, colluding=self.c, field=FIELDS[self.field], length=3)

    @property
    def losses(self) -> dict[int, Round]:
        return {party: stage for party, stage in enumerate(self.vanish) if stage}


@st.composite
def sessions(draw: st.DrawFn, most: int) -> Session:
    n = draw(st.integers(3, most))
    c = draw(st.integers(0, draw(st.sampled_from([0, (n - 1) // 2, n - 2]))))
    lost = draw(st.sets(st.integers(0, n - 1), max_size=draw(st.sampled_from([0, 1, n // 3, n // 2]))))
    vanish = tuple(draw(st.sampled_from(STAGES)) if party in lost else None for party in range(n))
    return Session(n, c, draw(st.sampled_from(sorted(FIELDS))), vanish)


def require_discretion(frames: Frames, parties: tuple[PartyId, ...]) -> None:
    """Of each peer: one vector of each kind, one vote of each kind; seeds only of the columns that were lost."""
    said: dict[PartyId, dict[type, set[bytes]]] = {party: {} for party in parties}
    for sender, _, data in frames:
        message = CODEC.decode(data)
        if getattr(message, "party", sender) == sender:  # what is passed on is not its own
            said[sender].setdefault(type(message), set()).add(data)
    for kinds in said.values():
        for kind in (ExplicitShare, PartialSum, InputVote, SumVote, Recover, Output):
            assert len(kinds.get(kind, ())) <= 1, f"two of {kind.__name__}"
        require_seeds_of_lost(kinds)


def require_seeds_of_lost(kinds: dict[type, set[bytes]]) -> None:
    """Nobody shows a seed or a share of a column whose partial sum it showed, or that it voted to keep closed."""
    for data in kinds.get(Recover, set()):
        recover = CODEC.decode(data)
        assert recover.shares.keys() <= recover.seeds.keys() or not recover.seeds
    for data in kinds.get(HeldShares, set()):
        assert Recover in kinds, f"shares before the certificate: {CODEC.decode(data)}"


def require_exact_or_none(drawn: Session) -> None:
    watch = Watch()
    held = drawn.room().hold(drawn.losses, tap=watch)
    held.require_exact_or_none()
    require_discretion(watch.frames, held.room.parties)
    room, left = held.room, held.left.keys()
    if len(left) >= max(room.t, room.params.floor):  # they alone are enough at every point
        assert held.aggregates().keys() == left
        assert all(aggregate.included >= left for aggregate in held.aggregates().values())


@bounded(2)
@given(sessions(most=5))
def test_whoever_vanishes_wherever_the_sum_is_exact_or_there_is_none(drawn: Session) -> None:
    require_exact_or_none(drawn)


@pytest.mark.slow
@bounded(40)
@given(sessions(most=8))
def test_the_same_for_many_sessions_of_up_to_eight(drawn: Session) -> None:
    require_exact_or_none(drawn)


# Disorder


def require_order_does_not_matter(drawn: Session, chance: Random, *, flips: bool) -> None:
    disorder = MeshDisorder(drawn.room(), chance, crashes=len(drawn.losses), flips=flips)
    held = disorder.run()
    if not disorder.changed:
        held.require_exact_or_none()
        require_one_certificate(disorder.sent)
    require_discretion(disorder.sent, held.room.parties)


def require_one_certificate(frames: Frames) -> None:
    """Whatever was proposed, all partial sums stand under one list, and all that was recovered under one."""
    messages = [CODEC.decode(data) for _, _, data in frames]
    assert len({message.under for message in messages if isinstance(message, PartialSum)}) <= 1
    assert len({message.under for message in messages if isinstance(message, Recover)}) <= 1


@bounded(2)
@given(sessions(most=4), CHANCES)
def test_late_doubled_and_reordered_frames_and_crashes_in_a_broadcast_leave_one_sum_or_none(
    drawn: Session, chance: Random
) -> None:
    require_order_does_not_matter(drawn, chance, flips=False)


@pytest.mark.slow
@bounded(40)
@given(sessions(most=6), CHANCES)
def test_the_same_for_much_disorder(drawn: Session, chance: Random) -> None:
    require_order_does_not_matter(drawn, chance, flips=False)


@pytest.mark.slow
@bounded(20)
@given(sessions(most=5), CHANCES)
def test_flipped_bits_are_refused_without_a_trace(drawn: Session, chance: Random) -> None:
    require_order_does_not_matter(drawn, chance, flips=True)


@bounded(1)
@given(CHANCES)
def test_disorder_alone_costs_nobody_the_sum(chance: Random) -> None:
    """Frames out of order and twice, and nobody is lost: all are in the sum."""
    held = MeshDisorder(MeshRoom(clients=4, length=3), chance, crashes=0).run()
    held.require_exact(0, 1, 2, 3)


# Crashes that leave a snapshot


def restored_peers(room: MeshRoom) -> dict[PartyId, Any]:
    """Peers whose process ends after every call. A peer draws when it starts, and never again."""

    def restored(me: PartyId) -> Restored:
        stream = room.rand.child(f"peer {me}")

        def wake(kept: bytes, ledger: Ledger) -> Peer:
            peer = Peer.restore(kept, identity=room.identities[me], rand=stream, ledger=ledger)
            if peer._now.session:
                peer._rand = NoMore()
            return peer

        return Restored(room.peer(me), wake)

    return {me: restored(me) for me in room.parties}


def require_no_trace_of_restarts(drawn: Session) -> None:
    plain, crashed = Watch(), Watch()
    held = drawn.room().hold(drawn.losses, tap=plain)
    room = drawn.room()
    again = room.hold(drawn.losses, tap=crashed, machines=restored_peers(room))
    assert crashed.frames == plain.frames
    for party, machine in held.machines.items():
        assert again.machines[party].snapshot() == machine.snapshot()


@bounded(1)
@given(sessions(most=4))
def test_peers_that_are_restored_for_every_call_say_the_same_bytes(drawn: Session) -> None:
    require_no_trace_of_restarts(drawn)


@pytest.mark.slow
@bounded(8)
@given(sessions(most=7))
def test_the_same_for_many_sessions_with_restarts(drawn: Session) -> None:
    require_no_trace_of_restarts(drawn)


def test_only_the_last_snapshot_is_taken_up_again() -> None:
    room = MeshRoom(clients=3, length=3)
    kept: list[bytes] = []

    class Kept:
        def __init__(self, peer: Peer) -> None:
            self._peer = peer

        def __getattr__(self, name: str) -> Any:
            return getattr(self._peer, name)

        def receive(self, sender: PartyId, message: Any) -> Any:
            kept.append(self._peer.snapshot())
            return self._peer.receive(sender, message)

    peers: dict[PartyId, Any] = dict(room.peers())
    peers[PartyId(1)] = Kept(room.peer(PartyId(1)))
    held: Held = room.hold({0: Round.CERTIFY_SUMS}, machines=peers)
    held.require_exact(0, 1, 2)
    rand, identity, ledger = room.rand.child("again"), room.identities[PartyId(1)], held.machines[PartyId(1)].ledger
    for old in kept:
        for wrong in (ledger, NOTHING_ANSWERED):
            with pytest.raises(LocalProtocolError, match="not the last one"):
                Peer.restore(old, identity=identity, rand=rand, ledger=wrong)
