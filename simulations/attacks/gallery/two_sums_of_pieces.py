"""lightsecagg: sums of pieces over two sets.

A party's mask is cut in coded pieces, one for each other party, and a holder gives out the sum of its pieces over the
survivors. Over two sets that differ in the victim the two sums of masks differ by the victim's mask. The paper's
server is honest, so its parties add up whatever set they are told.

Stopped as in secagg: a client takes one set, signs it, and answers only when q members of it have signed the same,
with 2q > N + c. Afterwards there is no piece left to ask for: with the set the pieces become their sum.
"""

from collections.abc import Mapping
from typing import Final

from mpc.field import M31, FieldVector
from mpc.prg import SEED_BYTES, Seed
from protocols.errors import SERVER, PartyId
from protocols.evidence import Statement
from protocols.lightsecagg import Client, bindings, coding, numbers, snapshots
from protocols.lightsecagg.messages import (
    CODEC,
    AdvertiseKey,
    AggregatedPiece,
    AggregateRequest,
    Confirm,
    Dealers,
    Invitation,
    MaskedInput,
    Piece,
    Relayed,
    Roster,
    Survivors,
)
from protocols.lightsecagg.numbers import PROTOCOL, Numbers
from protocols.machine import Envelope
from protocols.session import VectorSpec
from protocols.wire import PartySet
from simulations.attacks.gallery.attack import Attack
from simulations.attacks.gallery.running import seated
from simulations.attacks.naive import coded
from simulations.attacks.scene import Scene, levels
from simulations.attacks.scripted import Script, Scripted, hold, said
from simulations.attacks.verdicts import Goal, Run, reading, tried

_LOSSES = 2  # so many may vanish: three answers give a sum


def naive(seed: bytes) -> Run:
    scene = Scene(seed)
    spec, agreed = VectorSpec(scene.length, M31), Numbers(scene.clients, 1, scene.clients - _LOSSES, 0)
    everybody = frozenset(scene.parties)
    clients = {
        party: coded.Client(party, levels(scene.updates[party]), everybody, spec, agreed, scene.rand.child(f"{party}"))
        for party in scene.parties
    }

    def script(server: coded.Coordinator) -> Script[FieldVector]:
        yield from server.collect()
        of_all = yield from server.masks_of(everybody)
        without = yield from server.masks_of(everybody - {scene.victim})
        return M31.sub(server.masked[scene.victim], M31.sub(of_all, without))

    server = Scripted(script(coded.Coordinator(scene.parties, spec, agreed)))
    return reading(scene.guess_from_field(hold({SERVER: server, **clients}, coded.CODEC).got))


def ours(seed: bytes) -> Run:
    scene = Scene(seed)
    split = _Coordinator(scene)
    held = hold({SERVER: Scripted(split.split_view()), **split.clients}, CODEC, dishonest=(SERVER, scene.colluder))
    twice = _Coordinator(scene)
    asked = hold({SERVER: Scripted(twice.ask_twice()), **twice.clients}, CODEC, dishonest=(SERVER, scene.colluder))
    also = [tried("the same parties are asked for the other set as well", asked.refusals)]
    return reading(scene.guess_from_field(split.stripped()), held.refusals, also)


class _Coordinator:
    """It holds its own key and its colluder's. answers: by set, then by holder."""

    def __init__(self, scene: Scene) -> None:
        self._scene, self._room = scene, scene.cast(losses=_LOSSES, protocol=PROTOCOL)
        self.clients = {party: seated(self._room, Client, party) for party in scene.parties}
        self._u2 = frozenset(scene.parties)
        self._without = self._u2 - {scene.victim}
        self._masked: dict[PartyId, bytes] = {}
        self._answers: dict[PartySet, dict[PartyId, bytes]] = {}

    @property
    def _spec(self) -> VectorSpec:
        return self._room.params.spec

    @property
    def _agreed(self) -> Numbers:
        return numbers(self._room.params, self._scene.clients)

    @property
    def _shared(self) -> bytes:
        return bindings.shared_digest(self._session, self._u2)

    def split_view(self) -> Script[None]:
        yield from self._until_masked()
        half = self._scene.parties[:2]
        views = {party: self._u2 if party in half else self._without for party in self._scene.honest}
        yield from self._ask(views)

    def ask_twice(self) -> Script[None]:
        yield from self._until_masked()
        yield from self._ask(dict.fromkeys(self._scene.honest, self._u2))
        yield from self._ask(dict.fromkeys(self._scene.honest, self._without))

    def _until_masked(self) -> Script[None]:
        parties, room = self._scene.parties, self._room
        heard = yield [Envelope(parties, Invitation(room.params))]
        entries = tuple(said(heard, AdvertiseKey).values())
        self._session = bindings.session_digest(room.params, entries)
        heard = yield [Envelope(parties, Roster(entries, self._sign(bindings.roster(self._session))))]
        yield [
            Envelope((one.recipient,), Relayed(dealer, one.sealed))
            for dealer, messages in heard.items()
            for one in messages
            if isinstance(one, Piece)
        ]
        heard = yield [Envelope(parties, Dealers(self._u2, self._sign(bindings.dealers(self._shared))))]
        self._masked = {party: one.masked for party, one in said(heard, MaskedInput).items()}
        state = snapshots.CLIENT.load(self.clients[self._scene.colluder].snapshot()).state
        self._colluders_pieces: Mapping[PartyId, bytes] = state.pieces

    def _ask(self, views: Mapping[PartyId, PartySet]) -> Script[None]:
        """To each client its set, and then all signatures that there are on it."""
        statements = {u3: bindings.survivors(self._shared, u3) for u3 in views.values()}
        heard = yield [Envelope((one,), Survivors(u3, self._sign(statements[u3]))) for one, u3 in views.items()]
        signed = {party: one.signature for party, one in said(heard, Confirm).items()}
        requests = {u3: self._request(u3, views, signed) for u3 in views.values()}
        heard = yield [Envelope((one,), requests[u3]) for one, u3 in views.items()]
        for party, answer in said(heard, AggregatedPiece).items():
            self._answers.setdefault(views[party], {})[party] = answer.piece

    def _request(
        self, u3: PartySet, views: Mapping[PartyId, PartySet], signed: Mapping[PartyId, bytes]
    ) -> AggregateRequest:
        colluder = self._scene.colluder
        by_colluder = self._room.identities[colluder].sign(*bindings.confirmation(self._shared, u3))
        alike = {party: one for party, one in signed.items() if views[party] == u3 and party in u3}
        return AggregateRequest({**alike, colluder: by_colluder})

    def _sign(self, statement: Statement) -> bytes:
        return self._room.identities[SERVER].sign(*statement)

    def stripped(self) -> FieldVector:
        """The victim's masked vector, without its mask where both sums of masks are there."""
        field_ = self._spec.field
        vector = field_.unpack(self._masked[self._scene.victim], self._spec.masked_length)
        of_all, without = self._masks_of(self._u2), self._masks_of(self._without)
        if of_all is None or without is None:
            return vector
        return field_.sub(vector, field_.sub(of_all, without))

    def _masks_of(self, u3: PartySet) -> FieldVector | None:
        answers = dict(self._answers.get(u3, {}))
        own = (self._colluders_pieces[party] for party in sorted(u3))
        answers[self._scene.colluder] = coding.add_pieces(own, self._agreed, self._spec)
        if len(answers) < self._agreed.decode:
            return None
        length = self._agreed.piece_length(self._spec)
        rows = {1 + party: self._spec.field.unpack(piece, length) for party, piece in answers.items()}
        return coding.decode(rows, self._agreed, self._spec, Seed(bytes(SEED_BYTES))).masks


ATTACK: Final = Attack(
    "two-sums-of-pieces",
    Goal.READ,
    "lightsecagg: has pieces summed over two sets that differ in the victim",
    "So et al., MLSys 2022 (honest servers only)",
    __doc__,
    naive,
    ours,
)
