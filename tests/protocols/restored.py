"""A machine whose process ends after every call: between two deliveries there is nothing but a snapshot."""

from collections.abc import Callable
from typing import Any

from conversation import Room

from mpc.field import FieldVector
from mpc.randomness import Randomness
from protocols.errors import SERVER, AbortReason, DropReason, PartyId
from protocols.ledger import NOTHING_ANSWERED, Ledger
from protocols.machine import Envelope, Machine, Outcome
from protocols.messages import Round
from protocols.secagg import Client, Server
from protocols.secagg.states import AwaitingInvitation


class NoMore:
    """The randomness of a machine that has drawn all that it may draw."""

    seeded = True

    def bytes(self, count: int) -> bytes:
        raise AssertionError(f"{count} random bytes are drawn after the keys were advertised")


class Restored:
    """Any machine, taken up for each call from its snapshot and, a client, its ledger. `wake` makes it from both."""

    def __init__(self, machine: Any, wake: Callable[[bytes, Ledger], Any]) -> None:
        self._wake = wake
        self._keep(machine)

    def _keep(self, machine: Any) -> None:
        self._kept: bytes = machine.snapshot()
        self._ledger: Ledger = getattr(machine, "ledger", NOTHING_ANSWERED)

    @property
    def machine(self) -> Any:
        machine = self._wake(self._kept, Ledger.from_bytes(self._ledger.to_bytes()))
        assert machine.snapshot() == self._kept
        return machine

    def _call(self, name: str, *given: Any) -> list[Envelope]:
        machine = self.machine
        try:
            envelopes: list[Envelope] = getattr(machine, name)(*given)
        finally:
            self._keep(machine)
        return envelopes

    @property
    def round(self) -> Round:
        return self.machine.round

    @property
    def waiting_for(self) -> frozenset[PartyId]:
        return self.machine.waiting_for

    @property
    def can_close(self) -> bool:
        return self.machine.can_close

    @property
    def outcome(self) -> Outcome | None:
        return self.machine.outcome

    def start(self) -> list[Envelope]:
        return self._call("start")

    def receive(self, sender: PartyId, message: Any) -> list[Envelope]:
        return self._call("receive", sender, message)

    def drop(self, party: PartyId, reason: DropReason) -> list[Envelope]:
        return self._call("drop", party, reason)

    def close_round(self) -> list[Envelope]:
        return self._call("close_round")

    def abort(self, reason: AbortReason) -> list[Envelope]:
        return self._call("abort", reason)

    def set_input(self, vector: FieldVector) -> None:
        self._call("set_input", vector)

    def snapshot(self) -> bytes:
        return self._kept


def restored_machines(room: Room) -> dict[PartyId, Machine]:
    """The room's machines. A client draws what it needs when it is invited, and never again."""
    server = Restored(room.server(), lambda kept, _: Server.restore(kept, identity=room.identities[SERVER]))
    return {SERVER: server} | {me: _restored_client(room, me) for me in room.parties}


def _restored_client(room: Room, me: PartyId) -> Restored:
    stream = room.rand.child(f"client {me}")

    def wake(kept: bytes, ledger: Ledger) -> Client:
        client = Client.restore(kept, identity=room.identities[me], rand=stream, ledger=ledger)
        rand: Randomness = stream if isinstance(client._state, AwaitingInvitation) else NoMore()
        return Client.restore(kept, identity=room.identities[me], rand=rand, ledger=ledger)

    return Restored(room.client(me), wake)
