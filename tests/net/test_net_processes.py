"""Real processes, real TLS, and SIGKILL at every stage of both variants: the exact sum, or everybody is told."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from net.config import (
    Address,
    CoordinatorConfig,
    PartyConfig,
    PartyTerms,
    dump_consortium,
    dump_coordinator,
    dump_party,
)
from net.policy import Policy, RoundPolicy
from net.store import write_keys
from protocols.families import FAMILIES
from protocols.secagg.family import SECAGG
from protocols.session import Variant

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).with_name("process.py")
ROOT = Path(__file__).parents[2]
DEADLINE = 20.0  # seconds: the patience of a round, which no session of these may need


@pytest.fixture
def consortium_of(tmp_path, make_consortium, make_keys):
    """Writes the files of some banks and starts their processes; the coordinator's and the banks' in order."""
    started = []

    def start(*arguments):
        process = subprocess.Popen(
            [sys.executable, str(SCRIPT), *map(str, arguments)],
            env={"PYTHONPATH": str(ROOT)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    def make(banks, *, variant, colluding, kill, steps, protocol="secagg"):
        losses = 1 if banks > 3 else 0
        changes = {"variant": variant, "colluding": colluding, "losses": losses, "protocol": protocol}
        consortium = make_consortium(banks, **changes)
        (tmp_path / "consortium.toml").write_text(dump_consortium(consortium))
        for name in ("coordinator", *(card.name for card in consortium.members)):
            write_keys(tmp_path / f"{name}.key", make_keys(name))
        common = {"consortium": tmp_path / "consortium.toml"}
        own = CoordinatorConfig(
            **common,
            identity=tmp_path / "coordinator.key",
            payload=tmp_path / "coordinator.model",
            policy=Policy(RoundPolicy(patience=DEADLINE), attempts=1),
        )
        (tmp_path / "coordinator.toml").write_text(dump_coordinator(own, tmp_path))
        coordinator = start("coordinator", tmp_path / "coordinator.toml", steps)
        port = json.loads(coordinator.stdout.readline())["port"]
        parties = []
        for place in range(banks):
            bank = PartyConfig(
                **common,
                identity=tmp_path / f"bank-{place}.key",
                payload=tmp_path / f"bank-{place}.model",
                address=Address("127.0.0.1", port),
                data=tmp_path / "unused.csv",
                terms=PartyTerms(max_colluding=colluding, variant=variant),
                patience=2.0,
            )
            (tmp_path / f"bank-{place}.toml").write_text(dump_party(bank, tmp_path))
            parties.append(start("party", tmp_path / f"bank-{place}.toml", place, steps, kill.get(place, "nothing")))
        return coordinator, parties

    yield make
    for process in started:
        process.kill()
        process.communicate()


def lines(process):
    out, err = process.communicate(timeout=60)
    return [json.loads(line) for line in out.splitlines()], err


def stages_of(family, variant):
    return [stage.value for stage in family.stages(variant)]


def sessions():
    """Every stage of every protocol that has a coordinator, in each of its variants; five banks or four."""
    for family in FAMILIES.values():
        banks, variants = (5, family.variants) if family is SECAGG else (4, family.variants[:1])
        for variant in variants if family.collector else ():
            for stage in stages_of(family, variant):
                yield pytest.param(family, banks, variant, stage, id=f"{family.name}-{variant.value}-{stage}")


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


@pytest.mark.parametrize("stage", stages_of(SECAGG, Variant.ACTIVE))
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
