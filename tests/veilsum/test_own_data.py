"""The demo on a file of one's own, and what the processes say to machines."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

ROOT = Path(__file__).parents[2]
MAIN = "from veilsum.cli import main; main()"


@pytest.fixture
def own_file(tmp_path):
    """Loans, two of five bad; what makes them bad is in the columns."""
    rng = np.random.default_rng(1)
    rows = 1500
    income, age = rng.lognormal(8, 0.5, rows), rng.integers(20, 70, rows)
    purpose = rng.choice(["car", "house", "trip"], rows)
    risk = -1.5 * (np.log(income) - 8) + (purpose == "trip") - 0.02 * (age - 45) + rng.logistic(0, 0.5, rows)
    frame = pd.DataFrame({
        "customer": np.arange(rows), "income": income.round(2), "age": age, "purpose": purpose,
        "outcome": np.where(risk > np.quantile(risk, 0.6), "bad", "good"),
    })  # fmt: skip
    frame.to_csv(tmp_path / "loans.csv.gz", index=False)
    return tmp_path / "loans.csv.gz"


@pytest.mark.parametrize(
    ("words", "status", "why"),
    [
        (["--label", "outcome"], 2, "--data needs --label"),
        (["--data", "loans.csv"], 2, "--data needs --label"),
        (["--data", "none.csv", "--label", "outcome"], 1, "none.csv: there is no such file"),
    ],
)
def test_a_demo_that_cannot_start_says_why(veilsum, words, status, why):
    said = veilsum("demo", *words)
    assert (said.status, why in said.err) == (status, True)


def test_too_few_rows_for_so_many_banks(veilsum, tmp_path):
    (tmp_path / "few.csv").write_text("a,y\n" + "".join(f"{n % 7},{n % 2}\n" for n in range(400)))
    said = veilsum("demo", "--data", tmp_path / "few.csv", "--label", "y")
    assert "400 rows are too few for 5 banks: use fewer --banks" in said.err


@pytest.mark.slow
def test_the_demo_cuts_and_trains_on_ones_own_file(own_file, tmp_path):
    words = ["demo", "--data", own_file, "--label", "outcome", "--rounds", "3", "--banks", "4", "--json"]
    done = subprocess.run(
        [sys.executable, "-c", MAIN, *words, "--out", tmp_path / "kept"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    results = json.loads(done.stdout.splitlines()[-1])
    assert results["exact"] is True
    assert results["auc"]["federated"] > results["auc"]["pooled"] - 0.03
    description = json.loads((tmp_path / "kept" / "bank-1" / "model.json").read_text())
    assert (description["positive"], list(description["schema"])) == ("bad", ["age", "income", "purpose"])
    parts = [pd.read_csv(path) for path in (tmp_path / "kept").glob("bank-*/data.csv")]
    assert sum(map(len, parts)) + len(pd.read_csv(tmp_path / "kept" / "held-out.csv")) == 1500


@pytest.mark.slow
def test_log_lines_for_machines_are_json_to_the_end(place, start, bank):
    coordinator = start("coordinator", "--log-format", "json", place.coordinator())
    address = json.loads(coordinator.stdout.readline())["message"].split()[-1]
    for name in ("b", "c", "d"):
        bank(place.party(name, address=address))
    party = start("party", place.party("a", address=address), "--log-format", "json")
    said, _ = party.communicate(timeout=120)
    lines = [json.loads(line) for line in said.splitlines()]
    assert [line["event"] for line in lines if line["event"] in ("connected", "summed", "finished")] == [
        "connected", "summed", "summed", "finished",
    ]  # fmt: skip
    assert all(line.keys() == {"time", "level", "logger", "message", "event", "round"} for line in lines)
    said, err = coordinator.communicate(timeout=120)
    assert [json.loads(line)["event"] for line in said.splitlines()][-1] == "finished"
    assert err == ""


@pytest.mark.slow
def test_a_failure_is_a_log_line_and_a_line_on_standard_error(place, start):
    file = place.party("a")
    file.write_text(file.read_text().replace("patience = 600.0", "patience = 0.1"))
    said, err = start("party", file, "--log-format", "json").communicate(timeout=120)
    last = json.loads(said.splitlines()[-1])
    assert (last["event"], last["level"]) == ("failed", "error")
    assert err == f"veilsum: {last['message']}\n"


@pytest.mark.slow
def test_an_interrupted_party_says_so_in_a_line(place, start):
    code = f"import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n{MAIN}"
    party = start("party", place.party("a"), code=code)
    assert "looking for the coordinator" in party.stdout.readline()
    party.send_signal(signal.SIGINT)
    _, err = party.communicate(timeout=60)
    assert (party.returncode, err) == (130, "veilsum: stopped\n")
