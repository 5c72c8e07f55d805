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
from protocols.session import Variant

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).with_name("process.py")
ROOT = Path(__file__).parents[2]
STAGES = {
    "advertise": "AdvertiseKeys",
    "share": "ShareKeys",
    "masked-input": "MaskedInput",
    "confirm": "Confirm",
    "unmask": "UnmaskShares",
}
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

    def make(banks, *, variant, colluding, kill, steps):
        changes = {"variant": variant, "colluding": colluding, "losses": 1 if banks > 3 else 0}
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


def stages_of_both_variants():
    for variant in Variant:
        for stage in STAGES:
            if not (variant is Variant.CURIOUS and stage == "confirm"):  # it has no such round
                yield pytest.param(variant, stage, id=f"{variant.value}-{stage}")


@pytest.mark.parametrize(("variant", "stage"), list(stages_of_both_variants()))
def test_a_bank_killed_at_any_stage_is_in_the_sum_exactly_if_its_input_had_left(
    consortium_of, tmp_path, variant, stage
):
    coordinator, parties = consortium_of(5, variant=variant, colluding=2, kill={3: STAGES[stage]}, steps=3)
    told, err = lines(coordinator)
    assert coordinator.returncode == 0, err
    first, second, third = (line["report"] for line in told)
    included = [0, 1, 2, 3, 4] if stage in ("confirm", "unmask") else [0, 1, 2, 4]
    assert first["included"] == [0, 1, 2, 3, 4]
    assert (second["included"], second["dropped"]) == (included, {"3": stage})
    assert (third["included"], third["absent"]) == ([0, 1, 2, 4], [3])
    assert all(report["seconds"] < DEADLINE for report in (first, second, third))
    model = (tmp_path / "coordinator.model").read_bytes()
    assert json.loads(model)["sums"] == [31, sum(2**place for place in included), 0b10111]
    first_without = 3 if stage in ("confirm", "unmask") else 2
    warned = [lines(process)[1] for process in parties]
    assert [line.count("\n") for line in warned] == [1, 1, 1, 0, 1]
    assert all(line.startswith(f"step {first_without}: since the last sum party 3 left") for line in warned if line)
    assert [process.returncode for process in parties] == [0, 0, 0, -9, 0]
    assert all((tmp_path / f"bank-{place}.model").read_bytes() == model for place in (0, 1, 2, 4))


@pytest.mark.parametrize("stage", ["advertise", "share", "masked-input", "confirm", "unmask"])
def test_below_the_threshold_every_bank_is_told_keeps_no_secret_and_holds_the_last_model(
    consortium_of, tmp_path, stage
):
    gone = {1: STAGES[stage], 3: STAGES[stage]}
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
