"""A threshold of one: every share is the secret.

The numbers of a session come from the server, so it can ask for shares of which one is enough. A single colluder that
holds a share of each party's secrets then holds the secrets.

Stopped by whose numbers count: a party works the threshold out of how many parties there really are and how many
colluders its own terms are planned for. The coordinator's number can only raise it. The two other numbers that would
lower it, colluders and variant, are compared with the terms.
"""

from dataclasses import replace
from typing import Any, Final

from protocols.session import Variant
from simulations.attacks.coordinator import Coordinator
from simulations.attacks.gallery.attack import Attack
from simulations.attacks.gallery.running import on_ours, on_textbook
from simulations.attacks.naive import secagg
from simulations.attacks.naive.arithmetic import Ring
from simulations.attacks.scene import Scene
from simulations.attacks.scripted import Held, Script
from simulations.attacks.verdicts import Goal, Run, reading, tried


def naive(seed: bytes) -> Run:
    scene = Scene(seed)
    clients = scene.textbook(secagg.Client)

    def script(server: secagg.Coordinator) -> Script[Ring]:
        yield from server.until_masked()
        server.look_into(clients[scene.colluder])
        return server.alone(scene.victim, frozenset(scene.parties) - {scene.victim})

    return reading(scene.guess_from_ring(on_textbook(scene, script, threshold=1, clients=clients)))


def ours(seed: bytes) -> Run:
    scene = Scene(seed)
    lowered, _ = _invited_with(scene, threshold=1)
    as_one_share = replace(lowered.held, threshold=1)
    masked = lowered.masked[scene.victim]
    spec = lowered.room.params.spec
    guess, _ = as_one_share.unmasked(
        scene.victim, masked, spec.field, peers=lowered.u2, shared=lowered.shared(lowered.u2)
    )
    _, fewer = _invited_with(scene, colluding=0)
    _, curious = _invited_with(scene, variant=Variant.CURIOUS)
    counts = f"threshold 1 in the invitation counts for nothing: t stays {lowered.held.threshold} of {scene.clients}"
    also = [counts, tried("the curious variant", curious.refusals)]
    return reading(scene.guess_from_field(guess), fewer.refusals, also)


def _invited_with(scene: Scene, **numbers: Any) -> tuple[Coordinator, Held]:
    def script(server: Coordinator) -> Script[None]:
        yield from server.until_masked()

    room = scene.cast()
    room.params = replace(room.params, **numbers)
    return on_ours(scene, script, room=room)


ATTACK: Final = Attack(
    "threshold-downgrade",
    Goal.READ,
    "proposes numbers at which one share is the secret",
    "Bonawitz et al., CCS 2017",
    __doc__,
    naive,
    ours,
)
