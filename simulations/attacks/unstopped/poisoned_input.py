"""A party that puts into its input what it likes.

Every value of an update is clipped, by the party itself. One that does not clip gives any element of the field, and
the sum is exact: over what it gave. Here it gives a hundred times what the clip allows along a direction of its own,
and the mean goes there.
"""

from typing import Final

import numpy as np

from protocols.errors import SERVER
from protocols.machine import Finished
from protocols.messages import CODEC
from simulations.attacks.coordinator import honest_server
from simulations.attacks.scene import Scene, levels, reals
from simulations.attacks.scripted import hold
from simulations.attacks.unstopped.demonstration import Demonstration, Seen

_TIMES = 100


def show(seed: bytes) -> Seen:
    scene = Scene(seed)
    room = scene.cast()
    backdoor = _TIMES * np.sign(scene.drawn("backdoor"))
    room.inputs[scene.colluder] = levels(backdoor)
    server = honest_server(room)
    hold({SERVER: server, **{party: room.client(party) for party in scene.parties}}, CODEC)
    if not isinstance(server.outcome, Finished):
        return Seen(False, "there is no sum")
    summed = reals(server.outcome.aggregate.vector)
    honest = scene.sum_of(*scene.honest)
    along = float(np.corrcoef(summed, backdoor)[0, 1])
    moved = bool(np.array_equal(summed - honest, backdoor))
    return Seen(
        moved and along > 0.9,
        f"the sum follows the one input in {scene.clients} that does not clip: correlation {along:.3f}, "
        f"values up to {np.abs(summed).max():.1f} where {scene.clients} honest ones reach {scene.clients}",
    )


DEMONSTRATION: Final = Demonstration(
    "poisoned-input",
    "gives an input outside the clip, within the field",
    "Bagdasaryan et al., AISTATS 2020",
    "proofs that inputs are in range (RoFL, EIFFeL, ACORN); a look at the model before it is used",
    __doc__,
    show,
)
