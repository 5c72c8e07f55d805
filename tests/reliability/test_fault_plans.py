"""A plan is a value: the seed's, one line, and the same again when it is read back."""

from collections import Counter
from dataclasses import replace

import pytest

from benchmarks.reliability.drawing import GREETING, draw
from benchmarks.reliability.faults import Action, Fault, FaultPlan, Link, Setting, Way
from protocols.families import FAMILIES
from protocols.session import Variant

FIVE_BANKS = Setting("secagg", Variant.ACTIVE, 5, 1, 1, 1, 30)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("3 up@4711 cut", Fault(Link(3), Way.UP, 4711, Action.CUT)),
        ("0#2 down@120 stall 8", Fault(Link(0), Way.DOWN, 120, Action.STALL, 8.0, 2)),
        ("4>1 up@0 kill-other", Fault(Link(4, 1), Way.UP, 0, Action.KILL_OTHER)),
        ("1 down@9 delay 0.05", Fault(Link(1), Way.DOWN, 9, Action.DELAY, 0.05)),
    ],
)
def test_a_fault_is_one_phrase(text, fault):
    assert str(fault) == text
    assert Fault.parse(text) == fault


@pytest.mark.parametrize(
    "text", ["3 up cut", "3 up@1 melt", "3 up@1 cut 2", "3 up@1 stall", "-3 up@1 cut", "3>1 up@ cut"]
)
def test_what_is_no_fault_is_refused(text):
    with pytest.raises(ValueError):
        Fault.parse(text)


def test_a_plan_is_one_line():
    plan = FaultPlan(FIVE_BANKS, (Fault.parse("3 up@4711 cut"), Fault.parse("0#2 down@120 stall 8")))
    assert str(plan) == "secagg active 5 1 1 1 30: 3 up@4711 cut; 0#2 down@120 stall 8"
    assert FaultPlan.parse(str(plan)) == plan
    assert FaultPlan.parse(str(FaultPlan(FIVE_BANKS))) == FaultPlan(FIVE_BANKS)
    patient = FaultPlan(replace(FIVE_BANKS, length=1000, patience=20.0))
    assert str(patient) == "secagg active 5 1 1 1 30 length=1000 patience=20:"
    assert FaultPlan.parse(str(patient)) == patient


@pytest.mark.parametrize(
    "text",
    ["secagg active 5 1 1 1 30", "secagg active 5 1 1: ", "secagg odd 5 1 1 1 30: ", "mesh active 5 1 1 1 1 x=2:"],
)
def test_what_is_no_plan_is_refused(text):
    with pytest.raises(ValueError):
        FaultPlan.parse(text)


def test_a_drawn_plan_is_the_seeds_and_can_be_read_back():
    assert draw(3, 1) == draw(3, 1)
    assert len({str(draw(seed, number)) for seed in (3, 4) for number in (1, 2)}) == 4
    for number in range(100):
        assert FaultPlan.parse(str(draw(0, number))) == draw(0, number)


def test_drawn_plans_have_every_protocol_and_every_fault_in_both_directions_and_in_the_greeting():
    plans = [draw(0, number) for number in range(200)]
    settings = {plan.setting for plan in plans}
    assert {setting.protocol for setting in settings} == set(FAMILIES)
    assert {setting.name for setting in settings} >= {"secagg, curious", "secagg, epochs"}
    faults = [fault for plan in plans for fault in plan.faults]
    assert {(fault.action, fault.way) for fault in faults} == {(action, way) for action in Action for way in Way}
    greeting = Counter(fault.connection is not None for fault in faults)
    assert 0.1 < greeting[True] / len(faults) < 0.3
    assert all(fault.at < GREETING for fault in faults if fault.connection)


def test_a_mesh_has_a_link_for_each_pair_and_a_coordinator_one_for_each_bank():
    assert [str(link) for link in FIVE_BANKS.links] == ["0", "1", "2", "3", "4"]
    mesh = Setting("mesh", Variant.ACTIVE, 3, 0, 0, 1, 1)
    assert [str(link) for link in mesh.links] == ["1>0", "2>0", "2>1"]
