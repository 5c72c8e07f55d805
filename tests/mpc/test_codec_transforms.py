"""Rotation, random subset and count-sketch: linear, unbiased, the same at everybody who holds the seed."""

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.linalg import hadamard

from mpc.encoding import CountSketch, EncodingError, RandK, Rotation
from mpc.encoding.transform import signs
from mpc.prg import Seed

ROOT = Path(__file__).parents[2]
LENGTHS = [1, 2, 3, 7, 64, 100, 1000, 4096]


def seed(number):
    return hashlib.sha256(b"transform %d" % number).digest()


def vector(length, number=0):
    return np.random.default_rng(number).normal(0, 1, length).astype(np.float32)


def made(kind, length, number=0):
    return {
        "rotation": lambda: Rotation(length, seed(number)),
        "subset": lambda: RandK(length, max(1, length // 3), seed(number)),
        "sketch": lambda: CountSketch(length, 3, max(1, length // 9), seed(number)),
    }[kind]()


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("kind", ["rotation", "subset", "sketch"])
def test_a_transform_is_linear_both_ways_and_gives_what_it_says(kind, length):
    transform = made(kind, length)
    one, other = vector(length, 1), vector(length, 2)
    forward = transform.forward(2 * one - other)
    assert forward.shape == (transform.out_length,)
    assert forward.dtype == np.float32
    np.testing.assert_allclose(forward, 2 * transform.forward(one) - transform.forward(other), atol=3e-5)
    one, other = vector(transform.out_length, 3), vector(transform.out_length, 4)
    backward = transform.backward(2 * one - other)
    assert backward.shape == (length,)
    assert backward.dtype == np.float32
    np.testing.assert_allclose(backward, 2 * transform.backward(one) - transform.backward(other), atol=1e-4)


@pytest.mark.parametrize("kind", ["rotation", "subset", "sketch"])
def test_no_transform_changes_what_it_is_given(kind):
    transform, values = made(kind, 1000), vector(1000)
    forward = transform.forward(values)
    transform.backward(forward)
    assert np.array_equal(values, vector(1000))
    assert np.array_equal(forward, transform.forward(values))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["subset", "sketch"])
def test_over_many_seeds_the_mean_is_the_vector_and_the_error_is_the_variance_that_is_stated(kind):
    length, draws = 60, 400
    values = vector(length)
    found = np.array(
        [(one := made(kind, length, number)).backward(one.forward(values)) for number in range(draws)], dtype=np.float64
    )
    squared = float((values.astype(np.float64) ** 2).sum())
    variance = made(kind, length).variance
    # six deviations of 60 means: missed by chance once in eight million sets of seeds; five of one: once in two million
    assert (np.abs(found.mean(axis=0) - values) < 6 * found.std(axis=0) / draws**0.5).all()
    errors = ((found - values) ** 2).sum(axis=1) / squared
    assert errors.mean() == pytest.approx(variance, abs=5 * errors.std() / draws**0.5)


@pytest.mark.parametrize("kind", ["rotation", "subset", "sketch"])
def test_another_seed_gives_another_transform(kind):
    values = vector(1000)
    one, other = made(kind, 1000, 1).forward(values), made(kind, 1000, 2).forward(values)
    assert not np.allclose(one, other)


@pytest.mark.parametrize("bad", [b"", b"1" * 31, b"1" * 33, bytearray(32)])
@pytest.mark.parametrize("of", [lambda s: Rotation(4, s), lambda s: RandK(4, 2, s), lambda s: CountSketch(4, 1, 2, s)])
def test_a_seed_of_another_form_is_refused(bad, of):
    with pytest.raises(EncodingError, match="public seed is 32 bytes"):
        of(bad)


def test_a_transform_that_makes_no_sense_is_refused():
    with pytest.raises(EncodingError, match="one value or more"):
        Rotation(0, seed(0))
    for count in (0, 5):
        with pytest.raises(EncodingError, match=r"1\.\.4 values"):
            RandK(4, count, seed(0))
    with pytest.raises(EncodingError, match="one row"):
        CountSketch(4, 0, 1, seed(0))
    with pytest.raises(EncodingError, match="columns"):
        CountSketch(4, 1, 0, seed(0))


@pytest.mark.slow
def test_every_process_on_every_machine_draws_and_computes_the_same_bits():
    code = (
        "import hashlib, numpy as np\n"
        "from mpc.encoding import CountSketch, RandK, Rotation\n"
        "seed, values = bytes(range(32)), np.arange(1000, dtype=np.float32)\n"
        "for one in (Rotation(1000, seed), RandK(1000, 77, seed), CountSketch(1000, 3, 50, seed)):\n"
        "    out = one.forward(values)\n"
        "    both = np.concatenate([out, one.backward(out)]).astype('<f4')\n"
        "    print(hashlib.sha256(both.tobytes()).hexdigest()[:16])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["e596761b509fc659", "544e09efebb60976", "e0f58dc11729381f"]


# --- rotation


@pytest.mark.parametrize("length", [2, 8, 256])
def test_a_block_is_the_signed_hadamard_matrix(length):
    turned = Rotation(length, seed(5)).forward(vector(length))
    drawn = signs(Seed(seed(5)), "rotation signs 0", 0, length)
    np.testing.assert_allclose(turned, hadamard(length) @ (drawn * vector(length)) / length**0.5, atol=1e-5)


@pytest.mark.parametrize("length", LENGTHS)
def test_a_rotation_keeps_the_norm_and_comes_back(length):
    rotation, values = Rotation(length, seed(6)), vector(length)
    turned = rotation.forward(values)
    assert np.linalg.norm(turned) == pytest.approx(np.linalg.norm(values), rel=1e-5)
    np.testing.assert_allclose(rotation.backward(turned), values, atol=1e-5)


@pytest.mark.slow
def test_a_long_rotation_in_tiles_is_the_same_matrix_and_comes_back():
    length = 2**19 + 12_345  # two blocks of 2^19, each a matrix of 1024 x 512
    rotation, values = Rotation(length, seed(7)), vector(length)
    turned = rotation.forward(values)
    np.testing.assert_allclose(rotation.backward(turned), values, atol=1e-5)
    head = values[: 2**19] * signs(Seed(seed(7)), "rotation signs 0", 0, 2**19)
    first = np.float64(head).sum() / 2**9.5  # the first row of H is all ones, and lies before the second block
    last = (np.float64(head) * (-1.0) ** np.bitwise_count(np.arange(2**19) & 777)).sum() / 2**9.5
    assert turned[0] == pytest.approx(first, abs=1e-4)
    assert turned[777] == pytest.approx(last, abs=1e-4)


def test_one_spike_is_spread_over_everything():
    values = np.zeros(3000, dtype=np.float32)
    values[2999] = 1.0
    turned = Rotation(3000, seed(8)).forward(values)
    tail = turned[3000 - 2048 :]
    assert np.allclose(np.abs(tail), 2048**-0.5)
    assert not turned[: 3000 - 2048].any()


def test_a_rotated_coordinate_is_rarely_beyond_its_scale():
    length, draws, times = 100, 400, 3.0
    spiky = np.zeros(length, dtype=np.float32)
    spiky[:5] = 1.0, -2.0, 0.5, 4.0, 1.0
    scale = np.linalg.norm(spiky) / 64**0.5
    turned = np.array([Rotation(length, seed(number)).forward(spiky) for number in range(draws)])
    share = (np.abs(turned) > times * scale).mean()
    assert share <= 2 * np.exp(-(times**2) / 2)  # Hoeffding's bound, 0.022; the seeds are fixed


def test_signs_are_fair_and_any_stretch_is_the_same():
    drawn = signs(Seed(seed(9)), "x", 0, 100_000)
    assert set(drawn.tolist()) == {1.0, -1.0}
    assert abs(drawn.sum()) < 5 * 100_000**0.5
    assert np.array_equal(drawn[24_000:30_001], signs(Seed(seed(9)), "x", 24_000, 30_001))


# --- random subset


@pytest.mark.parametrize(("length", "count"), [(1, 1), (10, 10), (10, 3), (1000, 999), (100_003, 777)])
def test_a_subset_is_distinct_and_what_is_kept_is_scaled(length, count):
    subset, values = RandK(length, count, seed(10)), vector(length)
    kept = subset.indices()
    assert len(set(kept.tolist())) == count
    assert kept.min() >= 0
    assert kept.max() < length
    back = subset.backward(subset.forward(values))
    np.testing.assert_allclose(back[kept], values[kept] * (length / count), rtol=1e-6)
    assert np.count_nonzero(back) == count


@pytest.mark.slow
def test_every_coordinate_is_kept_as_often_as_any_other():
    length, count, draws = 10, 3, 4000
    kept = np.bincount(
        np.concatenate([RandK(length, count, seed(number)).indices() for number in range(draws)]), minlength=length
    )
    deviation = (draws * 0.3 * 0.7) ** 0.5
    assert np.abs(kept - draws * 0.3).max() < 5 * deviation  # misses once in 170,000 sets of seeds


# --- count-sketch


def test_a_sketch_adds_each_value_once_to_each_row_and_a_lone_value_is_read_back():
    values = np.zeros(500, dtype=np.float32)
    values[123] = -7.0
    sketch = CountSketch(500, 4, 20, seed(11))
    table = sketch.forward(values).reshape(4, 20)
    assert (np.count_nonzero(table, axis=1) == 1).all()
    assert set(np.abs(table[table != 0]).tolist()) == {7.0}
    assert sketch.backward(table.reshape(-1))[123] == -7.0


def test_a_sketch_in_stretches_is_the_same_as_at_once(monkeypatch):
    sketch, values = CountSketch(1000, 2, 30, seed(12)), vector(1000)
    whole = sketch.forward(values)
    monkeypatch.setattr("mpc.encoding.sketch.SIGNS_CHUNK", 24)
    np.testing.assert_allclose(sketch.forward(values), whole, atol=1e-6)
    np.testing.assert_allclose(sketch.backward(whole), CountSketch(1000, 2, 30, seed(12)).backward(whole))
