"""The files of a consortium in a folder, and its processes: `process.py`, started, killed and started again."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Self

from crashing import Crash

from net.config import (
    Address,
    CoordinatorConfig,
    PartyConfig,
    PartyTerms,
    dump_consortium,
    dump_coordinator,
    dump_party,
)
from net.policy import Policy, RoundPolicy
from net.store import Keys, write_keys
from protocols.roster import Consortium

SCRIPT = Path(__file__).with_name("process.py")
ROOT = Path(__file__).parents[2]
DEADLINE = 20.0  # seconds: the patience of a round, which no session of these tests may need
LOOPBACK = "127.0.0.1"

Process = subprocess.Popen[str]


class Launcher:
    """Leaving the context kills whatever still runs. patience: seconds for which a bank dials. grace: seconds in which
    it may come back.
    """

    def __init__(
        self,
        folder: Path,
        consortium: Consortium,
        keys: dict[str, Keys],
        *,
        patience: float = 2.0,
        grace: float = 0.0,
    ) -> None:
        self._folder = folder
        self._consortium = consortium
        self._patience = patience
        self._grace = grace
        self._started: list[Process] = []
        self.port = 0
        (folder / "consortium.toml").write_text(dump_consortium(consortium))
        for name, own in keys.items():
            write_keys(folder / f"{name}.key", own)

    def coordinator(self, steps: int, *, hold: int = 0, crash: Crash | None = None) -> Process:
        """Listens when this returns; again where it did before. hold: the step whose sum it holds back until it is
        told to go on. crash: where it kills itself."""
        config = CoordinatorConfig(
            consortium=self._folder / "consortium.toml",
            identity=self._folder / "coordinator.key",
            payload=self._folder / "coordinator.model",
            listen=Address(LOOPBACK, self.port),
            policy=Policy(RoundPolicy(patience=DEADLINE), attempts=1, grace=self._grace),
        )
        path = self._folder / "coordinator.toml"
        path.write_text(dump_coordinator(config, self._folder))
        process = self._start("coordinator", path, steps, hold, crash=crash)
        self.port = heard(process, "port")["port"]
        return process

    def bank(self, place: int, steps: int, *, kill_at: str = "nothing", crash: Crash | None = None) -> Process:
        """kill_at: the stage of step 2 in which it kills itself. crash: where it does so else."""
        config = PartyConfig(
            consortium=self._folder / "consortium.toml",
            identity=self._folder / f"bank-{place}.key",
            payload=self._folder / f"bank-{place}.model",
            address=Address(LOOPBACK, self.port),
            data=self._folder / "unused.csv",
            terms=PartyTerms(max_colluding=self._consortium.colluding, variant=self._consortium.variant),
            patience=self._patience,
        )
        path = self._folder / f"bank-{place}.toml"
        path.write_text(dump_party(config, self._folder))
        return self._start("party", path, place, steps, kill_at, crash=crash)

    def _start(self, *arguments: object, crash: Crash | None) -> Process:
        process = subprocess.Popen(
            [sys.executable, str(SCRIPT), *map(str, arguments)],
            env={"PYTHONPATH": str(ROOT), **({"CRASH": str(crash)} if crash else {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._started.append(process)
        return process

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        for process in self._started:
            process.kill()
            process.communicate()


def heard(process: Process, key: str, value: object = None) -> dict[str, Any]:
    """The next line that has this key, with this value where one is named; those before it are read past."""
    assert process.stdout is not None
    for text in process.stdout:
        line: dict[str, Any] = json.loads(text)
        if key in line and value in (None, line[key]):
            return line
    raise AssertionError(f"it ended without {key}: {process.communicate()[1]}")


def lines(process: Process) -> tuple[list[dict[str, Any]], str]:
    """What it still says, and its standard error, when it has ended."""
    out, err = process.communicate(timeout=60)
    return [json.loads(line) for line in out.splitlines()], err
