"""Epochs over real processes: five banks share the keys of three sums at once; a bank and the coordinator come back."""

import json

import pytest
from launcher import heard, lines

pytestmark = pytest.mark.slow

STEPS = 6
EVERYBODY = list(range(5))
SET_UP = {"AdvertiseKeys", "ShareKeys"}


@pytest.fixture
def launcher(launch):
    return launch(5, colluding=1, losses=1, rounds_per_epoch=3, patience=20.0)


def messages(said):
    """What a bank sent, by step."""
    sent = [(line["fl_round"], line["sent"]) for line in said if "sent" in line]
    return {step: [name for one, name in sent if one == step] for step in range(1, STEPS + 1)}


def set_up_in(said):
    return {step for step, names in messages(said).items() if SET_UP & set(names)}


def go_on(coordinator):
    coordinator.stdin.write("\n")
    coordinator.stdin.flush()


def reports_of(coordinator):
    told, err = lines(coordinator)
    assert coordinator.returncode == 0, err
    return [line["report"] for line in told if "report" in line]


def sums(folder):
    return json.loads((folder / "coordinator.model").read_bytes())["sums"]


def test_a_bank_that_was_killed_and_started_again_is_back_when_the_keys_are_made_anew(launcher, tmp_path):
    coordinator = launcher.coordinator(STEPS, hold=2)
    banks = [launcher.bank(place, STEPS, kill_at="masked-input" if place == 3 else "nothing") for place in EVERYBODY]
    first, _ = (heard(coordinator, "report")["report"], heard(coordinator, "held", 2))
    lines(banks[3])
    again = launcher.bank(3, STEPS)
    heard(again, "event", "connected")
    go_on(coordinator)
    second, third, *rest = reports_of(coordinator)
    assert (second["dropped"], third["dropped"]) == ({"3": "masked-input"}, {"3": "masked-input"})
    assert [one["included"] for one in (first, *rest)] == [EVERYBODY] * 4
    assert sums(tmp_path) == [31, 23, 23, 31, 31, 31]
    told, err = lines(again)
    assert again.returncode == 0, err
    assert messages(told)[3] == ["Abort"]
    assert set_up_in(told) == {4}
    steady, _ = lines(banks[0])
    assert set_up_in(steady) == {1, 4}
    assert [len(messages(steady)[step]) for step in (5, 6)] == [3, 3]
    assert rest[1]["bytes_up"] < rest[0]["bytes_up"]
    assert rest[2]["bytes_up"] < rest[0]["bytes_up"]


def test_a_coordinator_that_was_killed_and_started_again_has_the_keys_made_anew(launcher, tmp_path):
    coordinator = launcher.coordinator(STEPS, hold=2)
    banks = [launcher.bank(place, STEPS) for place in EVERYBODY]
    heard(coordinator, "held", 2)
    coordinator.kill()
    coordinator.wait()
    reports = reports_of(launcher.coordinator(STEPS))
    assert [one["included"] for one in reports] == [EVERYBODY] * 5
    assert sums(tmp_path) == [31] * STEPS
    first, later, last, after, end = (one["bytes_up"] for one in reports)
    assert later == last < first
    assert (after, end) == (first, later)
    for bank in banks:
        told, err = lines(bank)
        assert bank.returncode == 0, err
        assert set_up_in(told) == {1, 2, 5}
