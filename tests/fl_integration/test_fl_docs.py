"""The pages of PyTorch and scikit-learn: what they show runs, from the first block to the last."""

import re
from pathlib import Path

import numpy as np
import pytest

DOCS = Path(__file__).parents[2] / "docs"

pytestmark = pytest.mark.slow


def run(page):
    shown = {}
    for block in re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(encoding="utf-8"), re.DOTALL):
        exec(compile(block, page, "exec"), shown)
    return shown


def test_the_page_of_scikit_learn_runs_and_classifies(capsys):
    shown = run("sklearn.md")
    assert float(capsys.readouterr().out) > 0.9
    assert np.mean(shown["scores"]) > 0.9


def test_the_page_of_pytorch_runs_and_every_way_gives_a_sum(capsys):
    torch = pytest.importorskip("torch")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # so small a network only waits for further ones
    try:
        with torch.random.fork_rng():
            torch.manual_seed(1)
            shown = run("pytorch.md")
    finally:
        torch.set_num_threads(threads)
    assert len(capsys.readouterr().out.splitlines()) == 5
    assert [len(report.included) for report in shown["history"].rounds] == [3, 3, 3]
    inputs, labels = shown["rows"].tensors
    # the page trains on all rows: the model of its first loop knows most of them
    assert float((shown["model"](inputs).argmax(dim=1) == labels).double().mean()) > 0.6
