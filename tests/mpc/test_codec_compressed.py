"""Transforms and an encoding together: the secure sum of what they give decodes to the mean, without a bias."""

import hashlib
import math

import numpy as np
import pytest

from mpc.encoding import (
    SHORTENED,
    Compressed,
    Counter,
    CountSketch,
    Encoding,
    EncodingError,
    Metric,
    RandK,
    Rotation,
    Span,
    WrappingEncoding,
    build_codec,
    uniform,
    whole_numbers,
)
from mpc.randomness import SeededRandomness

LOSS = Metric("loss", 0.0, 10.0)
ROWS = Counter("rows", 10_000)
CHOICES = {
    "rotated": {"rotate": True, "norm": 2.0},
    "rotated and wrapping": {"rotate": True, "norm": 2.0, "wrap": 1e-3},
    "kept": {"keep": 0.4},
    "rotated and kept": {"rotate": True, "norm": 2.0, "keep": 0.4},
    "rotated, kept and wrapping": {"rotate": True, "norm": 2.0, "keep": 0.4, "wrap": 1e-3},
    "sketched": {"sketch": 0.6, "norm": 2.0},
    "rotated and sketched": {"rotate": True, "norm": 2.0, "sketch": 0.6},
}
LOSSLESS = ("rotated", "rotated and wrapping")


def seed(number=0):
    return hashlib.sha256(b"compressed %d" % number).digest()


def rand(*numbers):
    return SeededRandomness(b"compressed %a" % (numbers,))


def built(choice, *, length=300, number=0, **more):
    described = {"spans": uniform(length, 1.0), "clients": 3, "seed": seed(number), **CHOICES[choice], **more}
    return build_codec(**described)


def updates(count=3, length=300, norm=1.0):
    drawn = np.random.default_rng(1).normal(0, 1, (count, length))
    return (drawn / np.linalg.norm(drawn, axis=1, keepdims=True) * norm).astype(np.float32)


def mean_of(codec, given, weights=(1, 1, 1), number=0, **said):
    total = codec.field.zeros(codec.vector_length)
    for place, (update, weight) in enumerate(zip(given, weights, strict=True)):
        vector = codec.encode(update, weight=weight, rand=rand(number, place), **said)
        total = codec.field.add(total, vector)
    return codec.decode_sum(total)


@pytest.mark.parametrize("choice", LOSSLESS)
def test_what_loses_nothing_is_within_its_bound_of_the_weighted_mean(choice):
    codec = built(choice, max_weight=4)
    decoded = mean_of(codec, updates(), weights := (1, 4, 2))
    truth = np.average(updates().astype(np.float64), axis=0, weights=weights)
    assert codec.variance == 0
    assert np.abs(decoded.mean - truth).max() <= codec.error_bound < 1e-3
    assert (decoded.total_weight, decoded.clipped) == (7, 0)


@pytest.mark.slow
@pytest.mark.parametrize("bits", [3, 16])
@pytest.mark.parametrize("choice", CHOICES)
def test_over_many_seeds_the_mean_is_the_weighted_mean_and_the_error_is_no_larger_than_stated(choice, bits):
    draws, length, weights = 150, 120, (1, 4, 2)
    given = updates(length=length)
    truth = np.average(given.astype(np.float64), axis=0, weights=weights)
    codecs = [built(choice, length=length, number=number, max_weight=4, bits=bits) for number in range(draws)]
    found = np.array([mean_of(codec, given, weights, number).mean for number, codec in enumerate(codecs)])
    # six deviations of 120 means: missed by chance once in four million sets of seeds
    assert (np.abs(found.mean(axis=0) - truth) < 6 * found.std(axis=0) / draws**0.5).all()
    errors = ((found - truth) ** 2).sum(axis=1) / (truth**2).sum()
    expected = codecs[0].variance
    if bits == 16:
        assert errors.mean() == pytest.approx(expected, abs=5 * errors.std() / draws**0.5 + 1e-6)
    else:
        assert errors.mean() > expected  # the rounding adds to it


@pytest.mark.parametrize("choice", CHOICES)
def test_whole_numbers_go_beside_and_are_exact(choice):
    spans = (whole_numbers(2, 16), Span(250, -1.0, 1.0), whole_numbers(1, 16), Span(50, -1.0, 1.0))
    codec = built(choice, spans=spans, metrics=(LOSS,), counters=(ROWS,))
    given = np.zeros((3, 303), dtype=np.float32)
    given[:, 2:252], given[:, 253:] = updates()[:, :250], updates()[:, 250:]
    given[:, [0, 1, 252]] = [[-(2**15), 7, 1], [-(2**15), 8, 1], [-(2**15), 9, -2]]
    decoded = mean_of(codec, given, metrics={"loss": 4.0}, counters={"rows": 10_000})
    assert decoded.mean[[0, 1, 252]].tolist() == [-(2**15), 8, 0]
    assert decoded.counters == {"rows": 30_000}
    assert decoded.metrics["loss"] == pytest.approx(4.0, abs=10 / 65535)
    alone = mean_of(built(choice), updates()).mean  # nothing of the whole numbers is in the floats
    np.testing.assert_allclose(np.delete(decoded.mean, [0, 1, 252]), alone, atol=2e-3)
    bounds = codec.error_bounds
    assert bounds[0] == bounds[2] < 0.01
    assert (bounds[1] == bounds[3] < math.inf) if choice in LOSSLESS else (bounds[1] == bounds[3] == math.inf)


def test_rotation_then_subset_then_few_bits_is_the_product_of_its_parts():
    rotation, subset = Rotation(300, seed()), RandK(300, 90, seed())
    encoding = Encoding.fitting(spans=uniform(90, 0.5), clients=3, bits=5)
    codec = Compressed(spans=uniform(300, 1.0), transforms=(rotation, subset), encoding=encoding)
    vector = codec.encode(updates()[0], rand=rand(5))
    by_hand = encoding.encode(subset.forward(rotation.forward(updates()[0])), rand=rand(5))
    assert np.array_equal(vector, by_hand)
    mean = encoding.decode_sum(by_hand).mean
    assert np.array_equal(codec.decode_sum(vector).mean, rotation.backward(subset.backward(mean)))
    assert codec.variance == pytest.approx(300 / 90 - 1)
    assert codec.field.packed_size(codec.vector_length) * 6 < 300 * 18 / 8  # against 16 bits


def test_an_update_longer_than_the_norm_is_scaled_down_and_counted():
    for choice in ("rotated", "rotated and wrapping", "rotated and sketched"):
        codec = built(choice)
        given = updates(norm=1.5) * np.float32([[1], [4], [8]])  # 1.5, 6 and 12, of 2 that are declared
        found = mean_of(codec, given)
        same = mean_of(codec, updates() * np.float32([[1.5], [1.9999], [1.9999]]))
        np.testing.assert_allclose(found.mean, same.mean, atol=1e-3)
        assert (found.clipped, same.clipped) == (2, 0)
        assert SHORTENED.name not in found.counters


def test_values_beyond_the_clip_are_counted_where_nothing_is_rotated():
    codec = built("kept")
    given = np.full((3, 300), 5.0, dtype=np.float32)
    decoded = mean_of(codec, given)
    assert decoded.clipped == 3 * 120
    assert set(decoded.mean.tolist()) == {0.0, 2.5}


def test_a_heavy_value_fits_its_bucket():
    update = np.zeros(300, dtype=np.float32)
    update[17] = 1.0
    codec = built("sketched", clients=1)
    decoded = mean_of(codec, [update], [1])
    assert decoded.clipped == 0
    assert decoded.mean[17] == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize("choice", ["kept", "sketched", "rotated and kept"])
def test_a_damped_mean_is_nearer_to_the_update_than_zero_is(choice):
    damped, plain = built(choice, damped=True), built(choice)
    assert damped.variance == pytest.approx(1 - 1 / (1 + plain.variance))
    for update in updates():
        one, other = (codec.decode_sum(codec.encode(update, rand=rand(1))).mean for codec in (damped, plain))
        np.testing.assert_allclose(one, other / (1 + plain.variance), rtol=1e-5, atol=1e-7)
    errors = []
    for number in range(30):
        codec = built(choice, damped=True, number=number)
        errors.append(((codec.decode_sum(codec.encode(update, rand=rand(2))).mean - update) ** 2).sum())
    assert np.mean(errors) == pytest.approx(damped.variance, rel=0.2)  # of a norm of 1; the seeds are fixed


@pytest.mark.parametrize("choice", CHOICES)
def test_an_equal_seed_gives_the_same_and_the_public_seed_does_not_give_the_rounding(choice):
    first, again = built(choice, bits=3), built(choice, bits=3)
    update = updates()[0]
    vector = first.encode(update, rand=rand(1))
    assert np.array_equal(vector, again.encode(update, rand=rand(1)))
    assert not np.array_equal(vector, first.encode(update, rand=rand(2)))


def test_nothing_asked_for_is_an_encoding_and_nothing_else():
    found = build_codec(spans=uniform(4, 1.0), clients=3, max_weight=2, metrics=(LOSS,), bits=7, seed=seed())
    assert found == Encoding.fitting(spans=uniform(4, 1.0), clients=3, max_weight=2, metrics=(LOSS,), bits=7)
    assert found.variance == 0


def test_what_is_asked_for_is_what_is_built():
    codec = built("rotated, kept and wrapping", bits=5, correlation=0.5)
    assert isinstance(codec, Compressed)
    assert [type(one) for one in codec.transforms] == [Rotation, RandK]
    assert isinstance(codec.encoding, WrappingEncoding)
    assert codec.encoding.correlation == 0.5
    assert codec.wrap_probability == codec.encoding.wrap_probability <= 1e-3
    assert (codec.clients, codec.max_weight, codec.length) == (3, 1, 300)
    sketched = built("sketched")
    assert isinstance(sketched, Compressed)
    assert [(type(one), one.out_length) for one in sketched.transforms] == [(CountSketch, 180)]
    assert sketched.wrap_probability == 0


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"keep": 0.5, "sketch": 0.5, "norm": 1.0}, "keep and sketch"),
        ({"keep": 1.0}, "keep is between 0 and 1"),
        ({"keep": 0.0}, "keep is between 0 and 1"),
        ({"sketch": 2.0, "norm": 1.0}, "sketch is between"),
        ({"rotate": True}, "want norm"),
        ({"sketch": 0.5}, "want norm"),
        ({"rotate": True, "norm": 0.0}, "norm is finite"),
        ({"rotate": True, "norm": math.inf}, "norm is finite"),
        ({"norm": 1.0}, "norm is for rotate and sketch"),
        ({"keep": 0.5, "norm": 1.0}, "norm is for rotate and sketch"),
        ({"wrap": 1e-3}, "add rotate"),
        ({"keep": 0.5, "wrap": 1e-3}, "add rotate"),
        ({"rotate": True, "norm": 1.0, "wrap": 1.0}, "wrap is between"),
        ({"rotate": True, "norm": 1.0, "sketch": 0.5, "wrap": 1e-3}, "take keep for sketch"),
        ({"rotate": True, "norm": 1.0, "seed": b"short"}, "public seed is 32 bytes"),
        ({"keep": 0.5, "spans": (Span(1, -1.0, 1.0), Span(1, -2.0, 2.0))}, "one range"),
        ({"keep": 0.5, "spans": (whole_numbers(4, 16),)}, "whole numbers only"),
        ({"bits": 0}, "bits are"),
    ],
)
def test_what_makes_no_sense_is_refused_in_words(asked, message):
    with pytest.raises(EncodingError, match=message):
        build_codec(**{"spans": uniform(4, 1.0), "clients": 3, "seed": seed(), **asked})


def test_parts_that_do_not_fit_together_are_refused():
    encoding = Encoding.fitting(spans=uniform(30, 1.0), clients=3)
    fits = {"spans": uniform(90, 1.0), "transforms": (RandK(90, 30, seed()),), "encoding": encoding}
    Compressed(**fits)
    for wrong in (
        {"spans": uniform(91, 1.0)},
        {"transforms": ()},
        {"transforms": (RandK(90, 29, seed()),)},
        {"transforms": (RandK(90, 60, seed()), RandK(61, 30, seed()))},
        {"spans": (*uniform(90, 1.0), whole_numbers(1, 16))},
        {"norm": 0.0},
        {"norm": 1.0},  # nothing would count who was scaled down
    ):
        with pytest.raises(EncodingError):
            Compressed(**fits | wrong)


@pytest.mark.parametrize("choice", CHOICES)
def test_an_update_that_cannot_be_encoded_is_refused(choice):
    codec, update = built(choice), updates()[0].copy()
    with pytest.raises(EncodingError, match=r"an update is float32\[300\]"):
        codec.encode(update[:-1], rand=rand(0))
    with pytest.raises(EncodingError, match="weight"):
        codec.encode(update, weight=2, rand=rand(0))
    update[299] = np.nan
    with pytest.raises(EncodingError, match="index 299"):
        codec.encode(update, rand=rand(0))
    with pytest.raises(EncodingError, match="elements"):
        codec.decode_sum(codec.field.zeros(codec.vector_length - 1))
