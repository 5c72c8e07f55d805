"""A coordinator that publishes another sum than the one that it computed.

Parties check that the result is signed, and that it is over the members that they confirmed. What it is they cannot
check: nobody but the coordinator has the masked vectors. So it trains everybody on a model of its choice. Its
signature is on it, which is evidence once somebody recomputes the sum; nothing here does.
"""

from typing import Any, Final

import numpy as np

from protocols.errors import SERVER
from protocols.machine import Envelope, Finished
from protocols.messages import CODEC, Result
from protocols.secagg import Server, bindings
from protocols.wire import PartySet
from simulations.attacks.scene import Scene, levels, reals
from simulations.attacks.scripted import hold
from simulations.attacks.unstopped.demonstration import Demonstration, Seen
from simulations.attacks.verdicts import Reals


class _Inventing(Server):
    """`invented`: what it says that the sum is."""

    invented: Reals

    def _tell(self, parties: PartySet, message: Any) -> list[Envelope]:
        if isinstance(message, Result):
            vector = self._params.spec.field.pack(levels(self.invented))
            signature = bindings.sign_result(self._identity, self._state.shared, message.included, vector)
            message = Result(message.included, signature, vector)
        return super()._tell(parties, message)


def show(seed: bytes) -> Seen:
    scene = Scene(seed)
    room = scene.cast()
    server = _Inventing(room.params, identity=room.identities[SERVER], members=room.terms.members)
    server.invented = scene.drawn("invented")
    clients = {party: room.client(party) for party in scene.parties}
    held = hold({SERVER: server, **clients}, CODEC, dishonest=(SERVER,))
    fooled = [party for party, client in clients.items() if _took(client.outcome, server.invented)]
    return Seen(
        len(fooled) == scene.clients and not held.refusals,
        f"{len(fooled)} of {scene.clients} parties go on from a sum that nobody's inputs add up to",
    )


def _took(outcome: Any, invented: Reals) -> bool:
    return isinstance(outcome, Finished) and bool(np.array_equal(reals(outcome.aggregate.vector), invented))


DEMONSTRATION: Final = Demonstration(
    "wrong-sum",
    "publishes another sum than the one that was computed",
    "Xu et al., VerifyNet, IEEE TIFS 2020 (what can be done about it)",
    "the mesh, where every peer adds up itself; a sum with a proof",
    __doc__,
    show,
)
