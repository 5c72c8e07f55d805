"""A round of an epoch started a second time, with another model.

Keys that serve many rounds give each round masks of its own, by its number, and the number is the server's. Round 2
is held as it should be; then it is started once more, on a model of which all gradients are zero. The masks are those
of before, so that what comes is the masks by themselves.

Stopped by a ratchet: a client goes from the root of one round to that of the next and erases it before its input
leaves, so that it has nothing left to mask round 2 with. The number is refused, and the ledger keeps it across a
crash.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final

from mpc.field import FieldVector
from mpc.hashing import digest
from protocols.epoch import Client, ClientEpoch, Server, ServerEpoch
from protocols.epoch.messages import CODEC
from protocols.errors import SERVER, PartyId
from protocols.ledger import NOTHING_ANSWERED, Ledger
from protocols.messages import MaskedInput
from simulations.attacks.cast import Cast
from simulations.attacks.gallery.attack import Attack
from simulations.attacks.naive import messages, static
from simulations.attacks.naive.arithmetic import Reals, Ring
from simulations.attacks.scene import Scene
from simulations.attacks.scripted import Refusal, Script, Scripted, hold
from simulations.attacks.verdicts import Goal, Run, reading

_ROUNDS = 3
_DEAD = b"dead"  # the model of which all gradients are zero


def naive(seed: bytes) -> Run:
    scene = Scene(seed)

    def trained(party: PartyId, model: bytes) -> Reals:
        return scene.updates[party] * (model != _DEAD)

    def script(server: static.Coordinator) -> Script[Ring]:
        yield from server.set_up()
        yield from server.hold_round(1)
        once = yield from server.hold_round(2)
        again = yield from server.hold_round(2, _DEAD)
        return once[scene.victim] - again[scene.victim]

    clients = {
        party: static.Client(party, partial(trained, party), scene.rand.child(f"naive {party}"))
        for party in scene.parties
    }
    server = Scripted(script(static.Coordinator(scene.parties, threshold=0)))
    return reading(scene.guess_from_ring(hold({SERVER: server, **clients}, messages.CODEC).got))


def ours(seed: bytes) -> Run:
    scene = Scene(seed)
    room = scene.cast()
    parties = _Parties(room, scene.victim)
    before_2 = parties.hold("round 1", None, room.inputs).epoch
    parties.hold("round 2", before_2, room.inputs)
    once = parties.masked.pop()
    nothing = dict.fromkeys(room.parties, room.field.zeros(room.length))
    parties.hold("round 2 again", before_2, nothing)  # the coordinator's own side goes back as it likes
    difference = room.field.sub(once, parties.masked.pop()) if parties.masked else once
    return reading(scene.guess_if(difference), parties.refusals)


@dataclass
class _Parties:
    """With what each session of theirs leaves to the next. masked: the victim's vectors of the last one."""

    room: Cast
    victim: PartyId
    epochs: dict[PartyId, ClientEpoch | None] = field(default_factory=dict)
    ledgers: dict[PartyId, Ledger] = field(default_factory=dict)
    masked: list[FieldVector] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)

    def hold(self, name: str, epoch: ServerEpoch | None, inputs: Mapping[PartyId, FieldVector]) -> Server:
        """Another step: its own model and nonce."""
        self.masked.clear()
        room, step = self.room, digest("step", name)
        subject = replace(room.params.subject, model=step)
        params = replace(room.params, subject=subject, nonce=step, rounds_per_epoch=_ROUNDS)
        terms = replace(room.terms, subject=subject, rounds_per_epoch=_ROUNDS)
        server = Server(params, identity=room.identities[SERVER], members=terms.members, epoch=epoch)
        clients = {
            party: Client(
                party, identity=room.identities[party], terms=terms, rand=room.rand.child(f"{name} {party}"),
                ledger=self.ledgers.get(party, NOTHING_ANSWERED), epoch=self.epochs.get(party),
            )
            for party in room.parties
        }  # fmt: skip
        for party, client in clients.items():
            client.set_input(inputs[party])
        self.refusals += hold({SERVER: server, **clients}, CODEC, dishonest=(SERVER,), tap=self._tap).refusals
        self.epochs = {party: client.epoch for party, client in clients.items()}
        self.ledgers = {party: client.ledger for party, client in clients.items()}
        return server

    def _tap(self, sender: PartyId, _recipient: PartyId, frame: bytes) -> None:
        message, spec = CODEC.decode(frame), self.room.params.spec
        if sender == self.victim and isinstance(message, MaskedInput):
            self.masked.append(spec.field.unpack(message.masked, spec.masked_length))


ATTACK: Final = Attack(
    "replayed-round",
    Goal.READ,
    "starts a round of an epoch again, with a model that gives nothing",
    "the two-time pad; Kursawe et al., PETS 2011 (keys that last)",
    __doc__,
    naive,
    ours,
)
