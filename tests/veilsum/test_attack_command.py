"""`veilsum attack`: what people read, what programs read, and a status that says whether all came out as claimed."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from net import tls
from simulations.attacks.gallery.attack import show
from simulations.attacks.unstopped.catalogue import DEMONSTRATIONS
from simulations.attacks.verdicts import Ending
from veilsum import attack_on_tls, attacks
from veilsum.attacks import ATTACKS

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/attacks.md"
QUICK = ("overflow", "copied-key", "certificate")


@pytest.fixture
def few(monkeypatch):
    """The quickest."""
    chosen = tuple(one for one in ATTACKS if one.name in QUICK)
    monkeypatch.setattr(attacks, "ATTACKS", chosen)
    return chosen


def documented(section):
    text = (ROOT / "docs/json.md").read_text().split(f"## `{section}`")[1].split("\n## ")[0]
    return json.loads(text.split("```json")[1].split("```")[0]), text


def test_the_json_has_the_documented_shape(veilsum, few):
    (example, *_), text = documented("veilsum attack --json")
    said = veilsum("attack", "--json")
    found = json.loads(said.out)
    assert (said.status, said.out.count("\n")) == (0, 1)
    assert "split-view" not in said.err
    assert [one["attack"] for one in found] == [one.name for one in few]
    assert all(list(one) == list(example) for one in found)
    assert all(isinstance(value, str) for one in found for value in one.values())
    assert set(example) <= set(re.findall(r"`([\w-]+)`", text))
    assert {one.value for one in Ending} <= set(re.findall(r"`([\w-]+)`", text))


def test_the_json_of_what_is_not_stopped_has_its_documented_shape(veilsum):
    (example,), text = documented("veilsum attack --open --json")
    said = veilsum("attack", "sum-of-three", "--open", "--json")
    (found,) = json.loads(said.out)
    assert list(found) == list(example)
    assert (found["demonstration"], found["succeeded"]) == ("sum-of-three", True)
    assert set(example) <= set(re.findall(r"`([\w-]+)`", text))


def test_people_get_a_line_an_attack_within_a_hundred_columns(veilsum, few):
    said = veilsum("attack")
    assert (said.status, said.err) == (0, "")
    lines = said.out.splitlines()
    assert [line.split()[0] for line in lines[2 : 2 + len(few)]] == [one.name for one in few]
    assert re.search(r"copied-key +read +won +refused +bad-key: a key appears twice in the roster", said.out)
    assert all(len(line) <= 100 for line in lines)


def test_with_a_name_they_get_a_page_with_the_numbers(veilsum):
    said = veilsum("attack", "shrunken-survivors")
    assert said.status == 0
    assert "the textbook: won: the victim's update: all 1000 values, exactly" in said.out
    assert "veilsum: refused: party 1: wrong-set: U3 has 2 parties, 4 are needed" in said.out
    true, naive, ours = (re.findall(r"[+-]\d+\.\d+", line) for line in said.out.splitlines()[-3:])
    assert len(true) == 5
    assert naive == true
    assert not set(ours) & set(true)


def test_what_is_not_stopped_says_what_would_help(veilsum):
    said = veilsum("attack", "--open", "seized-party")
    assert said.status == 0
    assert "succeeds: the victim's update: all 1000 values, exactly" in said.out
    assert "what would help: secagg+, which keeps no seeds" in said.out


@pytest.mark.slow
def test_all_of_it_is_listed_with_what_would_help(veilsum):
    said = veilsum("attack", "--open")
    assert (said.status, said.err) == (0, "")
    for one in DEMONSTRATIONS:
        assert re.search(rf"^{one.name} +yes ", said.out, re.MULTILINE)
        assert f"  {one.name}: {one.layer[:40]}" in said.out
    assert json.loads(veilsum("attack", "--open", "--json").out)[0]["succeeded"] is True


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("spilt-view",), "no attack is called 'spilt-view': there are split-view, double-reveal, "),
        (("seized-party",), "what nothing here stops is behind --open"),
        (("--open", "split-view"), "no demonstration is called 'split-view': there are poisoned-input, "),
        (("--seed", -1), "Invalid value for '--seed'"),
    ],
)
def test_what_is_not_there_is_one_line(veilsum, arguments, message):
    said = veilsum("attack", *arguments)
    assert (said.status, message in said.complaint) == (2, True)


def test_an_attack_that_is_not_stopped_is_a_failure_that_is_shown(veilsum, monkeypatch, few):
    broken = replace(few[0], ours=few[0].naive)
    monkeypatch.setattr(attacks, "ATTACKS", (broken, *few[1:]))
    said = veilsum("attack", "--json")
    assert said.status == 1
    assert said.err.splitlines()[-1] == (
        f"veilsum: not as claimed, won against the textbook and lost here: {broken.name}; please report it"
    )
    assert json.loads(said.out)[0]["veilsum"] == "won"
    assert "won (!)" in said.err


def test_so_is_one_that_the_textbook_stops(veilsum, monkeypatch, few):
    monkeypatch.setattr(attacks, "ATTACKS", (replace(few[0], naive=few[0].ours),))
    assert veilsum("attack").status == 1


def test_the_same_seed_prints_the_same(veilsum):
    first, again = (veilsum("attack", "copied-key", "--seed", 3).out for _ in range(2))
    assert first == again
    assert veilsum("attack", "copied-key", "--seed", 4).out != first


# The attack that needs the network's code


def test_a_certificate_in_anothers_name_wins_where_names_are_read_and_loses_here():
    shown = show(attack_on_tls.ATTACK, b"0")
    assert shown.as_claimed
    assert shown.naive.said == "bank-1 is taken for bank-0, and acts in its name"
    assert shown.ours.said == "the pin whose key signed the leaf is that of bank-1: it is connected as bank-1"
    assert shown.ours.also == ("a root that nobody pinned, in the name of bank-0: CERTIFICATE_VERIFY_FAILED",)


def test_without_the_check_it_wins_here_too(monkeypatch):
    def by_its_name(pins, leaf):
        return next(part.value for part in tls.x509.load_der_x509_certificate(leaf).subject)

    monkeypatch.setattr(tls.Pins, "who_signed", by_its_name)
    assert show(attack_on_tls.ATTACK, b"0").ours.ending is Ending.WON


# docs/attacks.md


def module_of(run):
    return f"{run.__module__.replace('.', '/')}.py"


def rows_of(heading):
    section = PAGE.read_text().split(f"## {heading}")[1].split("\n## ")[0]
    return [line for line in section.splitlines() if line.startswith("| [")]


def test_the_page_lists_every_attack_as_it_is():
    expected = [
        f"| [{one.name}](../{module_of(one.ours)}) | {one.goal.value} | {one.title} | {one.paper} |" for one in ATTACKS
    ]
    assert [row.rsplit(" | ", 1)[0] + " |" for row in rows_of("The attacks")] == expected


def test_and_every_demonstration():
    expected = [
        f"| [{one.name}](../{module_of(one.show)}) | {one.title} | {one.paper} | {one.layer} |"
        for one in DEMONSTRATIONS
    ]
    assert rows_of("What no check stops") == expected


@pytest.mark.slow
def test_what_stops_each_is_what_the_page_says():
    expected = []
    for one in ATTACKS:
        ours = show(one, b"0").ours
        expected.append(f"{ours.ending.value}: {attacks.without_who(ours.said)}".replace("|", "\\|"))
    assert [row.rsplit(" | ", 1)[1].removesuffix(" |") for row in rows_of("The attacks")] == expected
