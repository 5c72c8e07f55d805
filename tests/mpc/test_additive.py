import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpc import additive
from mpc.field import M31, M61, FieldError, PrimeField
from mpc.prg import expand
from mpc.randomness import SeededRandomness


@given(st.sampled_from([PrimeField(5), M31, M61]), st.integers(2, 6), st.integers(0, 50))
@settings(deadline=None)
def test_all_shares_together_are_the_vector(field: PrimeField, parties: int, length: int):
    vector = field.uniform(length, SeededRandomness(b"vector"))
    seeds, explicit = additive.split(vector, parties, field=field, label="t", rand=SeededRandomness(b"shares"))
    assert len(seeds) == parties - 1
    assert len(explicit) == length
    assert np.array_equal(additive.combine(seeds, explicit, field=field, label="t"), vector)


def test_the_explicit_share_is_the_vector_less_what_the_seeds_stand_for():
    vector = M31.vector(range(10))
    seeds, explicit = additive.split(vector, 3, field=M31, label="t", rand=SeededRandomness(b"x"))
    first, second = (expand(seed, "t", M31, 0, 10) for seed in seeds)
    assert np.array_equal(explicit, M31.sub(M31.sub(vector, first), second))
    assert vector.tolist() == list(range(10))  # the input is left alone


def test_without_one_share_or_under_another_label_nothing_comes_back():
    vector = M31.vector(range(10))
    seeds, explicit = additive.split(vector, 4, field=M31, label="t", rand=SeededRandomness(b"x"))
    assert not np.array_equal(additive.combine(seeds[1:], explicit, field=M31, label="t"), vector)
    assert not np.array_equal(additive.combine(seeds, explicit, field=M31, label="u"), vector)


def test_an_explicit_share_says_nothing_about_the_vector():
    field, rand = PrimeField(5), SeededRandomness(b"dist")
    for secret in (0, 3):
        _, explicit = additive.split(
            np.full(20_000, secret, dtype=field.dtype), 2, field=field, label="t", rand=rand.child(str(secret))
        )
        counts = np.bincount(explicit, minlength=5)
        assert ((counts - 4000) ** 2 / 4000).sum() < 18.5  # 4 degrees of freedom, one in a thousand


@pytest.mark.parametrize("parties", [-1, 0, 1])
def test_sharing_takes_two(parties: int):
    with pytest.raises(ValueError, match="two"):
        additive.split(M31.zeros(1), parties, field=M31, label="t", rand=SeededRandomness(b"x"))


def test_a_vector_of_another_field_is_refused():
    with pytest.raises(FieldError):
        additive.split(M61.zeros(1), 2, field=M31, label="t", rand=SeededRandomness(b"x"))
    with pytest.raises(FieldError):
        additive.combine([], np.array([7], dtype=np.uint32), field=PrimeField(5), label="t")
