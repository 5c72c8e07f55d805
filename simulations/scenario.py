"""A scenario: everything that a run is a function of. Frozen plain data that prints as TOML and comes back."""

from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from random import Random
from typing import Any

import tomlkit

from mpc.field import PrimeField
from protocols.advisor import field_for
from protocols.deadlines import Policy
from protocols.errors import PartyId
from protocols.session import MAX_LENGTH, SMALLEST_COHORT, Variant, most_colluders
from protocols.tables import read_tables
from simulations.faults import DROPOUTS, Dropout, Fault, Nobody, Plan, Planning, Population, Trace, Vanish, share_of
from simulations.network import Device, Network
from simulations.plain import ScenarioError, from_table, to_table

CORRUPT = 0.05
"""The share of the parties that may side with the coordinator, where a scenario does not say how many."""

_FALLBACK_LOSSES = 0.1
_FAULTS = Fault.__args__


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """protocol: a name of `protocols.families`. parties, dimension, bits: of the sum, and of one party's value.

    rounds: sessions one after the other, by the same parties. colluding: None for 5 % of the parties, or as many as the
    rules allow beside the losses. losses: how many the session plans for; None for what the dropout says of itself, or
    10 %. threshold: the least t, whatever the rule gives. aggregators: so many of the parties, the first ones,
    aggregate and contribute nothing; 0 where each does both. regions: parties are spread over so many by lot.
    """

    protocol: str = "secagg"
    parties: int = 50
    dimension: int = 1000
    bits: int = 16
    rounds: int = 1
    seed: int = 0
    variant: Variant = Variant.ACTIVE
    colluding: int | None = None
    losses: int | None = None
    threshold: int = 1
    cohort: int = SMALLEST_COHORT
    aggregators: int = 0
    rounds_per_epoch: int = 1
    regions: int = 1
    dropout: Dropout = field(default_factory=Nobody)
    faults: tuple[Fault, ...] = ()
    network: Network = field(default_factory=Network)
    devices: tuple[Device, ...] = (Device(),)
    policy: Policy = field(default_factory=Policy)

    def __post_init__(self) -> None:
        if self.parties < SMALLEST_COHORT:
            raise ScenarioError(f"parties is {self.parties}: a sum covers at least {SMALLEST_COHORT}")
        if not 1 <= self.dimension <= MAX_LENGTH:
            raise ScenarioError(f"dimension is {self.dimension}: a vector has 1 to {MAX_LENGTH} values")
        for name in ("rounds", "regions", "rounds_per_epoch", "threshold"):
            if getattr(self, name) < 1:
                raise ScenarioError(f"{name} is {getattr(self, name)}: it is 1 or more")
        if self.seed < 0 or not 0 <= self.aggregators < self.parties:
            raise ScenarioError("seed is 0 or more, and of the parties some contribute")
        if not self.devices:
            raise ScenarioError("devices is empty: a party runs on one")

    @cached_property
    def field_(self) -> PrimeField:
        """The smallest that holds the sum."""
        return field_for(self.parties, self.bits)

    @property
    def planned_losses(self) -> int:
        """d of the session."""
        if self.losses is not None:
            return self.losses
        known = isinstance(self.dropout, Planning)
        planned = self.dropout.planned(self.parties) if known else share_of(self.parties, _FALLBACK_LOSSES)  # type: ignore[attr-defined]
        return min(planned, (self.parties - 1) // 2)

    @property
    def planned_colluders(self) -> int:
        """c of the session."""
        if self.colluding is not None:
            return self.colluding
        most = most_colluders(self.parties - self.aggregators, self.planned_losses)
        return min(share_of(self.parties, CORRUPT), most or 0)

    @cached_property
    def population(self) -> Population:
        """By lot, so that each kind of device has its share of the parties to the next whole one."""
        chance, total = self.chance("population"), sum(device.share for device in self.devices)
        kinds: list[Device] = []
        taken = 0.0
        for device in self.devices:
            taken += device.share / total
            kinds += [device] * (round(taken * self.parties) - len(kinds))
        chance.shuffle(kinds)
        return Population(tuple(kinds), tuple(chance.randrange(self.regions) for _ in kinds))

    def chance(self, purpose: str, fl_round: int = 0) -> Random:
        """A generator of its own for each purpose and round."""
        return Random(f"{self.seed}/{purpose}/{fl_round}")

    def plan(self, fl_round: int) -> Plan:
        """Who vanishes in this round and what happens to messages, without what a watching dropout adds."""
        faults = tuple(fault for fault in self.faults if fault.fl_round in (None, fl_round))
        drawn = self.dropout.drawn(self.population, fl_round, self.chance("dropout", fl_round))
        vanish = dict(drawn) | {PartyId(fault.party): fault.stage for fault in faults if isinstance(fault, Vanish)}
        return Plan(vanish, tuple(fault for fault in faults if not isinstance(fault, Vanish)))

    def to_toml(self) -> str:
        """Raises ScenarioError where a dropout is a class of somebody's own."""
        if type(self.dropout) not in DROPOUTS:
            raise ScenarioError(f"{type(self.dropout).__name__} is no dropout of a file: keep the scenario in Python")
        return tomlkit.dumps(to_table(self, kinds=(*DROPOUTS, *_FAULTS)))

    @classmethod
    def from_toml(cls, text: str, *, where: str = "scenario", folder: Path | None = None) -> "Scenario":
        """folder: where the file of a trace is looked for. Raises ScenarioError."""
        return cls.from_table(tables_of(text.encode(), where), where=where, folder=folder)

    @classmethod
    def from_table(cls, table: dict[str, Any], *, where: str = "scenario", folder: Path | None = None) -> "Scenario":
        """Raises ScenarioError."""
        scenario: Scenario = from_table(cls, table, where, kinds={Dropout: DROPOUTS, Fault: _FAULTS})
        if isinstance(scenario.dropout, Trace) and folder is not None:
            return replace(scenario, dropout=Trace(str(folder / scenario.dropout.file)))
        return scenario

    @classmethod
    def load(cls, file: Path) -> "Scenario":
        """Raises ScenarioError, and OSError where the file cannot be read."""
        return cls.from_table(tables_of(file.read_bytes(), file.name), where=file.name, folder=file.parent)


def tables_of(raw: bytes, where: str) -> dict[str, Any]:
    """Of a TOML file. Raises ScenarioError."""
    try:
        return read_tables(raw)
    except ValueError as exc:
        raise ScenarioError(f"{where} is no TOML: {exc}") from exc
