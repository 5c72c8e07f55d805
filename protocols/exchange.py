"""Joins machines in memory and lets them talk until they rest: the driver with no network, no clock and no threads.

The one loop behind the facade's local mode, the attack gallery, the bench and the tests. Every message passes through
the wire encoding, as it would between processes.
"""

from collections import deque
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any

from protocols.errors import SERVER, AbortReason, DropReason, PartyId, PeerMisbehaved, WireError
from protocols.machine import Envelope, Machine, Outcome
from protocols.wire import Codec

Tap = Callable[[PartyId, PartyId, bytes], None]
"""Called for each delivery with sender, recipient and the bytes between them."""

OnRefusal = Callable[[PartyId, PeerMisbehaved], None]
"""Called when a machine refuses a message: whose it is, and what it says of it."""


class Exchange:
    """Machines by party, the server under SERVER where the protocol has one.

    vanish: party -> round. The party is gone when its message of that round is ready and has not left.
    """

    def __init__(
        self,
        machines: Mapping[PartyId, Machine],
        codec: Codec,
        *,
        vanish: Mapping[PartyId, StrEnum] | None = None,
        tap: Tap | None = None,
        on_refusal: OnRefusal | None = None,
    ) -> None:
        self.machines = dict(machines)
        self._codec = codec
        self._vanish = dict(vanish or {})
        self._tap = tap
        self._on_refusal = on_refusal
        self._on_the_way: deque[tuple[PartyId, PartyId, bytes]] = deque()

    def run(self) -> Outcome | None:
        """From the first message to the last. Returns the server's outcome (None without a server)."""
        for party, machine in list(self.machines.items()):
            self._post(party, machine.start())
        self._deliver()
        while self._close_one_round():
            self._deliver()
        server = self.machines.get(SERVER)
        return server.outcome if server else None

    def lose(self, party: PartyId) -> None:
        """The party's process is gone: nobody hears it, and its neighbours notice."""
        del self.machines[party]
        for other, machine in list(self.machines.items()):
            self._post(other, machine.drop(party, DropReason.VANISHED))

    def _deliver(self) -> None:
        """Everything under way, and everything that it causes, in the order of sending."""
        while self._on_the_way:
            sender, recipient, data = self._on_the_way.popleft()
            machine = self.machines.get(recipient)
            if machine is None:
                continue
            try:
                answers = machine.receive(sender, self._decoded(sender, data))
            except PeerMisbehaved as exc:
                if self._on_refusal:
                    self._on_refusal(recipient, exc)
                answers = machine.drop(exc.sender, exc.reason)
            self._post(recipient, answers)

    def _decoded(self, sender: PartyId, data: bytes) -> Any:
        """Bytes that are no message are their sender's doing, as with every driver."""
        try:
            return self._codec.decode(data)
        except WireError as exc:
            why = f"{exc}: {exc.__cause__}" if exc.__cause__ else str(exc)
            raise PeerMisbehaved(sender, DropReason.MALFORMED, why) from exc

    def _close_one_round(self) -> bool:
        """All rest. The machines that can close their round do; a server that cannot gives up, or peers without one."""
        waiting = [(party, machine) for party, machine in self.machines.items() if machine.outcome is None]
        able = [(party, machine) for party, machine in waiting if machine.can_close]
        for party, machine in able:
            self._post(party, machine.close_round())
        alone = SERVER not in self.machines
        stuck = [(party, machine) for party, machine in waiting if not able and (alone or party == SERVER)]
        for party, machine in stuck:
            self._post(party, machine.abort(AbortReason.TOO_FEW))
        return bool(able or stuck)

    def _post(self, sender: PartyId, envelopes: list[Envelope]) -> None:
        for envelope in envelopes:
            if envelope.message.round == self._vanish.get(sender) and sender in self.machines:
                self.lose(sender)
            if sender not in self.machines:
                return
            data = self._codec.encode(envelope.message)
            for recipient in envelope.recipients:
                if self._tap:
                    self._tap(sender, recipient, data)
                self._on_the_way.append((sender, recipient, data))
