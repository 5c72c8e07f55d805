"""A contributor's machine as a process drives it: what a step says leaves only when what must outlive us is on disk."""

import logging
from collections.abc import Callable

import trio

from mpc.field import FieldVector
from net.errors import NetError
from protocols.errors import LocalProtocolError
from protocols.machine import Contributor, Envelope

Write = Callable[[list[Envelope]], None]
"""Returns when whatever a step changed, and said, is on disk. Called in a thread, before any of it leaves."""

log = logging.getLogger("veilsum.party")


class Driven:
    """One machine in one session of the training step `fl_round`."""

    def __init__(self, machine: Contributor, fl_round: int, write: Write) -> None:
        self.machine = machine
        self._fl_round = fl_round
        self._write = write
        self._warned = 0

    async def step(self, call: Callable[[], list[Envelope]]) -> list[Envelope]:
        """One call of the machine, in a thread because some take seconds. What it returns may leave now."""
        envelopes = await trio.to_thread.run_sync(self._journaled, call)
        for caution in self.machine.warnings[self._warned :]:
            log.warning("step %d: %s", self._fl_round, caution)
        self._warned = len(self.machine.warnings)
        return envelopes

    async def set_input(self, vector: FieldVector) -> None:
        """Raises NetError for a vector that the session does not sum."""
        try:
            await trio.to_thread.run_sync(self.machine.set_input, vector)
        except LocalProtocolError as exc:
            raise NetError(
                f"step {self._fl_round}: our contribution cannot be summed with the others' ({exc}): "
                f"install the same version on all sides"
            ) from exc

    def _journaled(self, call: Callable[[], list[Envelope]]) -> list[Envelope]:
        envelopes = call()
        self._write(envelopes)
        return envelopes
