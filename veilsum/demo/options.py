"""What may be asked of the demo. Nothing heavy is imported here: the command line's help reads it."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

FIRST_LOSS = 2
"""The training round in which the banks are lost."""


class Protocol(StrEnum):
    """Under these names a consortium agrees on one."""

    SECAGG = "secagg"
    SECAGG_PLUS = "secagg+"
    MESH = "mesh"
    COMMITTEE = "committee"
    LIGHTSECAGG = "lightsecagg"


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
    """stage: of the protocol, by name: the bank is lost when its message of this one is ready and has not left.
    None: the one in which inputs leave. rounds_per_epoch: sums that follow one exchange of keys.
    """

    banks: int = 5
    rounds: int = 5
    lose: int = 1
    protocol: Protocol = Protocol.SECAGG
    stage: str | None = None
    model: Model = Model.LINEAR
    seed: int = 0
    variant: Variant = Variant.ACTIVE
    rounds_per_epoch: int = 1
    own: OwnData | None = None
