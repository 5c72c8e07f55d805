"""What this party has answered before, while its process runs: in memory, and on disk before anything leaves."""

import logging
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from mpc.field import FieldVector
from mpc.keys import SigningKey
from mpc.randomness import SystemRandomness
from net.journal import Piece
from net.ledger_file import JournaledKeeper
from net.workload import KnowsItsInput, Workload
from protocols.errors import LocalProtocolError, PartyId
from protocols.family import Restore
from protocols.ledger import NOTHING_ANSWERED, ONE_VERSION, Ledger, contribution_key, differencing_key
from protocols.machine import Contributor, HandsOn
from protocols.session import Subject, Terms

M = TypeVar("M", bound=Contributor)

log = logging.getLogger("veilsum.party")


class Answered:
    """A party's ledger, one session after the other. `read`, `keep` and what `contribution` gives are for a thread.

    Whatever stands open when the next session begins is given up for good; only an epoch goes from one to the next.
    """

    def __init__(self, keeper: JournaledKeeper, workload: Workload) -> None:
        self._keeper = keeper
        self._workload = workload
        self._knowing = workload if isinstance(workload, KnowsItsInput) else None
        self._ledger = NOTHING_ANSWERED
        self._last: Piece | None = None
        self._epoch: Any = None

    def read(self) -> Piece | None:
        """Which piece of the journal goes with it, where a session is open that can be taken up."""
        self._ledger, self._last = self._keeper.read_journaled()
        return self._last

    def keep(self, ledger: Ledger, last: Piece | None = None) -> None:
        """On disk first, then believed. last: the piece of the journal that goes with it."""
        if (ledger, last) != (self._ledger, self._last):
            self._keeper.write(ledger, last)
            self._ledger, self._last = ledger, last

    @property
    def burnt(self) -> Ledger:
        """Every session that is open is given up."""
        return self._ledger.burnt()

    def machine(self, make: Callable[..., M], me: PartyId, identity: SigningKey, terms: Terms, payload: bytes) -> M:
        """That of the next session. An epoch that is left goes into it, once."""
        if self._knowing and not self._knowing.retrains(payload):
            terms = replace(terms, retries_after_reveal=0)
        make = partial(
            make, me, identity=identity, terms=terms, rand=SystemRandomness(), local_version=self.local_version
        )
        epoch, self._epoch = self._epoch, None
        if epoch is not None:
            try:
                return make(ledger=self._ledger.burnt(but=epoch.name), epoch=epoch)
            except LocalProtocolError as exc:
                log.warning("our keys for the rounds to come are given up, others are made in their place: %s", exc)
        return make(ledger=self._ledger.burnt())

    def restored(self, restore: Restore, snapshot: bytes, identity: SigningKey) -> Contributor:
        """That of the session that another process of this party began. Raises ProtocolError unless the ledger is the
        one that was written with the snapshot."""
        return restore(snapshot, identity=identity, rand=SystemRandomness(), ledger=self._ledger)

    def ended(self, machine: Contributor) -> None:
        """Its session is over, with a sum or without: the machine says what may be kept of an epoch."""
        self._epoch = machine.epoch if isinstance(machine, HandsOn) else None

    def contribution(self, subject: Subject) -> Callable[[bytes], FieldVector]:
        """How the workload makes this session's input: anew where a sum of it has been answered for, by whatever
        process, or where a committee may have opened one since.
        """
        key = differencing_key(subject, self.local_version)
        if self._knowing and (self._ledger.times(key) or self._ledger.times(contribution_key(key))):
            return self._knowing.contribute_again
        return self._workload.contribute

    @property
    def local_version(self) -> bytes:
        return self._knowing.local_version if self._knowing else ONE_VERSION
