"""`veilsum bench`: that its figures measure the work that they name, and the shape of what it prints."""

import json
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from protocols import masking
from protocols.session import Variant
from veilsum.bench import (
    clients,
    comparing,
    epochs,
    figures,
    floors,
    growth,
    losing,
    masks,
    measuring,
    packing,
    peers,
    sharing,
    speaking,
    unmasking,
)
from veilsum.bench.measuring import Scale, by_turns, compare
from veilsum.bench.showing import protocol_rows, rows

ROOT = Path(__file__).parents[2]
QUICK = Scale(quick=True)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Sizes at which every figure is there at once."""
    monkeypatch.setattr(masks, "length", lambda scale: 50)
    monkeypatch.setattr(sharing, "sizes", lambda scale: (5, 3))
    monkeypatch.setattr(peers, "sizes", lambda scale: (5, 3))
    monkeypatch.setattr(floors, "_PROBE", 1 << 20)
    monkeypatch.setattr(measuring.gc, "collect", lambda: 0)  # half a second once all is loaded


def documented() -> dict:
    section = (ROOT / "docs/json.md").read_text().split("## `veilsum bench --json`")[1]
    return json.loads(section.split("```json")[1].split("```")[0])


def shape(value):
    if isinstance(value, dict):
        return {key: shape(one) for key, one in value.items()}
    if isinstance(value, list):
        return [shape(value[0])]
    return "number" if isinstance(value, int | float) and not isinstance(value, bool) else type(value).__name__


def test_work_and_floor_take_turns_and_the_first_run_counts_for_nothing():
    order = []
    taken = by_turns([lambda: order.append("work"), lambda: order.append("floor")], 3)
    assert order == ["work", "floor"] * 4
    assert [len(one) for one in taken] == [3, 3]


def test_a_ratio_is_that_of_the_turns_and_not_of_the_medians(monkeypatch):
    taken = iter([4, 1, 2, 2, 6, 4])
    monkeypatch.setattr(measuring, "seconds", lambda work, clock: next(taken))
    found = compare(lambda: None, lambda: None, 3)
    assert (found.seconds, found.floor_seconds, found.ratio) == (4, 2, 1.5)


@pytest.mark.parametrize(
    ("name", "figure"),
    [
        ("mask", masks.measure),
        ("threads", masks.measure_threads),
        ("share", sharing.measure_share),
        ("reconstruct", sharing.measure_reconstruct),
    ],
)
def test_a_figure_has_the_documented_shape(name, figure):
    assert shape(figure(QUICK)) == shape(documented()[name])


def test_the_servers_figure_takes_off_exactly_the_masks_that_it_counts():
    found = unmasking._row(10, 40, 0.3, QUICK)
    assert found["masks"] == 7 * (1 + 3)
    assert shape(found) == shape(documented()["unmask"][0])


def test_the_servers_figure_rebuilds_every_seed_and_a_driver_hears_of_each_mask():
    answers, told = unmasking.Answers.of(10, 40, 0.3), []
    with masking.counting(told.append):
        answers.unmask()
    answers.unmask()
    assert sum(told) == answers.masks
    assert len(list(answers.transcript.self_seeds(answers.shares))) == 7
    assert not answers.transcript.disputes


@pytest.mark.parametrize("variant", list(Variant))
def test_the_clients_figure_is_a_whole_session_and_says_the_same_each_time(variant):
    hearing = clients.complete(5, 40, variant)
    assert len(hearing.heard) == (6 if variant is Variant.ACTIVE else 5)
    hearing.work()
    hearing.work()


def test_the_clients_row_has_the_documented_shape():
    assert shape(clients._row(clients.complete(5, 40, Variant.ACTIVE), QUICK)) == shape(documented()["client"][0])


@pytest.mark.slow
def test_the_figures_of_the_protocols_have_the_documented_shape(monkeypatch):
    monkeypatch.setattr(growth, "sizes", lambda scale: (20, 40))
    monkeypatch.setattr(losing, "sizes", lambda scale: (7, 40))
    monkeypatch.setattr(speaking, "size", lambda scale: 4)
    monkeypatch.setattr(epochs, "ROUNDS", 2)
    assert shape(comparing.measure(QUICK)) == shape(documented()["protocols"])


def test_the_report_has_the_documented_keys_in_the_order_in_which_they_are_taken():
    assert list(documented()) == ["quick", *figures.FIGURES]


def test_every_field_of_the_json_is_explained():
    section = (ROOT / "docs/json.md").read_text().split("## `veilsum bench --json`")[1].split("\n## ")[0]
    explained = set(re.findall(r"`(\w+)`", section.split("| --- | --- |")[1]))
    keys = set(re.findall(r'"(\w+)":', section)) - {"galois"}
    assert keys <= explained


@pytest.mark.slow
def test_the_server_unmasks_in_few_vectors_and_little_memory_a_client():
    parties, elements = 100, 300_000
    answers = unmasking.Answers.of(parties, elements, 0.1)
    assert unmasking._peak(answers) <= 4 * 4 * elements + parties * 2**16


def test_people_get_a_line_a_figure():
    said = list(rows(documented()))
    assert len(said) == 12
    assert len(list(protocol_rows(documented()["protocols"]))) == 8
    assert ("unmask, n = 500, m = 100,000, 10 % lost", "2.6 s", "2.0x") in said


def test_peers_that_are_not_installed_are_left_out(monkeypatch):
    monkeypatch.setattr(peers, "find_spec", lambda name: None)
    assert peers.measure(QUICK) == {}


@pytest.mark.slow
@pytest.mark.parametrize("peer", list(peers.PEERS))
def test_a_peer_that_is_installed_is_compared_and_reads_no_command_line(peer, monkeypatch):
    pytest.importorskip(peer)
    monkeypatch.setattr(sys, "argv", ["veilsum", "bench", "--out", "x"])
    found = peers.PEERS[peer](QUICK)
    assert all(value > 0 for value in found.values())
    assert any(name.endswith("_times_faster") for name in found)


def test_the_floors_do_what_they_are_named_for(monkeypatch):
    floors.best_chunk.cache_clear()
    monkeypatch.setattr(floors, "_PROBE", 1 << 20)
    assert floors.best_chunk() in floors.CHUNKS
    for work in (floors.agreements(1), floors.derivations(1), floors.checks(1), floors.copying(8)):
        work()
    floors.aes(floors.best_chunk() + 3)
    with ThreadPoolExecutor(2) as pool:
        floors.aes_on(pool, 1 << 20, 2)
    floors.best_chunk.cache_clear()


def test_packing_is_set_beside_a_copy(monkeypatch):
    monkeypatch.setattr(packing, "compare", lambda work, floor, times: measuring.Compared(2.0, 1.0, 2.0))
    found = packing.measure(QUICK)
    assert found["memcpy_gbps"] == pytest.approx(2 * found["gbps"])


@pytest.mark.slow
@pytest.mark.xdist_group("processes")
def test_a_secure_round_and_one_in_clear_run_over_the_same_connections():
    from veilsum.bench import rounds

    with rounds.connected(300) as hub:
        hub.plain()
        first, second = hub.secure(), hub.secure()
    assert np.array_equal(first, second)
    mean = rounds.codec_for(300).decode_sum(first).mean
    assert np.abs(mean - np.linspace(-1, 1, 300)).max() < 1e-3
