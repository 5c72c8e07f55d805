"""A share under another owner's name: what a victim sealed for a peer comes back to it as that peer's.

Two parties have one key for both directions, and nothing in a bundle says whose shares are in it. So the relay hands
the victim its own bundles back as those of its peers. Asked for its shares of the peers that dropped, the victim
gives out shares of its own key, at their points. Nobody is asked twice, and the sets that it is shown are good ones.

Stopped by the seal: its key is of one direction, session and round, and sender and recipient are bound to it, so that
what does not come from this dealer for this holder does not open. It is opened before the input leaves, not when a
share is needed.
"""

from collections.abc import Callable
from typing import Final

from protocols.errors import PartyId
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
    victim, clients = scene.victim, scene.textbook(secagg.Client)
    first, *lost = (party for party in scene.honest if party != victim)

    def script(server: secagg.Coordinator) -> Script[Ring]:
        yield from server.invite()
        yield from server.show_roster(scene.parties, server.keys)
        bundles = {party: server.bundles_for(party) for party in scene.parties}
        bundles[victim] |= {peer: server.shares[victim].bundles[peer] for peer in lost}
        yield from server.deliver_these(bundles)
        server.look_into(clients[scene.colluder])
        yield from server.ask((victim,), frozenset({victim, first, scene.colluder}), frozenset(lost))
        yield from server.ask((first, *lost), frozenset({victim}))
        server.mask_shares[victim] |= {peer: server.mask_shares[peer][victim] for peer in lost}
        return server.alone(victim, (first, *lost, scene.colluder))

    return reading(scene.guess_from_ring(on_textbook(scene, script, clients=clients)))


def ours(seed: bytes) -> Run:
    scene = Scene(seed)
    victim, (first, *lost) = scene.victim, (party for party in scene.honest if party != scene.victim)

    def delivering(changed: Callable[[Coordinator], dict[PartyId, bytes]]) -> Callable[[Coordinator], Script[None]]:
        def script(server: Coordinator) -> Script[None]:
            yield from server.invite()
            yield from server.show_roster()
            bundles = server.bundles_for(victim) | changed(server)
            yield from server.deliver_these({victim: server.delivery(server.u2, bundles)})

        return script

    server, held = on_ours(
        scene, delivering(lambda server: {peer: server.shares[victim].bundles[peer] for peer in lost})
    )
    relabelled = on_ours(scene, delivering(lambda server: {lost[0]: server.shares[first].bundles[victim]}))[1]
    also = [tried("another peer's bundle for the victim, under this name", relabelled.refusals)]
    return reading(scene.guess_if(server.stripped(victim)), held.refusals, also)


ATTACK: Final = Attack(
    "reflected-share",
    Goal.READ,
    "hands a victim its own bundles back as those of its peers",
    "Mitchell, Electronics Letters 1989 (reflection)",
    __doc__,
    naive,
    ours,
)
