"""What this party has answered before, while its process runs: in memory, and on disk before anything leaves."""

import logging
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from mpc.field import FieldVector
from mpc.keys import SigningKey
from mpc.randomness import SystemRandomness
from net.workload import KnowsItsInput, Workload
from protocols.errors import LocalProtocolError, PartyId
from protocols.ledger import NOTHING_ANSWERED, ONE_VERSION, Keeper, Ledger, contribution_key, differencing_key
from protocols.machine import Contributor, HandsOn
from protocols.session import Subject, Terms

M = TypeVar("M", bound=Contributor)

log = logging.getLogger("veilsum.party")


class Answered:
    """A party's ledger, one session after the other. `read`, `keep` and what `contribution` gives are for a thread.

    A process takes up no session of another: whatever stands open when the next one begins is given up for good. Only
    an epoch goes from one to the next, in memory: a process that starts has none.
    """

    def __init__(self, keeper: Keeper, workload: Workload) -> None:
        self._keeper = keeper
        self._workload = workload
        self._knowing = workload if isinstance(workload, KnowsItsInput) else None
        self._ledger = NOTHING_ANSWERED
        self._epoch: Any = None

    def read(self) -> None:
        self._ledger = self._keeper.read()

    def keep(self, ledger: Ledger) -> None:
        self._keeper.write(ledger)
        self._ledger = ledger

    def machine(self, make: Callable[..., M], me: PartyId, identity: SigningKey, terms: Terms, payload: bytes) -> M:
        """That of the next session. An epoch that is left goes into it, once."""
        if self._knowing and not self._knowing.retrains(payload):
            terms = replace(terms, retries_after_reveal=0)
        make = partial(
            make, me, identity=identity, terms=terms, rand=SystemRandomness(), local_version=self._local_version
        )
        epoch, self._epoch = self._epoch, None
        if epoch is not None:
            try:
                return make(ledger=self._ledger.burnt(but=epoch.name), epoch=epoch)
            except LocalProtocolError as exc:
                log.warning("our keys for the rounds to come are given up, others are made in their place: %s", exc)
        return make(ledger=self._ledger.burnt())

    def ended(self, machine: Contributor) -> None:
        """Its session is over, with a sum or without: the machine says what may be kept of an epoch."""
        self._epoch = machine.epoch if isinstance(machine, HandsOn) else None

    def contribution(self, subject: Subject) -> Callable[[bytes], FieldVector]:
        """How the workload makes this session's input: anew where a sum of it has been answered for, by whatever
        process, or where a committee may have opened one since.
        """
        key = differencing_key(subject, self._local_version)
        if self._knowing and (self._ledger.times(key) or self._ledger.times(contribution_key(key))):
            return self._knowing.contribute_again
        return self._workload.contribute

    @property
    def _local_version(self) -> bytes:
        return self._knowing.local_version if self._knowing else ONE_VERSION
