"""Real processes, real TLS, and SIGKILL at every stage of both variants: the exact sum, or everybody is told."""

import json

import pytest
from launcher import DEADLINE, lines

from protocols.families import FAMILIES
from protocols.secagg.family import SECAGG
from protocols.session import Variant

pytestmark = pytest.mark.slow


@pytest.fixture
def consortium_of(launch):
    """Writes the files of some banks and starts their processes; the coordinator's and the banks' in order."""

    def make(banks, *, kill, steps, **changes):
        launcher = launch(banks, losses=1 if banks > 3 else 0, **changes)
        coordinator = launcher.coordinator(steps)
        return coordinator, [launcher.bank(n, steps, kill_at=kill.get(n, "nothing")) for n in range(banks)]

    return make


def stages_of(family, variant):
    return [stage.value for stage in family.stages(variant)]


def each_second(stages):
    """The others in `make exhaustive`."""
    return [pytest.param(stage, marks=[] if at % 2 else [pytest.mark.exhaustive]) for at, stage in enumerate(stages)]


def sessions():
    """Every stage of every protocol that has a coordinator, in each of its variants; five banks or four.

    CI runs all of the default one, and of the others each second stage.
    """
    for family in FAMILIES.values():
        banks, variants = (5, family.variants) if family is SECAGG else (4, family.variants[:1])
        for variant in variants if family.collector else ():
            for place, stage in enumerate(stages_of(family, variant)):
                often = (family is SECAGG and variant is Variant.ACTIVE) or place % 2
                name, marks = f"{family.name}-{variant.value}-{stage}", [] if often else [pytest.mark.exhaustive]
                yield pytest.param(family, banks, variant, stage, id=name, marks=marks)


@pytest.mark.parametrize(("family", "banks", "variant", "stage"), list(sessions()))
def test_a_bank_killed_at_any_stage_is_in_the_sum_exactly_if_its_input_had_left(
    consortium_of, tmp_path, family, banks, variant, stage
):
    everybody, lost = list(range(banks)), banks - 2
    rest = [place for place in everybody if place != lost]
    stages = stages_of(family, variant)
    had_left = stages.index(stage) > stages.index(family.input_stage.value)
    coordinator, parties = consortium_of(
        banks,
        variant=variant,
        colluding=2 if family is SECAGG else 0,
        kill={lost: stage},
        steps=3,
        protocol=family.name,
    )
    told, err = lines(coordinator)
    assert coordinator.returncode == 0, err
    first, second, third = (line["report"] for line in told)
    included = everybody if had_left else rest
    assert first["included"] == everybody
    assert (second["included"], second["dropped"]) == (included, {str(lost): stage})
    assert (third["included"], third["absent"]) == (rest, [lost])
    assert all(report["seconds"] < DEADLINE for report in (first, second, third))
    model = (tmp_path / "coordinator.model").read_bytes()
    assert json.loads(model)["sums"] == [sum(2**place for place in who) for who in (everybody, included, rest)]
    warned = [lines(process)[1] for process in parties]
    assert [line.count("\n") for line in warned] == [place != lost for place in everybody]
    start = f"step {3 if had_left else 2}: since the last sum party {lost} left"
    assert all(line.startswith(start) for line in warned if line)
    assert [process.returncode for process in parties] == [-9 if place == lost else 0 for place in everybody]
    assert all((tmp_path / f"bank-{place}.model").read_bytes() == model for place in rest)


@pytest.mark.parametrize("stage", each_second(stages_of(SECAGG, Variant.ACTIVE)))
def test_below_the_threshold_every_bank_is_told_keeps_no_secret_and_holds_the_last_model(
    consortium_of, tmp_path, stage
):
    gone = {1: stage, 3: stage}
    coordinator, parties = consortium_of(5, variant=Variant.ACTIVE, colluding=2, kill=gone, steps=3)
    told, err = lines(coordinator)
    assert coordinator.returncode == 1
    assert "NoResult" in err
    first, second = (line["report"] for line in told)
    assert (first["finished"], second["finished"]) == (True, False)
    assert second["seconds"] < DEADLINE
    before = (tmp_path / "coordinator.model").read_bytes()
    assert json.loads(before)["sums"] == [31]
    for place in (0, 2, 4):
        happened, _ = lines(parties[place])
        ends = [line for line in happened if line.get("event") in ("aborted", "lost")]
        assert [(line["event"], line["fl_round"]) for line in ends] == [("aborted", 2), ("lost", None)]
        assert ends[-1]["secrets"] == 0
        assert (tmp_path / f"bank-{place}.model").read_bytes() == before
