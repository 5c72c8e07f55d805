"""Every file in `examples/` runs as a user runs it: from the repository's root, in a process of its own."""

import ast
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))  # the folders there have tests of their own

# what an example prints where it worked; each file has its line here
SAYS = {
    "pytorch_rounds.py": "SCAFFOLD",
    "sklearn_estimator.py": "five parties, secure:",
}


def doc(example):
    return ast.get_docstring(ast.parse(example.read_text(encoding="utf-8")))


def test_every_example_is_run_here():
    assert [example.name for example in EXAMPLES] == sorted(SAYS)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_an_example_says_in_its_docstring_what_it_needs(example):
    assert "\nNeeds " in doc(example)
    needs_torch = "torch" in {
        name.name
        for node in ast.walk(ast.parse(example.read_text(encoding="utf-8")))
        if isinstance(node, ast.Import)
        for name in node.names
    }
    assert ("veilsum[torch]" in doc(example)) == needs_torch


@pytest.mark.slow
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_an_example_runs_and_prints_what_it_promises(example):
    if "veilsum[torch]" in doc(example) and not find_spec("torch"):
        pytest.skip("torch is not installed")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error"}
    done = subprocess.run(
        [sys.executable, str(example)], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert SAYS[example.name] in done.stdout
