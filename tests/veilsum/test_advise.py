"""`veilsum advise`: what people read, what machines read, and what is refused."""

import json
import re
from pathlib import Path

import pytest

from protocols.graph import Adversary
from veilsum.bench.keystream import keystream_gbps
from veilsum.commands.advise import ADVERSARIES

ROOT = Path(__file__).parents[2]
FIFTY = ("advise", "--parties", 50, "--dropout", 0.1, "--corrupt", 0.05)


@pytest.fixture(autouse=True)
def rate(monkeypatch):
    """A machine of which the rate is known."""
    monkeypatch.setattr("veilsum.bench.keystream.keystream_gbps", lambda: 5.0)


def shape(value):
    """The type of each field. A number is a number, whether it has a fraction or not."""
    if isinstance(value, dict):
        return {key: shape(one) for key, one in value.items()}
    if isinstance(value, int | float) and not isinstance(value, bool):
        return "number"
    return type(value).__name__


def test_the_json_has_the_documented_shape(veilsum):
    section = (ROOT / "docs/json.md").read_text().split("## `veilsum advise --json`")[1]
    documented = json.loads(section.split("```json")[1].split("```")[0])
    said = veilsum(*FIFTY, "--bandwidth", 100, "--latency", 40, "--json")
    found = json.loads(said.out)
    assert said.out.count("\n") == 1
    assert "recommended: secagg" in said.err
    assert list(found["protocols"]) == ["secagg", "secagg+", "mesh", "committee", "lightsecagg"]
    fields = {frozenset(row) for row in found["protocols"].values()}
    assert fields == {frozenset(documented["protocols"]["secagg"])}
    found["protocols"] = {name: found["protocols"][name] for name in documented["protocols"]}
    assert shape(found) == shape(documented)


def test_every_field_of_the_json_is_explained(veilsum):
    section = (ROOT / "docs/json.md").read_text().split("## `veilsum advise --json`")[1].split("\n## ")[0]
    explained = set(re.findall(r"`(\w+)`", section))
    found = json.loads(veilsum(*FIFTY, "--json").out)
    assert {*found, *found["protocols"]["secagg"]} <= explained


def test_people_get_the_counts_a_table_and_one_sentence(veilsum):
    said = veilsum(*FIFTY)
    assert (said.status, said.err) == (0, "")
    assert "round down to 2 corrupt and 5 dropped" in " ".join(said.out.split())
    assert re.search(r"threshold +27 ", said.out)
    assert re.search(r"secagg\+: a coordinator that lies", said.out)
    assert said.out.splitlines()[-1].startswith("recommended: secagg; the complete graph costs")


def test_what_cannot_be_met_is_said_with_the_nearest_that_can(veilsum):
    said = veilsum("advise", "--parties", 100, "--dropout", 0.5, "--corrupt", 0.2, "--json")
    found = json.loads(said.out)
    assert said.status == 0
    assert found["recommended"] is None
    assert found["protocols"]["secagg"]["nearest"] == {"parties": 100, "dropout": 0.39, "corrupt": 0.2}
    assert "secagg: cannot, 50 parties are left of 100" in said.err


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--parties", 2, "--dropout", 0, "--corrupt", 0), "--parties"),
        (("--parties", 50, "--dropout", 1.5, "--corrupt", 0), "--dropout"),
        (("--parties", 50, "--dropout", 0.1), "--corrupt"),
        (("--parties", 50, "--dropout", 0.1, "--corrupt", 0.1, "--adversary", "kind"), "--adversary"),
        (("--parties", 50, "--dropout", "nan", "--corrupt", 0.1), "fractions"),
        (("--parties", 50, "--dropout", 0.1, "--corrupt", 0.1, "--bandwidth", 0), "bandwidth"),
    ],
)
def test_wrong_usage_is_one_line_and_status_2(veilsum, words, why):
    said = veilsum("advise", *words)
    assert (said.status, said.out) == (2, "")
    assert why in said.complaint


def test_the_commands_adversaries_are_those_of_the_graph():
    assert set(ADVERSARIES) == set(Adversary)


def test_the_rate_of_this_machine_is_measured():
    assert 0.01 < keystream_gbps(seconds=0.01) < 1000


def test_the_page_shows_what_the_command_that_stands_there_prints(veilsum):
    page = (ROOT / "docs/advisor.md").read_text()
    command, printed = re.search(r"```text\n\$ veilsum (.*)\n(.*?)```", page, re.DOTALL).groups()
    now = veilsum(*command.split()).out
    rate_and_seconds = r"(keystream|session|recommended|─).*"  # they depend on the machine
    assert re.sub(rate_and_seconds, "", now).split() == re.sub(rate_and_seconds, "", printed).split()
