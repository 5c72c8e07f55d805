"""Who takes part in a simulated session: identities, parameters, terms, and the machines that they make.

Any `Family` is seated alike: a coordinator where it has one, and a contributor or a peer for each party.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mpc.hashing import digest
from mpc.keys import SigningKey, VerifyKey
from mpc.randomness import SeededRandomness
from protocols.errors import SERVER, PartyId
from protocols.family import Family
from protocols.ledger import NOTHING_ANSWERED, Ledger
from protocols.machine import Machine
from protocols.session import NO_RECORD, TEST_WIRE, SessionParams, Subject, Terms, VectorSpec
from simulations.scenario import Scenario


@dataclass(slots=True)
class Consortium:
    """The parties of all rounds of a scenario, with what each has answered before, and what an epoch leaves to its
    next session."""

    scenario: Scenario
    family: Family
    identities: dict[PartyId, SigningKey] = field(init=False)
    members: Mapping[PartyId, VerifyKey] = field(init=False)
    ledgers: dict[PartyId, Ledger] = field(init=False, default_factory=dict)
    epochs: dict[PartyId, Any] = field(init=False, default_factory=dict)
    rand: SeededRandomness = field(init=False)

    def __post_init__(self) -> None:
        self.rand = SeededRandomness(f"simulation {self.scenario.seed}".encode())
        seats = [SERVER, *(PartyId(place) for place in range(self.scenario.parties))]
        self.identities = {seat: SigningKey.generate(self.rand.child(f"identity {seat}")) for seat in seats}
        self.members = {seat: self.identities[seat].verify_key for seat in seats if seat != SERVER}

    def session(self, fl_round: int, spec: VectorSpec) -> "Seats":
        """Those of one round: another model, another nonce."""
        scenario, family = self.scenario, self.family
        rand = self.rand.child(f"round {fl_round}")
        coordinator = bytes(32) if family.collector is None else self.identities[SERVER].verify_key.raw
        nothing = digest("simulated")
        model = digest("model", rand.child("model").bytes(32))
        subject = Subject(nothing, 1, coordinator, model, nothing, NO_RECORD)
        aggregators = frozenset(map(PartyId, range(scenario.aggregators)))
        colluding, cohort, variant = scenario.planned_colluders, scenario.cohort, scenario.variant
        beside = (variant, family.name)
        params = SessionParams(
            subject, spec, rand.child("nonce").bytes(32), colluding, scenario.threshold, cohort, *beside,
            wire=TEST_WIRE, losses=scenario.planned_losses, aggregators=aggregators,
            rounds_per_epoch=scenario.rounds_per_epoch,
        )  # fmt: skip
        terms = Terms(
            subject, self.members, spec, colluding, cohort, *beside,
            aggregators=aggregators, rounds_per_epoch=scenario.rounds_per_epoch,
        )  # fmt: skip
        return Seats(self, params, terms, rand)


@dataclass(frozen=True, slots=True)
class Seats:
    """One session. `machine` makes a participant when it is needed."""

    consortium: Consortium
    params: SessionParams
    terms: Terms
    rand: SeededRandomness

    @property
    def family(self) -> Family:
        return self.consortium.family

    @property
    def seats(self) -> tuple[PartyId, ...]:
        """The coordinator's first, where there is one."""
        return (*((SERVER,) if self.family.collector else ()), *self.consortium.members)

    @property
    def contributors(self) -> frozenset[PartyId]:
        """Those that have an input."""
        return frozenset(self.consortium.members) - self.params.aggregators

    def machine(self, seat: PartyId) -> Machine:
        """Without its input. Raises LocalProtocolError where the session is not one that its terms admit."""
        family, identity = self.family, self.consortium.identities[seat]
        epoch = self.consortium.epochs.get(seat)
        left: dict[str, Any] = {} if epoch is None else {"epoch": epoch}
        if seat == SERVER:
            assert family.collector is not None
            return family.collector(self.params, identity=identity, members=dict(self.consortium.members), **left)
        beside = left | {
            "identity": identity,
            "terms": self.terms,
            "rand": self.rand.child(f"party {seat}"),
            "ledger": self.consortium.ledgers.get(seat, NOTHING_ANSWERED),
        }
        if family.peer is not None:
            return family.peer(seat, params=self.params, **beside)
        assert family.contributor is not None
        return family.contributor(seat, **beside)

    def keep(self, seat: PartyId, machine: Any) -> None:
        """What goes to this one's next session: what it has answered, and what its epoch left."""
        if seat != SERVER:
            self.consortium.ledgers[seat] = machine.ledger
        self.consortium.epochs[seat] = getattr(machine, "epoch", None)
