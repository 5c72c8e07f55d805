"""Keys of sessions that are over, played back in a new one.

In a session in which a party drops, the server rebuilds the key of its pairwise masks: that is what the protocol is
for. So it lets each of the victim's peers drop once, in a session each, and has a key of every one of them. In the
next session it shows the victim these old keys in place of the new ones, and knows every mask that the victim uses.

Stopped by what a key is signed for: the digest of one invitation, which has a fresh nonce in it. If the coordinator
plays back the invitation as well, the old signature is good again; but then the bundles that the peer sealed for the
old roster do not open under the new one, and the victim leaves before its input does.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from mpc.keys import AgreementSecret
from protocols.errors import PartyId
from protocols.messages import AdvertiseKeys, ShareKeys
from simulations.attacks.coordinator import Coordinator
from simulations.attacks.gallery.attack import Attack
from simulations.attacks.gallery.running import on_ours, on_textbook
from simulations.attacks.naive import messages, secagg
from simulations.attacks.naive.arithmetic import Ring
from simulations.attacks.scene import Scene
from simulations.attacks.scripted import Script
from simulations.attacks.verdicts import Goal, Run, reading, tried


def naive(seed: bytes) -> Run:
    scene = Scene(seed)
    clients = scene.textbook(secagg.Client)
    old = {party: _textbook_key_of(scene, party) for party in _peers(scene)}

    def script(server: secagg.Coordinator) -> Script[Ring]:
        yield from server.invite()
        replayed = {party: replace(server.keys[party], mask_key=entry.mask_key) for party, (entry, _) in old.items()}
        yield from server.show_roster(scene.parties, server.keys | replayed)
        yield from server.deliver(scene.parties)
        yield from server.ask(scene.parties, frozenset({scene.victim}))
        server.known |= {party: secret for party, (_, secret) in old.items()}
        server.known[scene.colluder] = clients[scene.colluder].mask_secret
        server.keys |= replayed
        return server.alone(scene.victim, server.known)

    return reading(scene.guess_from_ring(on_textbook(scene, script, clients=clients)))


def _textbook_key_of(scene: Scene, lost: PartyId) -> tuple[messages.AdvertiseKeys, AgreementSecret]:
    """Of a session in which this party drops after it shared its keys."""
    others = frozenset(scene.parties) - {lost}

    def script(server: secagg.Coordinator) -> Script[tuple[messages.AdvertiseKeys, AgreementSecret]]:
        yield from server.until_masked()
        yield from server.ask(others, others, frozenset({lost}))
        return server.keys[lost], server.mask_secret(lost)

    return on_textbook(scene, script, clients=scene.textbook(secagg.Client, _session(lost)))


def ours(seed: bytes) -> Run:
    scene = Scene(seed)
    old = {party: _session_without(scene, party) for party in _peers(scene)}
    keys = {party: one.entries[party] for party, one in old.items()}
    bundles = {party: one.shares[party] for party, one in old.items()}

    def new_invitation(server: Coordinator) -> Script[None]:
        yield from _replay(server, (scene.victim, scene.colluder), keys, bundles)

    server, held = on_ours(scene, new_invitation)
    server.held.mask_secrets |= {party: one.rebuilt(party) for party, one in old.items()}
    first = scene.parties[0]

    def old_invitation(server: Coordinator) -> Script[None]:
        yield from _replay(server, scene.parties[1:], {first: keys[first]}, {first: bundles[first]})

    room = scene.cast(session=_session(first))
    room.rand = room.rand.child("once more")
    again = on_ours(scene, old_invitation, room=room)[1]
    also = [tried("one key, with its invitation and its bundles", again.refusals)]
    return reading(scene.guess_if(server.stripped(scene.victim)), held.refusals, also)


def _session_without(scene: Scene, lost: PartyId) -> Coordinator:
    """A session to its end, whose fallback gives the key of a party that dropped: the colluder holds its answer back,
    so that one is needed."""

    def script(server: Coordinator) -> Script[None]:
        yield from server.until_masked()
        yield from server.unmask(server.u2 - {lost})
        yield from server.fall_back(frozenset(server.honest) - {lost}, frozenset({lost}))

    server, held = on_ours(scene, script, room=scene.cast(session=_session(lost)))
    assert not held.refusals
    return server


def _replay(
    server: Coordinator,
    to: Sequence[PartyId],
    keys: Mapping[PartyId, AdvertiseKeys],
    shares: Mapping[PartyId, ShareKeys],
) -> Script[None]:
    yield from server.invite()
    yield from server.show_roster(to, {**server.entries, **keys}.values())
    server.shares |= shares
    server.u2 = frozenset(server.shares)
    listening = [party for party in to if party in server.shares]
    yield from server.deliver_these({me: server.delivery(server.u2, server.bundles_for(me)) for me in listening})


def _peers(scene: Scene) -> list[PartyId]:
    """The victim's, but for the colluder, whose key is known."""
    return [party for party in scene.honest if party != scene.victim]


def _session(lost: PartyId) -> str:
    return f"party {lost} drops"


ATTACK: Final = Attack(
    "replayed-keys",
    Goal.READ,
    "shows a victim keys of earlier sessions, whose secrets were rebuilt then",
    "Denning and Sacco, CACM 1981 (replay of old keys)",
    __doc__,
    naive,
    ours,
)
