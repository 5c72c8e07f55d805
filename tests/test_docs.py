"""What the documents say exists, exists, and what they show, runs."""

import re
from pathlib import Path
from typing import get_args

import pytest

from protocols import messages, session
from protocols.secagg import client, server, unmasking

ROOT = Path(__file__).parent.parent
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
OWNERS = {
    "Client": client.Client,
    "Server": server.Server,
    "Terms": session.Terms,
    "Transcript": unmasking.Transcript,
}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_that_a_page_names_is_there(page):
    text = page.read_text()
    linked = re.findall(r"\]\((?!http)([^)#]+)\)", text)
    named = re.findall(r"`((?:mpc|protocols|net|fl_integration|simulations|veilsum|tests|docs)/[\w./-]*)`", text)
    missing = [path for path in linked if not (page.parent / path).exists()]
    missing += [path for path in named if not (ROOT / path).exists()]
    assert missing == []


def test_the_page_of_the_protocol_names_every_message_and_no_function_that_is_not_there():
    text = (ROOT / "docs/protocol.md").read_text()
    named = set(re.findall(r"`(\w+)`", text))
    assert {kind.__name__ for kind in get_args(messages.Message)} <= named
    functions = re.findall(r"`(Client|Server|Terms|Transcript)\.(\w+)`", text)
    assert functions
    assert [name for owner, name in functions if not hasattr(OWNERS[owner], name)] == []


def test_the_ten_lines_of_the_readme_give_the_mean(capsys):
    (lines,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    exec(compile(lines, "README.md", "exec"), {})
    printed = capsys.readouterr().out
    values = [float(value) for value in printed.strip(" []\n").split()]
    assert values == pytest.approx([0.3] * 3, abs=1e-3)
