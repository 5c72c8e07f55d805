"""The page about one's own transport: its code runs as it stands, and its figures are what the command prints."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import snapshots

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/embed.md").read_text(encoding="utf-8")
(CODE,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.slow
def test_the_code_of_the_page_sums_over_asyncio_streams_without_the_party_that_is_lost():
    done = subprocess.run(
        [sys.executable, "-W", "error", "-"],
        input=CODE,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "the sum of [0, 1, 3, 4] is {27}\n"
    assert done.stdout.strip() in PAGE


def test_the_code_of_the_page_uses_nothing_but_the_protocols_and_the_types_they_speak_in():
    modules = {node.module for node in ast.walk(ast.parse(CODE)) if isinstance(node, ast.ImportFrom)}
    ours = {module for module in modules if module.split(".")[0] in ("veilsum", "net", "fl_integration", "simulations")}
    assert ours == set()
    assert {"protocols.ledger", "protocols.roster", "protocols.secagg", "protocols.messages"} <= modules
    _, transport = CODE.split("# The transport\n")
    lines = transport.split("# What must outlive a crash")[0].splitlines()
    assert len([line for line in lines if line.strip()]) <= 45


def test_the_sizes_on_the_page_are_those_of_snapshots_within_a_twentieth():
    shown = re.findall(r"^\| (client|server) \| (.*?) \| ([\d,]+) \| ", PAGE, re.MULTILINE)
    measured = snapshots.measure(5, 1000)
    assert {(who, state) for who, state, _ in shown} == measured.keys()
    for who, state, size in shown:
        assert int(size.replace(",", "")) == pytest.approx(measured[who, state], rel=0.05)
