"""A colluder that gives another party's key for its own, so that a victim's masks cancel within its own vector.

A party adds the mask that it shares with a lower peer and subtracts the one that it shares with a higher peer. If
both have one key, the two masks are the same and nothing is left of them but the self mask, which a survivor's peers
give out in any case. Here the parties are 0, 1 and 2, and 2 advertises the key of 0.

Stopped where the roster is checked: all keys of all parties are different. (Seeds are also bound to the two ids and
to both keys, so a copied key would not give the same mask either.)
"""

from dataclasses import replace
from typing import Final

from protocols.messages import AdvertiseKeys
from protocols.secagg import bindings
from simulations.attacks.coordinator import Coordinator
from simulations.attacks.gallery.attack import Attack
from simulations.attacks.gallery.running import on_ours, on_textbook
from simulations.attacks.naive import secagg
from simulations.attacks.naive.arithmetic import Ring
from simulations.attacks.scene import Scene
from simulations.attacks.scripted import Script
from simulations.attacks.verdicts import Goal, Run, reading

_THREE = 3


def naive(seed: bytes) -> Run:
    scene = Scene(seed, clients=_THREE)

    def script(server: secagg.Coordinator) -> Script[Ring]:
        yield from server.invite()
        copied = replace(server.keys[scene.colluder], mask_key=server.keys[scene.parties[0]].mask_key)
        yield from server.show_roster(scene.parties, server.keys | {scene.colluder: copied})
        yield from server.deliver(scene.parties)
        yield from server.ask(scene.parties, frozenset(scene.parties))
        return server.alone(scene.victim, peers=())

    return reading(scene.guess_from_ring(on_textbook(scene, script, threshold=2)))


def ours(seed: bytes) -> Run:
    scene = Scene(seed, clients=_THREE)

    def script(server: Coordinator) -> Script[None]:
        yield from server.invite()
        own, others = server.entries[scene.colluder], server.entries[scene.parties[0]]
        copied = _signed(server, replace(own, mask_key=others.mask_key))
        yield from server.show_roster(scene.parties, (server.entries | {scene.colluder: copied}).values())
        yield from server.deliver()
        yield from server.unmask(server.u2)

    server, held = on_ours(scene, script)
    return reading(scene.guess_if(server.stripped(scene.victim)), held.refusals)


def _signed(server: Coordinator, entry: AdvertiseKeys) -> AdvertiseKeys:
    """By the colluder, whose name is on it."""
    identity, invite = server.room.identities[entry.client], server.room.params.digest
    keys = entry.channel_key, entry.mask_key
    return replace(entry, signature=bindings.sign_keys(identity, invite, entry.client, *keys))


ATTACK: Final = Attack(
    "copied-key",
    Goal.READ,
    "a colluder gives another's key for its own: the victim's masks cancel",
    "Diffie, van Oorschot, Wiener, DCC 1992 (unknown key share)",
    __doc__,
    naive,
    ours,
)
