"""Means and standard deviations of numeric columns over all banks, from sums in M61: exact, and nothing but the sums.

Clip ranges come from the schema, so no bank's rows decide how another's are counted. A value is a whole number of
2^-16 of its range; for each column its count, its sum and the sum of its squares are added up.
"""

import math
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from fl_integration.schema import Column, Floats, Schema, Table
from mpc.field import M61, FieldVector

FIELD = M61

_LEVELS = 1 << 16
_SMALLEST_SCALE = 0.01  # of half the range: a column that hardly varies must not become huge where it does


class TooManyRows(ValueError):
    """The sums of all banks might not fit the field."""


@dataclass(frozen=True, slots=True, eq=False)
class Standard:
    """How numeric columns are centred and scaled: float64[numeric] each."""

    mean: npt.NDArray[np.float64]
    scale: npt.NDArray[np.float64]

    @classmethod
    def of_ranges(cls, schema: Schema) -> Self:
        """Before anybody knows better: the centre and the half width of each clip range."""
        low = np.array([column.low for column in schema.numeric], dtype=np.float64)
        high = np.array([column.high for column in schema.numeric], dtype=np.float64)
        return cls((low + high) / 2, (high - low) / 2)

    @classmethod
    def of_sums(cls, schema: Schema, sums: FieldVector) -> Self:
        """What the sum of all banks' `contribution` says; a column that nobody has a value of keeps its range."""
        counts, firsts, seconds = sums.reshape(3, -1).tolist()
        each = [_moments(*one) for one in zip(schema.numeric, counts, firsts, seconds, strict=True)]
        return cls(np.array([mean for mean, _ in each]), np.array([scale for _, scale in each]))

    def applied(self, features: Floats) -> Floats:
        """The model's input: numeric columns standardised, a missing value at the mean. features: as in `Table`."""
        count = len(self.mean)
        inputs = features.copy()
        inputs[:, :count] = (features[:, :count] - self.mean) / self.scale
        return np.nan_to_num(inputs, copy=False, nan=0.0)


def vector_length(schema: Schema) -> int:
    """Elements of a contribution."""
    return 3 * len(schema.numeric)


def contribution(schema: Schema, table: Table, clients: int) -> FieldVector:
    """One bank's counts, sums and sums of squares. Raises TooManyRows when `clients` such banks might not fit."""
    if clients * len(table) * _LEVELS**2 >= FIELD.modulus:
        most = FIELD.modulus // (clients * _LEVELS**2)
        raise TooManyRows(f"{len(table)} rows: with {clients} parties at most {most} rows each, give a sample")
    columns = [
        _levels(table.features[:, index], column) for index, column in enumerate(schema.numeric)
    ]  # missing values are left out
    sums = [[len(levels), int(levels.sum()), int((levels * levels).sum())] for levels in columns]
    return FIELD.vector(number for row in zip(*sums, strict=True) for number in row)


def _levels(values: Floats, column: Column) -> npt.NDArray[np.uint64]:
    present = values[~np.isnan(values)].astype(np.float64)
    share = np.clip((present - column.low) / (column.high - column.low), 0.0, 1.0)
    return np.rint(share * _LEVELS).astype(np.uint64)


def _moments(column: Column, count: int, first: int, second: int) -> tuple[float, float]:
    """(mean, scale): whole numbers until the last step, so that every bank computes the same bits."""
    width = column.high - column.low
    if count == 0:
        return (column.low + column.high) / 2, width / 2
    mean = column.low + width * (first / (count * _LEVELS))
    deviation = math.sqrt(max(count * second - first * first, 0) / (count * _LEVELS) ** 2)
    return mean, width * max(deviation, _SMALLEST_SCALE / 2)
