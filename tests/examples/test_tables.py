"""The tables of the literature, each by its match rule, and the page that shows them."""

import ast
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from examples.tables import (
    a_expansion,
    b_server,
    c_graph,
    e_lightsecagg,
    f_waiting,
    i_static_updates,
    l_malicious_server,
)
from protocols import costs
from protocols.advisor import advise
from protocols.errors import PartyId
from protocols.graph import Adversary
from protocols.messages import CODEC, Result
from protocols.session import Variant, VectorSpec

SMALL, LARGE = (2**10, 2**20), (2**14, 2**24)
SIZES = [SMALL, pytest.param(LARGE, marks=pytest.mark.slow)]
ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "tables.md").read_text(encoding="utf-8")
SCRIPTS = sorted((ROOT / "examples" / "tables").glob("[a-z]_*.py"))


def same(table, name):
    """Whether the page shows the table."""
    return f"<!-- {name} -->\n{table}\n" in TEXT


def test_each_table_of_the_list_has_a_script():
    assert [script.name[0] for script in SCRIPTS] == list("abcefil")


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_a_script_says_what_it_compares_and_the_page_shows_its_command_and_its_table(script):
    says = ast.get_docstring(ast.parse(script.read_text(encoding="utf-8")))
    command = f"    python -m examples.tables.{script.stem}"
    for part in ("Paper: ", "\nCompared: ", "\nMatch: ", "\nNeeds ", f"\n{command}"):
        assert part in says
    assert f"\n{command}" in TEXT
    assert TEXT.split(f"<!-- {script.stem} -->\n")[1].split("<!-- end -->")[0].count("\n| ") > 2


@pytest.mark.slow
@pytest.mark.parametrize("script", ["a_expansion", "c_graph", "e_lightsecagg", "i_static_updates"])
def test_a_script_prints_what_the_page_shows(script):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error"}
    command = [sys.executable, "-m", f"examples.tables.{script}"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    assert same(done.stdout.rstrip("\n"), script)


# A


@pytest.mark.parametrize("size", SIZES)
def test_a_the_formula_is_the_published_one_and_the_curious_bytes_are_near_it(size):
    row = a_expansion.row(*size)
    assert round(row.formula, 2) == a_expansion.PUBLISHED[size]
    assert abs(row.off) < 0.03
    assert row.curious < row.active < row.active + row.result


@pytest.mark.parametrize("variant", Variant)
def test_a_the_messages_are_those_of_a_session(variant):
    """Each decodes, and together they have the bytes of the formula that is held to sessions in test_advisor."""
    n, length = 300, 1000
    spec = VectorSpec(length, a_expansion.field(n))
    said = a_expansion.messages(n, spec, variant)
    assert [CODEC.decode(CODEC.encode(message)) for message in said] == said
    traffic = costs.secagg(costs.Session(n, 0, spec, variant))
    signature = a_expansion.SIGNATURE if variant is Variant.ACTIVE else b""
    result = len(CODEC.encode(Result(frozenset(map(PartyId, range(n))), signature, bytes(-(-length * 25 // 8)))))
    # party 0 sends its own number in one byte and is the only one not to hear of itself in the bundles
    assert a_expansion.counted(n, length, variant) == pytest.approx(traffic.up + traffic.down - result, abs=5)


# B


@pytest.mark.slow
def test_b_the_server_holds_as_many_seeds_as_the_paper_counts_masks():
    assert b_server.counts() == b_server.PUBLISHED
    assert f"<!-- b_server -->\n{b_server.counts_table()}\n" in TEXT


@pytest.mark.parametrize("lost", [0, 10, 30])
def test_b_the_counts_are_those_of_the_advisor(lost):
    n = b_server.QUICK
    row = advise(n, lost / n, 0.0, adversary="curious", dimension=10**5, keystream_gbps=1.0).rows["secagg"]
    of_one_mask = row.client_keystream_seconds / n
    assert row.server_keystream_seconds == pytest.approx(b_server.ServerSide(n, lost).masks * of_one_mask)


def test_b_the_server_works_in_the_proportion_of_its_masks():
    some, more = (b_server.ServerSide(b_server.QUICK, lost) for lost in (10, 30))
    assert [b_server.keystream(side, 1000) for side in (some, more)] == [990 * 4_000, 2_170 * 4_000]


def test_b_the_seconds_on_the_page_are_in_that_proportion():
    rows = re.findall(r"^\| +(\d+) \| +([\d.]+) \| +([\d.]+) \| +([\d.]+) \| +([\d.]+) \| +[-+][\d.]+% \|$", TEXT, re.M)
    assert [int(row[0]) for row in rows] == [b_server.QUICK, b_server.FULL]
    for n, of_10, of_30, ratio, expected in (map(float, row) for row in rows):
        assert expected == pytest.approx((0.7 * n + 0.21 * n * n) / (0.9 * n + 0.09 * n * n), abs=5e-4)
        assert of_30 / of_10 == pytest.approx(ratio, rel=0.05)  # the ratio is a median of its own
        assert ratio == pytest.approx(expected, rel=0.1)


def test_b_the_published_ratio_is_that_of_the_counts():
    masks = b_server.PUBLISHED[b_server.FULL]
    assert masks[150] / masks[50] == pytest.approx(2.303, abs=5e-4)


# C


@pytest.mark.slow
def test_c_every_row_is_the_published_one():
    rows = c_graph.rows()
    assert [(row.n, row.adversary) for row in rows if row.found != row.published] == []
    assert Counter(row.adversary for row in rows) == {Adversary.CURIOUS: 7, Adversary.SEMI_MALICIOUS: 7}


# E


def test_e_the_elements_are_as_many_as_published():
    rows = e_lightsecagg.rows()
    assert [(row.published, row.coded) for row in rows] == [(2_500_000, 2_500_000), (5_000_000, 5_000_000)]
    assert all(row.sent + row.recovery == row.coded and row.masked == 1_000_000 for row in rows)
    assert same(e_lightsecagg.table(), "e_lightsecagg")


# F


def test_f_with_constant_waits_a_sum_takes_what_was_published():
    rows = {(row.steps, row.policy): row for row in f_waiting.rows()}
    for steps, seconds in (("Flamingo", 16), ("SecAgg+", 65)):
        assert rows[steps, "constant"].seconds == seconds == sum(f_waiting.STEPS[steps].values())
        assert rows[steps, "quantile"].seconds < seconds / 3
        assert rows[steps, "quantile"].too_slow <= 0.02 * f_waiting.PARTIES
    assert same(f_waiting.table(), "f_waiting")


def test_f_without_a_loss_nobody_is_waited_for():
    policy = f_waiting.RoundPolicy(patience=10.0)
    assert f_waiting.hold([policy, policy], [[1.0, 2.0], [3.0, 0.5]]) == (5.0, 0)
    assert f_waiting.hold([policy, policy], [[11.0, 2.0], [3.0, 0.5]]) == (10.5, 1)


# I


@pytest.mark.slow
def test_i_a_static_update_is_solvable_after_as_many_rounds_as_there_are_users():
    leaks = i_static_updates.rows()
    assert {leak.rounds for leak in leaks} <= set(i_static_updates.FIRST_LEAK)
    assert all(leak.solvable for leak in leaks)


def sums_of(selected, sent):
    return i_static_updates.FIELD.matmul(np.array(selected, dtype=np.uint32), np.array(sent, dtype=np.uint32))


@pytest.mark.parametrize(
    ("selected", "rounds", "user"),
    [
        ([[1, 1, 0], [0, 1, 1], [1, 0, 1], [1, 1, 1]], 3, 0),
        ([[1, 1, 0], [1, 1, 1], [0, 1, 1]], 2, 2),  # two sums that differ in one user
        ([[0, 1, 0], [1, 1, 1]], 1, 1),
    ],
)
def test_i_the_search_finds_the_round_and_the_update(selected, rounds, user):
    sent = [[5, 1], [7, 2], [11, 3]]
    leak = i_static_updates.first_leak(np.array(selected), sums_of(selected, sent))
    assert (leak.rounds, leak.user, leak.update.tolist()) == (rounds, user, sent[user])


def test_i_nothing_leaks_where_the_same_groups_always_go_together():
    selected = [[1, 1, 0, 0], [0, 0, 1, 1], [1, 1, 1, 1], [0, 0, 1, 1]]
    with pytest.raises(LookupError):
        i_static_updates.first_leak(np.array(selected), sums_of(selected, [[1], [2], [3], [4]]))


# L


@pytest.mark.slow
@pytest.mark.parametrize(
    "n",
    [
        pytest.param(n, marks=[] if n in l_malicious_server.QUICK else [pytest.mark.exhaustive])
        for n in l_malicious_server.FULL
    ],
)
def test_l_too_small_a_sum_is_learnt_exactly_where_quorums_can_miss_each_other(n):
    rows = list(l_malicious_server.rows(n))
    assert [row for row in rows if row.too_small != row.quorums_can_miss_each_other] == []
    assert {row.too_small for row in rows} == {True, False}
    assert set(str(l_malicious_server.table(rows)).splitlines()) <= set(TEXT.splitlines())
