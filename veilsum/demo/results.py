"""What the demo found out, and the one JSON line that says so (docs/json.md)."""

import json
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Dropped:
    bank: str
    stage: str


@dataclass(frozen=True, slots=True)
class RoundResult:
    """One training round. absent: not connected when it began. bytes_up_per_bank: the most that an included one sent.

    exact: measured against what the included banks encoded. auc: of the model after this round, on the held-out set.
    """

    round: int
    included: list[str]
    dropped: list[Dropped]
    absent: list[str]
    exact: bool
    bytes_up_per_bank: int
    seconds: float
    auc: float


@dataclass(frozen=True, slots=True)
class Scores:
    """AUC on the held-out set: each bank's own model, the federated one, one trained on all tables in one place."""

    alone: dict[str, float]
    federated: float
    pooled: float


@dataclass(frozen=True, slots=True)
class Results:
    """exact: every sum was, that of the statistics before the first round too."""

    protocol: str
    rounds: list[RoundResult]
    auc: Scores
    exact: bool

    def to_json(self) -> str:
        """One line."""
        return json.dumps(asdict(self), allow_nan=False)
