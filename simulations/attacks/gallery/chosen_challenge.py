"""committee: challenges that say what a share is.

Whether a client dealt a polynomial is checked by a random combination of each share, under a mask. If the coordinator
chooses the combination and aggregators answer as often as they are asked, it asks for nothing but the mask, and then
for one block after the other. It has the victim's share of every aggregator, and so the victim's vector.

Stopped by how the challenge comes about: it follows from nonces of all aggregators, committed to with their keys and
opened when no contribution can change any more; each aggregator signs the receipts that it was shown, once, and
answers only when q have signed the same. So a coordinator that shows different aggregators different nonces is
answered by none.
"""

from collections.abc import Mapping
from typing import Final

import numpy as np

from mpc.field import M31, FieldVector
from mpc.packed import Packing
from protocols.committee import Member, Server, bindings
from protocols.committee.messages import CODEC, CheckValues, Receipt, Receipts, Round, Vow, Vows
from protocols.committee.numbers import PROTOCOL
from protocols.errors import SERVER, PartyId
from protocols.machine import Envelope
from simulations.attacks.cast import Cast
from simulations.attacks.gallery.attack import Attack
from simulations.attacks.gallery.running import seated
from simulations.attacks.naive import committee
from simulations.attacks.scene import Scene, levels
from simulations.attacks.scripted import Script, Scripted, hold
from simulations.attacks.verdicts import Ending, Goal, Run, reading

Shown = Mapping[PartyId, Receipt]

_LENGTH = 60  # a question for each block
_LOSSES = 1


def naive(seed: bytes) -> Run:
    scene = Scene(seed, length=_LENGTH)
    packing = Packing(M31, scene.clients, privacy=1, packed=scene.clients - 1 - _LOSSES)
    members = {
        party: committee.Member(
            party, levels(scene.updates[party]), scene.parties, packing, scene.rand.child(f"{party}")
        )
        for party in scene.parties
    }

    def script(server: committee.Coordinator) -> Script[FieldVector]:
        yield from server.wait()
        masks = yield from server.challenge(M31.zeros(server.blocks))
        shares: dict[int, list[FieldVector]] = {point: [] for point in masks[scene.victim]}
        for row in np.eye(server.blocks, dtype=M31.dtype):
            answers = yield from server.challenge(row)
            for point, value in answers[scene.victim].items():
                shares[point].append(M31.sub(value, masks[scene.victim][point]))
        rows = {point: np.concatenate(values) for point, values in shares.items()}
        return packing.reconstruct(rows, scene.length)

    server = Scripted(script(committee.Coordinator(scene.parties, packing, scene.length)))
    return reading(scene.guess_from_field(hold({SERVER: server, **members}, committee.CODEC).got))


def ours(seed: bytes) -> Run:
    scene = Scene(seed, length=_LENGTH)
    room = scene.cast(losses=_LOSSES, protocol=PROTOCOL)
    server = _TwoChallenges(room, scene)
    members = {party: seated(room, Member, party) for party in scene.parties}
    held = hold({SERVER: server, **members}, CODEC, dishonest=(SERVER, scene.colluder))
    if server.answered_both:
        return Run(Ending.WON, "two challenges about the same shares were answered")
    return reading(None, held.refusals)


class _TwoChallenges(Server):
    """It shows half of the aggregators all receipts, and the others all but one: two challenges, for one set of shares.

    answered: aggregators that gave check values.
    """

    def __init__(self, room: Cast, scene: Scene) -> None:
        super().__init__(room.params, identity=room.identities[SERVER], members=room.terms.members)
        self._colluder, self._sign = scene.colluder, room.identities[scene.colluder]
        self._half, self._left_out = scene.parties[:2], scene.parties[0]
        self.answered: list[PartyId] = []

    @property
    def answered_both(self) -> bool:
        return {party in self._half for party in self.answered} == {True, False}

    def _close_receipt(self) -> list[Envelope]:
        super()._close_receipt()
        self._all = dict(self._state.receipts)
        self._fewer = {party: one for party, one in self._all.items() if party != self._left_out}
        honest = self._state.committee - {self._colluder}
        return [
            Envelope((party,), Receipts(self._all if party in self._half else self._fewer)) for party in sorted(honest)
        ]

    def _take_vow(self, sender: PartyId, message: Vow) -> None:
        self._state.vows[sender] = message.signature

    def _close_vow(self) -> list[Envelope]:
        """To each half its own vows, and the colluder's, which signs both."""
        self._state.round = Round.CHECK
        halves = {party: self._all if party in self._half else self._fewer for party in self._state.vows}
        return [Envelope((party,), Vows(self._vows_on(receipts, halves))) for party, receipts in halves.items()]

    def _vows_on(self, receipts: Shown, halves: Mapping[PartyId, Shown]) -> dict[PartyId, bytes]:
        agreed = bindings.agreed_digest(self._state.offered, receipts)
        alike = {party: self._state.vows[party] for party, shown in halves.items() if shown is receipts}
        return {**alike, self._colluder: bindings.sign_vow(self._sign, agreed)}

    def _take_values(self, sender: PartyId, message: CheckValues) -> None:
        self.answered.append(sender)


ATTACK: Final = Attack(
    "chosen-challenge",
    Goal.READ,
    "committee: asks for combinations of shares until it has the shares",
    "Ames et al., CCS 2017 (the check, with a challenge that nobody chooses)",
    __doc__,
    naive,
    ours,
)
