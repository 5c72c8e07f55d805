"""Machines that compute each step once: who plays one session a thousand times pays for what is new in it.

A step that was computed is known by all that led to it, so an input has one result whatever was played before it.
"""

from collections.abc import Callable
from functools import cached_property, partial
from typing import Any, Final

from protocols.errors import AbortReason, DropReason, PartyId, PeerMisbehaved, ProtocolError
from protocols.machine import Envelope
from protocols.wire import Codec

MOST_STANDS: Final = 5000  # some 100 MB

Waking = Callable[[bytes, Any], Any]
"""Snapshot and ledger -> the machine."""

_stands = [0]


class Stand:
    """A machine where it stands, which is called no more, and where each call leads to."""

    def __init__(self, machine: Any, again: Callable[[], Any]) -> None:
        self.machine: Final = machine
        self.again: Final = again
        self.after: dict[Any, tuple[list[Envelope] | ProtocolError, Stand]] = {}
        self._seen: dict[str, Any] = {}
        _stands[0] += 1

    def see(self, name: str) -> Any:
        if name not in self._seen:
            self._seen[name] = getattr(self.machine, name)
        return self._seen[name]

    @cached_property
    def snapshot(self) -> bytes:
        snapshot: bytes = self.machine.snapshot()
        return snapshot


class Remembered:
    """As the machine that `make` makes, in the same way each time, for whoever drives it."""

    def __init__(self, codec: Codec, make: Callable[[], Any], wake: Waking) -> None:
        self._codec = codec
        self._wake = wake
        self._at = Stand(make(), make)

    def fresh(self) -> "Remembered":
        """Another one, where this one stands."""
        other = object.__new__(Remembered)
        other._codec, other._wake, other._at = self._codec, self._wake, self._at
        return other

    def __getattr__(self, name: str) -> Any:
        return self._at.see(name)

    def snapshot(self) -> bytes:
        return self._at.snapshot

    @property
    def seen(self) -> Any:
        return self._at.see("seen")

    def set_input(self, vector: Any) -> None:
        self._call(("set_input", vector.tobytes()), lambda machine: machine.set_input(vector) or [])

    def start(self) -> list[Envelope]:
        return self._call("start", lambda machine: machine.start())

    def receive(self, sender: PartyId, message: Any) -> list[Envelope]:
        key = "receive", sender, self._codec.encode(message)
        return self._call(key, lambda machine: machine.receive(sender, message))

    def drop(self, party: PartyId, reason: DropReason) -> list[Envelope]:
        return self._call(("drop", party, reason), lambda machine: machine.drop(party, reason))

    def close_round(self) -> list[Envelope]:
        return self._call("close", lambda machine: machine.close_round())

    def abort(self, reason: AbortReason) -> list[Envelope]:
        return self._call(("abort", reason), lambda machine: machine.abort(reason))

    def _call(self, key: Any, call: Callable[[Any], list[Envelope]]) -> list[Envelope]:
        if key not in self._at.after:
            self._at.after[key] = self._first(call)
        said, self._at = self._at.after[key]
        if isinstance(said, PeerMisbehaved):
            raise PeerMisbehaved(said.sender, said.reason, said.detail)
        if isinstance(said, ProtocolError):
            raise type(said)(*said.args)
        return said

    def _first(self, call: Callable[[Any], list[Envelope]]) -> tuple[list[Envelope] | ProtocolError, Stand]:
        machine = self._at.again()
        try:
            said = call(machine)
        except ProtocolError as exc:
            return exc, self._at
        again = partial(self._wake, machine.snapshot(), getattr(machine, "ledger", None))
        return said, Stand(machine, again)


class Memory:
    """Remembered machines by what made them; empty again when they are many."""

    def __init__(self) -> None:
        self._first: dict[Any, Remembered] = {}

    def machine(self, key: Any, codec: Codec, make: Callable[[], Any], wake: Waking) -> Remembered:
        """make: of this key always the same."""
        if _stands[0] > MOST_STANDS:
            self.forget()
        if key not in self._first:
            self._first[key] = Remembered(codec, make, wake)
        return self._first[key].fresh()

    def forget(self) -> None:
        self._first.clear()
        _stands[0] = 0


MEMORY: Final = Memory()
