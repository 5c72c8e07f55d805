"""Machines of lightsecagg whose process ends after every call."""

from light_room import LightRoom
from restored import NoMore, Restored

from mpc.randomness import Randomness
from protocols.errors import SERVER, PartyId
from protocols.ledger import Ledger
from protocols.lightsecagg import Client, Server
from protocols.lightsecagg.states import AwaitingInvitation
from protocols.machine import Machine


def restored_machines(room: LightRoom) -> dict[PartyId, Machine]:
    """The room's machines. A client draws what it needs when it is invited, and never again."""
    server = Restored(room.server(), lambda kept, _: Server.restore(kept, identity=room.identities[SERVER]))
    return {SERVER: server} | {me: _restored_client(room, me) for me in room.parties}


def _restored_client(room: LightRoom, me: PartyId) -> Restored:
    stream = room.rand.child(f"client {me}")

    def wake(kept: bytes, ledger: Ledger) -> Client:
        client = Client.restore(kept, identity=room.identities[me], rand=stream, ledger=ledger)
        rand: Randomness = stream if isinstance(client._state, AwaitingInvitation) else NoMore()
        return Client.restore(kept, identity=room.identities[me], rand=rand, ledger=ledger)

    return Restored(room.client(me), wake)
