"""A cohort of one: all other parties of the sum are the coordinator's inventions.

The sum is right, every mask comes off, nobody is lied to about keys or survivors. But the coordinator knows all
inputs of the sum but one. The textbook takes part with whoever is in the roster.

Stopped by the victim's own terms, which name the members of its consortium: a roster with anybody else in it is
refused. (Under the names of members it is `key-substitution`.) That the members themselves are different banks is for
people to see to, when they agree on the consortium's file.
"""

from typing import Final

from protocols.errors import SERVER, PartyId
from protocols.machine import Finished
from protocols.messages import CODEC
from protocols.secagg import Server
from simulations.attacks.gallery.attack import Attack
from simulations.attacks.gallery.puppets import Puppets
from simulations.attacks.gallery.running import on_textbook
from simulations.attacks.naive import arithmetic, secagg
from simulations.attacks.scene import Scene
from simulations.attacks.scripted import hold
from simulations.attacks.verdicts import Goal, Run, reading


def naive(seed: bytes) -> Run:
    """The others are clients like any; what they give is the coordinator's choice."""
    scene = Scene(seed)
    total = on_textbook(scene, secagg.Coordinator.honest)
    for sybil in scene.parties:
        if sybil != scene.victim:
            total = total - arithmetic.encode(scene.updates[sybil])
    return reading(scene.guess_from_ring(total))


def ours(seed: bytes) -> Run:
    scene = Scene(seed)
    room = scene.cast()
    strangers = [PartyId(scene.clients + place) for place in range(scene.clients - 1)]
    puppets = Puppets(room, strangers, scene.victim)
    server = Server(room.params, identity=room.identities[SERVER], members=puppets.members)
    seats = {SERVER: server, scene.victim: room.client(scene.victim), **puppets.clients()}
    held = hold(seats, CODEC, dishonest=(SERVER, *strangers))
    summed = None
    if isinstance(server.outcome, Finished) and scene.victim in server.outcome.aggregate.included:
        summed = server.outcome.aggregate.vector  # the puppets gave zeros
    return reading(scene.guess_if(summed), held.refusals)


ATTACK: Final = Attack(
    "sybil-cohort",
    Goal.READ,
    "invites one party to a sum with parties of the coordinator's own making",
    "Douceur, IPTPS 2002",
    __doc__,
    naive,
    ours,
)
