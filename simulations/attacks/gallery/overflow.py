"""A configuration in which the sum does not fit: it wraps, and comes out as another sum.

The coordinator proposes a scale so fine that a party's value fits the ring and five of them do not. Every masked
vector is right, every mask comes off, and the sum is taken modulo 2^32 without a word: a large positive mean turns
negative.

Stopped before there is a session: an encoding is made for so many parties, weights and bits, and one whose largest
sum does not fit its field is an error that says how many bits do. And a party takes part in a sum of vectors of the
shape and field that it worked out itself; the coordinator's are compared with them.
"""

from dataclasses import replace
from typing import Final

import numpy as np

from mpc.encoding import Encoding, NotEnoughHeadroom, Span
from mpc.field import PrimeField
from protocols.session import VectorSpec
from simulations.attacks.coordinator import Coordinator
from simulations.attacks.gallery.attack import Attack
from simulations.attacks.gallery.running import on_ours, on_textbook
from simulations.attacks.naive import arithmetic, secagg
from simulations.attacks.naive.arithmetic import Ring
from simulations.attacks.scene import Scene
from simulations.attacks.scripted import Script
from simulations.attacks.verdicts import Ending, Goal, Run, tried

_FINE = 2**30
_SMALL = PrimeField.with_bits(20)
_WEIGHT, _BITS = 64, 16


def naive(seed: bytes) -> Run:
    scene = Scene(seed)

    def script(server: secagg.Coordinator) -> Script[Ring]:
        server.scale = _FINE
        return (yield from server.honest())

    total = arithmetic.decode(on_textbook(scene, script), _FINE)
    true = scene.sum_of(*scene.parties)
    wrong = int(np.count_nonzero(total != true))
    if not wrong:
        return Run(Ending.LOST, "every value of the sum is right")
    where = int(np.argmax(np.abs(total - true)))
    example = f"{true[where]:+.3f} came out as {total[where]:+.3f}"
    return Run(Ending.WON, f"{wrong} of {len(true)} values of the sum are wrong: {example}")


def ours(seed: bytes) -> Run:
    scene = Scene(seed)

    def script(server: Coordinator) -> Script[None]:
        yield from server.until_masked()

    room = scene.cast()
    room.params = replace(room.params, spec=VectorSpec(scene.length, _SMALL))
    _, held = on_ours(scene, script, room=room)
    also = [tried("the coordinator proposes the smaller field by itself", held.refusals)]
    try:
        Encoding(
            spans=(Span(scene.length, -1.0, 1.0),), clients=scene.clients, field=_SMALL, bits=_BITS, max_weight=_WEIGHT
        )
    except NotEnoughHeadroom as exc:
        return Run(Ending.REFUSED, f"each party: not enough headroom: {exc}", tuple(also))
    return Run(Ending.WON, "the configuration is accepted")


ATTACK: Final = Attack(
    "overflow",
    Goal.CORRUPT,
    "proposes a configuration in which the sum wraps",
    "Bonawitz et al., CCS 2017 (the choice of R)",
    __doc__,
    naive,
    ours,
)
