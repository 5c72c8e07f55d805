"""Every protocol that the conformance suite admits: a room of real machines, and what must come of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

from committee_room import CommitteeRoom
from committee_room import require_discretion as committee_discretion
from conversation import Room
from epoch_room import EpochRoom, LaterRoom
from light_room import LightRoom
from mesh_room import MeshRoom
from plus_room import PlusRoom
from sessions import FIELDS
from test_light_properties import require_discretion as light_discretion
from test_mesh_properties import require_discretion as mesh_discretion
from watch import Watch

from mpc.field import FieldVector, PrimeField
from mpc.hashing import digest
from mpc.keys import SigningKey
from protocols.errors import SERVER, PartyId
from protocols.families import FAMILIES, family_of
from protocols.family import Family
from protocols.ledger import Ledger
from protocols.machine import Machine
from protocols.messages import Round
from protocols.session import SessionParams, Terms, Variant
from protocols.wire import PartySet

Frames = list[tuple[PartyId, PartyId, bytes]]
EPOCHS = family_of("secagg", 2)
LARGE_FIELDS = frozenset(FIELDS) - {"5"}  # a share point for each party, and a place for each piece or packed secret
Discretion = Callable[[Frames, "AnyRoom"], None]


class AnyRoom(Protocol):
    """The parties of one seeded session, and the machines that they make.

    expected: who is in the sum when parties vanish at these stages; None where there is none; ANY where the protocol
    leaves it to the order of events, and the sum is exact or there is none.
    """

    parties: tuple[PartyId, ...]
    field: PrimeField
    params: SessionParams
    terms: Terms
    identities: dict[PartyId, SigningKey]
    inputs: dict[PartyId, FieldVector]
    rand: Any

    def machines(self) -> dict[PartyId, Machine]: ...

    def plain_sum(self, parties: PartySet) -> FieldVector: ...

    def expected(self, vanish: Mapping[int, Any]) -> Any: ...


@dataclass(frozen=True)
class Case:
    """A protocol in one variant. room: takes clients, colluding, losses, field, length and seed by name.

    discretion: raises AssertionError where an honest party said what it must never say, from all frames of a session.
    fields: those of `sessions.FIELDS` that are large enough for it. without: stages that this session does not have.
    """

    name: str
    family: Family
    variant: Variant
    room: Callable[..., AnyRoom]
    require_discretion: Discretion
    fields: frozenset[str] = frozenset(FIELDS)
    without: frozenset[Any] = frozenset()

    @property
    def stages(self) -> tuple[Any, ...]:
        return tuple(stage for stage in self.family.stages(self.variant) if stage not in self.without)

    def make(self, clients: int = 5, colluding: int = 1, losses: int = 1, **given: Any) -> AnyRoom:
        return self.room(clients=clients, colluding=colluding, losses=losses, **given)

    def wake(self, room: AnyRoom, party: PartyId, snapshot: bytes, ledger: Ledger) -> Any:
        """The machine of this snapshot. Raises LocalProtocolError where the ledger does not know it as the last."""
        identity = room.identities[party]
        if party == SERVER:
            assert self.family.restore_collector is not None
            return self.family.restore_collector(snapshot, identity=identity)
        return self.family.restore(snapshot, identity=identity, rand=room.rand.child(f"woken {party}"), ledger=ledger)

    def with_terms(self, room: AnyRoom, party: PartyId, terms: Terms) -> Any:
        """The party's machine under other terms. Raises LocalProtocolError where it refuses them at once."""
        beside = {"identity": room.identities[party], "terms": terms, "rand": room.rand.child(f"wary {party}")}
        if self.family.peer is not None:
            machine: Any = self.family.peer(party, params=room.params, **beside)  # type: ignore[arg-type]
        else:
            assert self.family.contributor is not None
            machine = self.family.contributor(party, **beside)  # type: ignore[arg-type]
        if party in room.inputs:
            machine.set_input(room.inputs[party])
        return machine

    @staticmethod
    def about_another_model(room: AnyRoom) -> Terms:
        subject = replace(room.terms.subject, model=digest("model", b"of somebody else"))
        return replace(room.terms, subject=subject)


def contributors(machines: Mapping[PartyId, Any]) -> dict[PartyId, Any]:
    return {party: machine for party, machine in machines.items() if party != SERVER}


def _bonawitz_discretion(frames: Frames, room: AnyRoom) -> None:
    _require_discretion(Watch(frames), room)


def _epoch_discretion(frames: Frames, room: AnyRoom) -> None:
    _require_discretion(Watch(frames, EPOCHS.codec), room)


def _plus_discretion(frames: Frames, room: AnyRoom) -> None:
    _require_discretion(Watch(frames, FAMILIES["secagg+"].codec), room)


def _plus(variant: Variant) -> Callable[..., PlusRoom]:
    return lambda **given: PlusRoom(variant=variant, **given)


def _require_discretion(watch: Watch, room: AnyRoom) -> None:
    for party in room.parties:
        watch.require_discretion(party)


def _mesh_discretion(frames: Frames, room: AnyRoom) -> None:
    mesh_discretion(frames, room.parties)


def _light_discretion(frames: Frames, room: AnyRoom) -> None:
    light_discretion(frames, room.parties)


def _light(variant: Variant) -> Callable[..., LightRoom]:
    return lambda **given: LightRoom(variant=variant, **given)


def _bonawitz(variant: Variant) -> Callable[..., Room]:
    return lambda **given: Room(variant=variant, **given)


def _accountable(**given: Any) -> Room:
    return Room(accountable=True, **given)


def _plus_accountable(**given: Any) -> PlusRoom:
    return PlusRoom(accountable=True, **given)


def _committee_discretion(frames: Frames, room: AnyRoom) -> None:
    committee_discretion(frames, room.parties)


def _apart(**given: Any) -> CommitteeRoom:
    """The aggregators contribute nothing: as many of them as there are clients."""
    return CommitteeRoom(aggregators=given["clients"], **given)


CASES = (
    Case("secagg-active", FAMILIES["secagg"], Variant.ACTIVE, _bonawitz(Variant.ACTIVE), _bonawitz_discretion),
    Case("secagg-curious", FAMILIES["secagg"], Variant.CURIOUS, _bonawitz(Variant.CURIOUS), _bonawitz_discretion),
    Case("secagg-accountable", FAMILIES["secagg"], Variant.ACTIVE, _accountable, _bonawitz_discretion),
    Case("secagg+-active", FAMILIES["secagg+"], Variant.ACTIVE, _plus(Variant.ACTIVE), _plus_discretion),
    Case("secagg+-curious", FAMILIES["secagg+"], Variant.CURIOUS, _plus(Variant.CURIOUS), _plus_discretion),
    Case("secagg+-accountable", FAMILIES["secagg+"], Variant.ACTIVE, _plus_accountable, _plus_discretion),
    Case("mesh", FAMILIES["mesh"], Variant.ACTIVE, MeshRoom, _mesh_discretion),
    Case("epoch-first", EPOCHS, Variant.ACTIVE, EpochRoom, _epoch_discretion),
    Case(
        "epoch-later", EPOCHS, Variant.ACTIVE, LaterRoom, _epoch_discretion,
        without=frozenset({Round.ADVERTISE, Round.SHARE}),
    ),
    Case(
        "lightsecagg-active", FAMILIES["lightsecagg"], Variant.ACTIVE, _light(Variant.ACTIVE), _light_discretion,
        fields=LARGE_FIELDS,
    ),
    Case(
        "lightsecagg-curious", FAMILIES["lightsecagg"], Variant.CURIOUS, _light(Variant.CURIOUS), _light_discretion,
        fields=LARGE_FIELDS,
    ),
    Case("committee", FAMILIES["committee"], Variant.ACTIVE, CommitteeRoom, _committee_discretion, fields=LARGE_FIELDS),
    Case("committee-apart", FAMILIES["committee"], Variant.ACTIVE, _apart, _committee_discretion, fields=LARGE_FIELDS),
)  # fmt: skip
