"""Both secrets of one party, from parties that are asked twice.

For each peer a client holds a share of the seed of its self mask and one of the key of its pairwise masks. With both
the peer's vector is bare. The coordinator first asks for everybody as a survivor and then, as if it had made a
mistake, for the victim as one that dropped.

Stopped by what a client still has: U3 comes once, and with it the client lets go of the other share of every
survivor. A second set of survivors, a second question and a fallback for a survivor are refused, each by a check of
its own.
"""

from typing import Final

from simulations.attacks.coordinator import Coordinator
from simulations.attacks.gallery.attack import Attack
from simulations.attacks.gallery.running import on_ours, on_textbook
from simulations.attacks.naive import secagg
from simulations.attacks.naive.arithmetic import Ring
from simulations.attacks.scene import Scene
from simulations.attacks.scripted import Script
from simulations.attacks.verdicts import Goal, Run, reading, tried


def naive(seed: bytes) -> Run:
    scene = Scene(seed)
    everybody = frozenset(scene.parties)

    def script(server: secagg.Coordinator) -> Script[Ring]:
        yield from server.until_masked()
        yield from server.ask(everybody, everybody)
        yield from server.ask(everybody, everybody - {scene.victim}, frozenset({scene.victim}))
        return server.alone(scene.victim, everybody - {scene.victim})

    return reading(scene.guess_from_ring(on_textbook(scene, script)))


def ours(seed: bytes) -> Run:
    """The fallback is the one message that asks for shares of mask keys."""
    scene = Scene(seed)
    victim = frozenset({scene.victim})

    def fallback_for_a_survivor(server: Coordinator) -> Script[None]:
        yield from server.until_masked()
        yield from server.unmask(server.u2)
        yield from server.fall_back(scene.honest, victim)

    def other_survivors_before_the_answer(server: Coordinator) -> Script[None]:
        yield from server.until_masked()
        yield from server.confirm(dict.fromkeys(scene.honest, server.u2))
        yield from server.unmask(server.u2 - victim)

    def other_survivors_after_it(server: Coordinator) -> Script[None]:
        yield from server.until_masked()
        yield from server.unmask(server.u2)
        yield from server.unmask(server.u2 - victim)

    server, held = on_ours(scene, fallback_for_a_survivor)
    also = [
        tried(what, on_ours(scene, script)[1].refusals)
        for what, script in (
            ("another set of survivors before the answer", other_survivors_before_the_answer),
            ("another set of survivors after it", other_survivors_after_it),
        )
    ]
    return reading(scene.guess_if(server.stripped(scene.victim)), held.refusals, also)


ATTACK: Final = Attack(
    "double-reveal",
    Goal.READ,
    "asks the same parties for both secrets of one of them",
    "Bonawitz et al., CCS 2017",
    __doc__,
    naive,
    ours,
)
