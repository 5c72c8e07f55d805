"""Two shares at one point: a sum that cannot be unmasked.

A party asks for the point of another, plus p so that the two numbers differ. The shares are dealt and are equal; but
interpolation divides by the difference of the two points, which is 0. The server finds out when it unmasks, when all
inputs have long been sent, and there is no sum for anybody.

Stopped by there being nothing to ask for: points follow from the roster, in which each party is once. A party that
signs another's number is dropped for it by the server, and the sum of the others is exact.
"""

from typing import Final

import numpy as np

from mpc.field import M31
from protocols.errors import SERVER
from protocols.messages import CODEC, AdvertiseKeys
from protocols.secagg import bindings
from simulations.attacks.coordinator import honest_server
from simulations.attacks.gallery.attack import Attack
from simulations.attacks.gallery.running import on_textbook
from simulations.attacks.naive import secagg
from simulations.attacks.naive.machine import Stage
from simulations.attacks.scene import Scene
from simulations.attacks.scripted import Bent, bending, hold
from simulations.attacks.verdicts import Ending, Goal, Run, summing


class Twin(secagg.Client):
    """It takes the point of party 0."""

    point = M31.modulus + 1


def naive(seed: bytes) -> Run:
    scene = Scene(seed)
    clients = {**scene.textbook(secagg.Client), scene.colluder: scene.textbook_client(scene.colluder, Twin)}
    gone = dict.fromkeys(scene.parties[2:4], Stage.UNMASK)  # of five answers three are left, the twins' among them
    try:
        on_textbook(scene, secagg.Coordinator.honest, clients=clients, vanish=gone)
    except ValueError as exc:
        return Run(Ending.WON, f"no sum: the server ends with '{exc}'")
    return Run(Ending.LOST, "there is a sum")


def ours(seed: bytes) -> Run:
    scene = Scene(seed)
    room = scene.cast()

    def in_anothers_name(own: AdvertiseKeys) -> AdvertiseKeys:
        keys = own.channel_key, own.mask_key
        signature = bindings.sign_keys(room.identities[scene.colluder], room.params.digest, scene.parties[0], *keys)
        return AdvertiseKeys(scene.parties[0], *keys, signature)

    liar = Bent(room.client(scene.colluder), bending(AdvertiseKeys, in_anothers_name))
    server = honest_server(room)
    seats = {SERVER: server, **{party: room.client(party) for party in scene.honest}, scene.colluder: liar}
    held = hold(seats, CODEC, dishonest=(scene.colluder,))
    return summing(
        server.outcome,
        lambda vector: np.array_equal(vector, room.plain_sum(scene.honest)),
        f"{'; '.join(map(str, held.refusals))}: party {scene.colluder} is dropped, the sum of the others is exact",
    )


ATTACK: Final = Attack(
    "duplicate-index",
    Goal.STALL,
    "asks for the point of another party, so that nothing can be rebuilt",
    "Trail of Bits, 2021 (Shamir's scheme in threshold signatures)",
    __doc__,
    naive,
    ours,
)
