"""What a bank's table looks like to the model: columns, ranges and categories, agreed by all before anybody looks.

A `Schema` stands in the consortium's file. From it alone follows the width of the model's input, so no bank's rows
decide anything about its shape.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from mpc.hashing import digest

Floats = npt.NDArray[np.float32]


class SchemaError(ValueError):
    """Not a schema. The message names the column."""


class Kind(StrEnum):
    NUMERIC = "numeric"
    CATEGORICAL = "categorical"


@dataclass(frozen=True, slots=True)
class Column:
    """A numeric column with its clip range low..high, or a categorical one with the categories that have a name."""

    name: str
    kind: Kind
    low: float = 0.0
    high: float = 1.0
    categories: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.kind is Kind.NUMERIC and not 0 < self.high - self.low < np.inf:
            raise SchemaError(f"column {self.name!r}: its range needs finite numbers, low < high")
        if self.kind is Kind.CATEGORICAL and (not self.categories or len(set(self.categories)) < len(self.categories)):
            raise SchemaError(f"column {self.name!r}: it needs categories, each of them once")

    @classmethod
    def from_mapping(cls, name: str, given: Any) -> Self:
        """From `{range = [0, 500]}` or `{categories = ["a", "b"]}`. Raises SchemaError."""
        match given:
            case {"range": [int() | float() as low, int() | float() as high], **rest} if not rest:
                return cls(name, Kind.NUMERIC, low=float(low), high=float(high))
            case {"categories": [*names], **rest} if not rest and all(isinstance(one, str) for one in names):
                return cls(name, Kind.CATEGORICAL, categories=tuple(names))
        raise SchemaError(f'column {name!r}: write range = [low, high] or categories = ["...", ...]')

    def to_mapping(self) -> dict[str, Any]:
        if self.kind is Kind.NUMERIC:
            return {"range": [self.low, self.high]}
        return {"categories": list(self.categories)}


@dataclass(frozen=True, slots=True)
class Schema:
    """The model's inputs: all numeric columns, then for each categorical one its categories and "other".

    Columns are kept in the order of their names: two files that list them differently describe the same input.
    """

    columns: tuple[Column, ...]

    def __post_init__(self) -> None:
        if not self.columns:
            raise SchemaError("the schema has no columns")
        by_name = tuple(sorted(self.columns, key=lambda column: column.name))
        object.__setattr__(self, "columns", by_name)

    @classmethod
    def from_mapping(cls, given: Any) -> Self:
        """From a table of columns by name. Raises SchemaError."""
        if not isinstance(given, Mapping):
            raise SchemaError("the schema is a table of columns")
        return cls(tuple(Column.from_mapping(name, column) for name, column in given.items()))

    def to_mapping(self) -> dict[str, Any]:
        """Numbers, strings, lists and tables only: fit for TOML and JSON."""
        return {column.name: column.to_mapping() for column in self.columns}

    @property
    def digest(self) -> str:
        """Binds a payload to the columns that it was trained on, and to their order."""
        return digest("schema", json.dumps(list(self.to_mapping().items()), separators=(",", ":"))).hex()

    @property
    def numeric(self) -> tuple[Column, ...]:
        return tuple(column for column in self.columns if column.kind is Kind.NUMERIC)

    @property
    def categorical(self) -> tuple[Column, ...]:
        return tuple(column for column in self.columns if column.kind is Kind.CATEGORICAL)

    @property
    def width(self) -> int:
        """Columns of the feature matrix."""
        return len(self.numeric) + sum(len(column.categories) + 1 for column in self.categorical)


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """One bank's rows. It prints its size and nothing of what is in it.

    features: float32[n, schema.width], numeric columns clipped but not yet standardised, NaN where a value is missing.
    labels: uint8[n], 1 for the positive class. missing, unknown: numeric values that were missing, categories that the
    schema does not name (they count as "other").
    """

    features: Floats
    labels: npt.NDArray[np.uint8]
    missing: int = 0
    unknown: int = 0

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        return f"Table(<{len(self)} rows>)"

    @classmethod
    def joined(cls, tables: Sequence["Table"]) -> "Table":
        """All rows of several banks, in order: what no bank can do, for comparison."""
        return cls(
            np.concatenate([table.features for table in tables]),
            np.concatenate([table.labels for table in tables]),
            sum(table.missing for table in tables),
            sum(table.unknown for table in tables),
        )
