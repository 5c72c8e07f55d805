"""A dealer that gives one holder a bad share, so that the holder looks like the liar.

Nobody sees what was dealt but dealer and holder. When the secret is rebuilt and one share does not lie on the others'
polynomial, a server that corrects errors knows whose answer it was, and throws that party out. But the party gave
what it had been dealt.

Noticed and not decided: the rebuilt secret is checked against what its owner committed to, so that the sum is exact;
and what did not fit is kept as a dispute between dealer and holder. It is no verdict: nobody is dropped for it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np

from mpc import shamir
from mpc.field import M31
from mpc.sealing import open_sealed, seal
from protocols.errors import SERVER, PartyId
from protocols.machine import Envelope, Finished
from protocols.messages import CODEC, ShareKeys
from protocols.secagg import Client, Dispute, bindings, snapshots
from simulations.attacks.cast import Cast
from simulations.attacks.coordinator import honest_server
from simulations.attacks.gallery.attack import Attack
from simulations.attacks.gallery.running import on_textbook
from simulations.attacks.naive import arithmetic, secagg
from simulations.attacks.scene import Scene
from simulations.attacks.scripted import Bent, Script, bending, hold
from simulations.attacks.verdicts import Ending, Goal, NothingHappened, Run

_HOLDER: Final = PartyId(2)


class BadDealer(secagg.Client):
    """The holder's share of its self secret is off by a little."""

    def _seal(self, peer: PartyId, shares: bytes) -> bytes:
        return super()._seal(peer, _off_by_one(shares) if peer == _HOLDER else shares)


@dataclass
class Blaming(secagg.Coordinator):
    """It corrects wrong shares, and throws out whoever gave one."""

    thrown_out: set[PartyId] = field(default_factory=set)

    def rebuild(self, shares: Mapping[PartyId, bytes]) -> bytes:
        points = {self.keys[holder].point: holder for holder in shares}
        rows = {point: M31.unpack(shares[holder], shamir.LIMBS) for point, holder in points.items()}
        found = shamir.correct(rows, threshold=self.threshold, field=M31)
        self.thrown_out |= {points[point] for point in found.wrong}
        return arithmetic.from_limbs(found.secrets)


def naive(seed: bytes) -> Run:
    scene = Scene(seed)
    clients = {**scene.textbook(secagg.Client), scene.colluder: scene.textbook_client(scene.colluder, BadDealer)}

    def script(server: secagg.Coordinator) -> Script[set[PartyId]]:
        blaming = Blaming(server.parties, server.threshold)
        total = yield from blaming.honest()
        if not np.array_equal(arithmetic.decode(total), scene.sum_of(*scene.parties)):
            raise NothingHappened("the sum is not right")
        return blaming.thrown_out

    thrown_out = on_textbook(scene, script, clients=clients)
    if thrown_out != {_HOLDER}:
        return Run(Ending.LOST, f"thrown out: {sorted(thrown_out)}")
    return Run(Ending.WON, f"party {_HOLDER}, which did nothing, is thrown out; party {scene.colluder} is not")


def ours(seed: bytes) -> Run:
    scene = Scene(seed)
    room = scene.cast()
    dealer = room.client(scene.colluder)
    server = honest_server(room)
    clients = {party: room.client(party) for party in scene.honest}
    liar = _Dealer(room, dealer)
    hold({SERVER: server, **clients, scene.colluder: liar}, CODEC, dishonest=(scene.colluder,))
    match server.outcome:
        case Finished(aggregate) if np.array_equal(aggregate.vector, room.plain_sum(scene.parties)):
            exact = True
        case _:
            exact = False
    if not exact or server.dropped or server.disputes != {Dispute(scene.colluder, _HOLDER)}:
        return Run(Ending.WON, f"dropped: {dict(server.dropped)}, disputes: {set(server.disputes)}")
    said = f"dispute between dealer {scene.colluder} and holder {_HOLDER}, nobody is dropped, and the sum is exact"
    return Run(Ending.EXACT, said)


class _Dealer(Bent):
    """It opens the holder's bundle again, changes it, and seals and signs it as it should be."""

    def __init__(self, room: Cast, client: Client) -> None:
        super().__init__(client, bending(ShareKeys, self._spoilt))
        self._room, self._before = room, client.snapshot()

    def receive(self, sender: PartyId, message: Any) -> list[Envelope]:
        self._before = self._machine.snapshot()  # a client keeps no key by which it seals
        return super().receive(sender, message)

    def _spoilt(self, true: ShareKeys) -> ShareKeys:
        before, after = (snapshots.CLIENT.load(one).state for one in (self._before, self._machine.snapshot()))
        me, session = self._room.parties[-1], after.session
        key = bindings.channel(session, me, before.channel_secret, after.u1[_HOLDER]).sending
        shares = open_sealed(key, true.bundles[_HOLDER], session, me, _HOLDER)
        bundles = {**true.bundles, _HOLDER: seal(key, _off_by_one(shares), session, me, _HOLDER)}
        dealt = bindings.bundles_digest(bundles)
        signature = bindings.sign_shares(self._room.identities[me], session, me, true.commitment, dealt)
        return replace(true, bundles=bundles, signature=signature)


def _off_by_one(shares: bytes) -> bytes:
    return bytes([shares[0] ^ 1]) + shares[1:]


ATTACK: Final = Attack(
    "framed-holder",
    Goal.FRAME,
    "deals a bad share, so that its holder looks like the liar",
    "Chor, Goldwasser, Micali, Awerbuch, FOCS 1985 (why sharing is to be verifiable)",
    __doc__,
    naive,
    ours,
)
