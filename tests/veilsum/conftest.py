"""Commands as a person gives them, and a small consortium made by them."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fl_integration.rounds import initial_payload
from net.config import load_consortium
from veilsum import cli

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-c", "from veilsum.cli import main; main()"]


@dataclass(frozen=True)
class Said:
    """What a command said: its status, standard output, standard error."""

    status: int
    out: str
    err: str

    @property
    def complaint(self) -> str:
        """The one line on standard error."""
        assert self.err.startswith("veilsum: "), self.err
        assert self.err.count("\n") == 1, self.err
        assert "Traceback" not in self.err
        return self.err


Veilsum = Callable[..., Said]


@pytest.fixture
def veilsum(monkeypatch, capsys) -> Veilsum:
    """Runs a command in this process."""

    def run(*words: object) -> Said:
        monkeypatch.setattr(sys, "argv", ["veilsum", *map(str, words)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr()
        return Said(ended.value.code or 0, said.out, said.err)

    return run


class Place:
    """A folder for each bank and one for the coordinator, each with an identity; one file that all hold."""

    def __init__(self, folder: Path, veilsum: Veilsum) -> None:
        self.folder = folder
        self.veilsum = veilsum

    def path(self, *parts: str) -> Path:
        return self.folder.joinpath(*parts)

    @property
    def consortium(self) -> Path:
        return self.path("consortium.toml")

    def ok(self, *words: object) -> str:
        """Standard output of a command that succeeds."""
        said = self.veilsum(*words)
        assert (said.status, said.err) == (0, ""), said.err
        return said.out

    def identity(self, name: str) -> Path:
        self.ok("identity", "new", name, "--out", self.path(name))
        return self.path(name)

    def create(self, members: list[str], coordinator: str = "hub", **options: object) -> Said:
        chosen = {"colluding": 0, "losses": 1, "rounds": 1, "out": self.consortium, **options}
        cards = [self.path(name, f"{name}.card") for name in members]
        return self.veilsum(
            "consortium", "create", "--members", *cards, "--coordinator", self.path(coordinator, f"{coordinator}.card"),
            "--schema", self.path("model.toml"), *(word for key, value in chosen.items() for word in (f"--{key}", value)),
        )  # fmt: skip

    def party(self, name: str, address: str = "127.0.0.1:1", **options: object) -> Path:
        """party.toml of this bank."""
        out = self.path(name, "party.toml")
        self.ok(
            "party", "init", "--consortium", self.consortium, "--identity", self.path(name), "--data",
            self.path(name, "data.csv"), "--address", address, "--out", out,
            *(word for key, value in options.items() for word in (f"--{key}", value)),
        )  # fmt: skip
        return out

    def store_model(self, name: str) -> bytes:
        """Puts the model before the first round in a bank's folder, as the last one that was completed."""
        model = initial_payload(load_consortium(self.consortium).training)
        self.path(name, "model.npz").write_bytes(model)
        return model


def rows(count: int = 120, seed: int = 0) -> pd.DataFrame:
    """A small table: a quarter positive, larger amounts and more cash among them."""
    rng = np.random.default_rng(seed)
    label = (np.arange(count) % 4 == 0).astype(int)
    return pd.DataFrame({
        "amount": np.round(rng.exponential(50.0, count) + 60 * label, 2),
        "kind": np.where(rng.random(count) < 0.2 + 0.6 * label, "cash", "card"),
        "late": label,
    })  # fmt: skip


@pytest.fixture
def place(tmp_path, veilsum) -> Place:
    """Four banks (a, b, c and d) with tables and a hub that coordinates; consortium.toml signed by nobody yet."""
    place = Place(tmp_path, veilsum)
    for seed, name in enumerate(("a", "b", "c", "d")):
        place.identity(name)
        rows(seed=seed).to_csv(place.path(name, "data.csv"), index=False)
    place.identity("hub")
    place.path("model.toml").write_text(place.ok("schema", place.path("a", "data.csv"), "--label", "late"))
    assert place.create(["a", "b", "c", "d"]).status == 0
    return place


def start(*words: object, cwd: Path = ROOT) -> "subprocess.Popen[str]":
    """A command in a process of its own."""
    return subprocess.Popen(
        [*COMMAND, *map(str, words)],
        cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(),
    )  # fmt: skip


def environment() -> dict[str, str]:
    import os

    return {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}


@pytest.fixture
def coordinator(place: Place) -> Iterator[str]:
    """The address of a running coordinator of `place`, a process of its own."""
    file = place.path("hub", "coordinator.toml")
    place.ok(
        "coordinator", "init", "--consortium", place.consortium, "--identity", place.path("hub"),
        "--listen", "127.0.0.1:0", "--out", file,
    )  # fmt: skip
    process = start("coordinator", file)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().rsplit(maxsplit=1)[1]
    finally:
        process.kill()
        process.communicate()
