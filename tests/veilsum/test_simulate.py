"""`veilsum simulate`: what people read, what machines read, what is written, and what is refused."""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SECTION = (ROOT / "docs/json.md").read_text().split("## `veilsum simulate --json`")[1].split("\n## ")[0]
SMALL = ("simulate", "--protocol", "secagg", "--parties", 10, "--dimension", 20, "--dropout", 0.2)


def shape(value):
    """The type of each field, and of a list of its first item."""
    if isinstance(value, dict):
        return {key: shape(one) for key, one in value.items()}
    if isinstance(value, list):
        return [shape(one) for one in value[:1]]
    return "number" if isinstance(value, int | float) and not isinstance(value, bool) else type(value).__name__


def test_the_json_has_the_documented_shape(veilsum):
    documented = json.loads(SECTION.split("```json")[1].split("```")[0])
    said = veilsum(*SMALL, "--rounds", 2, "--seed", 4, "--measure", "--json")
    found = json.loads(said.out)
    assert said.out.count("\n") == 1
    assert "secagg: 10 parties, 20 values, degree 9, threshold 6" in said.err
    assert len(found["rounds"]) == 2
    assert shape(found) == shape(documented)


def test_every_field_of_the_json_is_explained(veilsum):
    explained = set(re.findall(r"`(\w+)`", SECTION))
    found = json.loads(veilsum(*SMALL, "--measure", "--json").out)
    assert {*found, *found["rounds"][0], *found["rounds"][0]["dropped"][0], *found["measured"]} <= explained


def test_a_dropout_alone_takes_exactly_its_share_before_the_input_leaves(veilsum):
    (one,) = json.loads(veilsum(*SMALL, "--json").out)["rounds"]
    assert (one["exact"], one["aborted"]) == (True, None)
    assert len(one["included"]) == 8
    lost = {entry["party"] for entry in one["dropped"]}
    assert lost | set(one["included"]) == set(range(10))
    assert {entry["stage"] for entry in one["dropped"]} == {"masked-input"}
    assert one["server_masks_expanded"] == 8 + 2 * 8


@pytest.mark.slow
def test_the_same_seed_says_the_same_and_measuring_adds_measured_alone(veilsum):
    plain, again = (veilsum(*SMALL, "--json").out for _ in range(2))
    assert plain == again
    measured = json.loads(veilsum(*SMALL, "--measure", "--json").out)
    assert measured.pop("measured")["party_seconds"][0] > 0
    assert measured == json.loads(plain)
    assert veilsum(*SMALL, "--seed", 1, "--json").out != plain


def test_people_get_a_table(veilsum):
    said = veilsum(*SMALL)
    assert (said.status, said.err) == (0, "")
    assert re.search(r"│ +1 │ +8 │ +2 │ +yes │", said.out)


def test_options_come_before_what_the_scenario_says(veilsum, tmp_path):
    file = tmp_path / "scenario.toml"
    file.write_text('parties = 7\nrounds = 2\nseed = 5\n[dropout]\nkind = "exactly"\nshare = 0.2\n')
    found = json.loads(veilsum("simulate", file, "--parties", 6, "--json").out)
    assert (found["parties"], len(found["rounds"])) == (6, 2)


@pytest.mark.slow
def test_a_sweep_writes_its_table_and_a_report_its_page(veilsum, tmp_path):
    pytest.importorskip("matplotlib")
    file, out, page = tmp_path / "sweep.toml", tmp_path / "table.csv", tmp_path / "report"
    file.write_text(
        'parties = 6\ndimension = 5\nlosses = 1\n[dropout]\nkind = "exactly"\nshare = 0.0\n'
        '[sweep.grid]\n"dropout.share" = [0.0, 0.7]\nprotocol = ["secagg", "mesh"]\n'
    )
    said = veilsum("simulate", file, "--out", out, "--workers", 1, "--report", page, "--json")
    assert json.loads(said.out) == {
        "sessions": 4, "exact": 2, "aborted": 2, "wrong": 0, "cells": 4, "table": str(out),
    }  # fmt: skip
    assert len(out.read_text().splitlines()) == 5
    text = (page / "index.html").read_text()
    assert "http" not in re.sub(r'"data:[^"]*"', "", text)
    figures = sorted(file.stem for file in page.glob("*.png"))
    assert figures == ["bytes", "protocols", "recovery", "success", "timeline-mesh", "timeline-secagg"]
    assert text.count("data:image/png;base64,") == 6


@pytest.mark.slow
def test_a_report_of_one_scenario_shows_its_rounds(veilsum, tmp_path):
    pytest.importorskip("matplotlib")
    assert veilsum(*SMALL, "--report", tmp_path / "report").status == 0
    assert {file.name for file in (tmp_path / "report").iterdir()} == {"bytes.png", "index.html", "timeline-secagg.png"}


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (("--protocol", "sekagg"), 2, "protocol is 'sekagg': this version runs secagg, "),
        (("--parties", 2), 2, "Invalid value for '--parties'"),
        (("missing.toml",), 2, "missing.toml: No such file or directory: name a scenario's file"),
        (("--dimension", 2**40), 2, "dimension is 1099511627776"),
    ],
)
def test_what_cannot_be_simulated_is_one_line(veilsum, arguments, status, message):
    said = veilsum("simulate", *arguments)
    assert said.status == status
    assert message in said.err
    assert said.err.count("\n") == 1


def test_a_sweep_needs_a_place_for_its_table_and_takes_no_field_from_the_options(veilsum, tmp_path):
    file = tmp_path / "sweep.toml"
    file.write_text("[sweep.grid]\nseed = [1, 2]\n")
    assert "say where with --out" in veilsum("simulate", file).err
    assert "a sweep is as its file says" in veilsum("simulate", file, "--parties", 9).err


def test_bad_toml_is_one_line(veilsum, tmp_path):
    file = tmp_path / "scenario.toml"
    file.write_text("partys = 9\n")
    assert "scenario.toml.partys is not known: did you mean parties?" in veilsum("simulate", file).err
