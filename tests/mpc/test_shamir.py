from collections.abc import Iterable
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpc.field import M31, M61, FieldError, PrimeField
from mpc.randomness import SeededRandomness
from mpc.shamir import (
    LIMBS,
    CorruptSecret,
    NotEnoughShares,
    SharingError,
    TooManyErrors,
    correct,
    from_limbs,
    lagrange_at_zero,
    reconstruct,
    split,
    to_limbs,
)

FIELDS = [PrimeField(31), PrimeField(251), M31, PrimeField(2**31 + 11), M61]
every_field = pytest.mark.parametrize("field", FIELDS, ids=lambda field: f"p={field.modulus}")

# Published example: 3-of-5 over p = 2^31 + 11, big-endian words, points 1..5; the secrets are 0 and 33.
PUBLISHED = ["70cf762e6ed4aa1c", "30a0c5ac26eb91cc", "3f73ee902844b747", "1d48f0cf72e01a8d", "4a1fcc7406bdbb88"]


def dealt(
    secrets: np.ndarray, threshold: int, points: Iterable[int], field: PrimeField, name: bytes = b"deal"
) -> dict[int, np.ndarray]:
    places = list(points)
    matrix = split(secrets, threshold=threshold, points=places, field=field, rand=SeededRandomness(name))
    assert matrix.shape == (len(places), len(secrets))
    return {place: row.copy() for place, row in zip(places, matrix, strict=True)}


def spoil(shares: dict[int, np.ndarray], places: Iterable[int], field: PrimeField) -> None:
    for place in places:
        shares[place] = field.add(shares[place], np.full_like(shares[place], 1 + place % (field.modulus - 1)))


@pytest.mark.parametrize("points", list(combinations(range(1, 6), 3)))
def test_every_three_shares_of_the_published_sharing_give_its_secrets(points: tuple[int, ...]):
    field = PrimeField(2147483659)
    shares = {
        place: field.vector([int(PUBLISHED[place - 1][:8], 16), int(PUBLISHED[place - 1][8:], 16)]) for place in points
    }
    assert reconstruct(shares, threshold=3, field=field).tolist() == [0, 33]


@every_field
@pytest.mark.parametrize(("threshold", "count"), [(1, 1), (1, 3), (2, 3), (3, 3), (5, 9), (20, 30)])
def test_any_threshold_of_shares_give_the_secrets(field: PrimeField, threshold: int, count: int):
    secrets = field.uniform(7, SeededRandomness(b"secrets"))
    shares = dealt(secrets, threshold, range(1, count + 1), field)
    last = {place: shares[place] for place in range(count - threshold + 1, count + 1)}
    assert np.array_equal(reconstruct(shares, threshold=threshold, field=field), secrets)
    assert np.array_equal(reconstruct(last, threshold=threshold, field=field), secrets)


@given(st.data())
@settings(deadline=None, max_examples=40)
def test_points_may_be_any_elements_but_zero_in_any_order(data: st.DataObject):
    field = data.draw(st.sampled_from(FIELDS))
    points = data.draw(st.lists(st.integers(1, field.modulus - 1), min_size=1, max_size=12, unique=True))
    threshold = data.draw(st.integers(1, len(points)))
    secrets = field.uniform(3, SeededRandomness(b"any"))
    shares = dealt(secrets, threshold, points, field)
    chosen = data.draw(st.permutations(points))[:threshold]
    assert np.array_equal(reconstruct({p: shares[p] for p in chosen}, threshold=threshold, field=field), secrets)


def test_exactly_the_lowest_points_are_used():
    shares = dealt(M31.vector([5, 6]), 3, (9, 4, 7, 2, 30), M31)
    spoil(shares, (9, 30), M31)
    assert reconstruct(shares, threshold=3, field=M31).tolist() == [5, 6]
    del shares[2]
    assert reconstruct(shares, threshold=3, field=M31).tolist() != [5, 6]


def test_too_few_shares_give_nothing():
    shares = dealt(M31.vector([5]), 3, (1, 2, 3), M31)
    del shares[2]
    for rebuild in (reconstruct, correct):
        with pytest.raises(NotEnoughShares, match="2 shares, the threshold is 3"):
            rebuild(shares, threshold=3, field=M31)


def test_fewer_shares_than_the_threshold_are_equally_likely_for_every_secret():
    field, rand = PrimeField(5), SeededRandomness(b"hiding")
    for secret in (0, 4):
        secrets = np.full(50_000, secret, dtype=field.dtype)
        rows = split(secrets, threshold=3, points=(1, 2, 4), field=field, rand=rand.child(str(secret)))
        counts = np.bincount(rows[0] * 5 + rows[2], minlength=25)
        assert ((counts - 2000) ** 2 / 2000).sum() < 51.2  # 24 degrees of freedom, one in a thousand


@pytest.mark.parametrize("points", [(0, 1, 2), (1, 1, 2), (1, 2, 31), (-1, 1, 2)])
def test_points_that_are_zero_equal_or_outside_the_field_are_refused(points: tuple[int, ...]):
    field = PrimeField(31)
    with pytest.raises(SharingError, match="points"):
        split(field.zeros(1), threshold=2, points=points, field=field, rand=SeededRandomness(b"x"))
    with pytest.raises(SharingError, match="points"):
        lagrange_at_zero(points, field)


@pytest.mark.parametrize("threshold", [-1, 0, 4])
def test_thresholds_that_no_sharing_has_are_refused(threshold: int):
    with pytest.raises(SharingError):
        split(M31.zeros(1), threshold=threshold, points=(1, 2, 3), field=M31, rand=SeededRandomness(b"x"))
    with pytest.raises(SharingError):
        reconstruct({1: M31.zeros(1)}, threshold=threshold, field=M31)


def test_shares_of_different_shapes_or_outside_the_field_are_refused():
    for odd in (M31.zeros(2), M31.zeros(1).reshape(1, 1)):
        with pytest.raises(SharingError, match="shapes"):
            reconstruct({1: M31.zeros(1), 2: odd}, threshold=2, field=M31)
    with pytest.raises(FieldError):
        reconstruct({1: M31.zeros(1), 2: np.array([2**31 - 1], dtype=np.uint32)}, threshold=2, field=M31)


def test_lagrange_weights_are_those_of_the_formula_and_cannot_be_written():
    p, points = 251, (3, 17, 200, 5)
    weights = lagrange_at_zero(points, PrimeField(p))
    for weight, x in zip(weights.tolist(), points, strict=True):
        expected = 1
        for other in set(points) - {x}:
            expected = expected * other * pow(other - x, -1, p) % p
        assert weight == expected
    with pytest.raises(ValueError, match="read-only"):
        weights[0] = 0


@every_field
def test_without_errors_correct_is_reconstruct_and_accuses_nobody(field: PrimeField):
    secrets = field.uniform(4, SeededRandomness(b"clean"))
    found = correct(dealt(secrets, 3, range(1, 9), field), threshold=3, field=field)
    assert np.array_equal(found.secrets, secrets)
    assert found.wrong == frozenset()


@given(st.data())
@settings(deadline=None, max_examples=40)
def test_correct_finds_the_secrets_and_the_wrong_points_up_to_the_bound(data: st.DataObject):
    field = data.draw(st.sampled_from(FIELDS))
    count = data.draw(st.integers(1, 20))
    threshold = data.draw(st.integers(1, count))
    wrong = data.draw(st.sets(st.integers(1, count), max_size=(count - threshold) // 2))
    secrets = field.uniform(3, SeededRandomness(b"noisy"))
    shares = dealt(secrets, threshold, range(1, count + 1), field)
    spoil(shares, wrong, field)
    found = correct(shares, threshold=threshold, field=field)
    assert np.array_equal(found.secrets, secrets)
    assert found.wrong == wrong


def test_correct_names_points_that_are_wrong_in_different_secrets():
    shares = dealt(M31.vector([10, 11, 12, 13]), 3, range(1, 8), M31)
    for column, places in enumerate([(1, 2), (3, 4), (), (5, 6)]):  # together more than one secret could bear
        for place in places:
            shares[place][column] ^= 1
    found = correct(shares, threshold=3, field=M31)
    assert found.secrets.tolist() == [10, 11, 12, 13]
    assert found.wrong == {1, 2, 3, 4, 5, 6}


@pytest.mark.parametrize(("count", "wrong"), [(7, 3), (8, 3), (4, 1), (12, 5)])
def test_more_errors_than_the_bound_are_refused(count: int, wrong: int):
    shares = dealt(M31.vector([10, 11]), 3, range(1, count + 1), M31)
    spoil(shares, range(1, wrong + 1), M31)
    with pytest.raises(TooManyErrors, match=f"more than {(count - 3) // 2} of {count} shares"):
        correct(shares, threshold=3, field=M31)


def test_a_result_does_not_print_its_secrets():
    found = correct(dealt(M31.vector([123456]), 1, (1, 2), M31), threshold=1, field=M31)
    assert repr(found) == "Corrected(<1 secrets>, wrong=[])"


@given(st.binary(min_size=32, max_size=32))
def test_limbs_are_thirty_bits_each_and_come_back(secret: bytes):
    limbs = to_limbs(secret)
    assert limbs.dtype == np.uint32
    assert len(limbs) == LIMBS == 9
    assert int(limbs.max()) < 2**30
    assert sum(int(limb) << (30 * i) for i, limb in enumerate(limbs)) == int.from_bytes(secret, "little")
    assert from_limbs(limbs) == secret


def test_limbs_out_of_range_are_corrupt_and_never_reduced():
    largest = to_limbs(b"\xff" * 32)
    assert from_limbs(largest) == b"\xff" * 32
    for index, value in ((0, 2**30), (8, 2**16), (8, 2**31 - 2)):
        limbs = largest.copy()
        limbs[index] = value
        with pytest.raises(CorruptSecret):
            from_limbs(limbs)


def test_limbs_of_another_shape_or_field_are_refused():
    for limbs in (M31.zeros(8), M31.zeros(9).reshape(1, 9)):
        with pytest.raises(ValueError, match="9 limbs"):
            from_limbs(limbs)
    with pytest.raises(FieldError):
        from_limbs(M61.zeros(9))
    with pytest.raises(ValueError, match="32 bytes"):
        to_limbs(bytes(31))


def test_a_secret_of_32_bytes_survives_sharing():
    secret = SeededRandomness(b"secret").bytes(32)
    shares = dealt(to_limbs(secret), 4, range(1, 8), M31)
    assert from_limbs(reconstruct(shares, threshold=4, field=M31)) == secret


@pytest.mark.parametrize("field", [M31, M61], ids=str)
def test_mpyc_recombines_our_shares_and_we_its(field: PrimeField):
    pytest.importorskip("mpyc")
    from mpyc.finfields import GF
    from mpyc.thresha import random_split, recombine

    theirs = GF(field.modulus)
    secrets = field.uniform(3, SeededRandomness(b"mpyc"))
    shares = dealt(secrets, 3, range(1, 6), field)
    rows = [(place, [theirs(int(value)) for value in shares[place]]) for place in (1, 3, 5)]
    assert [int(value) % field.modulus for value in recombine(theirs, rows)] == secrets.tolist()
    rows = random_split(theirs, [theirs(int(value)) for value in secrets], 2, 5)
    shares = {place: field.vector(int(value) % field.modulus for value in rows[place - 1]) for place in (2, 4, 5)}
    assert np.array_equal(reconstruct(shares, threshold=3, field=field), secrets)


def test_flint_sees_one_polynomial_of_the_right_degree_through_our_shares():
    flint = pytest.importorskip("flint")
    shares, p = dealt(M31.vector([4242]), 4, range(1, 8), M31), M31.modulus
    poly = flint.nmod_poly([0], p)
    for x, share in shares.items():
        term = flint.nmod_poly([int(share[0])], p)
        for other in set(shares) - {x}:
            term *= flint.nmod_poly([-other, 1], p) * flint.nmod(pow(x - other, -1, p), p)
        poly += term
    assert poly.degree() == 3
    assert int(poly(0)) == 4242


def test_a_thousand_holders_share_as_five_do():
    secrets = M31.uniform(9, SeededRandomness(b"many"))
    shares = dealt(secrets, 501, range(1, 1001), M31)
    assert np.array_equal(reconstruct(shares, threshold=501, field=M31), secrets)


@pytest.mark.slow
def test_two_hundred_liars_among_a_thousand_holders_are_named():
    secrets = M31.uniform(9, SeededRandomness(b"many"))
    shares = dealt(secrets, 501, range(1, 1001), M31)
    liars = set(range(3, 1001, 5))
    spoil(shares, liars, M31)
    found = correct(shares, threshold=501, field=M31)
    assert np.array_equal(found.secrets, secrets)
    assert found.wrong == liars
