"""A party that is taken back to before it masked, and masks another input with the same masks.

A process crashes, or its operator brings a machine's image back; in either case it stands before a message that it
has already answered. Asked again it masks what it has now. The two masked vectors differ by the two inputs, and one
of these can be made to be nothing: a model of which all gradients are zero is enough.

Stopped by a number apart from the snapshot: the ledger counts the steps of each session, is written before anything
is sent and never brought back, and a snapshot is taken up only if it is the last one. The last one after masking
holds no input and no secret to mask with.
"""

import copy
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import numpy as np

from mpc.field import FieldVector
from mpc.randomness import SeededRandomness
from protocols.errors import SERVER, LocalProtocolError
from protocols.ledger import Ledger
from protocols.messages import CODEC
from protocols.secagg import Client
from simulations.attacks.coordinator import Coordinator
from simulations.attacks.gallery.attack import Attack
from simulations.attacks.gallery.running import on_ours, on_textbook
from simulations.attacks.naive import messages, secagg
from simulations.attacks.naive.arithmetic import Ring
from simulations.attacks.scene import Scene
from simulations.attacks.scripted import Refusal, Script, Scripted, hold
from simulations.attacks.verdicts import Goal, Run, reading, tried


def naive(seed: bytes) -> Run:
    """Its whole memory comes back, and next to it a model that gives nothing."""
    scene = Scene(seed)
    clients = scene.textbook(secagg.Client)
    images = {}

    def first(server: secagg.Coordinator) -> Script[secagg.Coordinator]:
        yield from server.invite()
        yield from server.show_roster(scene.parties, server.keys)
        images[scene.victim] = copy.copy(clients[scene.victim])
        yield from server.deliver(scene.parties)
        return server

    server = on_textbook(scene, first, clients=clients)
    once = server.masked[scene.victim]
    images[scene.victim].train = lambda model: np.zeros(scene.length)

    def second() -> Script[Ring]:
        yield from server.deliver((scene.victim,))
        return server.masked[scene.victim]

    twice: Ring = hold({SERVER: Scripted(second()), **images}, messages.CODEC).got
    return reading(scene.guess_from_ring(once - twice))


def ours(seed: bytes) -> Run:
    scene = Scene(seed)
    older = masked_again(scene, lambda disk: disk.take_up(disk.before[0], disk.after[1]))
    newest = masked_again(scene, lambda disk: disk.take_up(*disk.after))
    also = [tried("the snapshot after it masked", newest.refusals)]
    return reading(scene.guess_from_field(older.difference), older.refusals, also)


@dataclass(frozen=True, slots=True)
class Disk:
    """The victim's snapshot and ledger, as they were before it masked its input and after."""

    scene: Scene
    before: tuple[bytes, Ledger]
    after: tuple[bytes, Ledger]

    def take_up(self, snapshot: bytes, ledger: Ledger) -> Client:
        """Raises LocalProtocolError."""
        rand = SeededRandomness(b"restored " + self.scene.seed)
        identity = self.scene.cast().identities[self.scene.victim]
        return Client.restore(snapshot, identity=identity, rand=rand, ledger=ledger)


@dataclass(frozen=True, slots=True)
class Again:
    """difference: of the two masked vectors; where there is no second one, the first."""

    difference: FieldVector
    refusals: tuple[Refusal, ...]


def masked_again(scene: Scene, take_up: Callable[[Disk], Client]) -> Again:
    """The victim masks its update, is taken up from its disk, and is asked again, with nothing for its update."""
    room = scene.cast()
    clients = {party: room.client(party) for party in scene.parties}
    victim = clients[scene.victim] = room.without_input(scene.victim)
    kept: list[tuple[bytes, Ledger]] = []

    def script(server: Coordinator) -> Script[None]:
        yield from server.invite()
        yield from server.show_roster()
        kept.append((victim.snapshot(), victim.ledger))
        victim.set_input(room.inputs[scene.victim])
        yield from server.deliver()
        kept.append((victim.snapshot(), victim.ledger))

    server, _ = on_ours(scene, script, room=room, clients=clients)
    once = server.masked.pop(scene.victim)
    try:
        restored = take_up(Disk(scene, *kept))
    except LocalProtocolError as exc:
        return Again(once, (Refusal(f"party {scene.victim}", "rollback", str(exc)),))
    with suppress(LocalProtocolError):  # too late for an input
        restored.set_input(room.field.zeros(room.length))
    bundles = server.delivery(server.u2, server.bundles_for(scene.victim))
    seats = {SERVER: Scripted(server.deliver_these({scene.victim: bundles})), scene.victim: restored}
    held = hold(seats, CODEC, dishonest=(SERVER,))
    twice = server.masked.get(scene.victim)
    return Again(once if twice is None else room.field.sub(once, twice), held.refusals)


ATTACK: Final = Attack(
    "restored-snapshot",
    Goal.READ,
    "has a party mask a second input with the masks of the first",
    "the two-time pad; Ristenpart and Yilek, NDSS 2010 (restored machines)",
    __doc__,
    naive,
    ours,
)
