"""Epochs over real processes: five banks share the keys of three sums at once; a bank or the coordinator comes back."""

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


def start_again_when_killed(launcher, coordinator, banks, place, *, before=lambda: None):
    """While the coordinator holds back the sum of step 2."""
    heard(coordinator, "held", 2)
    lines(banks[place])
    before()
    again = launcher.bank(place, STEPS)
    heard(again, "event", "connected")
    go_on(coordinator)
    return again


def test_a_bank_that_was_killed_and_started_again_takes_the_next_round_with_the_keys_of_its_journal(launcher, tmp_path):
    coordinator = launcher.coordinator(STEPS, hold=2)
    banks = [launcher.bank(place, STEPS, kill_at="masked-input" if place == 3 else "nothing") for place in EVERYBODY]
    again = start_again_when_killed(launcher, coordinator, banks, 3)
    second, *rest = reports_of(coordinator)
    assert second["dropped"] == {"3": "masked-input"}
    assert [one["included"] for one in rest] == [EVERYBODY] * 4
    assert sums(tmp_path) == [31, 23, 31, 31, 31, 31]
    told, err = lines(again)
    assert again.returncode == 0, err
    assert set_up_in(told) == {4}
    assert len(messages(told)[3]) == 3


def test_a_bank_that_comes_back_without_its_journal_is_in_the_sum_when_the_keys_are_made_anew(launcher, tmp_path):
    coordinator = launcher.coordinator(STEPS, hold=2)
    banks = [launcher.bank(place, STEPS, kill_at="masked-input" if place == 3 else "nothing") for place in EVERYBODY]
    again = start_again_when_killed(launcher, coordinator, banks, 3, before=(tmp_path / "bank-3.journal").unlink)
    second, third, *rest = reports_of(coordinator)
    assert (second["dropped"], third["dropped"]) == ({"3": "masked-input"}, {"3": "masked-input"})
    assert [one["included"] for one in rest] == [EVERYBODY] * 3
    assert sums(tmp_path) == [31, 23, 23, 31, 31, 31]
    told, err = lines(again)
    assert again.returncode == 0, err
    assert "the session that was open when this party ended is given up" in err
    assert messages(told)[3] == ["Abort"]
    assert set_up_in(told) == {4}
    steady, _ = lines(banks[0])
    assert set_up_in(steady) == {1, 4}
    assert [len(messages(steady)[step]) for step in (5, 6)] == [3, 3]
    assert rest[1]["bytes_up"] < rest[0]["bytes_up"]
    assert rest[2]["bytes_up"] < rest[0]["bytes_up"]


@pytest.mark.parametrize(
    ("has_journal", "set_up"),
    [pytest.param(True, {1, 4}, id="with its journal"), pytest.param(False, {1, 2, 5}, id="without its journal")],
)
def test_a_coordinator_that_was_killed_and_started_again_goes_on_with_the_epoch_of_its_journal(
    launcher, tmp_path, has_journal, set_up
):
    coordinator = launcher.coordinator(STEPS, hold=2)
    banks = [launcher.bank(place, STEPS) for place in EVERYBODY]
    heard(coordinator, "held", 2)
    coordinator.kill()
    coordinator.wait()
    if not has_journal:
        (tmp_path / "coordinator.journal").unlink()
    reports = reports_of(launcher.coordinator(STEPS))
    assert [one["included"] for one in reports] == [EVERYBODY] * 5
    assert sums(tmp_path) == [31] * STEPS
    for bank in banks:
        told, err = lines(bank)
        assert bank.returncode == 0, err
        assert set_up_in(told) == set_up
