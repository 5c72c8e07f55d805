"""Packed sharing: exact in every field, corrected up to its bound, uniform below it, and not above."""

from collections import Counter
from itertools import combinations

import numpy as np
import pytest
from scipy.stats import chi2

from mpc import shamir
from mpc.field import M31, M61, FieldVector, PrimeField
from mpc.packed import Packing
from mpc.randomness import SeededRandomness
from mpc.shamir import NotEnoughShares, SharingError, TooManyErrors

FIELDS = [M31, M61, PrimeField(11), PrimeField.with_bits(26), PrimeField.with_bits(32)]
ODDS = 1e-6  # of calling a fair count unfair; the draws are seeded, so it is decided once


def shared(packing: Packing, vector: FieldVector, seed: bytes = b"packed") -> dict[int, FieldVector]:
    secrets = packing.pack(vector)
    noise = packing.field.uniform(packing.privacy * secrets.shape[1], SeededRandomness(seed))
    rows = packing.split(secrets, noise.reshape(packing.privacy, -1))
    return dict(enumerate(rows, start=1))


def drawn(field: PrimeField, length: int) -> FieldVector:
    return field.uniform(length, SeededRandomness(b"vector"))


@pytest.mark.parametrize("field", FIELDS, ids=str)
@pytest.mark.parametrize("length", [1, 2, 3, 20, 50])
def test_any_enough_shares_give_the_vector_back(field: PrimeField, length: int) -> None:
    packing, vector = Packing(field, 6, 2, 3), drawn(field, length)
    shares = shared(packing, vector)
    assert {len(share) for share in shares.values()} == {packing.blocks(length)}
    for chosen in combinations(shares, packing.decode):
        some = {point: shares[point] for point in chosen}
        assert np.array_equal(packing.reconstruct(some, length), vector)


@pytest.mark.parametrize("field", FIELDS, ids=str)
def test_shares_of_a_sum_are_the_sums_of_shares(field: PrimeField) -> None:
    packing, one, other = Packing(field, 5, 1, 3), drawn(field, 10), drawn(field, 20)[10:]
    mine, theirs = shared(packing, one), shared(packing, other, b"another")
    added = {point: field.add(mine[point], theirs[point]) for point in mine}
    assert np.array_equal(packing.reconstruct(added, 10), field.add(one, other))


@pytest.mark.parametrize("field", FIELDS, ids=str)
def test_wrong_shares_are_corrected_and_named_up_to_half_of_the_spare_ones(field: PrimeField) -> None:
    packing, vector = Packing(field, 7, 1, 2), drawn(field, 40)
    for wrong in combinations(range(1, 8), 2):
        shares = shared(packing, vector)
        for place, point in enumerate(wrong):
            shares[point] = shares[point].copy()
            shares[point][place::3] = field.add(
                shares[point][place::3], field.vector([1] * len(shares[point][place::3]))
            )
        found = packing.correct(shares, 40)
        assert np.array_equal(found.secrets, vector)
        assert found.wrong == set(wrong)


def test_one_wrong_share_more_is_noticed() -> None:
    packing, vector = Packing(M31, 7, 1, 2), drawn(M31, 40)
    shares = shared(packing, vector) | {point: drawn(M31, 20 + point)[point:] for point in (1, 4, 6)}
    with pytest.raises(TooManyErrors, match="20 of 20 blocks"):
        packing.correct(shares, 40)


def test_too_few_shares_are_refused() -> None:
    packing, vector = Packing(M31, 7, 1, 2), drawn(M31, 40)
    two = {point: share for point, share in shared(packing, vector).items() if point < 3}
    for rebuild in (packing.reconstruct, packing.correct):
        with pytest.raises(NotEnoughShares):
            rebuild(two, 40)


@pytest.mark.parametrize(("shares", "privacy", "packed"), [(3, 0, 1), (3, 1, 0), (3, 2, 2), (9, 1, 2), (6, 1, 5)])
def test_a_packing_that_cannot_be_is_refused(shares: int, privacy: int, packed: int) -> None:
    with pytest.raises(SharingError):
        Packing(PrimeField(11), shares, privacy, packed)


def test_noise_and_secrets_of_another_shape_are_refused() -> None:
    packing = Packing(M31, 5, 1, 3)
    with pytest.raises(SharingError):
        packing.split(M31.zeros(12).reshape(3, 4), M31.zeros(8).reshape(2, 4))


def test_a_column_that_fits_no_polynomial_does_not_stop_the_others() -> None:
    packing = Packing(M31, 7, 1, 2)
    shares = shared(packing, drawn(M31, 12))  # six columns
    rows = {point: share.copy() for point, share in shares.items()}
    rows[2][1] ^= 1
    for point in (1, 3, 5):
        rows[point][4] ^= point
    found = shamir.decode(rows, threshold=packing.decode, field=M31)
    assert found.failed.tolist() == [False] * 4 + [True, False]
    assert found.wrong == {2}
    assert np.argwhere(found.differs).tolist() == [[1, 1]]
    assert "wrong=[2]" in repr(found)


# What shares say


def seen(field: PrimeField, packing: Packing, points: tuple[int, ...], secrets: list[int]) -> Counter[tuple[int, ...]]:
    """How often each column of these shares occurs, over many polynomials with the same secrets."""
    count = 40 * field.modulus ** len(points)
    rows = packing.field.vector(secrets * count).reshape(count, packing.packed).T
    noise = field.uniform(packing.privacy * count, SeededRandomness(b"leakage")).reshape(packing.privacy, count)
    all_ = packing.split(np.ascontiguousarray(rows), noise)
    return Counter(map(tuple, all_[[point - 1 for point in points]].T.tolist()))


def require_equally_frequent(counts: Counter[tuple[int, ...]], cells: int) -> None:
    expected = counts.total() / cells
    assert len(counts) == cells
    assert sum((count - expected) ** 2 / expected for count in counts.values()) < chi2.isf(ODDS, cells - 1)


@pytest.mark.parametrize("secrets", [[0, 0], [10, 3]])
def test_as_many_shares_as_are_private_are_uniform_whatever_the_secrets(secrets: list[int]) -> None:
    field = PrimeField(11)
    packing = Packing(field, 5, 2, 2)
    for points in combinations(range(1, 6), 2):
        require_equally_frequent(seen(field, packing, points, secrets), 11**2)


@pytest.mark.parametrize("points", [(1, 2, 3), (1, 2, 3, 4)])
def test_one_share_more_is_not_uniform_and_as_many_as_decode_are_one_polynomial_a_noise(
    points: tuple[int, ...],
) -> None:
    field = PrimeField(5)
    packing = Packing(field, 3, 2, 1) if len(points) == 3 else Packing(PrimeField(7), 4, 2, 2)
    counts = seen(packing.field, packing, points, [1, 2][: packing.packed])
    with pytest.raises(AssertionError):
        require_equally_frequent(counts, packing.field.modulus ** len(points))
    assert len(counts) == packing.field.modulus**packing.privacy
