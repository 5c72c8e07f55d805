"""A contributor's machine as a process drives it: what changed its ledger leaves only when the ledger is on disk."""

import logging
from collections.abc import Callable

import trio

from mpc.field import FieldVector
from net.errors import NetError
from protocols.errors import LocalProtocolError
from protocols.ledger import Ledger
from protocols.machine import Contributor, Envelope

Keep = Callable[[Ledger], None]
"""Writes the ledger and returns when it is on disk. Called in a thread, before what changed it leaves."""

log = logging.getLogger("veilsum.party")


class Driven:
    """One machine in one session of the training step `fl_round`."""

    def __init__(self, machine: Contributor, fl_round: int, keep: Keep) -> None:
        self.machine = machine
        self._fl_round = fl_round
        self._keep = keep
        self._kept = machine.ledger
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
        if self.machine.ledger is not self._kept:
            self._keep(self.machine.ledger)
            self._kept = self.machine.ledger
        return envelopes
