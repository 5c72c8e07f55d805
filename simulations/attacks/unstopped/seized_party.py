"""A party that is seized between its masked input and the list of survivors.

In that time it holds the seeds of its pairwise masks, which it would reveal of peers that drop. Whoever takes them
and also has the coordinator waits for the round to end as it should: the others reveal the self mask of a survivor,
and the vector is bare. It is the price of unmasking by seeds. Before that time the input is there anyhow; after it,
nothing is.
"""

from typing import Final

from protocols.secagg import snapshots
from simulations.attacks.coordinator import Coordinator
from simulations.attacks.gallery.running import on_ours
from simulations.attacks.scene import Scene
from simulations.attacks.scripted import Script
from simulations.attacks.unstopped.demonstration import Demonstration, Seen


def show(seed: bytes) -> Seen:
    scene = Scene(seed)
    room = scene.cast()
    clients = {party: room.client(party) for party in scene.parties}

    def script(server: Coordinator) -> Script[None]:
        yield from server.until_masked()
        state = snapshots.CLIENT.load(clients[scene.victim].snapshot()).state
        for peer, seed_ in state.leaf_seeds.items():
            server.held.leaves[frozenset({scene.victim, peer}), state.shared] = seed_
        yield from server.unmask(server.u2)

    server, held = on_ours(scene, script, room=room, clients=clients)
    guess = scene.guess_if(server.stripped(scene.victim))
    return Seen(bool(guess and guess.exact) and not held.refusals, f"the victim's update: {guess}", guess=guess)


DEMONSTRATION: Final = Demonstration(
    "seized-party",
    "looks into a party's memory while it waits for the list of survivors",
    "Bonawitz et al., CCS 2017, with the seeds of docs/protocol.md",
    "secagg+, which keeps no seeds after it masked; memory that cannot be read",
    __doc__,
    show,
)
