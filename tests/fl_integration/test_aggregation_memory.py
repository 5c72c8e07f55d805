"""How much memory a large model takes through the facade: the benchmark itself, in a bounded form."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_a_large_model_takes_less_than_ten_bytes_for_each_parameter_and_party():
    """4 of them are the encoded input. 17 would break the promise of 50 million parameters and 10 parties in 8 GiB."""
    words = [sys.executable, "-m", "benchmarks.large_model", "--parameters", "2000000", "--parties", "10"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    measured = json.loads(done.stdout.splitlines()[-1])
    assert (measured["parameters"], measured["parties"]) == (2_000_000, 10)
    assert measured["bytes_each"] < 10
    assert measured["peak_gib"] < 0.5
