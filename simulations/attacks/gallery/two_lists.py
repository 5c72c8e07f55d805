"""mesh: a proposer with two lists.

There is no server; a peer proposes over whom the sum is, and each adds up its column for that list. Columns for two
lists that differ in the victim differ by what the victim gave each holder, and with its broadcast part that is its
vector.

Stopped by the certificate: a peer signs one list, and opens its column only for a list that t peers have signed, with
2t > n + c. A second list of one proposer is refused, and the proposer is given up for it; the next one proposes, and
the sum comes all the same.
"""

from dataclasses import replace
from typing import Final

from mpc.field import FieldVector
from protocols.errors import PartyId
from protocols.machine import Aborted, Envelope, Finished
from protocols.mesh import NO_COORDINATOR, PROTOCOL, Peer, bindings
from protocols.mesh.messages import CODEC, ExplicitShare, Inputs, PartialSum
from simulations.attacks.cast import Cast
from simulations.attacks.gallery.attack import Attack
from simulations.attacks.gallery.running import seated
from simulations.attacks.naive import additive, arithmetic
from simulations.attacks.naive.arithmetic import Ring
from simulations.attacks.scene import Scene
from simulations.attacks.scripted import Bent, Held, Script, Scripted, hold
from simulations.attacks.verdicts import Goal, Run, reading

_PROPOSER: Final = PartyId(0)


def naive(seed: bytes) -> Run:
    scene = Scene(seed)
    peers = {
        party: additive.Peer(
            party, arithmetic.encode(scene.updates[party]), scene.parties, scene.rand.child(f"naive {party}")
        )
        for party in scene.parties[1:]
    }

    def script(proposer: additive.Proposer) -> Script[Ring]:
        yield from proposer.share()
        of_all = yield from proposer.ask(frozenset(proposer.others))
        without = yield from proposer.ask(frozenset(proposer.others) - {scene.victim})
        given = [of_all[peer] - without[peer] for peer in of_all]
        return arithmetic.add_up([proposer.explicit[scene.victim], *given])

    proposer = Scripted(script(additive.Proposer(scene.parties, scene.length)))
    hold({_PROPOSER: proposer, **peers}, additive.CODEC)
    assert proposer.got is not None
    return reading(scene.guess_from_ring(proposer.got))


def ours(seed: bytes) -> Run:
    scene = Scene(seed)
    both, to_each = _Proposer(scene, split=False), _Proposer(scene, split=True)
    held, apart = both.hold(), to_each.hold()
    also = [f"the second list is refused by all, and then: {_told(held, scene.victim)}"]
    if not to_each.columns:
        also.append(f"each half is sent one list: nobody opens a column, and then: {_told(apart, scene.victim)}")
    guess = scene.guess_from_field((to_each if to_each.columns else both).stripped())
    return reading(guess, held.refusals, also)


def _told(held: Held, party: PartyId) -> str:
    match held.machines[party].outcome:
        case Finished(aggregate):
            return f"the next proposer's sum, over {len(aggregate.included)}"
        case Aborted(reason):
            return f"no sum ({reason.value})"
        case _:
            return "nothing"


class _Proposer:
    """The first peer, whose every list goes out in two versions: both to everybody, or one to each half."""

    def __init__(self, scene: Scene, *, split: bool) -> None:
        self._scene, self._split, self._room = scene, split, _room(scene)
        self._explicit: dict[PartyId, FieldVector] = {}
        self.columns: dict[PartyId, list[FieldVector]] = {}  # what each peer opened, in the order in which it came

    def hold(self) -> Held:
        peers = {party: seated(self._room, Peer, party, params=self._room.params) for party in self._scene.parties}
        liar = Bent(peers[_PROPOSER], self._bend)
        return hold({**peers, _PROPOSER: liar}, CODEC, dishonest=(_PROPOSER,), tap=self._tap)

    def _bend(self, envelope: Envelope) -> list[Envelope]:
        true = envelope.message
        if not isinstance(true, Inputs):
            return [envelope]
        fewer = {party: hash_ for party, hash_ in true.hashes.items() if party != self._scene.victim}
        other = bindings.sign(self._room.identities[_PROPOSER], self._room.params.digest, replace(true, hashes=fewer))
        if not self._split:
            return [envelope, Envelope(envelope.recipients, other)]
        half = len(envelope.recipients) // 2
        return [Envelope(envelope.recipients[:half], true), Envelope(envelope.recipients[half:], other)]

    def _tap(self, sender: PartyId, recipient: PartyId, frame: bytes) -> None:
        if recipient != _PROPOSER:
            return
        message, spec = CODEC.decode(frame), self._room.params.spec
        if isinstance(message, ExplicitShare):
            self._explicit[message.party] = spec.field.unpack(message.vector, spec.masked_length)
        elif isinstance(message, PartialSum):
            self.columns.setdefault(message.party, []).append(spec.field.unpack(message.vector, spec.masked_length))

    def stripped(self) -> FieldVector:
        """The victim's broadcast part and, of whoever opened two columns, what the victim gave it."""
        field_ = self._room.params.spec.field
        vector = self._explicit[self._scene.victim]
        for columns in self.columns.values():
            if len(columns) > 1:
                vector = field_.add(vector, field_.sub(columns[0], columns[1]))
        return vector


def _room(scene: Scene) -> Cast:
    room = scene.cast(protocol=PROTOCOL)
    subject = replace(room.params.subject, coordinator=NO_COORDINATOR)
    room.params, room.terms = replace(room.params, subject=subject), replace(room.terms, subject=subject)
    return room


ATTACK: Final = Attack(
    "two-lists",
    Goal.READ,
    "mesh: proposes two lists of members that differ in the victim",
    "Lamport, Shostak, Pease, TOPLAS 1982 (two-faced generals)",
    __doc__,
    naive,
    ours,
)
