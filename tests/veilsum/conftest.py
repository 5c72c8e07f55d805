"""Commands as a person gives them, and a small consortium made by them."""

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import trio

from fl_integration.training import TrainingError
from fl_integration.workload import TabularWorkload, initial_payload
from mpc.randomness import SystemRandomness
from net.config import load_consortium, load_party
from net.errors import NetError
from net.events import BeforeSend
from net.party import run_party
from veilsum import cli
from veilsum.join import own_table

ROOT = Path(__file__).parents[2]
MAIN = "from veilsum.cli import main; main()"
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}


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
def veilsum() -> Veilsum:
    """Runs a command in this process."""
    return command


def command(*words: object) -> Said:
    out, err = StringIO(), StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", ["veilsum", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
    return Said(ended.value.code or 0, out.getvalue(), err.getvalue())


class Place:
    """A folder for each bank and one for the coordinator, each with an identity; one file that all hold."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, *parts: str) -> Path:
        return self.folder.joinpath(*parts)

    @property
    def consortium(self) -> Path:
        return self.path("consortium.toml")

    def ok(self, *words: object) -> str:
        """Standard output of a command that succeeds."""
        said = command(*words)
        assert (said.status, said.err) == (0, ""), said.err
        return said.out

    def identity(self, name: str) -> Path:
        self.ok("identity", "new", name, "--out", self.path(name))
        return self.path(name)

    def create(self, members: list[str], coordinator: str | None = "hub", **options: object) -> Said:
        chosen = {"colluding": 0, "losses": 1, "rounds": 1, "out": self.consortium, **options}
        cards = [self.path(name, f"{name}.card") for name in members]
        head = ["--coordinator", self.path(coordinator, f"{coordinator}.card")] if coordinator else []
        return command(
            "consortium", "create", "--members", *cards, *head,
            "--schema", self.path("model.toml"), *_as_words(chosen),
        )  # fmt: skip

    def party(self, name: str, address: str = "127.0.0.1:1", **options: object) -> Path:
        """party.toml of this bank."""
        out = self.path(name, "party.toml")
        self.ok(
            "party", "init", "--consortium", self.consortium, "--identity", self.path(name), "--data",
            self.path(name, "data.csv"), "--address", address, "--out", out,
            *_as_words(options),
        )  # fmt: skip
        return out

    def coordinator(self, listen: str = "127.0.0.1:0", patience: float = 60.0, attempts: int = 3) -> Path:
        """coordinator.toml of the hub."""
        out = self.path("hub", "coordinator.toml")
        out.unlink(missing_ok=True)
        words = ["--consortium", self.consortium, "--identity", self.path("hub"), "--listen", listen, "--out", out]
        self.ok("coordinator", "init", *words)
        text = out.read_text().replace("patience = 60.0", f"patience = {patience}")
        out.write_text(text.replace("attempts = 3", f"attempts = {attempts}"))
        return out

    def store_model(self, name: str) -> bytes:
        """Puts the model before the first round in a bank's folder, as the last one that was completed."""
        model = initial_payload(load_consortium(self.consortium).training)
        self.path(name, "model.npz").write_bytes(model)
        return model


def _as_words(options: dict[str, object]) -> list[object]:
    """A flag is given as True."""
    return [word for name, value in options.items() for word in (f"--{name}", value)[: 1 if value is True else 2]]


def rows(count: int = 120, seed: int = 0) -> pd.DataFrame:
    """A small table: a quarter positive, larger amounts and more cash among them."""
    rng = np.random.default_rng(seed)
    label = (np.arange(count) % 4 == 0).astype(int)
    return pd.DataFrame({
        "amount": np.round(rng.exponential(50.0, count) + 60 * label, 2),
        "kind": np.where(rng.random(count) < 0.2 + 0.6 * label, "cash", "card"),
        "late": label,
    })  # fmt: skip


@pytest.fixture(scope="session")
def original(tmp_path_factory) -> Place:
    """What `place` is a copy of: nothing in it is changed."""
    place = Place(tmp_path_factory.mktemp("place"))
    for seed, name in enumerate(("a", "b", "c", "d")):
        place.identity(name)
        rows(seed=seed).to_csv(place.path(name, "data.csv"), index=False)
    place.identity("hub")
    place.path("model.toml").write_text(place.ok("schema", place.path("a", "data.csv"), "--label", "late"))
    assert place.create(["a", "b", "c", "d"]).status == 0
    return place


@pytest.fixture
def place(original: Place, tmp_path: Path) -> Place:
    """Four banks (a, b, c and d) with tables and a hub that coordinates; consortium.toml signed by nobody yet."""
    return Place(shutil.copytree(original.folder, tmp_path / "place"))


Start = Callable[..., "subprocess.Popen[str]"]


@contextmanager
def processes() -> Iterator[Start]:
    """Starts commands in processes of their own; none outlives the context."""
    with ExitStack() as stack:

        def run(*words: object, code: str = MAIN, cwd: Path = ROOT) -> "subprocess.Popen[str]":
            process = subprocess.Popen(
                [sys.executable, "-c", code, *map(str, words)],
                cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT,
            )  # fmt: skip
            stack.callback(process.communicate)
            stack.callback(process.kill)
            return process

        yield run


@pytest.fixture
def start(bank) -> Iterator[Start]:
    """`processes`. They end before the banks do: a bank without a coordinator has no session to wait for."""
    with processes() as run:
        yield run


@pytest.fixture(scope="session")
def waiting_coordinator(original: Place) -> Iterator[str]:
    """The address of a coordinator of `original`'s consortium that waits for more parties than ever come."""
    with processes() as run:
        yield listening(run("coordinator", original.coordinator(patience=3600.0)))


def listening(process: "subprocess.Popen[str]") -> str:
    """Its address, once it listens."""
    assert process.stdout is not None
    return process.stdout.readline().rsplit(maxsplit=1)[1]


@pytest.fixture
def coordinator(place: Place, start: Start) -> str:
    """The address of a coordinator of `place`."""
    return listening(start("coordinator", place.coordinator()))


class Bank(threading.Thread):
    """A bank's party as a thread of the tests' process: as `veilsum party`, but there at once."""

    def __init__(self, file: Path, before_send: BeforeSend) -> None:
        super().__init__()
        self._config = load_party(file)
        self._before_send = before_send
        self._running: tuple[trio.lowlevel.TrioToken, trio.Event] | None = None
        self.error: Exception | None = None

    def run(self) -> None:
        try:
            trio.run(self._take_part)
        except (NetError, TrainingError) as exc:
            self.error = exc

    async def _take_part(self) -> None:
        stop = trio.Event()
        self._running = (trio.lowlevel.current_trio_token(), stop)
        consortium = load_consortium(self._config.consortium)
        workload = TabularWorkload(
            consortium.training,
            clients=len(consortium.members),
            max_weight=consortium.max_weight,
            data=own_table(self._config, consortium),
            rand=SystemRandomness(),
        )
        initial = initial_payload(consortium.training)
        await run_party(self._config, workload, initial, before_send=self._before_send, stop=stop)

    def end(self) -> None:
        """Between sessions, if it has not ended yet."""
        with suppress(trio.RunFinishedError):
            if self._running is not None:
                token, stop = self._running
                token.run_sync_soon(stop.set)
        self.join()


@pytest.fixture
def bank() -> Iterator[Callable[..., Bank]]:
    """Starts a bank from its party.toml; none outlives the test."""
    banks: list[Bank] = []

    def run(file: Path, before_send: BeforeSend = lambda _round, _message: None) -> Bank:
        banks.append(Bank(file, before_send))
        banks[-1].start()
        return banks[-1]

    yield run
    for one in banks:
        one.end()
