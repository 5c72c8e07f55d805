import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpc.field import M31, M61, FieldError, PrimeField
from mpc.randomness import SeededRandomness

JUST_ABOVE_2_31 = PrimeField(2**31 + 11)
FIELDS = [
    PrimeField(2),
    PrimeField(5),
    PrimeField(251),
    PrimeField(65537),
    PrimeField.with_bits(26),
    M31,
    JUST_ABOVE_2_31,
    PrimeField.with_bits(32),
    M61,
]
ALL_BITS = [*range(2, 33), 61]
every_field = pytest.mark.parametrize("field", FIELDS, ids=lambda field: f"p={field.modulus}")


either_way = pytest.mark.usefixtures("either_way")


def elements(field: PrimeField, count: int, name: bytes = b"elements") -> np.ndarray:
    """Uniform ones, with both ends of the range among them."""
    v = field.uniform(count, SeededRandomness(name))
    v[: count // 8] = field.modulus - 1
    v[count // 8 : count // 6] = 0
    return v


def integers(v: np.ndarray) -> list[int]:
    return [int(x) for x in v]


@pytest.mark.parametrize(
    "modulus", [-7, 0, 1, 4, 9, 561, 2047, 3215031751, 2**32 - 1, 4294967311, 2**61 - 3, 2**89 - 1]
)
def test_what_is_no_prime_below_2_32_and_not_m61_is_refused(modulus: int):
    with pytest.raises(FieldError, match="prime"):
        PrimeField(modulus)


def test_primes_below_a_thousand_are_the_sieve_s():
    sieve = [n for n in range(2, 1000) if all(n % d for d in range(2, n))]
    assert [n for n in range(1000) if _accepted(n)] == sieve


def _accepted(n: int) -> bool:
    try:
        return PrimeField(n).modulus == n
    except FieldError:
        return False


def test_with_bits_is_the_largest_prime_below_the_power():
    gaps = {8: 5, 16: 15, 20: 3, 24: 3, 26: 5, 28: 57, 30: 35, 31: 1, 32: 5, 61: 1}
    assert {bits: 2**bits - PrimeField.with_bits(bits).modulus for bits in gaps} == gaps
    assert PrimeField.with_bits(2).modulus == 3
    assert all(PrimeField.with_bits(bits).bits == bits for bits in ALL_BITS)


@pytest.mark.parametrize("bits", [-1, 0, 1, 33, 60, 62, 64])
def test_with_bits_refuses_other_sizes(bits: int):
    with pytest.raises(FieldError, match=str(bits)):
        PrimeField.with_bits(bits)


def test_elements_take_four_bytes_and_eight_in_m61():
    assert (M31.dtype, M31.itemsize, JUST_ABOVE_2_31.itemsize) == (np.uint32, 4, 4)
    assert (M61.dtype, M61.itemsize, M61.bits) == (np.uint64, 8, 61)


@every_field
def test_vector_takes_elements_and_reduces_nothing(field: PrimeField):
    top = field.modulus - 1
    assert integers(field.vector([0, 1, top])) == [0, 1, top]
    for outside in (-1, field.modulus, 2**64):
        with pytest.raises(FieldError):
            field.vector([0, outside])


def test_check_refuses_other_types_shapes_and_values():
    good = M31.vector([1, 2])
    assert M31.check(good) is good
    assert M31.check(np.zeros((0, 3), dtype=np.uint32)).shape == (0, 3)
    for bad in (
        good.astype(np.uint64),
        good.astype(np.int32),
        np.array(3, dtype=np.uint32),
        np.zeros((1, 1, 1), dtype=np.uint32),
        np.array([2**31 - 1], dtype=np.uint32),
    ):
        with pytest.raises(FieldError):
            M31.check(bad)


@every_field
def test_arithmetic_is_that_of_the_integers_mod_p(field: PrimeField):
    p, a, b = field.modulus, elements(field, 400), elements(field, 400, b"others")[::-1].copy()
    pairs = list(zip(integers(a), integers(b), strict=True))
    assert integers(field.add(a, b)) == [(x + y) % p for x, y in pairs]
    assert integers(field.sub(a, b)) == [(x - y) % p for x, y in pairs]
    assert integers(field.mul(a, b)) == [x * y % p for x, y in pairs]
    assert integers(field.neg(a)) == [-x % p for x in integers(a)]
    assert all(op(a, b).dtype == field.dtype for op in (field.add, field.sub, field.mul))


@given(st.sampled_from(FIELDS), st.data())
def test_one_product_sum_and_difference_is_right(field: PrimeField, data: st.DataObject):
    p = field.modulus
    x, y = (data.draw(st.integers(0, p - 1)) for _ in range(2))
    a, b = field.vector([x]), field.vector([y])
    assert (field.mul(a, b)[0], field.add(a, b)[0], field.sub(a, b)[0]) == (x * y % p, (x + y) % p, (x - y) % p)


@every_field
def test_sums_in_place_are_the_same_across_chunks(field: PrimeField):
    a, b = elements(field, 70_000), elements(field, 70_000, b"others")
    total, difference = field.add(a, b), field.sub(a, b)
    left, right = a.copy(), b.copy()
    assert field.add(left, b, out=left) is left
    assert field.sub(a, right, out=right) is right
    assert np.array_equal(left, total)
    assert np.array_equal(right, difference)
    assert np.array_equal(field.sub(total, b), a)


@every_field
def test_inverses_multiply_to_one(field: PrimeField):
    for count in (0, 1, 2, 3, 37):
        a = np.maximum(elements(field, count), field.dtype.type(1))
        assert integers(field.mul(a, field.inv(a))) == [1] * count
    square = np.maximum(elements(field, 6), field.dtype.type(1)).reshape(2, 3)
    assert field.inv(square).shape == (2, 3)


def test_zero_has_no_inverse():
    with pytest.raises(FieldError, match="zero"):
        M31.inv(M31.vector([1, 0]))


def test_vectors_of_another_field_s_type_are_refused():
    with pytest.raises(FieldError, match="uint64"):
        M31.add(M31.zeros(1), M61.zeros(1))
    with pytest.raises(FieldError):
        M61.mul(M61.zeros(1), np.zeros(1, dtype=np.int64))


@every_field
@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 7, 4), (5, 40, 2), (2, 0, 2)])
def test_matmul_is_exact(field: PrimeField, shape: tuple[int, int, int]):
    rows, inner, columns = shape
    a = elements(field, rows * inner).reshape(rows, inner)
    b = elements(field, inner * columns, b"b").reshape(inner, columns)
    product = (a.astype(object) @ b.astype(object)) % field.modulus
    assert np.array_equal(field.matmul(a, b), product.astype(field.dtype))
    assert np.array_equal(field.matmul(a[0], b), product[0].astype(field.dtype))
    assert np.array_equal(field.matmul(a, b[:, 0]), product[:, 0].astype(field.dtype))


@pytest.mark.parametrize("field", [PrimeField.with_bits(32), M61])
def test_matmul_is_exact_where_every_limb_is_full_and_the_sums_are_long(field: PrimeField):
    length = 5000  # more than a float64 holds at once in M61
    full = np.full((1, length), field.modulus - 1, dtype=field.dtype)
    assert field.matmul(full, full.T)[0, 0] == length


def test_matmul_refuses_shapes_that_do_not_fit():
    with pytest.raises(FieldError, match="multiply"):
        M31.matmul(M31.zeros(6).reshape(2, 3), M31.zeros(2))


@pytest.mark.parametrize("field", [JUST_ABOVE_2_31, M31, M61], ids=str)
def test_products_agree_with_flint(field: PrimeField):
    flint = pytest.importorskip("flint")
    a, b = elements(field, 120).reshape(6, 20), elements(field, 100, b"b").reshape(20, 5)
    product = flint.nmod_mat(6, 20, integers(a.ravel()), field.modulus) * flint.nmod_mat(
        20, 5, integers(b.ravel()), field.modulus
    )
    assert integers(field.matmul(a, b).ravel()) == [int(entry) for entry in product.entries()]


@pytest.mark.slow
@pytest.mark.parametrize("field", [PrimeField(251), M31], ids=str)
def test_elementwise_arithmetic_agrees_with_galois(field: PrimeField):
    galois = pytest.importorskip("galois")
    gf = galois.GF(field.modulus, verify=False, primitive_element={251: 6, 2**31 - 1: 7}[field.modulus])
    a, b = (np.maximum(elements(field, 100, name), field.dtype.type(1)) for name in (b"a", b"b"))
    x, y = gf(a.astype(np.int64)), gf(b.astype(np.int64))
    assert integers(field.mul(a, b)) == integers(x * y)
    assert integers(field.sub(a, b)) == integers(x - y)
    assert integers(field.inv(a)) == integers(np.reciprocal(x))


def packed_by_one_big_integer(values: list[int], bits: int) -> bytes:
    number = sum(value << (bits * i) for i, value in enumerate(values))
    return number.to_bytes((len(values) * bits + 7) // 8, "little")


@either_way
@pytest.mark.parametrize("bits", ALL_BITS)
def test_packing_is_the_bits_of_one_little_endian_integer(bits: int):
    field = PrimeField.with_bits(bits)
    for length in (0, 1, 2, 3, 7, 8, 31, 64, 65, 133, 999, 1000, 1001, 1133):  # bit by bit up to 1000, then by lanes
        v = elements(field, length)
        data = field.pack(v)
        assert data == packed_by_one_big_integer(integers(v), bits)
        assert len(data) == field.packed_size(length)
        back = field.unpack(data, length)
        assert back.dtype == field.dtype
        assert np.array_equal(back, v)


@either_way
@pytest.mark.parametrize("bits", [2, 11, 26, 31, 32, 61])
def test_packing_does_not_show_where_its_chunks_meet(bits: int):
    field = PrimeField.with_bits(bits)
    v = elements(field, 2**17 + 5)
    data = field.pack(v)
    assert np.array_equal(field.unpack(data, len(v)), v)
    at = 2**16 - 8  # a byte boundary in every width
    assert data[at * bits // 8 : (at + 16) * bits // 8] == packed_by_one_big_integer(integers(v[at : at + 16]), bits)


@either_way
@given(st.sampled_from(ALL_BITS), st.data())
@settings(max_examples=50)
def test_any_vector_comes_back_from_its_bytes(bits: int, data: st.DataObject):
    field = PrimeField.with_bits(bits)
    values = data.draw(st.lists(st.integers(0, field.modulus - 1), max_size=70))
    assert integers(field.unpack(field.pack(field.vector(values)), len(values))) == values


@either_way
@given(st.sampled_from(ALL_BITS), st.integers(0, 40), st.binary(max_size=160))
def test_any_bytes_are_a_vector_in_one_way_or_refused(bits: int, length: int, data: bytes):
    field = PrimeField.with_bits(bits)
    try:
        v = field.unpack(data, length)
    except FieldError:
        return
    assert field.pack(field.check(v)) == data


@either_way
def test_unpack_refuses_another_size_a_filling_bit_and_an_element_too_large():
    field = PrimeField.with_bits(26)
    data = field.pack(field.vector([1, 2, 3]))
    for wrong in (data[:-1], data + b"\0", b""):
        with pytest.raises(FieldError, match="bytes"):
            field.unpack(wrong, 3)
    with pytest.raises(FieldError, match="filling"):
        field.unpack(data[:-1] + bytes([data[-1] | 0x40]), 3)
    too_large = packed_by_one_big_integer([1, field.modulus, 3], 26)
    with pytest.raises(FieldError, match="below"):
        field.unpack(too_large, 3)


def test_uniform_is_exactly_so_long_and_its_values_are_equally_frequent():
    v = PrimeField(5).uniform(50_000, SeededRandomness(b"chi"))
    counts = np.bincount(v, minlength=5)
    assert len(v) == 50_000
    assert len(counts) == 5
    assert ((counts - 10_000) ** 2 / 10_000).sum() < 18.5  # 4 degrees of freedom, one in a thousand


@every_field
def test_uniform_stays_in_the_field_where_half_the_draws_are_rejected_too(field: PrimeField):
    v = field.check(field.uniform(1001, SeededRandomness(b"range")))
    assert len(v) == 1001
    assert len(field.uniform(0, SeededRandomness(b"none"))) == 0
