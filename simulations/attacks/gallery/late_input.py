"""A masked input that comes after its party was declared dropped.

With pairwise masks alone, the scheme that everybody thinks of first, a party that drops leaves its masks in the
others' vectors, and they give out what takes them off. If its own vector then comes after all, nothing is left on it.
The server need not even lie: a slow link does the same.

What stops it is the second mask of Bonawitz et al.: the vector has a self mask too, of which a party that dropped is
never given out a share. So the vector may come, and says nothing. To be given that share the coordinator has to name
other survivors than before, and that is refused.
"""

from typing import Final

import numpy as np

from simulations.attacks.coordinator import Coordinator
from simulations.attacks.gallery.attack import Attack
from simulations.attacks.gallery.running import on_ours, on_textbook
from simulations.attacks.naive import arithmetic, secagg
from simulations.attacks.naive.arithmetic import Ring
from simulations.attacks.scene import Scene
from simulations.attacks.scripted import NOBODY, Script
from simulations.attacks.verdicts import Goal, NothingHappened, Run, reading, tried


class OneMask(secagg.Client):
    """Without the self mask, and so far a scheme that adds up."""

    def _self_mask(self, length: int) -> Ring:
        return np.zeros(length, dtype=np.uint32)


def naive(seed: bytes) -> Run:
    scene = Scene(seed)
    others = [party for party in scene.parties if party != scene.victim]

    def script(server: secagg.Coordinator) -> Script[tuple[Ring, Ring]]:
        yield from server.until_masked()
        late = server.masked.pop(scene.victim)
        yield from server.ask(others, NOBODY, frozenset({scene.victim}))
        without = [server.without_pairs(party, server.masked[party], (scene.victim,)) for party in others]
        return arithmetic.add_up(without), server.without_pairs(scene.victim, late, others)

    total, alone = on_textbook(scene, script, clients=scene.textbook(OneMask))
    if not np.array_equal(arithmetic.decode(total), scene.sum_of(*others)):
        raise NothingHappened("the sum of the others is not right")
    return reading(scene.guess_from_ring(alone))


def ours(seed: bytes) -> Run:
    scene = Scene(seed)
    victim = frozenset({scene.victim})

    def late(server: Coordinator) -> Script[None]:
        yield from server.until_masked()
        yield from server.unmask(server.u2 - victim)
        yield from server.fall_back(frozenset(server.honest) - victim, victim)

    def and_asked_again(server: Coordinator) -> Script[None]:
        yield from late(server)
        yield from server.unmask(server.u2)

    server, held = on_ours(scene, late)
    also = [tried("the victim is named a survivor after all", on_ours(scene, and_asked_again)[1].refusals)]
    guess = scene.guess_if(server.stripped(scene.victim))
    return reading(guess, held.refusals, also, stays="the self mask stays, nobody gives out a share of it")


ATTACK: Final = Attack(
    "late-input",
    Goal.READ,
    "takes a masked input after the others helped to take its masks off",
    "Bonawitz et al., CCS 2017 (why there are two masks)",
    __doc__,
    naive,
    ours,
)
