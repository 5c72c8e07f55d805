"""What is fuzzed: a function of bytes that returns, whatever they are, unless something is wrong."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, TypeVar

CORPUS = Path(__file__).parent / "corpus"
"""Every finding, by the name of its target: played again by each test run."""

OneInput = Callable[[bytes], None]
Mutate = Callable[[bytes, Random], bytes]
T = TypeVar("T")


@dataclass(frozen=True)
class Target:
    """one_input: raises where the invariant that its docstring names does not hold. seeds: inputs to begin with, good
    ones. share: its part of a run's inputs, chosen so that wires get most of them and all else some minutes; of all
    targets together some 50,000. words: bytes that mean something to it. mutate: changes an input in a way that knows
    its structure; None where bytes are all that there is to know.
    """

    name: str
    one_input: OneInput
    seeds: Callable[[], Sequence[bytes]]
    share: int
    words: tuple[bytes, ...] = ()
    mutate: Mutate | None = None

    @property
    def kept(self) -> list[Path]:
        """Inputs that were findings once."""
        return sorted((CORPUS / self.name).glob("*")) if (CORPUS / self.name).is_dir() else []


class Bytes:
    """An input, read as a row of choices. Where it is at its end every choice is the first."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def left(self) -> int:
        return len(self._data) - self._at

    def take(self, count: int) -> bytes:
        """Up to so many of the next bytes."""
        taken = self._data[self._at : self._at + count]
        self._at += len(taken)
        return taken

    def rest(self) -> bytes:
        return self.take(self.left)

    def randrange(self, stop: int) -> int:
        """0..stop-1, from one byte, or two where one is too few. As the method of `Random`."""
        return int.from_bytes(self.take(1 if stop <= 256 else 2), "little") % stop

    def choice(self, options: Sequence[T]) -> T:
        """As the method of `Random`."""
        return options[self.randrange(len(options))]


def blocks(data: Bytes, size: int, most: int) -> Iterator[Bytes]:
    """The next bytes, so many at a time, until nothing is left or there were enough."""
    for _ in range(most):
        if not data.left:
            return
        yield Bytes(data.take(size))


def require(holds: Any, text: str) -> None:
    """An assertion that `python -O` does not take out."""
    if not holds:
        raise AssertionError(text)
