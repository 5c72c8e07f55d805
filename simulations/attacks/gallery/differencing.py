"""The same step summed twice, once without the victim.

Both sums are right and each covers enough parties. Their difference is the victim's update: on the same model the
others give the same again. Nothing in one session can tell.

Stopped by what parties remember: each keeps a ledger of the sums that it helped to open, by model and configuration,
and confirms a second one of the same step over the same members or not at all. 2t > n + c makes one honest party a
part of both. Across different models the ledger only warns (`veilsum attack --open`, differencing-across-models).
"""

from typing import Final

from mpc.field import M31
from simulations.attacks.gallery.attack import Attack
from simulations.attacks.gallery.running import on_textbook, summed
from simulations.attacks.naive import secagg
from simulations.attacks.naive.machine import Stage
from simulations.attacks.scene import Scene
from simulations.attacks.verdicts import Goal, Run, reading


def naive(seed: bytes) -> Run:
    scene = Scene(seed)
    of_all = on_textbook(scene, secagg.Coordinator.honest)
    clients, gone = scene.textbook(secagg.Client, "again"), {scene.victim: Stage.MASKED}
    without = on_textbook(scene, secagg.Coordinator.honest, clients=clients, vanish=gone)
    return reading(scene.guess_from_ring(of_all - without))


def ours(seed: bytes) -> Run:
    scene = Scene(seed)
    first = summed(scene, scene.cast(session="first"))
    second = summed(scene, scene.cast(session="second"), first.ledgers, without=scene.victim)
    difference = None
    if first.total is not None and second.total is not None:
        difference = M31.sub(first.total, second.total)
    return reading(scene.guess_if(difference), second.refusals)


ATTACK: Final = Attack(
    "differencing",
    Goal.READ,
    "sums the same step twice, once without the victim",
    "So et al., AAAI 2023; Denning, Denning, Schwartz, TODS 1979 (trackers)",
    __doc__,
    naive,
    ours,
)
