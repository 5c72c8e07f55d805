"""How most attacks are played: a script in the coordinator's seat, or sessions as they should be, over a scene."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from mpc.field import FieldVector
from protocols.errors import SERVER, PartyId
from protocols.ledger import NOTHING_ANSWERED, Caution, Ledger
from protocols.machine import Contributor, Finished
from protocols.messages import CODEC, Round
from simulations.attacks.cast import Cast
from simulations.attacks.coordinator import Coordinator, honest_server
from simulations.attacks.naive import messages, secagg
from simulations.attacks.naive.machine import Stage
from simulations.attacks.scene import Scene
from simulations.attacks.scripted import Held, Refusal, Script, Scripted, hold

T = TypeVar("T")
M = TypeVar("M", bound=Contributor)

MAJORITY = 3  # of five: the textbook's threshold


def on_textbook(
    scene: Scene,
    script: Callable[[secagg.Coordinator], Script[T]],
    *,
    threshold: int = MAJORITY,
    clients: Mapping[PartyId, Any] | None = None,
    vanish: Mapping[PartyId, Stage] | None = None,
) -> T:
    """What the script comes to against the textbook's clients."""
    server = secagg.Coordinator(scene.parties, threshold)
    seats = scene.textbook(secagg.Client) if clients is None else clients
    return hold({SERVER: Scripted(script(server)), **seats}, messages.CODEC, vanish=vanish).got  # type: ignore[no-any-return]


def on_ours(
    scene: Scene,
    script: Callable[[Coordinator], Script[Any]],
    *,
    room: Cast | None = None,
    clients: Mapping[PartyId, Any] | None = None,
    colluders: Collection[PartyId] = (),
) -> tuple[Coordinator, Held]:
    """The coordinator with all that it heard, and what honest clients refused.

    colluders: who sides with it; else the scene's one.
    """
    room, siding = room or scene.cast(), colluders or (scene.colluder,)
    seats = dict(clients or {party: room.client(party) for party in scene.parties})
    server = Coordinator(room, {party: seats[party] for party in siding})
    return server, hold({SERVER: Scripted(script(server)), **seats}, CODEC, dishonest=(SERVER, *siding))


def seated(room: Cast, kind: Callable[..., M], me: PartyId, **given: Any) -> M:
    """A party's machine of another protocol, with its input set."""
    rand = room.rand.child(f"client {me}")
    machine = kind(me, identity=room.identities[me], terms=room.terms, rand=rand, **given)
    machine.set_input(room.inputs[me])
    return machine


@dataclass(frozen=True, slots=True)
class Summed:
    """A session that has been held. total: None where there was no sum. warnings: what party 0 was told."""

    total: FieldVector | None
    ledgers: Mapping[PartyId, Ledger]
    refusals: tuple[Refusal, ...]
    warnings: tuple[Caution, ...]


def summed(
    scene: Scene, room: Cast, ledgers: Mapping[PartyId, Ledger] | None = None, without: PartyId | None = None
) -> Summed:
    """By the real machines. without: a party that the coordinator does not hear, when it has shared its keys."""
    server = honest_server(room)
    clients = {party: room.client(party, (ledgers or {}).get(party, NOTHING_ANSWERED)) for party in scene.parties}
    gone = {} if without is None else {without: Round.MASKED_INPUT}
    held = hold({SERVER: server, **clients}, CODEC, vanish=gone)
    total = server.outcome.aggregate.vector if isinstance(server.outcome, Finished) else None
    kept = {party: client.ledger for party, client in clients.items()}
    return Summed(total, kept, held.refusals, clients[scene.parties[0]].warnings)


def left_of(scene: Scene, room: Cast, total: FieldVector) -> FieldVector:
    """What a sum is without the inputs of all but the victim."""
    for party in scene.parties:
        if party != scene.victim:
            total = room.field.sub(total, room.inputs[party])
    return total
