"""What may be asked of the demo. Nothing heavy is imported here: the command line's help reads it."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

FIRST_LOSS = 2
"""The training round in which the banks are lost."""


class Stage(StrEnum):
    """The protocol's rounds: the bank is lost when its message of this one is ready and has not left."""

    ADVERTISE = "advertise"
    SHARE = "share"
    MASKED_INPUT = "masked-input"
    CONFIRM = "confirm"
    UNMASK = "unmask"


class Model(StrEnum):
    LINEAR = "linear"
    MLP = "mlp"


class Variant(StrEnum):
    ACTIVE = "active"
    CURIOUS = "curious"


@dataclass(frozen=True, slots=True)
class OwnData:
    """A CSV file in place of invented transactions. positive: the label's value that counts as 1, None: as drafted."""

    file: Path
    label: str
    positive: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    banks: int = 5
    rounds: int = 5
    lose: int = 1
    stage: Stage = Stage.MASKED_INPUT
    model: Model = Model.LINEAR
    seed: int = 0
    variant: Variant = Variant.ACTIVE
    own: OwnData | None = None
