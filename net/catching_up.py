"""One connection's part of a party's records: nothing builds on the coordinator's chain before ours is as long."""

from typing import Final

from net.control import Finished, Records, Task, WantRecords
from net.peer import Peer
from net.recorder import MOST_AT_ONCE
from net.witness import Witness
from protocols.record import Head

Waiting = Task | Finished


class CatchingUp:
    """apart: why our chain and the coordinator's are not one; None where they are, or will be."""

    def __init__(self, witness: Witness) -> None:
        self.apart: str | None = None
        self._witness: Final = witness
        self._theirs = witness.head
        self._asked_from = 0
        self._waiting: Waiting | None = None

    def takes(self, peer: Peer, message: object) -> bool:
        """Whether this is for us: where the coordinator's chain ends, or a task, or the end, before ours is as long.
        `receive` returns what waited here; the newest does.
        """
        match message:
            case Records():
                self._announced(peer, message)
                return True
            case Task() | Finished() if self._is_behind:
                self._waiting = message
                return True
            case _:
                return False

    def _announced(self, peer: Peer, message: Records) -> None:
        self._theirs = Head(message.number, message.digest)
        self._waiting = None
        self.apart = self._difference()
        if self._is_behind:
            self._ask(peer)

    async def receive(self, peer: Peer, record: bytes) -> Waiting | None:
        """One that came, asked for or not. Returns what may go on now."""
        await self._witness.receive(record)
        if self._witness.head.number > self._theirs.number:
            self._theirs = self._witness.head
        self.apart = self.apart or self._difference()
        if self._is_behind:
            if self._witness.head.number == self._asked_from + MOST_AT_ONCE:
                self._ask(peer)
            return None
        going_on, self._waiting = self._waiting, None
        return going_on

    def _ask(self, peer: Peer) -> None:
        self._asked_from = self._witness.head.number
        peer.say(WantRecords(self._asked_from))

    @property
    def _is_behind(self) -> bool:
        return self.apart is None and self._witness.head.number < self._theirs.number

    def _difference(self) -> str | None:
        own, theirs = self._witness.head, self._theirs
        if self._witness.distrust is not None:
            return f"the coordinator's records cannot be believed: {self._witness.distrust}"
        if own.number > theirs.number:
            return (
                f"the coordinator's records end at {theirs.number} and ours at {own.number}: "
                f"it has lost some, and can copy our file"
            )
        if own.number == theirs.number and own.digest != theirs.digest:
            return f"the coordinator's record {theirs.number} is not the one that we hold: its history was forked"
        return None
