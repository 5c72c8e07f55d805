"""Polynomials that are given by their values, over whole vectors: from the values at some points to those at others.

A row is what all polynomials, one a column, have at one point. One matrix turns the rows at one set of points into
those at another; it is applied to a slice of the columns at a time. [Lagrange coding: Yu et al., AISTATS 2019]
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final

import numpy as np

from mpc import prg, shamir
from mpc.field import FieldVector, PrimeField
from mpc.prg import Seed
from mpc.shamir import SharingError, _product

CHECK_BITS: Final = 64
"""A row that is wrong anywhere is overlooked with about 2^-64."""

_CACHED = 16
_CHUNK = 1 << 18  # elements of the larger side worked on at a time
_CHECK = "row check"


def weights(sources: Sequence[int], targets: Sequence[int], field: PrimeField) -> FieldVector:
    """The matrix (targets, sources) that takes values at `sources` to values at `targets`, for every degree below
    the number of sources. Read-only; kept for the last few.

    Raises SharingError unless the sources are distinct and all points lie in 0..p-1.
    """
    return _weights(tuple(sources), tuple(targets), field)


def evaluate(values: FieldVector, *, sources: Sequence[int], targets: Sequence[int], field: PrimeField) -> FieldVector:
    """values: (sources, length). Returns (targets, length); no temporary but slices of either.

    Raises SharingError as `weights`, and for another number of rows than sources.
    """
    if values.ndim != 2 or len(values) != len(sources):
        raise SharingError(f"{len(sources)} rows are wanted, not a shape of {values.shape}")
    matrix = weights(sources, targets, field)
    out = np.empty((len(targets), values.shape[1]), dtype=field.dtype)
    step = max(1, _CHUNK // max(matrix.shape))
    for at in range(0, values.shape[1], step):
        part = slice(at, at + step)
        out[:, part] = field.matmul(matrix, values[:, part])
    return out


def wrong_rows(rows: Mapping[int, FieldVector], *, count: int, field: PrimeField, seed: Seed) -> frozenset[int]:
    """The points (1..p-1) whose rows are not on the polynomials, of degree below `count`, that the others are on.

    rows: point -> row, `count` or more, of equal length. Up to (rows - count) // 2 wrong ones are found, wherever they
    are wrong: random combinations of the columns are decoded in their place. seed: what the rows cannot have been
    chosen by. Raises NotEnoughShares, and TooManyErrors where there are more.
    """
    points = sorted(rows)
    combined = _combinations([rows[point] for point in points], field, seed)
    return shamir.correct(dict(zip(points, combined, strict=True)), threshold=count, field=field).wrong


def _combinations(rows: Sequence[FieldVector], field: PrimeField, seed: Seed) -> FieldVector:
    """(rows, combinations): so many that all are zero, for a row that is not, with 2^-CHECK_BITS only."""
    length, wide = len(rows[0]), -(-CHECK_BITS // (field.bits - 1))
    total = np.zeros((len(rows), wide), dtype=field.dtype)
    step = max(1, _CHUNK // (len(rows) + wide))
    for at in range(0, length, step):
        part = np.stack([row[at : at + step] for row in rows])
        stop = at + part.shape[1]
        factors = prg.expand(seed, _CHECK, field, at * wide, stop * wide).reshape(-1, wide)
        total = field.add(total, field.matmul(part, factors))
    return total


@lru_cache(maxsize=_CACHED)
def _weights(sources: tuple[int, ...], targets: tuple[int, ...], field: PrimeField) -> FieldVector:
    # l_k(t) = prod over j != k of (t - x_j) / (x_k - x_j) = (prod over all j of (t - x_j)) / (t - x_k) * w_k
    if len(set(sources)) != len(sources) or not all(0 <= point < field.modulus for point in sources + targets):
        raise SharingError(f"sources are distinct, and points lie in 0..{field.modulus - 1}")
    x, t = field.vector(sources), field.vector(targets)
    between = field.sub(x[:, np.newaxis], x[np.newaxis, :])
    np.fill_diagonal(between, 1)
    scale = field.inv(_product(np.ascontiguousarray(between.T), field))
    distance = field.sub(t[:, np.newaxis], x[np.newaxis, :])
    at_source = distance == 0
    distance[at_source] = 1
    whole = _product(np.ascontiguousarray(distance.T), field)
    matrix = field.mul(field.mul(field.inv(distance), whole[:, np.newaxis]), scale[np.newaxis, :])
    matrix[at_source.any(axis=1)] = 0
    matrix[at_source] = 1
    matrix.flags.writeable = False
    return matrix
