import itertools
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from Crypto.Cipher import AES
from hypothesis import given, settings
from hypothesis import strategies as st

from mpc.field import M31, M61, FieldError, PrimeField
from mpc.hashing import kdf
from mpc.prg import Seed, accumulate, expand
from mpc.randomness import SeededRandomness
from mpc.spreading import Task, spreading

pytestmark = pytest.mark.usefixtures("either_way")

SEED = Seed(bytes(range(32)))
P251 = PrimeField(251)
JUST_ABOVE_2_16 = PrimeField(65537)  # about half of the words are rejected
WINDOW_BYTES = 2**20
JUST_ABOVE_2_31 = PrimeField(2**31 + 11)
FIELDS = [PrimeField(5), P251, JUST_ABOVE_2_16, PrimeField.with_bits(26), M31, JUST_ABOVE_2_31, M61]
every_field = pytest.mark.parametrize("field", FIELDS, ids=lambda field: f"p={field.modulus}")


def seeds(count: int, name: bytes = b"seeds") -> list[Seed]:
    rand = SeededRandomness(name)
    return [Seed(rand.bytes(32)) for _ in range(count)]


def raw_keystream(seed: Seed, label: str, size: int) -> bytes:
    key = kdf(seed.raw, "prg", label, "main", length=16)
    return AES.new(key, AES.MODE_CTR, nonce=b"", initial_value=0).encrypt(bytes(size))


def by_the_rule(seed: Seed, label: str, field: PrimeField, stop: int) -> list[int]:
    """Rule 4 once more, element by element, with another library's AES."""
    size, mask = field.itemsize, (1 << field.bits) - 1
    spare = AES.new(kdf(seed.raw, "prg", label, "spare", length=16), AES.MODE_ECB)
    stream = raw_keystream(seed, label, stop * size)

    def candidates(index: int):
        yield stream[index * size : (index + 1) * size]
        for draw in itertools.count():
            block = spare.encrypt(index.to_bytes(8, "little") + draw.to_bytes(8, "little"))
            yield from (block[at : at + size] for at in range(0, 16, size))

    def element(index: int) -> int:
        words = (int.from_bytes(word, "little") & mask for word in candidates(index))
        return next(word for word in words if word < field.modulus)

    return [element(index) for index in range(stop)]


@every_field
def test_every_element_is_the_one_of_the_rule(field: PrimeField):
    assert expand(SEED, "rule", field, 0, 600).tolist() == by_the_rule(SEED, "rule", field, 600)


def test_where_no_word_is_rejected_the_keystream_is_aes_ctr_bit_for_bit():
    field = PrimeField.with_bits(32)
    length = 300_000  # over the edge of a window
    assert expand(SEED, "bits", field, 0, length).astype("<u4").tobytes() == raw_keystream(SEED, "bits", 4 * length)


@pytest.mark.parametrize("block", [2**16 - 7, 2**17 - 7, 3 * 2**32 - 7, 2**32 + 2**16 - 7, 2**48 + 2**32 - 7])
def test_the_counters_go_on_where_their_words_overflow(block: int):
    field, key = PrimeField.with_bits(32), kdf(SEED.raw, "prg", "far", "main", length=16)
    stream = AES.new(key, AES.MODE_CTR, nonce=b"", initial_value=block).encrypt(bytes(16 * 20))
    assert expand(SEED, "far", field, 4 * block, 4 * (block + 20)).astype("<u4").tobytes() == stream


def test_threads_that_are_at_different_places_do_not_disturb_each_other():
    starts = [at for place in range(8) for at in (place * 2**18, 2**40 - place * 2**18, 5)]
    alone = [expand(SEED, "places", M31, start, start + 3000) for start in starts]
    with ThreadPoolExecutor(4) as pool:
        beside = list(pool.map(lambda start: expand(SEED, "places", M31, start, start + 3000), starts))
    assert all(map(np.array_equal, alone, beside))


def test_a_26_bit_stream_is_the_low_bits_of_the_words():
    words = np.frombuffer(raw_keystream(SEED, "low", 4000), dtype="<u4") & (2**26 - 1)
    assert np.array_equal(expand(SEED, "low", PrimeField.with_bits(26), 0, 1000), words)


@given(st.sampled_from(FIELDS), st.integers(0, 300), st.integers(0, 300))
@settings(deadline=None)
def test_any_slice_is_the_slice_of_the_whole(field: PrimeField, start: int, length: int):
    whole = expand(SEED, "slice", field, 0, 600)
    assert np.array_equal(expand(SEED, "slice", field, start, start + length), whole[start : start + length])


@pytest.mark.parametrize("field", [JUST_ABOVE_2_16, M61], ids=str)
def test_slices_over_the_edge_of_a_window_are_those_of_the_whole(field: PrimeField):
    edge = WINDOW_BYTES // field.itemsize
    whole = expand(SEED, "edge", field, 0, edge + 100)
    assert np.array_equal(expand(SEED, "edge", field, edge - 7, edge + 100), whole[edge - 7 :])
    assert np.array_equal(expand(SEED, "edge", field, 3, edge + 50), whole[3 : edge + 50])


def test_a_slice_far_out_costs_no_more_than_itself():
    far = 2**40 + 1
    assert np.array_equal(expand(SEED, "far", P251, far, far + 9)[4:], expand(SEED, "far", P251, far + 4, far + 9))


def test_another_seed_or_label_is_another_vector():
    vectors = [expand(seed, label, M31, 0, 4) for seed in seeds(2) for label in ("a", "b")]
    assert len({v.tobytes() for v in vectors}) == 4


@pytest.mark.parametrize(("start", "stop"), [(-1, 3), (4, 3)])
def test_what_is_no_slice_is_refused(start: int, stop: int):
    with pytest.raises(ValueError, match="slice"):
        expand(SEED, "x", M31, start, stop)


@pytest.mark.parametrize(("modulus", "limit"), [(5, 18.5), (251, 340.0)])
def test_the_values_are_equally_frequent(modulus: int, limit: float):
    count = 100_000
    counts = np.bincount(expand(SEED, "chi", PrimeField(modulus), 0, count), minlength=modulus)
    expected = count / modulus
    assert len(counts) == modulus
    assert ((counts - expected) ** 2 / expected).sum() < limit  # one in a thousand, 4 and 250 degrees of freedom


@every_field
@pytest.mark.parametrize(("plus", "minus"), [(0, 0), (1, 0), (0, 1), (1, 1), (9, 8)])
def test_accumulate_is_expand_then_add_or_subtract(field: PrimeField, plus: int, minus: int):
    check_accumulate(field, plus, minus, length=257, start=5)


@pytest.mark.parametrize("field", [JUST_ABOVE_2_16, PrimeField.with_bits(26), M31, JUST_ABOVE_2_31, M61], ids=str)
def test_accumulate_does_not_show_where_its_windows_meet(field: PrimeField):
    check_accumulate(field, 9, 2, length=WINDOW_BYTES // field.itemsize + 33, start=1)


@pytest.mark.parametrize("bits", [26, 29, 30, 31, 32, 61])
@pytest.mark.parametrize(("plus", "minus"), [(63, 0), (0, 63), (64, 64), (0, 130)])
def test_accumulate_reduces_before_the_words_overflow(bits: int, plus: int, minus: int):
    check_accumulate(PrimeField.with_bits(bits), plus, minus, length=300, start=0)


@pytest.mark.parametrize("bits", [26, 29, 30, 31, 32, 61])
@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_a_sum_of_few_seeds_takes_the_same_ways_as_one_of_many(bits: int, count: int):
    check_accumulate(PrimeField.with_bits(bits), count, 0, length=9000, start=2)


@pytest.mark.parametrize("cores", [2, 3])
@pytest.mark.parametrize(
    ("length", "plus", "minus"), [(2**21 + 5, 1, 1), (2**17, 3, 2), (2**12, 100, 200), (2**17, 0, 5), (2**17, 1, 0)]
)
@pytest.mark.parametrize("field", [M31, JUST_ABOVE_2_31, PrimeField.with_bits(26)], ids=str)
def test_any_number_of_cores_makes_the_same_sum(
    field: PrimeField, length: int, plus: int, minus: int, cores: int
) -> None:
    """A long vector is shared by slices, of a short one each core takes some seeds."""
    alone = field.uniform(length, SeededRandomness(b"acc"))
    shared, shares = alone.copy(), []
    accumulate(alone, field, "mask", plus=seeds(plus), minus=seeds(minus, b"minus"), start=3)

    def run(tasks: Sequence[Task]) -> None:
        shares.append(len(tasks))
        list(pool.map(lambda task: task(), tasks))

    with ThreadPoolExecutor(cores) as pool, spreading(run, cores=cores):
        accumulate(shared, field, "mask", plus=seeds(plus), minus=seeds(minus, b"minus"), start=3)
    assert np.array_equal(field.check(shared), alone)
    assert shares in ([2], [3])


def check_accumulate(field: PrimeField, plus: int, minus: int, *, length: int, start: int) -> None:
    added, taken = seeds(plus, b"plus"), seeds(minus, b"minus")
    acc = field.uniform(length, SeededRandomness(b"acc"))
    acc[: length // 2] = field.modulus - 1
    expected = acc.copy()
    for seed in added:
        expected = field.add(expected, expand(seed, "mask", field, start, start + length))
    for seed in taken:
        expected = field.sub(expected, expand(seed, "mask", field, start, start + length))
    accumulate(acc, field, "mask", plus=added, minus=taken, start=start)
    assert np.array_equal(field.check(acc), expected)


@pytest.mark.parametrize("beyond", [1, 5, 70])
def test_a_short_last_window_is_right(beyond: int):
    check_accumulate(M31, 3, 2, length=2**16 + beyond, start=0)


def test_a_vector_with_gaps_or_at_an_odd_address_is_summed_too():
    expected = M31.add(M31.zeros(9), expand(SEED, "mask", M31, 0, 9))
    bytes_of = bytearray(9 * 4 + 1)
    for acc in (M31.zeros(18)[::2], np.frombuffer(bytes_of, dtype=np.uint32, offset=1)):
        accumulate(acc, M31, "mask", plus=[SEED], minus=[])
        assert np.array_equal(acc, expected)


def test_numbers_of_numpy_name_a_slice_too():
    assert np.array_equal(expand(SEED, "x", M31, np.int64(3), np.int64(9)), expand(SEED, "x", M31, 3, 9))


def test_accumulate_works_in_place_on_a_part_of_a_vector():
    whole, parts = M31.zeros(1000), M31.zeros(1000)
    accumulate(whole, M31, "part", plus=seeds(3), minus=[])
    for at in range(0, 1000, 300):
        accumulate(parts[at : at + 300], M31, "part", plus=seeds(3), minus=[], start=at)
    assert np.array_equal(whole, parts)


def test_masks_of_both_signs_cancel():
    acc = M61.vector(range(100))
    accumulate(acc, M61, "pair", plus=seeds(4), minus=[])
    assert acc.tolist() != list(range(100))
    accumulate(acc, M61, "pair", plus=[], minus=seeds(4))
    assert acc.tolist() == list(range(100))


def test_accumulate_refuses_what_is_no_vector_over_the_field():
    with pytest.raises(FieldError):
        accumulate(np.array([251], dtype=np.uint32), P251, "x", plus=[SEED], minus=[])
    for acc, start in ((M31.zeros(4).reshape(2, 2), 0), (M31.zeros(4), -1)):
        with pytest.raises(ValueError, match="vector"):
            accumulate(acc, M31, "x", plus=[SEED], minus=[], start=start)


@pytest.mark.parametrize("raw", [b"", bytes(31), bytes(33), bytearray(32), "x" * 32])
def test_a_seed_is_32_bytes(raw: bytes):
    with pytest.raises(ValueError, match="32 bytes"):
        Seed(raw)


def test_seeds_compare_by_value_and_do_not_print():
    assert Seed(bytes(32)) == Seed(bytes(32))
    assert len({Seed(bytes(32)), Seed(bytes(32)), SEED}) == 2
    assert Seed(bytes(32)) != bytes(32)
    assert repr(SEED) == "Seed(<32 secret bytes>)"
