"""A relay that plays everybody else: the keys that a victim is shown are all the coordinator's.

Keys go through the server, so it can keep them and hand out its own. The victim then shares its secrets with the
coordinator under as many names as it has peers, and masks its vector with what the coordinator knows. Nobody has to
answer anything: the vector is bare as soon as the masked input is there.

Stopped by signatures: each key is signed by the identity that the victim's own terms name for that party, over the
digest of this session. The coordinator can sign with its own key, or with its colluder's, and neither is the peer's.
"""

from typing import Final

from protocols.errors import PartyId
from simulations.attacks.coordinator import Coordinator
from simulations.attacks.gallery.attack import Attack
from simulations.attacks.gallery.puppets import Puppets
from simulations.attacks.gallery.running import on_ours, on_textbook
from simulations.attacks.naive import secagg
from simulations.attacks.naive.arithmetic import Ring
from simulations.attacks.scene import Scene
from simulations.attacks.scripted import Script
from simulations.attacks.verdicts import Goal, Run, reading


def naive(seed: bytes) -> Run:
    """All clients but the victim's are the coordinator's own puppets, under the names of the parties."""
    scene = Scene(seed)
    clients = scene.textbook(secagg.Client)

    def script(server: secagg.Coordinator) -> Script[Ring]:
        yield from server.until_masked()
        for puppet in others(scene):
            server.look_into(clients[puppet])
        return server.alone(scene.victim, others(scene))

    return reading(scene.guess_from_ring(on_textbook(scene, script, clients=clients)))


def ours(seed: bytes) -> Run:
    scene = Scene(seed)
    room = scene.cast()
    puppets = Puppets(room, others(scene), scene.victim).clients()

    def script(server: Coordinator) -> Script[None]:
        yield from server.until_masked()

    clients = {**puppets, scene.victim: room.client(scene.victim)}
    server, held = on_ours(scene, script, room=room, clients=clients, colluders=puppets)
    return reading(scene.guess_if(server.stripped(scene.victim)), held.refusals)


def others(scene: Scene) -> list[PartyId]:
    return [party for party in scene.parties if party != scene.victim]


ATTACK: Final = Attack(
    "key-substitution",
    Goal.READ,
    "relays keys of its own making in the names of all peers",
    "Diffie and Hellman, 1976; Bonawitz et al., CCS 2017",
    __doc__,
    naive,
    ours,
)
