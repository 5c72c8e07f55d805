"""A relay that plays everybody else: the keys that a victim is shown are all the coordinator's.

Keys go through the server, so it can keep them and hand out its own. The victim then shares its secrets with the
coordinator under as many names as it has peers, and masks its vector with what the coordinator knows. Nobody has to
answer anything: the vector is bare as soon as the masked input is there.

Stopped by signatures: each key is signed by the identity that the victim's own terms name for that party, over the
digest of this session. The coordinator can sign with its own key, or with its colluder's, and neither is the peer's.
"""

from typing import Any, Final

from protocols.errors import SERVER, PartyId
from protocols.messages import Invitation
from simulations.attacks.coordinator import Coordinator
from simulations.attacks.gallery.attack import Attack
from simulations.attacks.gallery.puppets import Puppets
from simulations.attacks.gallery.running import MAJORITY, on_ours, on_textbook
from simulations.attacks.lying import answer
from simulations.attacks.naive import arithmetic, messages, secagg
from simulations.attacks.naive.arithmetic import Ring
from simulations.attacks.scene import Scene
from simulations.attacks.scripted import Script
from simulations.attacks.verdicts import Goal, Run, reading


def naive(seed: bytes) -> Run:
    """Behind each peer's name stands a puppet: a client in the coordinator's own memory."""
    scene = Scene(seed)
    victim, peers = scene.victim, _peers(scene)
    puppets = {party: scene.textbook_client(party, secagg.Client, "puppet") for party in peers}

    def ask(puppet: secagg.Client, message: Any) -> Any:
        return puppet.receive(SERVER, message)[0].message

    def script(server: secagg.Coordinator) -> Script[Ring]:
        yield from server.invite()
        for party, puppet in puppets.items():
            server.keys[party] = ask(puppet, messages.Invitation(MAJORITY, arithmetic.SCALE, b""))
        yield from server.show_roster((victim,), server.keys)
        for party, puppet in puppets.items():
            server.shares[party] = ask(puppet, messages.Roster(server.keys))
        yield from server.deliver((victim,))
        for party, puppet in puppets.items():
            ask(puppet, messages.DeliverShares(server.bundles_for(party)))
            server.look_into(puppet)
        return server.alone(victim, peers)

    return reading(scene.guess_from_ring(on_textbook(scene, script)))


def ours(seed: bytes) -> Run:
    """The same, with puppets that are real clients."""
    scene = Scene(seed)
    room, victim = scene.cast(), scene.victim
    puppets = Puppets(room, _peers(scene), victim).clients()
    server = Coordinator(room, puppets)

    def script(_: Coordinator) -> Script[None]:
        yield from server.invite()
        for party, puppet in puppets.items():
            server.entries[party] = answer(puppet, Invitation(room.params))
        yield from server.show_roster((victim,))
        if victim not in server.u2:
            return
        for party, puppet in puppets.items():
            server.shares[party] = answer(puppet, server.roster(server.entries.values()))
        server.u2 = frozenset(server.shares)
        for party, puppet in puppets.items():
            answer(puppet, server.delivery(server.u2, server.bundles_for(party)))
        yield from server.deliver_these({victim: server.delivery(server.u2, server.bundles_for(victim))})

    _, held = on_ours(scene, script, room=room)
    return reading(scene.guess_if(server.stripped(victim)), held.refusals)


def _peers(scene: Scene) -> list[PartyId]:
    return [party for party in scene.parties if party != scene.victim]


ATTACK: Final = Attack(
    "key-substitution",
    Goal.READ,
    "relays keys of its own making in the names of all peers",
    "Diffie and Hellman, 1976; Bonawitz et al., CCS 2017",
    __doc__,
    naive,
    ours,
)
