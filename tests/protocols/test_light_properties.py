"""For every session of lightsecagg: an exact sum over U3 or none at all, and no client that says too much."""

from collections.abc import Iterable
from dataclasses import dataclass
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from light_disorder import LightDisorder
from light_restored import restored_machines
from light_room import LightRoom
from sessions import FIELDS, bounded

from protocols.errors import SERVER, PartyId
from protocols.lightsecagg.messages import (
    CODEC,
    AdvertiseKey,
    AggregatedPiece,
    Confirm,
    Dealt,
    MaskedInput,
    Piece,
    Round,
)
from protocols.machine import Aborted, Finished
from protocols.session import Variant

Frame = tuple[PartyId, PartyId, bytes]
STAGES = tuple(stage for stage in Round if stage is not Round.DONE)
ONCE = (AdvertiseKey, Dealt, MaskedInput, Confirm, AggregatedPiece)


@dataclass(frozen=True)
class Session:
    """All that a session depends on. losses: d, as planned; those that vanish may be more."""

    n: int
    c: int
    losses: int
    variant: Variant
    field: str
    vanish: tuple[Round | None, ...]

    def room(self) -> LightRoom:
        return LightRoom(
            clients=self.n,
            colluding=self.c,
            losses=self.losses,
            variant=self.variant,
            field=FIELDS[self.field],
            length=7,
        )

    @property
    def gone(self) -> dict[int, Round]:
        return {party: stage for party, stage in enumerate(self.vanish) if stage}


@st.composite
def sessions(draw: st.DrawFn, most: int, *, least: int = 3) -> Session:
    n = draw(st.integers(least, most))
    c = draw(st.integers(0, draw(st.sampled_from([0, (n - 2) // 2, n - 2]))))
    losses = draw(st.integers(0, n))
    lost = draw(st.sets(st.integers(0, n - 1), max_size=draw(st.sampled_from([0, 1, n // 3, n // 2, n]))))
    vanish = tuple(draw(st.sampled_from(STAGES)) if party in lost else None for party in range(n))
    large_enough = [name for name in sorted(FIELDS) if FIELDS[name].modulus > 2 * n]
    return Session(n, c, losses, draw(st.sampled_from(Variant)), draw(st.sampled_from(large_enough)), vanish)


def require_discretion(frames: Iterable[Frame], parties: Iterable[PartyId]) -> None:
    """Each thing once, and a piece once for each recipient."""
    said: dict[PartyId, list[Any]] = {party: [] for party in (*parties, SERVER)}
    for sender, _, data in frames:
        said[sender].append(CODEC.decode(data))
    del said[SERVER]
    for messages in said.values():
        for kind in ONCE:
            assert sum(isinstance(message, kind) for message in messages) <= 1, f"{kind.__name__} twice"
        recipients = [message.recipient for message in messages if isinstance(message, Piece)]
        assert len(recipients) == len(set(recipients))


def require_exact_or_none(drawn: Session) -> None:
    """The sum of U3 and of nobody else, the same for all; or nothing, and everybody knows."""
    room, frames = drawn.room(), list[Frame]()
    held = room.hold(drawn.gone, tap=lambda *frame: frames.append(frame))
    expected = room.expected(drawn.gone)
    if expected is None:
        held.require_no_result()
    else:
        held.require_exact(*expected)
    server = held.server
    assert server.u1 >= server.u2 >= server.u3 >= server.u4
    assert server.u5 <= server.u3
    assert not server.unfitting
    require_discretion(frames, room.parties)


@bounded(4)
@given(sessions(most=6))
def test_whoever_vanishes_wherever_the_sum_is_exact_or_there_is_none(drawn: Session) -> None:
    require_exact_or_none(drawn)


@pytest.mark.slow
@bounded(60)
@given(sessions(most=11))
def test_the_same_for_many_sessions_of_up_to_eleven(drawn: Session) -> None:
    require_exact_or_none(drawn)


@pytest.mark.slow
def test_the_plan_of_losses_says_how_many_may_vanish_and_one_more_ends_it() -> None:
    room = LightRoom(clients=7, colluding=1, losses=2)
    room.hold({0: Round.MASKED_INPUT, 1: Round.AGGREGATE}).require_exact(1, 2, 3, 4, 5, 6)
    room.hold({0: Round.MASKED_INPUT, 1: Round.AGGREGATE, 2: Round.CONFIRM}).require_no_result()


# Crashes and disorder


def require_no_trace_of_crashes(drawn: Session) -> None:
    room, plain, restored = drawn.room(), list[Frame](), list[Frame]()
    held = room.hold(drawn.gone, tap=lambda *frame: plain.append(frame))
    machines = restored_machines(room)
    crashed = room.hold(drawn.gone, tap=lambda *frame: restored.append(frame), machines=machines)
    assert restored == plain
    for party, machine in held.machines.items():
        assert crashed.machines[party].snapshot() == machine.snapshot()


@bounded(1)
@given(sessions(most=4))
def test_machines_that_are_restored_for_every_call_say_the_same_bytes(drawn: Session) -> None:
    require_no_trace_of_crashes(drawn)


@pytest.mark.slow
@bounded(15)
@given(sessions(most=6))
def test_the_same_for_many_sessions_with_crashes(drawn: Session) -> None:
    require_no_trace_of_crashes(drawn)


def require_order_does_not_matter(drawn: Session, chance: Random) -> None:
    """Whatever arrives whenever: an exact sum over those whose input came in time, or none, and nobody talks."""
    room = drawn.room()
    disorder = LightDisorder(room, chance, flips=drawn.variant is Variant.ACTIVE)  # the curious one trusts its server
    disorder.run(steps=14 * room.clients)
    outcome = disorder.server.outcome
    assert isinstance(outcome, Finished | Aborted)
    if isinstance(outcome, Finished) and not disorder.changed:
        assert outcome.aggregate.included == disorder.server.u3
        assert np.array_equal(outcome.aggregate.vector, room.plain_sum(disorder.server.u3))
    require_discretion(disorder.sent, room.parties)


@bounded(4)
@given(sessions(most=5), st.randoms(use_true_random=False))
def test_late_doubled_and_reordered_frames_are_taken_or_refused_without_a_trace(drawn: Session, chance: Random) -> None:
    require_order_does_not_matter(drawn, chance)


@pytest.mark.slow
@bounded(40)
@given(sessions(most=6), st.randoms(use_true_random=False))
def test_the_same_for_much_disorder(drawn: Session, chance: Random) -> None:
    require_order_does_not_matter(drawn, chance)
