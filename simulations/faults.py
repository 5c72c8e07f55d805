"""Who drops, and what happens to messages: plain data. A model of dropout is any value with `drawn`."""

import csv
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Protocol, runtime_checkable

from protocols.errors import PartyId
from simulations.network import Device

Losses = Mapping[PartyId, str | None]
"""Party -> the stage before whose message it vanishes; None: the stage in which the input leaves."""


@dataclass(frozen=True, slots=True)
class Population:
    """Who the parties are: of each its device and its region."""

    devices: tuple[Device, ...]
    regions: tuple[int, ...]

    @property
    def parties(self) -> range:
        return range(len(self.devices))


@runtime_checkable
class Dropout(Protocol):
    """Says before a round who vanishes in it. Frozen, and a function of its fields and of what it is given."""

    def drawn(self, population: Population, fl_round: int, chance: Random) -> Losses:
        """fl_round: 1, 2, .."""


@runtime_checkable
class Watching(Protocol):
    """A dropout that also looks at what is sent, and takes parties away then."""

    def seen(self, population: Population, sender: PartyId, message: Any) -> Losses: ...


@runtime_checkable
class Planning(Protocol):
    """A dropout that knows how many losses a session should plan for."""

    def planned(self, parties: int) -> int: ...


def _require_share(value: float, name: str) -> None:
    if not 0 <= value <= 1:
        raise ValueError(f"{name} is a share, 0 to 1, not {value}")


def share_of(parties: int, share: float) -> int:
    """Rounded down, and 0.3 of 10 is 3."""
    return math.floor(parties * share + 1e-9)


@dataclass(frozen=True, slots=True)
class Nobody:
    def drawn(self, population: Population, fl_round: int, chance: Random) -> Losses:
        return {}

    def planned(self, parties: int) -> int:
        return 0


@dataclass(frozen=True, slots=True)
class Exactly:
    """So large a share of the parties, rounded down, at one stage."""

    share: float
    stage: str | None = None

    def __post_init__(self) -> None:
        _require_share(self.share, "dropout")

    def drawn(self, population: Population, fl_round: int, chance: Random) -> Losses:
        lost = chance.sample(population.parties, self.planned(len(population.parties)))
        return {PartyId(party): self.stage for party in sorted(lost)}

    def planned(self, parties: int) -> int:
        return share_of(parties, self.share)


@dataclass(frozen=True, slots=True)
class Independent:
    """Each party by itself, with one chance."""

    rate: float
    stage: str | None = None

    def __post_init__(self) -> None:
        _require_share(self.rate, "rate")

    def drawn(self, population: Population, fl_round: int, chance: Random) -> Losses:
        return {PartyId(party): self.stage for party in population.parties if chance.random() < self.rate}

    def planned(self, parties: int) -> int:
        return _with_margin(parties, self.rate)


def _with_margin(parties: int, rate: float) -> int:
    """The mean and four standard deviations."""
    return math.ceil(parties * rate + 4 * math.sqrt(parties * rate * (1 - rate)) - 1e-9)


@dataclass(frozen=True, slots=True)
class Regional:
    """A whole region goes dark with chance `outage`, and takes `within` of its parties; others vanish at `rate`."""

    outage: float
    within: float = 1.0
    rate: float = 0.0
    stage: str | None = None

    def __post_init__(self) -> None:
        for name in ("outage", "within", "rate"):
            _require_share(getattr(self, name), name)

    def drawn(self, population: Population, fl_round: int, chance: Random) -> Losses:
        regions = sorted(set(population.regions))
        dark = {region for region in regions if chance.random() < self.outage}
        rates = [self.within if region in dark else self.rate for region in population.regions]
        return {PartyId(party): self.stage for party, rate in enumerate(rates) if chance.random() < rate}


@dataclass(frozen=True, slots=True)
class Diurnal:
    """Chances that go up and down once a day, region after region. Round 1 is at hour 0, then `hours` a round."""

    rate: float
    swing: float = 1.0
    hours: float = 1.0
    stage: str | None = None

    def __post_init__(self) -> None:
        _require_share(self.rate * (1 + self.swing), "rate with its swing")
        _require_share(self.swing, "swing")

    def drawn(self, population: Population, fl_round: int, chance: Random) -> Losses:
        zones = 1 + max(population.regions)

        def rate(region: int) -> float:
            day = ((fl_round - 1) * self.hours / 24 + region / zones) % 1
            return self.rate * (1 + self.swing * math.sin(2 * math.pi * day))

        return {
            PartyId(party): self.stage
            for party, region in enumerate(population.regions)
            if chance.random() < rate(region)
        }

    def planned(self, parties: int) -> int:
        return _with_margin(parties, self.rate * (1 + self.swing))


@dataclass(frozen=True, slots=True)
class ByDevice:
    """A chance for each kind of device, by its name."""

    rates: Mapping[str, float]
    stage: str | None = None

    def __post_init__(self) -> None:
        for name, rate in self.rates.items():
            _require_share(rate, f"the rate of {name}")

    def drawn(self, population: Population, fl_round: int, chance: Random) -> Losses:
        return {
            PartyId(party): self.stage
            for party, device in enumerate(population.devices)
            if chance.random() < self.rates.get(device.name, 0.0)
        }


@dataclass(frozen=True, slots=True)
class ByStage:
    """A chance for each stage; a party vanishes once."""

    rates: Mapping[str, float]

    def __post_init__(self) -> None:
        for name, rate in self.rates.items():
            _require_share(rate, f"the rate of {name}")

    def drawn(self, population: Population, fl_round: int, chance: Random) -> Losses:
        return dict(self._each(population, chance))

    def _each(self, population: Population, chance: Random) -> Iterator[tuple[PartyId, str]]:
        for party in population.parties:
            for stage, rate in self.rates.items():
                if chance.random() < rate:
                    yield PartyId(party), stage
                    break


@dataclass(frozen=True, slots=True)
class Targeted:
    """Takes away those with whom `victim` shares secrets, up to `most` of them, before their input leaves.

    Who they are it reads off the victim's own messages: the parties for which one holds something each.
    """

    victim: int
    most: int
    stage: str | None = None

    def drawn(self, population: Population, fl_round: int, chance: Random) -> Losses:
        return {}

    def seen(self, population: Population, sender: PartyId, message: Any) -> Losses:
        if sender != self.victim:
            return {}
        named = [getattr(message, name) for name in message.__dataclass_fields__]
        peers = {peer for mapping in named if isinstance(mapping, Mapping) for peer in mapping}
        return dict.fromkeys(sorted(peers - {sender})[: self.most], self.stage)

    def planned(self, parties: int) -> int:
        return self.most


@dataclass(frozen=True, slots=True)
class Trace:
    """From a CSV with the columns round, party, stage (an empty stage: where the input leaves)."""

    file: str

    def drawn(self, population: Population, fl_round: int, chance: Random) -> Losses:
        with Path(self.file).open(encoding="utf-8", newline="") as rows:
            found = [row for row in csv.DictReader(rows) if int(row["round"]) == fl_round]
        return {PartyId(int(row["party"])): row.get("stage") or None for row in found}


@dataclass(frozen=True, slots=True)
class Vanish:
    """`party` is gone when its message of `stage` is ready. fl_round None: in each round."""

    party: int
    stage: str
    fl_round: int | None = None


@dataclass(frozen=True, slots=True)
class Delay:
    """The message of `stage` that `party` sends comes `seconds` later."""

    party: int
    stage: str
    seconds: float
    fl_round: int | None = None


@dataclass(frozen=True, slots=True)
class Lose:
    """The message of `stage` that `party` sends, or (down) is sent, never comes."""

    party: int
    stage: str
    down: bool = False
    fl_round: int | None = None


@dataclass(frozen=True, slots=True)
class Repeat:
    """The message of `stage` that `party` sends, or (down) is sent, comes twice."""

    party: int
    stage: str
    down: bool = False
    fl_round: int | None = None


Fault = Vanish | Delay | Lose | Repeat

DROPOUTS: tuple[type[Any], ...] = (
    Nobody, Exactly, Independent, Regional, Diurnal, ByDevice, ByStage, Targeted, Trace,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Plan:
    """What happens in one round."""

    vanish: Losses
    faults: tuple[Fault, ...] = ()
    _of: Mapping[tuple[int, str, bool], tuple[Fault, ...]] = field(init=False, repr=False, default_factory=dict)

    def __post_init__(self) -> None:
        found: dict[tuple[int, str, bool], tuple[Fault, ...]] = {}
        for fault in self.faults:
            key = (fault.party, fault.stage, getattr(fault, "down", False))
            found[key] = (*found.get(key, ()), fault)
        object.__setattr__(self, "_of", found)

    def on(self, party: PartyId, stage: str, *, down: bool) -> tuple[Fault, ...]:
        """What is to happen to this message of the party's link."""
        return self._of.get((party, stage, down), ())
