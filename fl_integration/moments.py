"""Means and standard deviations of columns whose ranges nobody knows beforehand, by secure sums alone.

How large a column gets is found by its power of two: each party marks its own, and the sum says how many parties have
each. Everything else is a weighted mean of numbers within -1..1. For columns with agreed ranges, and exact sums, see
`standardisation`.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from fl_integration.rounds import Contribution, SecureMean

Reals = npt.NDArray[np.float64]

_FARTHEST = 128  # powers of two from 2^-128 to 2^128 are told apart
_BITS = 32
_NOTHING = 2.0**-22  # updates travel as float32: a spread below this part of the values is not told from none
_NARROWEST = 2.0**-10  # of the spread, which a single far value may make wide


def column_moments(parts: Sequence[Reals], secure: SecureMean) -> tuple[Reals, Reals, int]:
    """(mean, standard deviation, rows) over all parties' rows; a column that does not vary has the deviation 1.

    parts: float64[rows, columns] of each party, finite; a party may have no rows. secure: how the sums are made; range,
    precision and weights are set here. The sums also show how many rows there are, and how many parties have values up
    to which power of two in each column.
    """
    weighted = replace(secure, clip=1.0, bits=_BITS, max_weight=max(len(part) for part in parts), metrics={})
    reach = _reach(parts, secure)
    (near,), rows = _means([[part / reach] for part in parts], weighted)
    centre = near * reach
    parts = [part - centre for part in parts]
    width = _reach(parts, secure)
    (rest, square), _ = _means([[part / width, (part / width) ** 2] for part in parts], weighted)
    deviation = width * np.sqrt(np.maximum(square - rest**2, _NARROWEST**2))
    constant = width <= np.maximum(reach * _NOTHING, 2.0**-_FARTHEST)
    return centre + width * rest, np.where(constant, 1.0, deviation), rows


def _means(parts: Sequence[Sequence[Reals]], weighted: SecureMean) -> tuple[list[Reals], int]:
    """For each table of a party the columns' means over all rows of all parties, in one sum; and how many rows."""
    given = {
        who: Contribution({str(at): _column_means(table) for at, table in enumerate(tables)}, len(tables[0]), {})
        for who, tables in enumerate(parts)
    }
    result = weighted(given, {})
    return [result.update[str(at)].astype(np.float64) for at in range(len(parts[0]))], result.total_weight


def _column_means(part: Reals) -> Reals:
    return part.mean(axis=0) if len(part) else np.zeros(part.shape[1])


def _reach(parts: Sequence[Reals], secure: SecureMean) -> Reals:
    """For each column the power of two that no party's values pass, at most 2^128."""
    marks = {who: Contribution({"marks": _marks(part)}, weight=1, metrics={}) for who, part in enumerate(parts)}
    result = replace(secure, clip=1.0, bits=16, max_weight=1, metrics={})(marks, {})
    marked = result.update["marks"] * result.total_weight > 0.5
    highest = marked.shape[1] - 1 - np.argmax(marked[:, ::-1], axis=1)
    reach: Reals = 2.0 ** (highest - _FARTHEST)
    return reach


def _marks(part: Reals) -> npt.NDArray[np.float32]:
    """float32[columns, powers]: 1 at each column's power of two."""
    largest = np.abs(part).max(axis=0, initial=0.0)
    powers = np.where(largest > 0, np.clip(np.frexp(largest)[1], -_FARTHEST, _FARTHEST), -_FARTHEST) + _FARTHEST
    marks = np.zeros((part.shape[1], 2 * _FARTHEST + 1), dtype=np.float32)
    marks[np.arange(part.shape[1]), powers] = 1.0
    return marks
