"""secagg+: a victim all of whose neighbours are colluders.

On a sparse graph a party masks with few others and shares its secrets among them. A server that draws the graph gives
the victim two colluders for neighbours: they know both of its masks and hold enough shares of its self mask.

Stopped by who draws: each client draws the holders of its shares itself, when the roster is fixed. The server can
only leave them out; and a client sends nothing unless t of the holders that it drew are in U2. Here there are 40
parties of which two collude, and the coordinator says that all but those two of the victim's neighbours were lost.
"""

from typing import Final

from mpc.field import FieldVector
from protocols.errors import SERVER, PartyId
from protocols.machine import Envelope
from protocols.messages import DeliverShares
from protocols.secagg import bindings
from protocols.secagg_plus import Client, Server
from protocols.secagg_plus.messages import CODEC, MaskedInput
from protocols.wire import PartySet
from simulations.attacks.cast import Cast
from simulations.attacks.gallery.attack import Attack
from simulations.attacks.gallery.running import seated
from simulations.attacks.naive import messages, secagg, sparse
from simulations.attacks.naive.arithmetic import Ring
from simulations.attacks.scene import Scene
from simulations.attacks.scripted import Script, Scripted, hold
from simulations.attacks.verdicts import Goal, Run, reading

_PARTIES = 40  # from here on the graph is sparse
_COLLUDERS = _LOSSES = 2


def naive(seed: bytes) -> Run:
    scene = Scene(seed, clients=7)
    clients, colluders = scene.textbook(secagg.Client), frozenset(scene.parties[-_COLLUDERS:])
    others = tuple(party for party in scene.parties if party != scene.victim)
    graph = sparse.ring(others, reach=2) | {scene.victim: colluders}
    graph |= {party: graph[party] | {scene.victim} for party in colluders}

    def script(server: sparse.Coordinator) -> Script[Ring]:
        yield from server.until_masked()
        for colluder in colluders:
            server.look_into(clients[colluder])
        yield from server.ask((scene.victim,), frozenset({scene.victim}))  # its own share, as of any survivor
        return server.alone(scene.victim, colluders)

    server = Scripted(script(sparse.Coordinator(scene.parties, threshold=3, graph=graph)))
    return reading(scene.guess_from_ring(hold({SERVER: server, **clients}, messages.CODEC).got))


def ours(seed: bytes) -> Run:
    scene = Scene(seed, clients=_PARTIES)
    room = scene.cast(_COLLUDERS, _LOSSES, protocol="secagg+")
    colluders = frozenset(scene.parties[-_COLLUDERS:])
    server = _Capturing(room, scene.victim, colluders)
    clients = {party: seated(room, Client, party) for party in scene.parties}
    held = hold({SERVER: server, **clients}, CODEC, dishonest=(SERVER, *colluders))
    return reading(scene.guess_if(server.took), held.refusals)


class _Capturing(Server):
    """It shows the victim a U2 in which of its neighbours only the colluders are left. took: what the victim sent."""

    def __init__(self, room: Cast, victim: PartyId, colluders: PartySet) -> None:
        super().__init__(room.params, identity=room.identities[SERVER], members=room.terms.members)
        self._victim, self._colluders = victim, colluders
        self.took: FieldVector | None = None

    def _close_share(self) -> list[Envelope]:
        return [self._captured(envelope) for envelope in super()._close_share()]

    def _captured(self, envelope: Envelope) -> Envelope:
        if self._victim not in envelope.recipients:
            return envelope
        true: DeliverShares = envelope.message
        u2 = true.u2 - (self._graph.peers(self._victim) - self._colluders)
        bundles = {dealer: bundle for dealer, bundle in true.bundles.items() if dealer in u2}
        signature = bindings.sign_u2(self._identity, bindings.shared_digest(self._state.session, u2))
        return Envelope(envelope.recipients, DeliverShares(u2, bundles, signature))

    def _take_signed(self, sender: PartyId, message: MaskedInput) -> None:
        if sender == self._victim:
            spec = self._params.spec
            self.took = spec.field.unpack(message.masked, spec.masked_length)
        super()._take_signed(sender, message)


ATTACK: Final = Attack(
    "captured-neighbourhood",
    Goal.READ,
    "secagg+: gives a victim none but colluders for neighbours",
    "Bell et al., CCS 2020",
    __doc__,
    naive,
    ours,
)
