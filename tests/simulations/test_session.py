"""Sessions in virtual time, any protocol: what a fault costs, what a deadline cuts, and that a run is its seed's."""

from dataclasses import replace
from typing import Any

import pytest

from mpc.field import PrimeField
from protocols.costs import Session, secagg
from protocols.deadlines import Policy, RoundPolicy
from protocols.errors import SERVER, PartyId
from protocols.families import FAMILIES
from protocols.session import TEST_WIRE, WIRE, Variant, VectorSpec
from simulations.faults import Delay, Exactly, Independent, Lose, Nobody, Repeat, Targeted, Vanish
from simulations.network import FRAME_BYTES, Device, Network
from simulations.scenario import Scenario
from simulations.simulate import Report, RoundResult, simulate

SMALL = Scenario(parties=6, dimension=8, losses=1, colluding=0)
every_family = pytest.mark.parametrize("protocol", sorted(FAMILIES))
every_stage = pytest.mark.parametrize(
    ("protocol", "stage"),
    [
        pytest.param(family.name, stage.value, id=f"{family.name}-{stage.value}")
        for family in FAMILIES.values()
        for stage in family.stages(Variant.ACTIVE)
    ],
)


def only(scenario: Scenario, **given: Any) -> RoundResult:
    (result,) = simulate(scenario, **given).rounds
    return result


def seen(scenario: Scenario) -> tuple[Report, list[tuple[PartyId, PartyId, bytes]]]:
    frames: list[tuple[PartyId, PartyId, bytes]] = []
    return simulate(scenario, tap=lambda *frame: frames.append(frame)), frames


# A run is a function of scenario and seed


@pytest.mark.slow
@every_family
def test_the_same_scenario_gives_the_same_bytes_and_another_seed_gives_others(protocol: str) -> None:
    scenario = replace(
        SMALL,
        protocol=protocol,
        rounds=2,
        dropout=Independent(0.1),
        devices=(Device(jitter=0.5),),
        network=Network(duplicate=0.01, reorder=0.02),
    )
    (report, frames), (again, same) = seen(scenario), seen(scenario)
    assert frames == same
    assert report == again
    assert report.to_json() == again.to_json()
    other, others = seen(replace(scenario, seed=1))
    assert others != frames
    assert other.to_json() != report.to_json()
    assert other.rounds[0].wire != report.rounds[0].wire


def test_one_more_fault_moves_no_other_draw() -> None:
    plain = replace(SMALL, dropout=Independent(0.2), devices=(Device(jitter=0.5),))
    more = replace(plain, faults=(Delay(0, "unmask", 0.5),))
    assert plain.plan(1).vanish == more.plan(1).vanish
    assert only(plain).included == only(more).included


# Losses


@every_family
def test_without_a_fault_everybody_is_in_the_exact_sum(protocol: str) -> None:
    result = only(replace(SMALL, protocol=protocol))
    assert (result.exact, result.aborted) == (True, None)
    assert len(result.included) == 6
    assert result.dropped == ()
    assert result.touched == frozenset()


@every_stage
@pytest.mark.parametrize("noticed", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_one_party_lost_at_any_stage_costs_at_most_its_input(protocol: str, stage: str, noticed: bool) -> None:
    network = Network(noticed=noticed)
    result = only(replace(SMALL, protocol=protocol, faults=(Vanish(3, stage),), network=network))
    assert result.exact
    assert set(result.included) >= {0, 1, 2, 4, 5}


@pytest.mark.slow
@every_family
def test_a_share_that_vanishes_before_its_input_leaves_is_not_in_the_sum(protocol: str) -> None:
    scenario = Scenario(protocol=protocol, parties=11, dimension=5, dropout=Exactly(0.2), rounds=2)
    report = simulate(scenario)
    for fl_round, result in enumerate(report.rounds, 1):
        lost = scenario.plan(fl_round).vanish.keys()
        assert len(lost) == 2
        assert set(result.included) == set(range(11)) - lost
        assert {one.party for one in result.dropped} == lost
    assert report.rounds[0].included != report.rounds[1].included


@pytest.mark.slow
def test_an_epoch_exchanges_keys_once_and_goes_on_with_whom_it_lost() -> None:
    scenario = replace(SMALL, rounds=3, rounds_per_epoch=3, faults=(Vanish(2, "masked-input", 2),))
    first, second, third = simulate(scenario).rounds
    assert [one.exact for one in (first, second, third)] == [True] * 3
    assert second.included == (0, 1, 3, 4, 5)
    assert "share" in first.bytes_by_stage
    assert "share" not in second.bytes_by_stage
    assert second.bytes_up_per_client < first.bytes_up_per_client
    single = simulate(replace(scenario, rounds_per_epoch=1)).rounds
    assert all("share" in one.bytes_by_stage for one in single)


@every_family
def test_too_many_losses_leave_no_sum_and_nobody_with_a_wrong_one(protocol: str) -> None:
    result = only(replace(SMALL, protocol=protocol, dropout=Exactly(0.7)))
    assert result.exact is None
    assert result.aborted == "too-few"


@pytest.mark.parametrize("protocol", ["secagg", "mesh", "lightsecagg"])  # in which each deals to each
def test_the_neighbours_of_a_victim_are_taken_away(protocol: str) -> None:
    scenario = replace(SMALL, protocol=protocol, parties=9, losses=2, dropout=Targeted(victim=4, most=2))
    result = only(scenario)
    assert len(result.touched) == 2
    assert 4 in result.included
    assert not result.touched & set(result.included)


# Messages


def test_a_late_answer_is_left_out_and_the_others_are_summed() -> None:
    faults = (Delay(3, "masked-input", 40.0),)
    hasty = replace(SMALL, policy=Policy(RoundPolicy(10.0)), faults=faults)
    result = only(hasty)
    assert (result.exact, result.included) == (True, (0, 1, 2, 4, 5))
    assert [(one.party, one.stage, one.reason) for one in result.dropped] == [(3, "masked-input", "too-slow")]
    patient = only(replace(hasty, policy=Policy(RoundPolicy(50.0))))
    assert patient.included == (0, 1, 2, 3, 4, 5)
    assert patient.virtual_seconds > 40 > result.virtual_seconds > 10


@pytest.mark.parametrize("down", [False, True])
def test_a_message_that_never_comes_costs_its_party_the_round(down: bool) -> None:
    result = only(replace(SMALL, faults=(Lose(2, "masked-input", down=down),)))
    assert (result.exact, result.included) == (True, (0, 1, 3, 4, 5))


def test_a_message_that_comes_twice_costs_at_most_its_party() -> None:
    for down in (False, True):
        result = only(replace(SMALL, faults=(Repeat(2, "share", down=down),)))
        assert result.exact
        assert set(result.included) >= {0, 1, 3, 4, 5}
        assert result.touched == {2}


# Deadlines: the shipped ones


def test_a_silent_loss_costs_the_whole_patience_and_a_noticed_one_nothing() -> None:
    scenario = replace(SMALL, dropout=Exactly(0.17), policy=Policy(RoundPolicy(30.0)))
    noticed, silent = only(scenario), only(replace(scenario, network=Network(noticed=False)))
    assert noticed.virtual_seconds < 1
    assert 30 < silent.virtual_seconds < 31
    assert noticed.included == silent.included


def test_a_peer_that_comes_late_finds_a_lost_one_gone() -> None:
    """It was told before it had begun: it waited twice for the lost proposer, and was dropped for it."""
    devices = (Device(), Device(name="slow", training=0.5))
    scenario = Scenario(protocol="mesh", parties=4, dimension=8, losses=1, colluding=0, devices=devices)
    result = only(replace(scenario, faults=(Vanish(0, stage="hello"),), policy=Policy(RoundPolicy(20.0))))
    assert (result.included, result.exact) == ((1, 2, 3), True)
    assert result.virtual_seconds < 2


@pytest.mark.parametrize(("grace", "patience", "waited"), [(5.0, 30.0, 5.0), (40.0, 30.0, 30.0)])
def test_a_loss_that_is_noticed_costs_the_grace_and_never_more_than_the_patience(
    grace: float, patience: float, waited: float
) -> None:
    policy = Policy(RoundPolicy(patience), grace=grace)
    result = only(replace(SMALL, dropout=Exactly(0.17), policy=policy))
    assert waited < result.virtual_seconds < waited + 1
    assert (result.exact, len(result.included)) == (True, 5)


def test_three_constant_waits_cost_their_sum() -> None:
    waits = {"advertise": 10.0, "share": 3.0, "masked-input": 3.0}
    policy = Policy(rounds={name: RoundPolicy(seconds) for name, seconds in waits.items()})
    faults = tuple(Vanish(party, stage) for party, stage in enumerate(waits))
    scenario = replace(SMALL, parties=12, losses=3, faults=faults, policy=policy, network=Network(noticed=False))
    result = only(scenario)
    assert result.exact
    assert 16 < result.virtual_seconds < 16.5


def test_hoped_for_parties_end_the_waiting() -> None:
    slow = (Device(name="fast", share=5), Device(name="slow", share=1, latency=4.0))
    everybody = replace(SMALL, devices=slow)
    some = replace(everybody, policy=Policy(RoundPolicy(60.0, hoped_for=5)))
    assert only(everybody).virtual_seconds > 30
    result = only(some)
    assert result.virtual_seconds < 2
    assert len(result.included) == 5
    assert result.exact


def test_a_quantile_of_the_arrivals_sets_the_pace() -> None:
    slow = (Device(name="fast", share=5), Device(name="slow", share=1, latency=4.0))
    policy = Policy(RoundPolicy(60.0, quantile=0.8, stretch=5.0))
    result = only(replace(SMALL, devices=slow, policy=policy))
    assert len(result.included) == 5
    first = result.phases[0]
    assert first.late == 1
    assert first.closed - first.opened == pytest.approx(5 * (first.arrivals[4] - first.opened), rel=0.01)


# Time


@pytest.mark.slow
def test_a_slow_link_a_slow_device_and_a_long_training_each_cost_time() -> None:
    scenario = replace(SMALL, dimension=20_000)
    base = only(scenario).virtual_seconds
    for device in (Device(up_mbps=1.0), Device(down_mbps=0.03), Device(compute=0.01), Device(latency=1.0)):
        assert only(replace(scenario, devices=(device,))).virtual_seconds > base + 0.2
    assert only(replace(scenario, network=Network(server_mbps=1.0))).virtual_seconds > base + 1
    trained = only(replace(scenario, devices=(Device(training=50.0),)))
    assert base + 45 < trained.virtual_seconds < base + 51


def test_phases_follow_one_another_and_say_who_answered() -> None:
    result = only(replace(SMALL, faults=(Vanish(5, "masked-input"),)))
    assert [phase.name for phase in result.phases] == ["advertise", "share", "masked-input", "confirm", "unmask"]
    assert [phase.answered for phase in result.phases] == [6, 6, 5, 5, 5]
    for before, after in zip(result.phases, result.phases[1:], strict=False):
        assert before.opened < before.closed <= after.opened
    assert result.recovery_seconds == pytest.approx(result.virtual_seconds - result.phases[2].closed)


# Counts


@pytest.mark.slow
def test_bytes_are_those_of_the_cost_formula_and_of_the_frames_around_it() -> None:
    n, lost, length, spec = 20, 2, 3000, VectorSpec(3000, PrimeField.with_bits(21))
    scenario = Scenario(parties=n, dimension=length, bits=16, dropout=Exactly(0.1))
    result = only(scenario)
    assert scenario.field_.bits == spec.field.bits
    planned = secagg(Session(n, lost, spec, Variant.ACTIVE))
    assert result.bytes_up_per_client == planned.up + 5 * FRAME_BYTES
    invitation = len(TEST_WIRE) - len(WIRE)
    assert result.bytes_down_per_client == planned.down + invitation + 6 * FRAME_BYTES


@pytest.mark.slow
@pytest.mark.parametrize(("dropout", "masks"), [(0.0, 20), (0.1, 18 + 2 * 18), (0.3, 14 + 6 * 14)])
def test_masks_are_counted_where_they_are_expanded(dropout: float, masks: int) -> None:
    result = only(Scenario(parties=20, dimension=4, dropout=Exactly(dropout)))
    assert result.server_masks_expanded == masks


def test_the_bytes_of_the_stages_are_all_bytes() -> None:
    result = only(replace(SMALL, dropout=Nobody()))
    up = sum(pair[0] for pair in result.bytes_by_stage.values())
    assert up == sum(result.bytes_up.values())
    assert SERVER not in result.bytes_up
    assert result.bytes_by_stage["done"][0] == 0


def test_measured_seconds_are_there_when_a_clock_is_and_nothing_else_changes() -> None:
    ticks = iter(range(10**6))
    plain, measured = simulate(SMALL).to_json(), simulate(SMALL, clock=lambda: float(next(ticks))).to_json()
    assert measured.pop("measured")["server_seconds"][0] > 0
    assert measured == plain


def test_what_comes_behind_a_message_that_needs_the_input_waits_with_it() -> None:
    """The server gives the slow one up before it has trained: what it then says comes after the shares."""
    devices = (Device(name="fast", share=5.0), Device(name="slow", share=1.0, training=40.0))
    result = only(replace(SMALL, devices=devices, policy=Policy(RoundPolicy(10.0))))
    assert (result.exact, len(result.included)) == (True, 5)
    assert [one.reason for one in result.dropped] == ["too-slow"]
    assert result.virtual_seconds < 12
