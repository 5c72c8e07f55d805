"""What all banks agreed on before training: model, learner and schema, from the free part of the consortium's file."""

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from difflib import get_close_matches
from enum import StrEnum
from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt

from fl_integration.layout import Array, Floats, Tensors
from fl_integration.schema import Schema


class TrainingError(ValueError):
    """A training that cannot be carried out as described. One line: the key, the remedy."""


class Model(StrEnum):
    LINEAR = "linear"
    MLP = "mlp"


class Learner(Protocol):
    """One kind of model, trained by one bank on its own rows."""

    def initial(self, seed: int) -> dict[str, Array]:
        """The model before the first round."""

    def train(self, tensors: Tensors, inputs: Floats, labels: npt.NDArray[np.uint8], seed: int) -> dict[str, Array]:
        """The model after some passes over inputs float32[n, width] and labels uint8[n], from `tensors` on."""

    def logits(self, tensors: Tensors, inputs: Floats) -> npt.NDArray[np.float64]:
        """float64[n]: the log odds of the positive class."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingConfig:
    """The table `[training]`.

    rounds: aggregations of model updates. epochs: passes over the own rows in each. clip: every coordinate of an update
    is clipped to -clip..clip. bits: 1..32 of precision. rows_per_unit: how many rows make one unit of a bank's weight.
    statistics: whether a first step finds the means and standard deviations over all banks. label, positive: the
    column with the answer, and its value that counts as 1. seed: starts the model and the order of the rows.
    """

    model: Model
    rounds: int
    epochs: int
    learning_rate: float
    clip: float
    label: str
    schema: Schema
    positive: str = "1"
    bits: int = 16
    seed: int = 0
    rows_per_unit: int = 400
    statistics: bool = True

    def __post_init__(self) -> None:
        for name in ("rounds", "epochs", "bits", "rows_per_unit"):
            _require(getattr(self, name) >= 1, name, "is 1 or more")
        for name in ("learning_rate", "clip"):
            _require(0 < getattr(self, name) < np.inf, name, "is above 0")
        _require(self.bits <= 32, "bits", "is 32 at most")
        _require(0 <= self.seed < 2**32, "seed", "lies in 0..2^32-1")
        named = {column.name for column in self.schema.columns}
        _require(self.label not in named, "schema", f"holds the label column {self.label!r}: take it out")

    @classmethod
    def from_mapping(cls, training: Mapping[str, Any]) -> Self:
        """Raises TrainingError for a key that is unknown (naming the nearest), missing or of a wrong type."""
        known = {field.name: field for field in fields(cls)}
        for name in training.keys() - known.keys():
            near = get_close_matches(name, known, n=1)
            raise TrainingError(f"training.{name} is not known" + (f": did you mean {near[0]}?" if near else ""))
        missing = [name for name, field in known.items() if field.default is MISSING and name not in training]
        if missing:
            raise TrainingError(f"training.{missing[0]} is missing")
        return cls(**{name: _parsed(name, value, known[name].type) for name, value in training.items()})

    @property
    def schema_digest(self) -> str:
        """Binds a payload to the columns that it was trained on."""
        return self.schema.digest

    @property
    def first_round(self) -> int:
        """0 when a statistics step comes first."""
        return 0 if self.statistics and self.schema.numeric else 1

    def learner(self) -> Learner:
        return learner_of(self.model, self.schema.width, self.epochs, self.learning_rate)


def learner_of(model: Model, width: int, epochs: int = 1, learning_rate: float = 1.0) -> Learner:
    """The learner of a kind of model; loads scikit-learn or torch only now. For scoring alone the width suffices."""
    if model is Model.LINEAR:
        from fl_integration.linear import LinearLearner

        return LinearLearner(width, epochs, learning_rate)
    try:
        from fl_integration.torch_models import MlpLearner
    except ModuleNotFoundError as exc:
        raise TrainingError('training.model "mlp" needs torch: install veilsum[torch], or take "linear"') from exc
    return MlpLearner(width, epochs, learning_rate)


def _require(holds: bool, name: str, otherwise: str) -> None:
    if not holds:
        raise TrainingError(f"training.{name} {otherwise}")


def _parsed(name: str, value: Any, wanted: Any) -> Any:
    if wanted is Schema:
        return Schema.from_mapping(value)
    if wanted is Model:
        _require(value in list(Model), name, f"is one of {', '.join(Model)}, not {value!r}")
        return Model(value)
    if wanted is float and type(value) is int:
        return float(value)
    _require(type(value) is wanted, name, f"is of type {wanted.__name__}, not {type(value).__name__}")
    return value
