"""Two stories about who survived, for two halves of the parties.

To one half the coordinator says that the victim survived: they give their shares of its self mask. To the other half
it says that the victim dropped: they give what takes its pairwise masks off. Together that is the victim's vector. No
party answers twice, so none of them alone can notice.

Stopped by the quorum: a client reveals only when t members of its own U3 have signed that same U3, and with 2t > n +
c two quorums for two sets would share an honest party, which signs one. What the coordinator still holds is the
victim's masked input, which is independent of the input.
"""

from typing import Final

from simulations.attacks.coordinator import Coordinator
from simulations.attacks.gallery.attack import Attack
from simulations.attacks.gallery.running import on_ours, on_textbook
from simulations.attacks.naive import secagg
from simulations.attacks.naive.arithmetic import Ring
from simulations.attacks.scene import Scene
from simulations.attacks.scripted import Script
from simulations.attacks.verdicts import Goal, Run, reading


def naive(seed: bytes) -> Run:
    scene = Scene(seed)
    everybody = frozenset(scene.parties)
    without = everybody - {scene.victim}

    def script(server: secagg.Coordinator) -> Script[Ring]:
        yield from server.until_masked()
        yield from server.ask((*scene.parties[:2], scene.colluder), everybody)
        yield from server.ask(scene.parties[2:], without, everybody - without)
        return server.alone(scene.victim, without)

    return reading(scene.guess_from_ring(on_textbook(scene, script)))


def ours(seed: bytes) -> Run:
    scene = Scene(seed)

    def script(server: Coordinator) -> Script[None]:
        yield from server.until_masked()
        without = server.u2 - {scene.victim}
        views = {party: server.u2 if party in scene.parties[:2] else without for party in scene.honest}
        yield from server.confirm(views)
        yield from server.request(views)
        yield from server.fall_back((party for party in views if views[party] == without), server.u2 - without)

    server, held = on_ours(scene, script)
    return reading(scene.guess_if(server.stripped(scene.victim)), held.refusals)


ATTACK: Final = Attack(
    "split-view",
    Goal.READ,
    "tells half of the parties that the victim survived, and half that it dropped",
    "Bonawitz et al., CCS 2017",
    __doc__,
    naive,
    ours,
)
