"""What a coordinator needs to take its session up again: its machine's snapshot, and what it has said to whom.

A step that says something is on disk before that leaves: what it says, once; then where the machine stands, and how
many frames of each party it has had; then the head, which leads to the newest step, and that to the one before it. What
parties sent after it they send again. The head has two places that are written in turn: where the newest step was torn,
the one before it is taken, and nothing is forgotten that had left.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from mpc.keys import SigningKey
from net.control import Task
from net.errors import JournalError
from net.journal import SALT_BYTES, Journal, Piece, storage_key
from protocols.errors import PartyId, WireError
from protocols.session import Digest
from protocols.wire import Codec, PartySet

Words = tuple[tuple[PartyId, ...], bytes]
"""An encoded message, and whom it is for."""

_NUMBER: Final = 8
_PLACE: Final = 3 * _NUMBER + SALT_BYTES  # of the head: number of the step, where its piece lies, its length, its salt
_PLACES: Final = 2


@dataclass(frozen=True, slots=True)
class KeptWords:
    recipients: PartySet
    body: Piece


@dataclass(frozen=True, slots=True)
class KeptStep:
    """before: the step before it. said: in this one. taken: of each party's frames, so many."""

    task: Task
    consortium: Digest
    members: PartySet
    before: Piece | None
    said: tuple[KeptWords, ...]
    taken: Mapping[PartyId, int]
    snapshot: Piece


@dataclass(frozen=True, slots=True)
class OpenSession:
    """One that can be taken up. members: who was in it. taken: of each one's frames, so many."""

    task: Task
    members: PartySet
    taken: Mapping[PartyId, int]
    snapshot: bytes = field(repr=False)


_CODEC: Final = Codec(KeptStep, own=True)


class CoordinatorJournal:
    """All calls but `begin` and `sent_to` are for a thread. Those that write raise NetError, others JournalError."""

    def __init__(self, path: Path, identity: SigningKey, consortium: Digest) -> None:
        self._file = Journal(path, storage_key(identity, "coordinator"), head=_PLACES * _PLACE)
        self._consortium = consortium
        self._begin_with: tuple[Task, PartySet]
        self._number = 0  # of the newest step
        self._last: Piece | None = None
        self._words: list[KeptWords] = []

    def read(self) -> OpenSession | None:
        """The session that was open when a process ended; from here on it is ours. None where there is none."""
        if not self._file.path.exists():
            return None
        places = sorted(_places(self._file.read_head()), key=lambda place: place[0], reverse=True)
        if not places:
            return None
        step = self._newest(places)
        if step.consortium != self._consortium:
            raise JournalError(f"{self._file.path}: of another consortium's file")
        self._words = self._all_words(step)
        self._begin_with = step.task, step.members
        assert self._last is not None
        self._file.resume(self._last)
        return OpenSession(step.task, step.members, step.taken, self._file.read(step.snapshot))

    def begin(self, task: Task, members: PartySet) -> None:
        """What is written next is of another session: it takes the place of what is there."""
        self._begin_with = task, members
        self._number, self._last, self._words = 0, None, []

    def write(self, said: Sequence[Words], taken: Mapping[PartyId, int], snapshot: bytes) -> None:
        """One step on, on disk."""
        if self._last is None:
            self._file.begin()
        words = tuple(KeptWords(frozenset(recipients), self._file.put(body)) for recipients, body in said)
        task, members = self._begin_with
        kept = self._file.put(snapshot)
        step = KeptStep(task, self._consortium, members, self._last, words, taken, kept)
        self._last = self._file.put(_CODEC.encode(step))
        self._number += 1
        self._file.write_head(self._number % _PLACES * _PLACE, _place(self._number, self._last))
        self._file.sync()
        self._words += words

    def sent_to(self, party: PartyId) -> int:
        """How many messages."""
        return sum(party in words.recipients for words in self._words)

    def bodies(self, party: PartyId, since: int) -> list[bytes]:
        """What was said to it, without the first `since`."""
        told = [words.body for words in self._words if party in words.recipients]
        return [self._file.read(body) for body in told[since:]]

    def end(self) -> None:
        """The session is over: it is never taken up again. What was said in it can still be sent again."""
        if self._last is not None:
            self._file.write_head(0, bytes(_PLACES * _PLACE))
            self._file.sync()

    def leave(self, snapshot: bytes) -> None:
        """A machine that has ended stays, for what it hands on; nothing of what was said does."""
        self.begin(*self._begin_with)
        self.write([], {}, snapshot)

    def erase(self) -> None:
        self._file.erase()
        self._last = None

    def close(self) -> None:
        """This process ends. What is on disk stays."""
        self._file.close()

    def _newest(self, places: Sequence[tuple[int, Piece]]) -> KeptStep:
        """The newest that is whole. Raises JournalError where none is."""
        *newer, oldest = places
        for place in newer:
            with suppress(JournalError):
                return self._step_at(*place)
        return self._step_at(*oldest)

    def _step_at(self, number: int, piece: Piece) -> KeptStep:
        step = self._step(piece)
        self._number, self._last = number, piece
        return step

    def _all_words(self, step: KeptStep) -> list[KeptWords]:
        """From the first step of the session on."""
        steps = [step]
        while (before := steps[-1].before) is not None:
            steps.append(self._step(before))
        return [words for one in reversed(steps) for words in one.said]

    def _step(self, piece: Piece) -> KeptStep:
        try:
            step: KeptStep = _CODEC.decode(self._file.read(piece))
        except WireError as exc:
            raise JournalError(f"{self._file.path}: not a journal of this version") from exc
        return step


def _place(number: int, piece: Piece) -> bytes:
    return b"".join(one.to_bytes(_NUMBER, "big") for one in (number, piece.at, piece.length)) + piece.salt


def _places(head: bytes) -> Iterator[tuple[int, Piece]]:
    """Those that are written. What a damaged one leads to does not open."""
    for start in range(0, len(head), _PLACE):
        place = head[start : start + _PLACE]
        number, at, length = (int.from_bytes(place[_NUMBER * one : _NUMBER * (one + 1)], "big") for one in range(3))
        if number:
            yield number, Piece(at, length, place[3 * _NUMBER :])
