"""Polynomials that are given by their values, over whole vectors: from the values at some points to those at others.

A row is what all polynomials, one a column, have at one point. One matrix turns the rows at one set of points into
those at another; it is applied to a slice of the columns at a time. [Lagrange coding: Yu et al., AISTATS 2019]
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from mpc.field import FieldVector, PrimeField
from mpc.shamir import SharingError, _product

_CACHED = 16
_CHUNK = 1 << 20  # elements of the larger side worked on at a time


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
