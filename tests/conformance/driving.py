"""Sessions of any protocol: held in order through the exchange, or with a network that has no manners."""

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

import numpy as np
from cases import AnyRoom, Case, contributors
from disorder import flipped
from restored import Restored

from protocols.errors import SERVER, AbortReason, LocalProtocolError, PartyId, PeerMisbehaved
from protocols.exchange import Exchange, Tap
from protocols.ledger import NOTHING_ANSWERED, Ledger
from protocols.machine import Aborted, Aggregate, Envelope, Finished
from protocols.wire import PartySet

Frame = tuple[PartyId, PartyId, bytes]


@dataclass
class Held:
    """A session that has been held. machines: of those that were there to the end."""

    room: AnyRoom
    machines: dict[PartyId, Any]

    @property
    def aggregates(self) -> list[Aggregate]:
        outcomes = [machine.outcome for machine in self.machines.values()]
        return [outcome.aggregate for outcome in outcomes if isinstance(outcome, Finished)]

    @property
    def included(self) -> PartySet:
        return self.aggregates[0].included if self.aggregates else frozenset()

    def require_no_result(self) -> None:
        for party, machine in self.machines.items():
            assert isinstance(machine.outcome, Aborted), f"party {party}: {machine.outcome}"

    def require_exact(self, included: PartySet | None) -> None:
        """The sum over exactly `included`; None: over whomever it says, or there is none. The others were told."""
        for party, machine in self.machines.items():
            assert machine.outcome is not None, f"party {party} hangs in {machine.round.value}"
        for aggregate in self.aggregates:
            assert np.array_equal(aggregate.vector, self.room.plain_sum(aggregate.included))
        assert len({aggregate.included for aggregate in self.aggregates}) <= 1
        if included is not None:
            assert self.included == included
            for party, machine in contributors(self.machines).items():
                assert isinstance(machine.outcome, Finished), f"party {party}: {machine.outcome}"


def hold(
    room: AnyRoom,
    case: Case,
    vanish: Mapping[int, Any] | None = None,
    *,
    machines: Mapping[PartyId, Any] | None = None,
    tap: Tap | None = None,
) -> Held:
    gone = {PartyId(party): stage for party, stage in (vanish or {}).items()}
    exchange = Exchange(machines or room.machines(), case.family.codec, vanish=gone, tap=tap)
    exchange.run()
    return Held(room, dict(exchange.machines))


def restored(room: AnyRoom, case: Case) -> dict[PartyId, Any]:
    """The room's machines, each taken up from its snapshot for every call."""
    return {
        party: Restored(machine, lambda kept, ledger, party=party: case.wake(room, party, kept, ledger))
        for party, machine in room.machines().items()
    }


@dataclass(frozen=True)
class Kept:
    """What a party would have on disk after a step. open: the session had begun for it, and not ended."""

    snapshot: bytes
    ledger: Ledger
    open: bool


class Muddle:
    """The room's machines and every frame that they sent. A refusal must leave no trace.

    chance: decides what comes next in a disorder; not needed where there is none.
    """

    def __init__(self, room: AnyRoom, case: Case, chance: Random | None = None, *, flips: bool = False) -> None:
        self.room, self.case = room, case
        self.machines: dict[PartyId, Any] = dict(room.machines())
        self.sent: list[Frame] = []
        self.kept: dict[PartyId, list[Kept]] = {party: [] for party in contributors(self.machines)}
        self.believed_a_flip = False
        self._flips = flips
        self._decider = chance
        self._waiting: list[Frame] = []
        for party, machine in self.machines.items():
            self._post(party, machine.start())

    @property
    def held(self) -> Held:
        return Held(self.room, self.machines)

    @property
    def _chance(self) -> Random:
        assert self._decider is not None, "a disorder needs somebody who decides"
        return self._decider

    def run(self, disorder: int = 0) -> "Muddle":
        """So many steps of disorder, then what still waits, in order, until nothing moves; then all give up."""
        for _ in range(disorder):
            self._step()
        while self._deliver_all() or self._close_some():
            pass
        for party in (SERVER, *contributors(self.machines)):  # a server tells the others
            if party in self.machines:
                self._post(party, self.machines[party].abort(AbortReason.TOO_FEW))
                self._deliver_all()
        return self

    def _step(self) -> None:
        kind = self._chance.randrange(16)
        if kind == 0:
            self._close_some()
        elif kind == 1 and self._flips and self.sent:
            self._deliver_changed(*self._chance.choice(self.sent))
        elif kind in (2, 3) and self.sent:
            self._deliver(*self._chance.choice(self.sent))  # again, or before its turn
        elif self._waiting:
            self._deliver(*self._waiting.pop(self._chance.randrange(len(self._waiting))))

    def _deliver_all(self) -> bool:
        moved = bool(self._waiting)
        while self._waiting:
            self._deliver(*self._waiting.pop(0))
        return moved

    def _close_some(self) -> bool:
        able = [party for party, machine in self.machines.items() if machine.outcome is None and machine.can_close]
        for party in able:
            self._post(party, self.machines[party].close_round())
        return bool(able)

    def _deliver(self, sender: PartyId, recipient: PartyId, data: bytes) -> bool:
        """Whether it was taken."""
        machine = self.machines[recipient]
        before = machine.snapshot()
        try:
            envelopes = machine.receive(sender, self.case.family.codec.decode(data))
        except (PeerMisbehaved, LocalProtocolError):
            assert machine.snapshot() == before
            return False
        self._post(recipient, envelopes)
        return True

    def _deliver_changed(self, sender: PartyId, recipient: PartyId, data: bytes) -> None:
        changed = flipped(data, self.case.family.codec, self._chance)
        if changed is not None:
            self.believed_a_flip |= self._deliver(sender, recipient, changed)

    def _post(self, sender: PartyId, envelopes: list[Envelope]) -> None:
        machine = self.machines[sender]
        if sender in self.kept:
            ledger = getattr(machine, "ledger", NOTHING_ANSWERED)
            self.kept[sender].append(
                Kept(machine.snapshot(), ledger, machine.outcome is None and bool(ledger.sessions))
            )
        for envelope in envelopes:
            data = self.case.family.codec.encode(envelope.message)
            for recipient in envelope.recipients:
                self.sent.append((sender, recipient, data))
                self._waiting.append((sender, recipient, data))
