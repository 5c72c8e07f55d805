import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpc.encoding import Counter, Encoding, EncodingError, Metric, NotEnoughHeadroom, Span, uniform, whole_numbers
from mpc.field import M31, M61, PrimeField
from mpc.randomness import SeededRandomness

pytestmark = pytest.mark.usefixtures("either_way")

LOSS = Metric("loss", 0.0, 10.0)
ROWS = Counter("rows", 10_000_000)


@pytest.fixture
def rand():
    return SeededRandomness(b"encoding")


def small(*, length=4, clip=1.0, **changes):
    return Encoding.fitting(**{"spans": uniform(length, clip), "clients": 5, **changes})


def floats(*values):
    return np.array(values, dtype=np.float32)


def field_sum(encoding, vectors):
    total = encoding.field.zeros(encoding.vector_length)
    for vector in vectors:
        total = encoding.field.add(total, vector)
    return total


# --- which field


@pytest.mark.parametrize(
    ("clients", "max_weight", "bits", "field"),
    [
        (1, 1, 1, PrimeField.with_bits(2)),
        (5, 1, 16, PrimeField.with_bits(19)),
        (100, 8, 16, PrimeField.with_bits(26)),
        (3, 1, 2, PrimeField.with_bits(4)),
        (1, 1, 32, M61),
        (3, 1, 30, PrimeField.with_bits(32)),
        (4, 1, 30, M61),  # 2^32 - 4 is one more than the largest element of 32 bits
    ],
)
def test_the_smallest_field_that_holds_the_sum_is_taken(clients, max_weight, bits, field):
    assert small(clients=clients, max_weight=max_weight, bits=bits).field == field


@pytest.mark.parametrize("clients", [1, 2, 3, 5, 100, 4_000])
@pytest.mark.parametrize("bits", range(1, 21))
def test_no_smaller_field_would_do_and_the_chosen_one_does(clients, bits):
    field = small(clients=clients, bits=bits).field
    assert clients * (2**bits - 1) < field.modulus
    if 2 < field.bits <= 32:
        assert clients * (2**bits - 1) >= PrimeField.with_bits(field.bits - 1).modulus


def test_a_field_that_is_too_small_is_refused_with_the_remedy():
    with pytest.raises(NotEnoughHeadroom, match=r"need 23 bits, the field has 20: give up 3: use at most 13 bits"):
        Encoding(spans=uniform(4, 1.0), clients=100, bits=16, field=PrimeField.with_bits(20))
    Encoding(spans=uniform(4, 1.0), clients=100, bits=13, field=PrimeField.with_bits(20))


def test_a_sum_that_would_reach_the_modulus_itself_is_refused():
    with pytest.raises(NotEnoughHeadroom, match="give up 1: use at most 30 bits"):
        Encoding(spans=uniform(4, 1.0), clients=1, bits=31, field=M31)  # 2^31 - 1 is the modulus


def test_weights_that_leave_no_bit_are_refused():
    with pytest.raises(NotEnoughHeadroom, match="use smaller weights"):
        Encoding(spans=uniform(4, 1.0), clients=100, bits=1, max_weight=20_000, field=PrimeField.with_bits(20))


def test_nothing_larger_than_m61_is_offered():
    with pytest.raises(NotEnoughHeadroom, match="the field has 61: give up 2: use at most 30 bits"):
        small(bits=32, max_weight=2**28)


@pytest.mark.parametrize(
    "wrong",
    [
        {"length": 0},
        {"clients": 0},
        {"max_weight": 0},
        {"bits": 0},
        {"bits": 33},
        {"clip": 0.0},
        {"clip": -1.0},
        {"clip": float("nan")},
        {"clip": float("inf")},
        {"metrics": (LOSS, LOSS)},
        {"counters": (ROWS, Counter("rows", 5))},
    ],
)
def test_a_description_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(EncodingError):
        small(**wrong)


@pytest.mark.parametrize(("low", "high"), [(1.0, 1.0), (2.0, 1.0), (0.0, float("inf")), (float("nan"), 1.0)])
def test_a_metric_without_a_finite_range_is_refused(low, high):
    with pytest.raises(EncodingError, match="low < high"):
        Metric("m", low, high)


def test_a_negative_bound_is_refused():
    with pytest.raises(EncodingError, match="bound"):
        Counter("c", -1)


# --- the sum


@settings(deadline=None, max_examples=25)
@given(
    seed=st.integers(0, 2**32 - 1),
    bits=st.integers(1, 32),
    weights=st.lists(st.integers(0, 6), min_size=1, max_size=6),
    clip=st.sampled_from([1e-6, 0.5, 1.0, 1000.0]),
)
def test_the_sum_decodes_to_the_weighted_mean_within_the_bound(seed, bits, weights, clip):
    generator = np.random.default_rng(seed)
    encoding = small(length=50, clip=clip, clients=6, max_weight=6, bits=bits, metrics=(LOSS,), counters=(ROWS,))
    updates = generator.normal(0, clip, (len(weights), 50)).astype(np.float32)
    losses = generator.uniform(0, 10, len(weights))
    rows = generator.integers(0, ROWS.bound + 1, len(weights))
    vectors = [
        encoding.encode(u, weight=w, metrics={"loss": x}, counters={"rows": r}, rand=SeededRandomness(bytes([i])))
        for i, (u, w, x, r) in enumerate(zip(updates, weights, losses, rows, strict=True))
    ]
    total = sum(weights)
    if total == 0:
        with pytest.raises(EncodingError, match="total weight is 0"):
            encoding.decode_sum(field_sum(encoding, vectors))
        return
    decoded = encoding.decode_sum(field_sum(encoding, vectors))
    clipped = np.clip(updates.astype(np.float64), -clip, clip)
    assert np.abs(decoded.mean - np.average(clipped, axis=0, weights=weights)).max() <= encoding.error_bound
    assert abs(decoded.metrics["loss"] - np.average(losses, weights=weights)) <= 10 / (2**bits - 1) + 1e-9
    assert decoded.mean.dtype == np.float32
    assert decoded.total_weight == total
    assert decoded.counters == {"rows": rows.sum()}
    assert decoded.clipped == np.count_nonzero(np.abs(updates.astype(np.float64)) > clip)


@pytest.mark.parametrize("bits", [1, 2, 8, 16, 24, 31, 32])
@pytest.mark.parametrize(("clients", "max_weight"), [(1, 1), (5, 1), (100, 8), (1000, 255)])
def test_everybody_at_the_top_of_the_range_with_the_largest_weight_is_exact(bits, clients, max_weight, rand):
    encoding = small(clients=clients, max_weight=max_weight, bits=bits, metrics=(LOSS,), counters=(ROWS,))
    one = encoding.encode(
        floats(1, -1, 1, -1), weight=max_weight, metrics={"loss": 10.0}, counters={"rows": ROWS.bound}, rand=rand
    )
    total = one.astype(object) * clients
    assert max(total) < encoding.field.modulus  # no coordinate wraps
    decoded = encoding.decode_sum(encoding.field.vector(total.tolist()))
    assert decoded.mean.tolist() == [1, -1, 1, -1]
    assert decoded.metrics == {"loss": 10.0}
    assert decoded.counters == {"rows": ROWS.bound * clients}
    assert (decoded.total_weight, decoded.clipped) == (clients * max_weight, 0)


def test_a_count_of_ten_times_ten_million_fits_a_field_of_twenty_bits():
    encoding = Encoding(spans=uniform(1, 1.0), clients=10, bits=16, counters=(ROWS,), field=PrimeField.with_bits(20))
    rand = SeededRandomness(b"rows")
    vectors = [encoding.encode(floats(0), counters={"rows": ROWS.bound - i}, rand=rand) for i in range(10)]
    assert encoding.vector_length == 1 + 1 + 1 + 2  # 24 bits of count in digits of 16
    assert encoding.decode_sum(field_sum(encoding, vectors)).counters == {"rows": 10 * ROWS.bound - 45}


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**70), st.integers(1, 300), st.data())
def test_counters_of_any_bound_add_up_exactly(bound, clients, data):
    encoding = small(clients=clients, bits=4, counters=(Counter("c", bound),))
    counts = data.draw(st.lists(st.integers(0, bound), min_size=1, max_size=min(clients, 4)))
    rand = SeededRandomness(b"counts")
    vectors = [encoding.encode(floats(0, 0, 0, 0), counters={"c": count}, rand=rand) for count in counts]
    assert encoding.decode_sum(field_sum(encoding, vectors)).counters == {"c": sum(counts)}


def test_vector_length_counts_values_metrics_and_digits(rand):
    assert small().vector_length == 4 + 2
    encoding = small(metrics=(LOSS,), counters=(Counter("few", 1), ROWS))
    assert encoding.vector_length == 4 + 1 + 2 + 1 + 2
    vector = encoding.encode(floats(0, 0, 0, 0), metrics={"loss": 1}, counters={"few": 1, "rows": 5}, rand=rand)
    assert vector.shape == (10,)
    assert vector.dtype == encoding.field.dtype


def test_a_long_vector_is_the_same_as_its_values_one_by_one(rand):
    length = 3 * (1 << 16) + 5
    encoding = small(length=length, bits=24)
    update = np.linspace(-1, 1, length, dtype=np.float32)
    decoded = encoding.decode_sum(encoding.encode(update, rand=rand))
    assert np.abs(decoded.mean - update).max() <= encoding.error_bound


# --- spans


def test_each_span_has_its_own_range_and_its_own_bound(rand):
    spans = (Span(3, -1.0, 1.0), Span(70_000, 0.0, 1e-3), Span(2, -500.0, 100.0))
    encoding = Encoding.fitting(spans=spans, clients=2, bits=12)
    generator = np.random.default_rng(4)
    update = np.concatenate([generator.uniform(span.low, span.high, span.length) for span in spans]).astype(np.float32)
    other = np.concatenate([np.full(span.length, span.high + 1) for span in spans]).astype(np.float32)
    decoded = encoding.decode_sum(field_sum(encoding, [encoding.encode(one, rand=rand) for one in (update, other)]))
    start = 0
    for span, bound in zip(spans, encoding.error_bounds, strict=True):
        part = slice(start, start + span.length)
        error = np.abs(decoded.mean[part] - (update[part].astype(np.float64) + span.high) / 2)
        assert error.max() <= bound < 2 * (span.high - span.low) / 2**12
        start += span.length
    assert encoding.error_bound == max(encoding.error_bounds)
    assert decoded.clipped == encoding.length == start


@pytest.mark.parametrize("bits", [2, 8, 16, 24, 32])
def test_whole_numbers_of_every_size_are_exact_in_a_span_of_one_level_a_unit(bits, rand):
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    exact = [number for number in range(-50, 51) if low <= number <= high]
    exact += [number for number in (low, low + 1, 3 * high // 7) if abs(number) <= 2**24]  # of float32
    update = np.array(exact, dtype=np.float32)
    encoding = Encoding.fitting(spans=(whole_numbers(len(update), bits),), clients=3, bits=bits, max_weight=5)
    vectors = [encoding.encode(update, weight=weight, rand=rand) for weight in (1, 5, 3)]
    decoded = encoding.decode_sum(field_sum(encoding, vectors))
    assert decoded.mean.tolist() == exact
    assert decoded.clipped == 0


def test_the_mean_of_whole_numbers_is_as_exact_as_its_float32(rand):
    encoding = Encoding.fitting(spans=(*uniform(2, 1.0), whole_numbers(2, 16)), clients=2)
    vectors = [encoding.encode(floats(0, 0, 7, -30_000), rand=rand), encoding.encode(floats(0, 0, 8, 100), rand=rand)]
    assert encoding.decode_sum(field_sum(encoding, vectors)).mean[2:].tolist() == [7.5, -14_950.0]
    assert encoding.error_bounds[1] == pytest.approx(2**15 * 2**-23)


def test_an_update_of_no_values_carries_its_metrics_and_its_weight(rand):
    encoding = Encoding.fitting(spans=(), clients=2, max_weight=3, metrics=(LOSS,))
    decoded = encoding.decode_sum(encoding.encode(floats(), weight=3, metrics={"loss": 10.0}, rand=rand))
    assert (decoded.mean.shape, decoded.total_weight, decoded.metrics) == ((0,), 3, {"loss": 10.0})
    assert encoding.error_bound == 0.0


@pytest.mark.parametrize(("low", "high"), [(1.0, 1.0), (2.0, 1.0), (0.0, float("inf")), (float("nan"), 1.0)])
def test_a_span_without_a_finite_range_or_without_values_is_refused(low, high):
    with pytest.raises(EncodingError, match="low < high"):
        Span(1, low, high)
    with pytest.raises(EncodingError, match="one value or more"):
        Span(0, -1.0, 1.0)
    with pytest.raises(EncodingError, match=r"bits are 1\.\.32"):
        whole_numbers(1, 0)


# --- clipping and rounding


def test_clipped_values_and_metrics_are_counted_also_without_weight(rand):
    encoding = small(metrics=(LOSS,), max_weight=2)
    heavy = encoding.encode(floats(2, -3, 1, 0.5), weight=2, metrics={"loss": 11.0}, rand=rand)
    light = encoding.encode(floats(9, 0, 0, 0), weight=0, metrics={"loss": 1.0}, rand=rand)
    decoded = encoding.decode_sum(field_sum(encoding, [heavy, light]))
    assert decoded.clipped == 4
    assert decoded.mean[:3].tolist() == [1, -1, 1]
    assert decoded.metrics == {"loss": 10.0}


@pytest.mark.parametrize("value", [-0.9, -1 / 3, 0.0, 0.1, 0.77])
@pytest.mark.parametrize("bits", [1, 2, 8])
def test_rounding_is_unbiased(value, bits, rand):
    draws = 40_000
    encoding = small(length=draws, bits=bits, clients=1)
    decoded = encoding.decode_sum(encoding.encode(np.full(draws, value, dtype=np.float32), rand=rand))
    level = 2 / (2**bits - 1)
    # a rounding has a deviation of at most half a level; five of the mean's deviations miss once in two million
    assert abs(decoded.mean.mean(dtype=np.float64) - value) < 5 * level / 2 / draws**0.5


def test_a_value_takes_one_of_its_two_neighbouring_levels_only(rand):
    encoding = small(length=1000, bits=2, clients=1)
    vector = encoding.encode(np.full(1000, 0.1, dtype=np.float32), rand=rand)
    assert set(vector[:1000].tolist()) == {1, 2}


def test_every_encoding_is_rounded_anew_and_a_seeded_one_is_the_same_again(rand):
    encoding, update = small(length=200), np.full(200, 0.1, dtype=np.float32)
    first, second = (encoding.encode(update, rand=rand) for _ in range(2))
    assert not np.array_equal(first, second)
    assert np.array_equal(first, encoding.encode(update, rand=SeededRandomness(b"encoding")))


def test_no_stretch_of_a_vector_is_rounded_like_another(rand):
    chunk = 1 << 16
    vector = small(length=2 * chunk).encode(np.full(2 * chunk, 0.1, dtype=np.float32), rand=rand)
    assert not np.array_equal(vector[:chunk], vector[chunk : 2 * chunk])


def test_thirty_two_bits_keep_to_the_precision_of_the_input(rand):
    encoding = small(length=10_000, bits=32, clients=1000, max_weight=1000)
    update = np.random.default_rng(3).uniform(-1, 1, 10_000).astype(np.float32)
    decoded = encoding.decode_sum(encoding.encode(update, weight=1000, rand=rand))
    assert np.abs(decoded.mean.astype(np.float64) - update).max() <= 2 / (2**32 - 1) + 2**-24


# --- what is refused


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("index", [0, 70_000])
def test_a_value_that_is_not_finite_is_refused_and_named(bad, index, rand):
    encoding = small(length=70_001)
    update = np.zeros(70_001, dtype=np.float32)
    update[index] = bad
    with pytest.raises(EncodingError, match=f"at index {index}$"):
        encoding.encode(update, rand=rand)


@pytest.mark.parametrize("update", [np.zeros(4), floats(1, 2, 3), np.zeros((2, 2), dtype=np.float32)])
def test_an_update_of_another_type_or_shape_is_refused(update, rand):
    with pytest.raises(EncodingError, match=r"an update is float32\[4\], not"):
        small().encode(update, rand=rand)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"weight": 3}, r"weight is 0\.\.2, not 3"),
        ({"weight": -1}, "weight"),
        ({"counters": {}}, "exactly"),
        ({"counters": {"rows": 1, "more": 1}}, "exactly"),
        ({"counters": {"rows": ROWS.bound + 1}}, "rows"),
        ({"counters": {"rows": -1}}, "rows"),
        ({"metrics": {}}, "exactly"),
        ({"metrics": {"lost": 1.0}}, "exactly"),
        ({"metrics": {"loss": float("nan")}}, "index 4"),
    ],
)
def test_a_name_or_a_number_out_of_its_bounds_is_refused(given, message, rand):
    encoding = small(metrics=(LOSS,), counters=(ROWS,), max_weight=2)
    good = {"metrics": {"loss": 1.0}, "counters": {"rows": 1}}
    with pytest.raises(EncodingError, match=message):
        encoding.encode(floats(0, 0, 0, 0), **{**good, **given}, rand=rand)


def test_a_weight_or_a_count_that_is_no_integer_is_a_type_error(rand):
    encoding = small(counters=(ROWS,), max_weight=2)
    with pytest.raises(TypeError):
        encoding.encode(floats(0, 0, 0, 0), weight=0.5, counters={"rows": 1}, rand=rand)
    with pytest.raises(TypeError):
        encoding.encode(floats(0, 0, 0, 0), counters={"rows": 1.0}, rand=rand)


def test_a_sum_without_weight_is_refused(rand):
    encoding = small()
    with pytest.raises(EncodingError, match="total weight is 0"):
        encoding.decode_sum(encoding.encode(floats(1, 1, 1, 1), weight=0, rand=rand))


def test_vectors_that_no_sum_can_be_are_refused(rand):
    encoding = small()
    good = encoding.encode(floats(0, 0, 0, 0), rand=rand)
    for index, value in [
        (0, 2**16),
        (4, 6),
        (5, 21),
    ]:  # a value above its weight, six of five clients, 21 of 20 clipped
        wrong = good.copy()
        wrong[index] = value
        with pytest.raises(EncodingError, match="no sum of encoded inputs"):
            encoding.decode_sum(wrong)
    with pytest.raises(EncodingError, match="6 elements"):
        encoding.decode_sum(good[:-1])
    with pytest.raises(ValueError, match="not below"):
        encoding.decode_sum(np.full_like(good, encoding.field.modulus))
    with pytest.raises(ValueError, match="elements of this field"):
        encoding.decode_sum(good.astype(np.uint64))


def test_the_same_input_decodes_alike_in_a_larger_field(rand):
    update = floats(0.25, -0.5, 1, -1)
    means = []
    for field in (M31, M61):
        encoding = Encoding(spans=uniform(4, 1.0), clients=5, field=field)
        means.append(encoding.decode_sum(encoding.encode(update, rand=SeededRandomness(b"one"))).mean.tolist())
    assert means[0] == means[1]
