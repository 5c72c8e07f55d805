"""What went wrong with an input: counted by where, the first of each kept as a file."""

import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import fuzz_target
from fuzz_target import OneInput


@dataclass
class Findings:
    """folder: where inputs are kept, each with its traceback beside it. by_place: exception and line -> how often."""

    folder: Path
    by_place: Counter[str] = field(default_factory=Counter)

    def watched(self, one_input: OneInput) -> Callable[[bytes], None]:
        """As `one_input`, but goes on after an error."""

        def watch(data: bytes) -> None:
            try:
                one_input(data)
            except Exception as exc:  # any of them is what is looked for
                self._note(data, exc)

        return watch

    def _note(self, data: bytes, exc: Exception) -> None:
        place = where(exc)
        self.by_place[place] += 1
        if self.by_place[place] > 1:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        kept = self.folder / sha256(data).hexdigest()[:16]
        kept.write_bytes(data)
        kept.with_suffix(".txt").write_text("".join(traceback.format_exception(exc)), encoding="utf-8")


def where(exc: BaseException) -> str:
    """What was raised, and by which line; of several at once, the first."""
    while isinstance(exc, BaseExceptionGroup):
        exc = exc.exceptions[0]
    frames = [one for one in traceback.extract_tb(exc.__traceback__) if one.filename != fuzz_target.__file__]
    return f"{type(exc).__name__} at {frames[-1].filename}:{frames[-1].lineno}"


def kept_in(folder: Path) -> list[Path]:
    """The inputs of a folder of findings."""
    return sorted(path for path in folder.glob("*") if path.suffix != ".txt") if folder.is_dir() else []
