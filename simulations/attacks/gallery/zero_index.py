"""A share at the point where the secret is.

Shamir's secret lies at 0, so whoever's share is the polynomial's value at 0 has been handed the secret. Parties say
at which point they want their shares; one that asks for p asks for 0, since the arithmetic reduces, and a comparison
with 0 does not notice.

Stopped by there being nothing to ask for: a party's point is 1 + its place in the roster. The number that would come
out at 0 is none that a message can carry, and a roster in any other order than that of the numbers is refused.
"""

from dataclasses import replace
from typing import Final

from mpc.field import M31
from protocols.errors import PartyId
from protocols.secagg import bindings
from simulations.attacks.coordinator import Coordinator
from simulations.attacks.gallery.attack import Attack
from simulations.attacks.gallery.running import on_ours, on_textbook
from simulations.attacks.naive import secagg
from simulations.attacks.naive.arithmetic import Ring
from simulations.attacks.scene import Scene
from simulations.attacks.scripted import Script
from simulations.attacks.verdicts import Goal, Run, reading, tried


class AtZero(secagg.Client):
    point = M31.modulus


def naive(seed: bytes) -> Run:
    scene = Scene(seed)
    clients = {**scene.textbook(secagg.Client), scene.colluder: scene.textbook_client(scene.colluder, AtZero)}

    def script(server: secagg.Coordinator) -> Script[Ring]:
        yield from server.until_masked()
        server.look_into(clients[scene.colluder])
        server.threshold = 1  # its one share
        return server.alone(scene.victim, frozenset(scene.parties) - {scene.victim})

    return reading(scene.guess_from_ring(on_textbook(scene, script, clients=clients)))


def ours(seed: bytes) -> Run:
    scene = Scene(seed)
    at_zero = PartyId(M31.modulus - 1)  # 1 + this is 0

    def numbered(server: Coordinator) -> Script[None]:
        yield from server.invite()
        entry = server.entries.pop(scene.colluder)
        identity, keys = server.room.identities[scene.colluder], (entry.channel_key, entry.mask_key)
        signature = bindings.sign_keys(identity, server.room.params.digest, at_zero, *keys)
        server.entries[at_zero] = replace(entry, client=at_zero, signature=signature)
        yield from server.show_roster(scene.honest)
        yield from server.deliver()

    def out_of_order(server: Coordinator) -> Script[None]:
        yield from server.invite()
        yield from server.show_roster(entries=reversed(server.entries.values()))
        yield from server.deliver()

    server, held = on_ours(scene, numbered)
    disordered = on_ours(scene, out_of_order)[1]
    also = [tried("a roster in another order", disordered.refusals)]
    return reading(scene.guess_if(server.stripped(scene.victim)), held.refusals, also)


ATTACK: Final = Attack(
    "zero-index",
    Goal.READ,
    "asks for the share that is the secret, at the point 0",
    "Trail of Bits, 2021 (Shamir's scheme in threshold signatures)",
    __doc__,
    naive,
    ours,
)
