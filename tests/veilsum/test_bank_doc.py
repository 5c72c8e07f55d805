"""docs/bank.md and docs/mesh-of-banks.md, walked by banks in folders of their own with the pages' own commands."""

import os
import re
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from fl_integration import synthetic
from fl_integration.workload import State
from veilsum.demo.files import free_addresses

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/bank.md").read_text()
MESH_PAGE = (ROOT / "docs/mesh-of-banks.md").read_text()
BANKS = [f"bank-{number}" for number in range(1, 6)]
MESH_BANKS = BANKS[:4]
PORT = "7311"


@dataclass(frozen=True)
class Block:
    """Commands, and who runs them: "bank", "first bank", "coordinator" or "everybody"; how: after a comma."""

    who: str
    how: str
    commands: str


def blocks(page: str = PAGE) -> Iterator[Block]:
    for words, commands in re.findall(r"^```sh (.*?)\n(.*?)^```", page, re.DOTALL | re.MULTILINE):
        who, _, how = words.partition(", ")
        yield Block(who, how, commands)


def folders(who: str) -> list[str]:
    return {
        "bank": BANKS,
        "first bank": BANKS[:1],
        "coordinator": ["coordinator"],
        "everybody": [*BANKS, "coordinator"],
    }[who]


@pytest.fixture
def office(tmp_path):
    """Five banks' folders with their tables, the coordinator's, and the exchange; `veilsum` is on the path."""
    for name in (*BANKS, "coordinator", "exchange", "bin"):
        (tmp_path / name).mkdir()
    for name, table in zip(BANKS, synthetic.transactions(5, 0, (300, 350, 400, 450, 500)), strict=True):
        table.to_csv(tmp_path / name / "data.csv", index=False)
        table.drop(columns=synthetic.LABEL).head(50).to_csv(tmp_path / name / "new.csv", index=False)
    command = tmp_path / "bin" / "veilsum"
    command.write_text(
        f"#!/bin/sh\nexec {shlex.quote(sys.executable)} -c 'from veilsum.cli import main; main()' \"$@\"\n"
    )
    command.chmod(0o755)
    return tmp_path


@pytest.fixture
def shell(office):
    """Starts commands of the page in a folder of the office; none outlives the test."""
    running: list[subprocess.Popen[str]] = []
    path = f"{office / 'bin'}{os.pathsep}{os.environ['PATH']}"
    port = free_port()
    addresses = dict(zip(BANKS, map(str, free_addresses(len(BANKS))), strict=True))

    def run(folder: str, commands: str) -> "subprocess.Popen[str]":
        peers = " ".join(f"--peer {bank}={addresses[bank]}" for bank in MESH_BANKS if bank != folder)
        ours = {"BANK": folder, "LISTEN": addresses.get(folder, ""), "PEERS": peers}
        environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), **ours}
        running.append(
            subprocess.Popen(
                ["sh", "-e", "-c", commands.replace(PORT, port)],
                cwd=office / folder, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                start_new_session=True,
            )
        )  # fmt: skip
        return running[-1]

    yield run
    for process in running:
        if process.poll() is None:
            os.killpg(process.pid, 9)
        process.communicate()


def free_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return str(server.getsockname()[1])


def done(processes: "list[subprocess.Popen[str]]") -> None:
    for process in processes:
        _, err = process.communicate(timeout=180)
        assert (process.returncode, err) == (0, "")


def test_the_page_leads_five_banks_to_one_model_and_their_scores(office, shell):
    background = []
    for block in blocks():
        if block.how == "in the background":
            process = shell("coordinator", block.commands)
            assert "listening" in process.stdout.readline()
            background.append(process)
        elif block.how == "all at once":
            done([shell(folder, block.commands) for folder in folders(block.who)])
        else:
            for folder in folders(block.who):
                done([shell(folder, block.commands)])
    done(background)
    for name in ("model.npz", "model.json"):
        assert len({(office / folder / name).read_bytes() for folder in (*BANKS, "coordinator")}) == 1
    state = State.load((office / "bank-1" / "model.npz").read_bytes())
    assert state.finished
    assert [entry["parties"] for entry in state.history] == [5] * 5
    for bank in BANKS:
        scores = (office / bank / "scores.csv").read_text().splitlines()
        assert (scores[0], len(scores)) == ("score", 51)
        assert not list((office / bank).glob("*.key"))
    assert not list((office / "exchange").glob("*.key"))


def test_the_page_of_the_mesh_leads_four_banks_to_one_model_and_nobody_coordinates(office, shell):
    for block in blocks(MESH_PAGE):
        banks = MESH_BANKS[:1] if block.who == "first bank" else MESH_BANKS
        if block.how == "all at once":
            done([shell(folder, block.commands) for folder in banks])
        else:
            for folder in banks:
                done([shell(folder, block.commands)])
    (model,) = {(office / bank / "model.npz").read_bytes() for bank in MESH_BANKS}
    assert [entry["parties"] for entry in State.load(model).history] == [4] * 3


def test_every_command_of_the_ceremony_is_on_the_page():
    for command in (
        "identity new", "identity show", "schema", "consortium create", "consortium sign", "party init",
        "coordinator init", "check", "coordinator coordinator.toml", "party party.toml", "predict",
    ):  # fmt: skip
        assert any(f"veilsum {command}" in block.commands for block in blocks()), command
