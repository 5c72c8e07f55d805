"""The demo's processes: started, watched, and ended with the demo."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from queue import Empty, SimpleQueue
from signal import SIGKILL
from typing import IO, Any, Final, Self

from veilsum.demo.guard import Keeper
from veilsum.errors import Fault

LOOK_AROUND: Final = 0.2  # seconds
END_PATIENCE: Final = 30.0  # seconds for the banks to store the last model after the coordinator ended

Event = dict[str, Any]


class Crew:
    """Leaving the context kills whatever still runs."""

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper
        self._processes: dict[str, subprocess.Popen[str]] = {}
        self._logs: dict[str, Path] = {}

    def start(self, name: str, log: Path, *arguments: str, reports: bool = False) -> None:
        """Runs `veilsum.demo.child` with these arguments; what it says for people goes to `log`.

        reports: its standard output is for `events`.
        """
        with log.open("w", encoding="utf-8") as file:
            self._processes[name] = subprocess.Popen(
                [sys.executable, "-m", "veilsum.demo.child", *arguments],
                stdin=subprocess.PIPE,  # its end is how the child learns of ours
                stdout=subprocess.PIPE if reports else file,
                stderr=file,
                text=True,
                pass_fds=(self._keeper.descriptor,),
                start_new_session=True,  # an interrupt from the keyboard is for us to handle
            )
        self._logs[name] = log

    def events(self, name: str, expected_losses: frozenset[str]) -> Iterator[Event]:
        """What this process reports, until it ends. Raises Fault when one ends that should not."""
        lines: SimpleQueue[str] = SimpleQueue()
        threading.Thread(target=_read_lines, args=(self._processes[name].stdout, lines), daemon=True).start()
        while True:
            try:
                line = lines.get(timeout=LOOK_AROUND)
            except Empty:
                self._require_health(expected_losses)
                continue
            if not line:
                return
            yield json.loads(line)

    def finish(self, expected_losses: frozenset[str]) -> None:
        """Waits for all. Raises Fault when one did not end well."""
        for name, process in self._processes.items():
            try:
                process.wait(END_PATIENCE)
            except subprocess.TimeoutExpired as exc:
                raise Fault(f"{name} did not end: {self._last_words(name)}") from exc
        self._require_health(expected_losses)

    def _require_health(self, expected_losses: frozenset[str]) -> None:
        for name, process in self._processes.items():
            fine = (None, -SIGKILL) if name in expected_losses else (None, 0)
            if process.poll() not in fine:
                raise Fault(f"{name} stopped: {self._last_words(name)}")

    def _last_words(self, name: str) -> str:
        lines = self._logs[name].read_text(encoding="utf-8").splitlines()
        return lines[-1].removeprefix("veilsum: ") if lines else "without a word"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        for process in self._processes.values():
            process.kill()
        for process in self._processes.values():
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()


def _read_lines(output: IO[str], lines: "SimpleQueue[str]") -> None:
    """All lines, then an empty one."""
    try:
        for line in output:
            lines.put(line)
    finally:
        lines.put("")
