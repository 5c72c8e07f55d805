"""A modulus that a sum may wrap: how likely it does, what never does, and the refusal of a sum beyond the declared."""

import hashlib
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpc.encoding import (
    Counter,
    Encoding,
    EncodingError,
    Metric,
    NotEnoughHeadroom,
    Rotation,
    WrappingEncoding,
    clip_for,
    whole_numbers,
)
from mpc.encoding.digits import Digits
from mpc.field import M31, M61, PrimeField
from mpc.randomness import SeededRandomness

LOSS = Metric("loss", 0.0, 10.0)
ROWS = Counter("rows", 10_000_000)


def beside(clients=8, bits=4, **more):
    return Encoding.fitting(spans=more.pop("spans", ()), clients=clients, bits=bits, **more)


def wrapping(length=64, norm=1.0, wrap=1e-3, correlation=0.0, **more):
    scale = norm / Rotation(length, bytes(32)).block ** 0.5
    return WrappingEncoding.fitting(
        rotated=length, scale=scale, beside=beside(**more), wrap=wrap, correlation=correlation
    )


def rand(number):
    return SeededRandomness(b"wrapping %d" % number)


def unrelated(clients, length, norm=1.0, number=0):
    """Orthogonal updates of this norm."""
    columns, _ = np.linalg.qr(np.random.default_rng(number).normal(0, 1, (length, clients)))
    return (columns.T * norm).astype(np.float32)


def summed(codec, updates, **said):
    total = codec.field.zeros(codec.vector_length)
    for number, update in enumerate(updates):
        total = codec.field.add(total, codec.encode(update, rand=rand(number), **said))
    return total


def at_most(probability, length, clients, correlation):
    """In the smallest field of all, whatever its bits: the modulus is as tight as it can be."""
    primes = [p for p in range(clients + 1, 2000) if all(p % q for q in range(2, math.isqrt(p) + 1))]
    described = {"rotated": length, "scale": length**-0.5, "beside": beside(clients), "correlation": correlation}
    codecs = (WrappingEncoding(**described, field=PrimeField(p)) for p in primes)
    return next(codec for codec in codecs if codec.wrap_probability <= probability)


@pytest.mark.slow
@pytest.mark.parametrize("correlation", [0.0, 1.0])
def test_a_small_modulus_wraps_no_more_often_than_is_reported_and_does_wrap(correlation):
    clients, length, draws = 8, 64, 400
    codec = at_most(0.6, length, clients, correlation)
    assert codec.wrap_probability > 0.3
    updates = unrelated(clients, length)
    if correlation:
        updates = np.repeat(updates[:1], clients, axis=0)
    truth = updates.mean(axis=0, dtype=np.float64)
    wrapped = 0
    for number in range(draws):
        rotation = Rotation(length, hashlib.sha256(b"%d" % number).digest())
        decoded = codec.decode_sum(summed(codec, [rotation.forward(one) for one in updates]))
        error = np.abs(decoded.mean - rotation.forward(truth.astype(np.float32)))
        wrapped += bool(error.max() > codec.field.modulus * codec.level / clients / 2)
    # the bound is Hoeffding's and holds for every update: these are below it. The seeds are fixed.
    assert 0 < wrapped / draws <= codec.wrap_probability


def test_the_field_is_the_smallest_that_keeps_the_probability():
    codec = wrapping(4096, wrap=1e-3, clients=100)
    smaller = PrimeField.with_bits(codec.field.bits - 1)
    tighter = WrappingEncoding(rotated=4096, scale=codec.scale, beside=codec.beside, field=smaller)
    assert codec.wrap_probability <= 1e-3 < tighter.wrap_probability


@pytest.mark.parametrize(("clients", "saved"), [(10, 1), (100, 3), (1000, 4)])
def test_a_value_takes_bits_that_grow_with_the_root_of_the_parties(clients, saved):
    plain = beside(clients=clients, bits=4).field.bits
    assert wrapping(2410, wrap=1e-3, clients=clients).field.bits == plain - saved


def test_the_bound_grows_with_everything_that_makes_a_sum_longer():
    one = wrapping(64, wrap=0.01, clients=8)

    def probability(rotated=64, scale=one.scale, correlation=0.0, **more):
        codec = WrappingEncoding(
            rotated=rotated, scale=scale, beside=beside(**more), field=one.field, correlation=correlation
        )
        return codec.wrap_probability

    assert probability() == one.wrap_probability
    assert probability(rotated=128) == pytest.approx(2 * probability())
    assert probability(clients=9) > probability()
    assert probability(max_weight=2) > probability()
    assert probability(correlation=0.5) > probability()
    assert probability(scale=one.scale * 3) == pytest.approx(probability())  # the level grows with the scale


@pytest.mark.parametrize("max_weight", [1, 5])
def test_the_mean_is_within_a_level_and_what_lies_beside_is_exact(max_weight):
    more = {"metrics": (LOSS,), "counters": (ROWS,), "spans": (whole_numbers(3, 12),)}
    codec = wrapping(1000, clients=4, bits=12, max_weight=max_weight, **more)
    wholes = np.array([-2048, 2047, 5], dtype=np.float32)
    rotation = Rotation(1000, bytes(32))
    updates = [rotation.forward(one) for one in unrelated(4, 1000)]
    vectors = [np.concatenate([one, wholes]) for one in updates]
    total = summed(codec, vectors, weight=max_weight, metrics={"loss": 2.5}, counters={"rows": ROWS.bound})
    decoded = codec.decode_sum(total)
    assert np.abs(decoded.mean[:1000] - np.mean(updates, axis=0, dtype=np.float64)).max() <= codec.error_bounds[0]
    assert decoded.mean[1000:].tolist() == wholes.tolist()
    assert decoded.counters == {"rows": 4 * ROWS.bound}
    assert decoded.metrics["loss"] == pytest.approx(2.5, abs=10 / 4095)
    assert (decoded.total_weight, decoded.clipped) == (4 * max_weight, 0)
    assert codec.length == 1003
    assert codec.error_bounds[0] < 1.01 * codec.level
    assert codec.error_bound == max(codec.error_bounds)


def test_rounding_to_levels_around_zero_is_unbiased():
    draws = 40_000
    codec = WrappingEncoding(rotated=draws, scale=2.0, beside=beside(clients=1, bits=2), field=M31)
    for value in (-0.7, 0.0, 0.1, 1.9):
        decoded = codec.decode_sum(codec.encode(np.full(draws, value, dtype=np.float32), rand=rand(1)))
        # a rounding has a deviation of at most half a level; five of the mean's deviations miss once in two million
        assert abs(decoded.mean.mean(dtype=np.float64) - value) <= 5 * codec.level / 2 / draws**0.5


@pytest.mark.parametrize("clients", [20, 50, 200])
def test_a_sum_that_is_longer_than_declared_is_refused_also_when_it_has_wrapped(clients):
    codec = wrapping(2000, clients=clients)
    alike = [unrelated(1, 2000)[0]] * clients
    rotation = Rotation(2000, bytes(32))
    with pytest.raises(EncodingError, match="longer than the declared norm and correlation"):
        codec.decode_sum(summed(codec, [rotation.forward(one) for one in alike]))
    assuming_nothing = wrapping(2000, clients=clients, correlation=1.0)
    decoded = assuming_nothing.decode_sum(summed(assuming_nothing, [rotation.forward(one) for one in alike]))
    error = np.abs(decoded.mean - rotation.forward(alike[0]))
    assert error.max() <= assuming_nothing.level


def test_residues_without_any_order_are_refused():
    codec = wrapping(500, clients=8)
    total = summed(codec, unrelated(8, 500))
    total[:500] = codec.field.uniform(500, rand(3))
    with pytest.raises(EncodingError, match="may have wrapped"):
        codec.decode_sum(total)


def test_what_is_no_sum_is_refused():
    codec = wrapping(64, clients=8)
    good = summed(codec, unrelated(8, 64))
    with pytest.raises(EncodingError, match="elements"):
        codec.decode_sum(good[:-1])
    for place in range(64, codec.vector_length):
        wrong = good.copy()
        wrong[place] = codec.field.modulus - 1
        with pytest.raises(EncodingError):
            codec.decode_sum(wrong)
    with pytest.raises(ValueError, match="not below"):
        codec.decode_sum(np.full_like(good, codec.field.modulus))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"scale": 0.0}, "scale"),
        ({"scale": math.inf}, "scale"),
        ({"correlation": -0.1}, "correlation"),
        ({"correlation": 1.1}, "correlation"),
        ({"rotated": 0}, "one rotated value"),
        ({"field": PrimeField.with_bits(3)}, "need a field above 8"),
    ],
)
def test_a_description_that_makes_no_sense_is_refused(wrong, message):
    right = {"rotated": 10, "scale": 1.0, "beside": beside(), "field": M31}
    with pytest.raises(EncodingError, match=message):
        WrappingEncoding(**right | wrong)


def test_values_that_wrap_every_field_are_refused():
    with pytest.raises(NotEnoughHeadroom, match="use fewer bits, smaller weights, or no wrap"):
        wrapping(1000, clients=100, bits=30, wrap=1e-9)


@pytest.mark.parametrize("bad", [float("nan"), float("-inf"), 1e30])
def test_a_value_that_is_beyond_everything_is_refused(bad):
    codec, update = wrapping(64), np.zeros(64, dtype=np.float32)
    update[7] = bad
    with pytest.raises(EncodingError, match=r"index 7|beyond any scale"):
        codec.encode(update, rand=rand(0))


def test_the_clip_cuts_what_it_says():
    clip = clip_for(3.0, 9, 4)  # a scale of 1
    assert 2 * math.exp(-(clip**2) / 2) == pytest.approx(4.0**-4)


@settings(deadline=None, max_examples=40)
@given(st.data())
def test_digits_of_any_field_add_up_in_any_smaller_one(data):
    large = data.draw(st.sampled_from([M61, M31, PrimeField.with_bits(20)]))
    small = PrimeField.with_bits(data.draw(st.integers(5, 20)))
    clients = data.draw(st.integers(1, small.modulus - 1))
    digits = Digits(large, small, clients)
    numbers = st.lists(st.integers(0, (large.modulus - 1) // clients), min_size=3, max_size=3)
    given_ = data.draw(st.lists(numbers, min_size=1, max_size=min(clients, 4)))
    total = small.zeros(3 * digits.count)
    for vector in given_:
        total = small.add(total, digits.split(large.vector(vector)))
    assert digits.join(total).tolist() == [sum(column) for column in zip(*given_, strict=True)]
