"""Nothing of the demo outlives it, however it ends.

Its processes die with the one that started them. Its temporary folder belongs to a keeper, which removes it when the
last of them is gone: it waits for the end of a pipe whose other end each of them holds, and which the system closes
whatever kills them.
"""

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Self

_PR_SET_PDEATHSIG: Final = 1


def die_with_parent() -> None:
    """For a process whose standard input is a pipe from its parent: it ends at once when that pipe does.

    Linux ends it by itself. Elsewhere, and where the parent was gone before Linux was asked, a thread sees the end.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    threading.Thread(target=_end_with_stdin, daemon=True).start()


def _end_with_stdin() -> None:
    _wait_for_end_of_stdin()
    os._exit(1)


def _wait_for_end_of_stdin() -> None:
    while os.read(sys.stdin.fileno(), 1024):
        pass


class Keeper:
    """A temporary `folder` that is gone after `close`, or when this process and all holders of `descriptor` are."""

    def __init__(self) -> None:
        end, self.descriptor = os.pipe()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "veilsum.demo.guard"],
            stdin=end,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # an interrupt from the keyboard is not for it
        )
        os.close(end)
        assert self._process.stdout is not None
        self.folder = Path(self._process.stdout.readline().rstrip("\n"))

    def close(self) -> None:
        """The other holders must have ended."""
        os.close(self.descriptor)
        self._process.communicate()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


@contextmanager
def temporary_files_in(folder: Path) -> Iterator[None]:
    """For this process and those that it starts: what libraries cache, and what a killed process leaves, lies there."""
    before = os.environ.get("TMPDIR")
    os.environ["TMPDIR"] = tempfile.tempdir = str(folder)
    try:
        yield
    finally:
        tempfile.tempdir = None
        if before is None:
            del os.environ["TMPDIR"]
        else:
            os.environ["TMPDIR"] = before


def main() -> None:
    """The keeper's process."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    folder = tempfile.mkdtemp(prefix="veilsum-demo-")
    try:
        sys.stdout.write(f"{folder}\n")
        sys.stdout.flush()
        _wait_for_end_of_stdin()
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
