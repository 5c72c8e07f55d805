"""A sum of two, one of them the coordinator's.

Everybody sends a masked input; then the coordinator says that all but the victim and its colluder dropped. What the
others give takes the masks off that sum, and the colluder's own part is known.

Stopped by size: a U3 below the threshold, or below max(3, c + 2) inputs, is refused, and so is such a U2 before it,
while the input is still at home.
"""

from typing import Final

from simulations.attacks.coordinator import Coordinator
from simulations.attacks.gallery.attack import Attack
from simulations.attacks.gallery.running import on_ours, on_textbook
from simulations.attacks.naive import arithmetic, secagg
from simulations.attacks.naive.arithmetic import Ring
from simulations.attacks.scene import Scene
from simulations.attacks.scripted import Script
from simulations.attacks.verdicts import Goal, NothingHappened, Run, reading, tried


def naive(seed: bytes) -> Run:
    scene = Scene(seed)
    few = frozenset({scene.victim, scene.colluder})
    others = frozenset(scene.parties) - few

    def script(server: secagg.Coordinator) -> Script[Ring]:
        yield from server.until_masked()
        yield from server.ask(scene.parties, few, others)
        return server.total(few, others) - arithmetic.encode(scene.updates[scene.colluder])

    return reading(scene.guess_from_ring(on_textbook(scene, script)))


def ours(seed: bytes) -> Run:
    scene = Scene(seed)
    few = frozenset({scene.victim, scene.colluder})

    def survivors(server: Coordinator) -> Script[None]:
        yield from server.until_masked()
        views = {party: few if party == scene.victim else server.u2 - {scene.victim} for party in scene.honest}
        yield from server.confirm(views)
        yield from server.request(views)
        yield from server.fall_back(views, frozenset({scene.victim}))

    def dealers(server: Coordinator) -> Script[None]:
        yield from server.invite()
        yield from server.show_roster()
        server.u2 = few
        yield from server.deliver()

    server, held = on_ours(scene, survivors)
    earlier, before = on_ours(scene, dealers)
    if scene.victim in earlier.masked:
        raise NothingHappened("a U2 of two, and the input left")
    also = [tried("only these two are said to have shared their keys, before any input leaves", before.refusals)]
    return reading(scene.guess_if(server.stripped(scene.victim)), held.refusals, also)


ATTACK: Final = Attack(
    "shrunken-survivors",
    Goal.READ,
    "declares everybody dropped but the victim and a colluder",
    "Bonawitz et al., CCS 2017",
    __doc__,
    naive,
    ours,
)
