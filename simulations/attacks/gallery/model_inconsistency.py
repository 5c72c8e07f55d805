"""Two models: the one that was agreed on for the victim, and a dead one for everybody else.

In the dead model no hidden unit ever fires, so that all gradients are zero, whatever the rows. The others' updates
are then nothing, and the sum is the victim's update. The sum is right and every mask comes off; only what was trained
differs.

Stopped by the digest that everything is bound to: each party hashes the model bytes that it loaded itself, and signs
its keys over that. Two that hold different models do not accept each other's keys; and if they did, they would derive
different channel keys and could open no bundle of the other.
"""

from dataclasses import replace
from functools import partial
from typing import Final

from protocols.errors import PartyId
from protocols.machine import Envelope
from protocols.messages import AdvertiseKeys, Invitation
from protocols.session import model_digest
from simulations.attacks import learner
from simulations.attacks.cast import Cast
from simulations.attacks.coordinator import Coordinator
from simulations.attacks.gallery.attack import Attack
from simulations.attacks.gallery.running import on_ours, on_textbook
from simulations.attacks.naive import arithmetic, secagg
from simulations.attacks.naive.arithmetic import Ring
from simulations.attacks.scene import Scene, levels, reals
from simulations.attacks.scripted import Script, said
from simulations.attacks.verdicts import Goal, Guess, Reals, Run, reading


class _Setting:
    """Tables of all parties, and for each the model that it is sent."""

    def __init__(self, seed: bytes) -> None:
        self.scene = scene = Scene(seed, length=learner.SIZE)
        self.rows = {party: learner.Rows.drawn(scene.rand.child(f"rows {party}")) for party in scene.parties}
        agreed, dead = (learner.model(scene.rand.child("model"), dead=dead) for dead in (False, True))
        self.sent = {party: agreed if party == scene.victim else dead for party in scene.parties}

    def update(self, party: PartyId, model: bytes) -> Reals:
        return learner.update(model, self.rows[party])

    def guess(self, recovered: Reals) -> Guess:
        true = self.update(self.scene.victim, self.sent[self.scene.victim])
        return Guess(true, recovered, arithmetic.RING / arithmetic.SCALE)


def naive(seed: bytes) -> Run:
    setting = _Setting(seed)
    scene = setting.scene
    clients = {
        party: secagg.Client(party, partial(setting.update, party), scene.rand.child(f"naive {party}"))
        for party in scene.parties
    }

    def script(server: secagg.Coordinator) -> Script[Ring]:
        everybody = frozenset(scene.parties)
        yield from server.invite_to(setting.sent)
        yield from server.show_roster(everybody, server.keys)
        yield from server.deliver(everybody)
        yield from server.ask(everybody, everybody)
        return server.total(everybody)

    return reading(setting.guess(arithmetic.decode(on_textbook(scene, script, clients=clients))))


def ours(seed: bytes) -> Run:
    setting = _Setting(seed)
    scene = setting.scene
    rooms = {party: _loaded(scene.cast(), model) for party, model in setting.sent.items()}
    for party, room in rooms.items():
        room.inputs[party] = levels(setting.update(party, setting.sent[party]))
    shown = Coordinator(rooms[scene.victim], {})

    def script(server: Coordinator) -> Script[None]:
        """`server` speaks to the others, `shown` to the victim; what either hears is for both."""
        heard = yield [Envelope((party,), Invitation(room.params)) for party, room in rooms.items()]
        for side in (server, shown):
            side.entries |= said(heard, AdvertiseKeys)
        yield from shown.show_roster((scene.victim,))
        yield from server.show_roster([party for party in scene.parties if party != scene.victim])
        shown.shares |= server.shares
        shown.u2 = frozenset(shown.shares)
        if scene.victim in shown.u2:
            yield from shown.deliver_these({scene.victim: shown.delivery(shown.u2, shown.bundles_for(scene.victim))})

    clients = {party: room.client(party) for party, room in rooms.items()}
    _, held = on_ours(scene, script, room=rooms[scene.colluder], clients=clients)
    stripped = shown.stripped(scene.victim)
    guess = None if stripped is None else setting.guess(reals(stripped[: scene.length]))
    return reading(guess, [one for one in held.refusals if one.who == f"party {scene.victim}"])


def _loaded(room: Cast, model: bytes) -> Cast:
    """As a party sees the session that loaded this model, and the coordinator when it speaks to it."""
    subject = replace(room.params.subject, model=model_digest(model))
    room.params, room.terms = replace(room.params, subject=subject), replace(room.terms, subject=subject)
    return room


ATTACK: Final = Attack(
    "model-inconsistency",
    Goal.READ,
    "sends everybody but the victim a model of which all gradients are zero",
    "Pasquini, Francati, Ateniese, CCS 2022",
    __doc__,
    naive,
    ours,
)
