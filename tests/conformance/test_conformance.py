"""What admits a protocol: one suite for all of them. A new one is a line in `cases.py` and passes what stands here.

Each test speaks to real machines through the wire, by the interface of `protocols/machine.py` and nothing else.
"""

from collections.abc import Mapping
from random import Random
from typing import Any
from unittest.mock import ANY

import numpy as np
import pytest
from cases import CASES, AnyRoom, Case, contributors
from driving import Held, Muddle, hold, restored
from hypothesis import given
from hypothesis import strategies as st
from sessions import FIELDS, bounded

from protocols.errors import SERVER, AbortReason, DropReason, LocalProtocolError, PartyId, WireError
from protocols.machine import Aborted, Finished
from protocols.session import Variant

QUICK = {"secagg-active", "secagg+-active", "mesh", "epoch-later", "lightsecagg-active", "committee"}


def param(case: Case, *stage: Any) -> Any:
    """One case of each protocol is quick; its other variants are as slow as all of them together."""
    name = "-".join([case.name, *(one.value for one in stage)])
    return pytest.param(case, *stage, id=name, marks=() if case.name in QUICK else pytest.mark.slow)


every_case = pytest.mark.parametrize("case", [param(case) for case in CASES])
every_stage = pytest.mark.parametrize(
    ("case", "stage"), [param(case, stage) for case in CASES for stage in case.stages]
)


def require_expected(held: Held, vanish: Mapping[int, Any]) -> None:
    """The exact sum over those that the protocol's own rules name, the same for all; or nothing, and all know."""
    expected = held.room.expected(vanish)
    if expected is None:
        held.require_no_result()
    else:
        held.require_exact(None if expected is ANY else expected)


# Losses


@every_case
def test_without_a_loss_everybody_has_the_exact_sum_of_all(case: Case) -> None:
    room = case.make()
    held = hold(room, case)
    held.require_exact(frozenset(room.inputs))
    assert all(isinstance(machine.outcome, Finished) for machine in held.machines.values())


@every_stage
def test_one_party_lost_at_any_stage_costs_at_most_its_own_input(case: Case, stage: Any) -> None:
    room = case.make()
    for party in (room.parties[0], room.parties[2], room.parties[-1]):
        held = hold(room, case, {party: stage})
        require_expected(held, {party: stage})
        assert held.aggregates, "one loss was planned for"
        assert held.included >= frozenset(room.inputs) - {party}


@every_stage
def test_below_the_threshold_there_is_no_result_and_everybody_is_told(case: Case, stage: Any) -> None:
    room = case.make(clients=6, losses=1)
    vanish = dict.fromkeys(room.parties[2:], stage)
    held = hold(room, case, vanish)
    assert room.expected(vanish) in (None, ANY)
    require_expected(held, vanish)


@st.composite
def sessions(draw: st.DrawFn, case: Case, most: int) -> tuple[AnyRoom, dict[PartyId, Any]]:
    n = draw(st.integers(4, most))
    losses = draw(st.integers(0, (n - 2) // 2))
    colluding = draw(st.integers(0, max(0, min(n - 2 * losses - 1, n - losses - 2))))
    field = draw(st.sampled_from(sorted(case.fields)))
    room = case.make(clients=n, colluding=colluding, losses=losses, length=3, field=FIELDS[field])
    lost = draw(st.sets(st.sampled_from(room.parties), max_size=draw(st.sampled_from([losses, losses + 1, n]))))
    return room, {party: draw(st.sampled_from(case.stages)) for party in sorted(lost)}


@every_case
@bounded(2)
@given(data=st.data())
def test_whoever_vanishes_wherever_the_sum_is_exact_or_there_is_none(case: Case, data: st.DataObject) -> None:
    room, vanish = data.draw(sessions(case, most=6))
    require_expected(hold(room, case, vanish), vanish)


@pytest.mark.slow
@every_case
@bounded(30)
@given(data=st.data())
def test_the_same_for_many_sessions(case: Case, data: st.DataObject) -> None:
    room, vanish = data.draw(sessions(case, most=9))
    require_expected(hold(room, case, vanish), vanish)


# Crashes


@pytest.mark.slow
@every_case
def test_machines_that_are_taken_up_anew_for_every_call_come_to_the_same_sum(case: Case) -> None:
    room = case.make()
    vanish = {room.parties[1]: case.family.input_stage}
    held = hold(room, case, vanish, machines=restored(room, case))
    require_expected(held, vanish)
    assert held.aggregates


@pytest.mark.slow
@every_case
def test_no_snapshot_but_the_last_is_taken_up(case: Case) -> None:
    """Of each party, each snapshot of a running session against the ledger of each later step."""
    room = case.make()
    muddle = Muddle(room, case).run()
    refused = 0
    for party, kept in muddle.kept.items():
        steps = [one for one in kept if one.open]
        for place, old in enumerate(steps):
            for newer in steps[place + 1 :]:
                if newer.snapshot == old.snapshot:
                    continue
                with pytest.raises(LocalProtocolError):
                    case.wake(room, party, old.snapshot, newer.ledger)
                refused += 1
    assert refused >= len(room.parties)


@every_case
def test_a_session_that_has_ended_leaves_no_secret_in_its_snapshot(case: Case) -> None:
    room = case.make(length=40)
    held = hold(room, case)
    for party, machine in contributors(held.machines).items():
        if party in room.inputs:
            assert room.field.pack(room.inputs[party])[:32] not in machine.snapshot()


# Disorder


@every_case
@bounded(2)
@given(chance=st.randoms(use_true_random=False))
def test_late_doubled_and_reordered_messages_are_taken_or_refused_without_a_trace(case: Case, chance: Random) -> None:
    require_order_does_not_matter(case, chance)


@pytest.mark.slow
@every_case
@bounded(20)
@given(chance=st.randoms(use_true_random=False))
def test_the_same_for_much_disorder(case: Case, chance: Random) -> None:
    require_order_does_not_matter(case, chance)


def require_order_does_not_matter(case: Case, chance: Random) -> None:
    room = case.make(clients=chance.randrange(4, 6), losses=1, colluding=0, length=3)
    muddle = Muddle(room, case, chance, flips=case.variant is Variant.ACTIVE)
    muddle.run(disorder=14 * len(room.parties))
    if not muddle.believed_a_flip:
        muddle.held.require_exact(None)
    case.require_discretion(muddle.sent, room)


@every_case
def test_bytes_that_are_no_message_of_the_protocol_are_refused(case: Case) -> None:
    """Each kind of message, cut, lengthened, and under another name."""
    muddle = Muddle(case.make(length=3), case).run()
    codec = case.family.codec
    kinds = {type(codec.decode(data)).__name__: data for _, _, data in muddle.sent}
    assert len(kinds) > 5 or case.name == "committee"
    for name, data in kinds.items():
        other = next(data_ for name_, data_ in kinds.items() if name_ != name)
        for spoiled in (
            data[:-1],
            data + b"\0",
            data[1:],
            b"",
            data.replace(name.encode(), b"X" * len(name)),
            data + other,
        ):
            with pytest.raises(WireError):
                codec.decode(spoiled)


# The interface


@every_case
def test_a_stranger_is_the_drivers_mistake_and_changes_nothing(case: Case) -> None:
    room = case.make()
    muddle = Muddle(room, case)
    stranger = PartyId(77)
    message = case.family.codec.decode(muddle.sent[0][2])
    for machine in muddle.machines.values():
        before = machine.snapshot()
        with pytest.raises(LocalProtocolError):
            machine.receive(stranger, message)
        assert machine.drop(stranger, DropReason.VANISHED) == []
        assert machine.snapshot() == before


@pytest.mark.slow
@every_case
def test_every_stage_is_a_round_in_which_a_party_says_something_and_the_input_leaves_in_one(case: Case) -> None:
    room = case.make(length=3)
    muddle = Muddle(room, case).run()
    said = {case.family.codec.decode(data).round for sender, _, data in muddle.sent if sender != SERVER}
    assert set(case.stages) <= said
    assert case.family.input_stage in case.stages
    assert set(case.stages) <= set(case.family.rounds)
    large = case.make(length=4000)
    for sender, _, data in Muddle(large, case).run().sent:
        kind = type(case.family.codec.decode(data))
        if sender != SERVER and len(data) > large.params.spec.masked_size // (2 * len(large.parties)):
            assert kind in case.family.uploads, f"{kind.__name__} is as large as a vector"


@every_case
def test_who_gives_up_says_so_once_and_says_nothing_more(case: Case) -> None:
    room = case.make()
    machines = room.machines()
    for machine in machines.values():
        machine.start()
        told = machine.abort(AbortReason.STOPPED)
        assert isinstance(machine.outcome, Aborted)
        assert all(envelope.message.round.value == "done" for envelope in told)
        assert machine.abort(AbortReason.STOPPED) == []
        assert not machine.waiting_for
        assert not machine.can_close
        with pytest.raises(LocalProtocolError):
            machine.close_round()


@every_case
def test_an_input_is_set_once_and_only_in_the_shape_and_field_of_the_session(case: Case) -> None:
    room = case.make()
    for party, machine in contributors(room.machines()).items():
        with pytest.raises(LocalProtocolError):
            machine.set_input(room.inputs.get(party, room.field.zeros(room.params.spec.length)))  # the room set it


@every_case
def test_a_party_keeps_to_its_own_terms(case: Case) -> None:
    """A session that stands fewer colluders than this party asks for does not get its input."""
    room = case.make(clients=6, colluding=1, losses=0)
    strict = case.make(clients=6, colluding=3, losses=0)
    machines = room.machines()
    wary = room.parties[2]
    try:
        machines[wary] = case.with_terms(room, wary, strict.terms)
    except LocalProtocolError:
        return  # a peer that is built with the parameters refuses at once
    held = hold(room, case, machines=machines)
    assert isinstance(machines[wary].outcome, Aborted)
    assert wary not in held.included


@every_case
def test_another_model_is_another_session_and_no_input_leaves(case: Case) -> None:
    room, other = case.make(), case.make(seed=b"another model")
    machines = room.machines()
    split = room.parties[1]
    try:
        machines[split] = case.with_terms(room, split, case.about_another_model(room))
    except LocalProtocolError:
        return
    frames: list[tuple[PartyId, PartyId, bytes]] = []
    hold(room, case, machines=machines, tap=lambda *frame: frames.append(frame))
    said = [case.family.codec.decode(data) for sender, _, data in frames if sender == split]
    assert not any(message.round is case.family.input_stage for message in said)
    assert other.params.digest != room.params.digest


@pytest.mark.slow
@every_case
def test_equal_seeds_give_equal_bytes_and_another_seed_gives_others(case: Case) -> None:
    def traffic(seed: bytes) -> list[tuple[PartyId, PartyId, bytes]]:
        frames: list[tuple[PartyId, PartyId, bytes]] = []
        hold(case.make(seed=seed), case, tap=lambda *frame: frames.append(frame))
        return frames

    assert traffic(b"one") == traffic(b"one")
    assert traffic(b"one") != traffic(b"two")


@pytest.mark.slow
@every_case
def test_the_sum_of_extreme_values_wraps_nowhere_but_at_the_modulus(case: Case) -> None:
    for field in sorted(case.fields):
        room = case.make(length=3, field=FIELDS[field])
        top = room.field.modulus - 1
        for place, party in enumerate(room.inputs):
            room.inputs[party] = room.field.vector([0, top, top if place % 2 else 0])  # type: ignore[index]
        held = hold(room, case)
        held.require_exact(frozenset(room.inputs))
        assert np.array_equal(held.aggregates[0].vector, room.plain_sum(frozenset(room.inputs)))
