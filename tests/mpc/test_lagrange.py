"""Values at points to values at other points: against plain integers, over every field, and with wrong rows."""

import tracemalloc
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpc import lagrange
from mpc.field import M31, M61, FieldVector, PrimeField
from mpc.prg import Seed
from mpc.randomness import SeededRandomness
from mpc.shamir import NotEnoughShares, SharingError, TooManyErrors

FIELDS = [PrimeField(11), PrimeField(251), PrimeField.with_bits(26), M31, PrimeField.with_bits(32), M61]
SEED = Seed(bytes(range(32)))
every_field = pytest.mark.parametrize("field", FIELDS, ids=lambda field: str(field.modulus))


def values_at(coefficients: FieldVector, points: list[int], field: PrimeField) -> FieldVector:
    """Horner in Python's integers: column by column, point by point."""
    p, columns = field.modulus, coefficients.shape[1]
    rows = [
        [sum(int(coefficients[k, b]) * pow(x, k, p) for k in range(len(coefficients))) % p for b in range(columns)]
        for x in points
    ]
    return np.array(rows, dtype=field.dtype)


def polynomials(field: PrimeField, degree: int, columns: int, name: str = "") -> FieldVector:
    rand = SeededRandomness(b"lagrange " + name.encode())
    return field.uniform((degree + 1) * columns, rand).reshape(degree + 1, columns)


@every_field
def test_values_at_other_points_are_those_of_the_polynomial(field: PrimeField) -> None:
    f = polynomials(field, 3, 7)
    sources, targets = [5, 0, 2, 10], [1, 2, 9, 10, 7]  # two of the targets are sources
    moved = lagrange.evaluate(values_at(f, sources, field), sources=sources, targets=targets, field=field)
    assert np.array_equal(moved, values_at(f, targets, field))


@settings(max_examples=12, derandomize=True, database=None, deadline=None)
@given(st.permutations(range(11)), st.integers(1, 10))
def test_any_points_there_and_back_give_the_same_values(points: list[int], count: int) -> None:
    field, sources, targets = PrimeField(11), points[:count], list(reversed(points))[:count]
    values = field.uniform(count * 3, SeededRandomness(b"back")).reshape(count, 3)
    there = lagrange.evaluate(values, sources=sources, targets=targets, field=field)
    back = lagrange.evaluate(there, sources=targets, targets=sources, field=field)
    assert np.array_equal(back, values)


def test_a_product_in_slices_is_the_product(monkeypatch: pytest.MonkeyPatch) -> None:
    field, sources, targets = M61, range(6, 10), range(1, 6)
    values = polynomials(field, 3, 101)
    whole = lagrange.evaluate(values, sources=sources, targets=targets, field=field)
    monkeypatch.setattr(lagrange, "_CHUNK", 35)
    assert np.array_equal(lagrange.evaluate(values, sources=sources, targets=targets, field=field), whole)


@pytest.mark.slow
def test_no_temporary_is_a_multiple_of_the_whole() -> None:
    field, sources, targets = PrimeField.with_bits(26), range(11, 19), range(1, 11)
    values = field.zeros(8 * 600_000).reshape(8, -1)
    result = 10 * 600_000 * field.itemsize
    lagrange.weights(sources, targets, field)
    tracemalloc.start()
    lagrange.evaluate(values, sources=sources, targets=targets, field=field)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak - result < 32 * 2**20  # slices of a fixed size, whatever the length


@pytest.mark.parametrize(("sources", "targets"), [([1, 1], [2]), ([1, 11], [2]), ([1, 2], [11]), ([1, 2], [-1])])
def test_points_that_are_none_are_refused(sources: list[int], targets: list[int]) -> None:
    with pytest.raises(SharingError):
        lagrange.weights(sources, targets, PrimeField(11))


def test_rows_for_other_points_than_there_are_are_refused() -> None:
    with pytest.raises(SharingError, match="2 rows"):
        lagrange.evaluate(M31.zeros(3).reshape(3, 1), sources=[1, 2], targets=[3], field=M31)


def rows_of(field: PrimeField, points: range, degree: int, length: int) -> dict[int, FieldVector]:
    f = polynomials(field, degree, length)
    return dict(zip(points, values_at(f, list(points), field), strict=True))


def spoilt(row: FieldVector, column: int, field: PrimeField) -> FieldVector:
    other = row.copy()
    other[column] = (int(row[column]) + 1) % field.modulus
    return other


@every_field
def test_wrong_rows_are_found_wherever_they_are_wrong(field: PrimeField) -> None:
    rows = rows_of(field, range(1, 8), 2, 50)
    assert lagrange.wrong_rows(rows, count=3, field=field, seed=SEED) == frozenset()
    for wrong in combinations(rows, 2):
        bad = rows | {point: spoilt(rows[point], 7 * point, field) for point in wrong}  # each in another column
        assert lagrange.wrong_rows(bad, count=3, field=field, seed=SEED) == set(wrong)


def test_more_wrong_rows_than_the_others_outvote_are_an_error() -> None:
    rows = rows_of(M31, range(1, 8), 2, 9)
    bad = rows | {point: spoilt(rows[point], point, M31) for point in (1, 4, 6)}
    with pytest.raises(TooManyErrors):
        lagrange.wrong_rows(bad, count=3, field=M31, seed=SEED)


def test_with_no_row_to_spare_nothing_is_found() -> None:
    rows = rows_of(M31, range(1, 4), 2, 9)
    rows[2] = spoilt(rows[2], 0, M31)
    assert lagrange.wrong_rows(rows, count=3, field=M31, seed=SEED) == frozenset()
    del rows[2]
    with pytest.raises(NotEnoughShares):
        lagrange.wrong_rows(rows, count=3, field=M31, seed=SEED)


def test_an_error_that_cancels_in_one_combination_is_found_in_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a small field a single combination is blind to one error in p; so many are taken that none slips through."""
    field = PrimeField(11)
    rows = rows_of(field, range(1, 6), 2, 4)
    bad = rows | {2: spoilt(spoilt(rows[2], 0, field), 3, field)}
    seeds = [Seed(bytes([number] * 32)) for number in range(60)]
    assert all(lagrange.wrong_rows(bad, count=3, field=field, seed=seed) == {2} for seed in seeds)
    monkeypatch.setattr(lagrange, "CHECK_BITS", 1)
    missed = sum(lagrange.wrong_rows(bad, count=3, field=field, seed=seed) != {2} for seed in seeds)
    assert 0 < missed < 20
