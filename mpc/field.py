"""Vectors over GF(p) as plain numpy arrays.

A field element is an unsigned integer below p: `uint32` for every prime below 2^32, `uint64` for M61 = 2^61 - 1. The
arithmetic trusts its operands to be elements (it checks the dtype, which is free); `check` is for the edge, where a
vector comes in.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from mpc import loops
from mpc.randomness import Randomness
from mpc.work import count

FieldVector = npt.NDArray[np.unsignedinteger[Any]]
Words = npt.NDArray[np.uint64]
_Step = Callable[[FieldVector, FieldVector, FieldVector, FieldVector], None]  # (a, b, out, scratch), all of one shape

_M61 = 2**61 - 1
_CHUNK = 1 << 15  # elements worked on at a time: operands and scratch stay in the second-level cache
_SHORT = 1000  # elements up to which a vector is packed bit by bit: 10 to 50 times faster than by lanes at 20 elements
_PACK_CHUNK = 1 << 17  # elements packed at a time: whole groups in every layout, whose size is a power of two


class FieldError(ValueError):
    """Not a vector over this field, or not a field that is supported."""


@dataclass(frozen=True, slots=True)
class PrimeField:
    """GF(p) for a prime p below 2^32, or p = 2^61 - 1."""

    modulus: int

    def __post_init__(self) -> None:
        p = self.modulus
        if not (p < 2**32 and _is_prime(p)) and p != _M61:
            raise FieldError(f"the modulus must be a prime below 2^32, or 2^61 - 1, not {p}")

    @classmethod
    def with_bits(cls, bits: int) -> "PrimeField":
        """The largest prime below 2^bits: bits in 2..32, or 61."""
        return cls(_largest_prime_below_power(bits))

    @property
    def bits(self) -> int:
        """Bits of an element: what it takes packed."""
        return self.modulus.bit_length()

    @property
    def itemsize(self) -> int:
        """Bytes of an element in memory: 4, or 8 in M61."""
        return 8 if self.modulus == _M61 else 4

    @property
    def dtype(self) -> np.dtype[np.unsignedinteger[Any]]:
        """`uint32`, or `uint64` in M61."""
        return np.dtype(np.uint64 if self.modulus == _M61 else np.uint32)

    @property
    def mask(self) -> np.unsignedinteger[Any]:
        """The `bits` low bits of a word."""
        return self.dtype.type((1 << self.bits) - 1)

    # --- vectors ---

    def zeros(self, length: int) -> FieldVector:
        """A vector of `length` zeros."""
        return np.zeros(length, dtype=self.dtype)

    def vector(self, values: Iterable[int]) -> FieldVector:
        """The vector of these integers. Raises FieldError on one outside 0..p-1: nothing is reduced."""
        integers = list(values)
        if any(not 0 <= value < self.modulus for value in integers):
            raise FieldError(f"values must lie in 0..{self.modulus - 1}")
        return np.array(integers, dtype=self.dtype)

    def check(self, v: FieldVector) -> FieldVector:
        """`v` itself, if it is a vector or a matrix over this field. Raises FieldError."""
        self._require_dtype(v)
        if v.ndim not in (1, 2):
            raise FieldError(f"a vector or a matrix is wanted, not {v.ndim} dimensions")
        if v.size and int(v.max()) >= self.modulus:
            raise self._outside
        return v

    def uniform(self, length: int, rand: Randomness) -> FieldVector:
        """`length` elements, exactly uniform (by rejection)."""
        found = self._draw(length, rand)
        while len(found) < length:
            found = np.concatenate([found, self._draw(length - len(found), rand)])
        return found

    def _draw(self, count: int, rand: Randomness) -> FieldVector:
        """Up to `count` uniform elements: candidates of `bits` bits, those below p."""
        little = self.dtype.newbyteorder("<")
        words = np.frombuffer(rand.bytes(count * self.itemsize), dtype=little).astype(self.dtype)
        words &= self.mask
        fitting: FieldVector = words[words < self.modulus]
        return fitting

    # --- arithmetic ---

    def add(self, a: FieldVector, b: FieldVector, *, out: FieldVector | None = None) -> FieldVector:
        """a + b, element by element. `out` may be `a` or `b`; equal vectors need no temporary of their length."""
        return self._by_chunks(self._add_chunk, a, b, out)

    def sub(self, a: FieldVector, b: FieldVector, *, out: FieldVector | None = None) -> FieldVector:
        """a - b, element by element, as `add`."""
        return self._by_chunks(self._sub_chunk, a, b, out)

    def neg(self, a: FieldVector) -> FieldVector:
        """-a, element by element."""
        return self.sub(np.zeros_like(a), a)

    def mul(self, a: FieldVector, b: FieldVector) -> FieldVector:
        """a * b, element by element (numpy's broadcasting holds)."""
        return self._by_chunks(self._mul_chunk, a, b, None)

    def inv(self, a: FieldVector) -> FieldVector:
        """1 / a, element by element. Raises FieldError when one is zero."""
        self._require_dtype(a)
        if not a.all():
            raise FieldError("zero has no inverse")
        return self._inv(a.reshape(-1)).reshape(a.shape)

    def _inv(self, a: FieldVector) -> FieldVector:
        """Montgomery's trick by halves: one inversion for all, three products an element."""
        if len(a) <= 1:
            return self.vector(pow(int(element), -1, self.modulus) for element in a)
        half = len(a) // 2
        left, right = a[:half], a[half : 2 * half]
        inverses = self._inv(np.concatenate([self.mul(left, right), a[2 * half :]]))
        paired = inverses[:half]
        return np.concatenate([self.mul(paired, right), self.mul(paired, left), inverses[half:]])

    def matmul(self, a: FieldVector, b: FieldVector) -> FieldVector:
        """The exact product of two matrices (or of a vector and a matrix), shapes as in `a @ b`.

        Both are cut in limbs so small that float64 holds every sum of their products; BLAS does the work.
        """
        self._require_dtype(a, b)
        inner = a.shape[-1]
        if b.shape[0] != inner:
            raise FieldError(f"shapes {a.shape} and {b.shape} do not multiply")
        count(products=a.size * math.prod(b.shape[1:]))
        left, right = a.reshape(math.prod(a.shape[:-1]), inner), b.reshape(inner, math.prod(b.shape[1:]))
        limb_bits = 21 if self.modulus == _M61 else 16
        step = 1 << (53 - 2 * limb_bits)
        product = self._matmul_step(left[:, :step], right[:step], limb_bits)
        for at in range(step, inner, step):
            part = self._matmul_step(left[:, at : at + step], right[at : at + step], limb_bits)
            product = self.add(product, part)
        return product.reshape(a.shape[:-1] + b.shape[1:])

    def reduce(self, words: Words) -> FieldVector:
        """Any 64-bit words -> their residues mod p."""
        p = np.uint64(self.modulus)
        if self.modulus == _M61:
            folded: Words = (words & p) + (words >> np.uint64(61))
            np.minimum(folded, folded - p, out=folded)
            return folded
        quotient = words // p  # numpy divides by a scalar in vector registers, but takes remainders one by one
        quotient *= p
        remainder: Words = np.subtract(words, quotient, out=quotient)
        return remainder.astype(self.dtype)

    def _by_chunks(self, step: _Step, a: FieldVector, b: FieldVector, out: FieldVector | None) -> FieldVector:
        self._require_dtype(a, b)
        if out is None:
            out = np.empty(np.broadcast_shapes(a.shape, b.shape), dtype=self.dtype)
        self._require_dtype(out)
        if a.ndim != 1 or a.shape != b.shape:
            step(a, b, out, np.empty_like(out))
            return out
        scratch = np.empty(min(len(a), _CHUNK), dtype=self.dtype)  # one for all chunks: a new one each costs more
        for at in range(0, len(a), _CHUNK):
            part = slice(at, at + _CHUNK)
            step(a[part], b[part], out[part], scratch[: len(a) - at])
        return out

    def _add_chunk(self, a: FieldVector, b: FieldVector, out: FieldVector, scratch: FieldVector) -> None:
        p = self.dtype.type(self.modulus)
        if 2**31 < self.modulus < 2**32:  # the sum needs a 33rd bit
            wide = np.add(a, b, dtype=np.uint64)
            out[...] = np.minimum(wide, wide - np.uint64(p))
            return
        np.add(a, b, out=out)
        np.subtract(out, p, out=scratch)
        np.minimum(out, scratch, out=out)  # below p the difference wraps to a large word

    def _sub_chunk(self, a: FieldVector, b: FieldVector, out: FieldVector, scratch: FieldVector) -> None:
        p = self.dtype.type(self.modulus)
        if 2**31 < self.modulus < 2**32:
            self._add_chunk(a, p - b, out, scratch)
            return
        np.subtract(a, b, out=out)
        np.add(out, p, out=scratch)
        np.minimum(out, scratch, out=out)  # a negative difference is a large word

    def _mul_chunk(self, a: FieldVector, b: FieldVector, out: FieldVector, scratch: FieldVector) -> None:
        if self.modulus == _M61:
            out[...] = self.reduce(_mul_m61(a, b))
        else:
            out[...] = self.reduce(np.multiply(a, b, dtype=np.uint64))

    def _matmul_step(self, a: FieldVector, b: FieldVector, limb_bits: int) -> FieldVector:
        count = math.ceil(self.bits / limb_bits)
        left, right = _limbs(a, limb_bits, count), _limbs(b, limb_bits, count)
        shift = np.array((1 << limb_bits) % self.modulus, dtype=self.dtype)
        total = np.zeros((a.shape[0], b.shape[1]), dtype=self.dtype)
        for weight in reversed(range(2 * count - 1)):  # Horner's rule over the weights 2^(limb_bits * (i + j))
            blocks = [left[i] @ right[weight - i] for i in range(count) if 0 <= weight - i < count]
            diagonal = np.zeros(total.shape, dtype=np.uint64)
            for block in blocks:
                diagonal += block.astype(np.uint64)
            total = self.add(self.mul(total, shift), self.reduce(diagonal))
        return total

    # --- bytes ---

    def packed_size(self, length: int) -> int:
        """Bytes that `length` elements take packed."""
        return (length * self.bits + 7) // 8

    def pack(self, v: FieldVector) -> bytes:
        """`bits` bits an element, lowest bit first; the last byte is filled up with zero bits."""
        self._require_dtype(v)
        if self._packed_by_loop:
            return loops.pack(np.require(v, requirements=["C", "A"]), self.bits)
        if len(v) <= _SHORT:
            return _pack_bits(v, self.bits)
        layout = _Layout.of(self.bits)
        words = np.empty(layout.words_for(len(v)), dtype="<u8")
        step = layout.words_for(_PACK_CHUNK)
        for index, at in enumerate(range(0, len(v), _PACK_CHUNK)):
            layout.pack(v[at : at + _PACK_CHUNK], words[index * step : (index + 1) * step])
        return words.view(np.uint8)[: self.packed_size(len(v))].tobytes()

    def unpack(self, data: bytes, length: int) -> FieldVector:
        """The `length` elements of `pack`. Raises FieldError on another size, a filling bit set, an element >= p."""
        if len(data) != self.packed_size(length):
            raise FieldError(f"{length} elements take {self.packed_size(length)} bytes packed, not {len(data)}")
        used = length * self.bits % 8
        if used and data[-1] >> used:
            raise FieldError("the filling bits of the last byte are not zero")
        if self._packed_by_loop:
            out = np.empty(length, dtype=self.dtype)
            if not loops.unpack(data, out, self.bits, self.modulus):
                raise self._outside
            return out
        if length <= _SHORT:
            out = _unpack_bits(data, length, self.bits, self.dtype)
            self._require_below_modulus(out)
            return out
        out = np.empty(length, dtype=self.dtype)
        unpacked, size = _Unpacking(self), self.packed_size(_PACK_CHUNK)
        for index, at in enumerate(range(0, length, _PACK_CHUNK)):
            part = out[at : at + _PACK_CHUNK]
            unpacked.write(memoryview(data)[index * size : (index + 1) * size], part)
            self._require_below_modulus(part)
        return out

    def _require_below_modulus(self, v: FieldVector) -> None:
        if len(v) and int(v.max()) >= self.modulus:
            raise self._outside

    @property
    def _outside(self) -> FieldError:
        return FieldError(f"an element is not below {self.modulus}")

    @property
    def _packed_by_loop(self) -> bool:
        """Whether elements are packed and unpacked by compiled loops."""
        return loops.available and self.itemsize == 4

    def _require_dtype(self, *vectors: FieldVector) -> None:
        for v in vectors:
            if v.dtype != self.dtype:
                raise FieldError(f"elements of this field are {self.dtype}, not {v.dtype}")


def _mul_m61(a: FieldVector, b: FieldVector) -> Words:
    """A word congruent to a b mod 2^61 - 1, from halves of 31 and 30 bits: 2^62 = 2, 2^61 = 1, no sum reaches 2^64."""
    half, low = np.uint64(31), np.uint64(2**31 - 1)
    a1, a0, b1, b0 = a >> half, a & low, b >> half, b & low
    middle = a1 * b0 + a0 * b1
    folded = (middle >> np.uint64(30)) + ((middle & np.uint64(2**30 - 1)) << half)
    total: Words = ((a1 * b1) << np.uint64(1)) + folded + a0 * b0
    return total


def _limbs(matrix: FieldVector, limb_bits: int, count: int) -> list[npt.NDArray[np.float64]]:
    mask = matrix.dtype.type((1 << limb_bits) - 1)
    return [((matrix >> matrix.dtype.type(limb_bits * i)) & mask).astype(np.float64) for i in range(count)]


def _pack_bits(v: FieldVector, bits: int) -> bytes:
    """What `_Layout.pack` gives, bit by bit: for vectors so short that its passes over lanes cost more."""
    words = np.ascontiguousarray(v, dtype=v.dtype.newbyteorder("<"))
    rows = np.unpackbits(words.view(np.uint8).reshape(len(v), v.itemsize), axis=1, count=bits, bitorder="little")
    return np.packbits(rows.reshape(-1), bitorder="little").tobytes()


def _unpack_bits(data: bytes, length: int, bits: int, dtype: Any) -> FieldVector:
    rows = np.zeros((length, 8 * dtype.itemsize), dtype=np.uint8)
    found = np.unpackbits(np.frombuffer(data, dtype=np.uint8), count=length * bits, bitorder="little")
    rows[:, :bits] = found.reshape(length, bits)
    words: FieldVector = np.packbits(rows, axis=1, bitorder="little").reshape(-1).view(dtype.newbyteorder("<"))
    return words.astype(dtype, copy=False)


@dataclass(frozen=True, slots=True)
class _Layout:
    """How elements of `bits` bits lie in 64-bit words.

    `fold` neighbours are joined to one lane of `width` bits, in 33..64; the lanes of a group then fill `words` words
    without a bit left over. Lanes are worked on as columns, so no loop runs over elements.
    """

    bits: int
    fold: int
    width: int
    lanes: int
    words: int

    @staticmethod
    @cache
    def of(bits: int) -> "_Layout":
        fold = 1
        while 2 * fold * bits <= 64:
            fold *= 2
        width = fold * bits
        common = math.gcd(width, 64)
        return _Layout(bits, fold, width, 64 // common, width // common)

    def words_for(self, length: int) -> int:
        """Words of all groups that so many elements begin."""
        return -(-length // (self.fold * self.lanes)) * self.words

    def pack(self, v: FieldVector, out: Words) -> None:
        """Fill `out` with all groups that the elements begin, the last one filled up with zeros."""
        columns = self._to_columns(v)
        words = np.zeros((self.words, columns.shape[1]), dtype=np.uint64)
        scratch = np.empty(columns.shape[1], dtype=np.uint64)
        for lane, column in enumerate(columns):
            word, shift = divmod(lane * self.width, 64)
            words[word] |= np.left_shift(column, np.uint64(shift), out=scratch)
            if shift + self.width > 64:
                np.right_shift(column, np.uint64(64 - shift), out=words[word + 1])
        out.reshape(-1, self.words)[:] = words.T

    def _to_columns(self, v: FieldVector) -> Words:
        group = self.fold * self.lanes
        if len(v) % group:
            v = np.concatenate([v, np.zeros(-len(v) % group, dtype=v.dtype)])
        parts, bits = v.astype(np.uint64), self.bits
        while bits < self.width:
            parts = parts[0::2] | (parts[1::2] << np.uint64(bits))
            bits *= 2
        return np.ascontiguousarray(parts.reshape(-1, self.lanes).T)


class _Unpacking:
    """Eight elements of `bits` bits fill `bits` bytes: the words that the first of each eight lie in are that far
    apart, and so are those of the second. So each of the eight is one strided read, which need not be aligned.
    """

    __slots__ = ("_bits", "_bytes", "_mask")

    def __init__(self, field: PrimeField) -> None:
        self._bits, self._mask = field.bits, field.mask
        self._bytes = np.empty(field.packed_size(_PACK_CHUNK) + 16, dtype=np.uint8)  # a word may reach beyond the end

    def write(self, data: memoryview, out: FieldVector) -> None:
        """Fill `out`, of at most _PACK_CHUNK elements, from the bytes of its groups."""
        self._bytes[: len(data)] = data
        for place in range(min(8, len(out))):
            column = out[place::8]
            words = self._words(len(column), *divmod(place * self._bits, 8))
            np.bitwise_and(words, self._mask, out=column, dtype=out.dtype, casting="unsafe")  # the mask cuts words too

    def _words(self, count: int, at: int, shift: int) -> npt.NDArray[np.uint32] | Words:
        """Words whose low bits are the elements that begin at bit `shift` of byte `at` of each group."""
        if shift + self._bits <= 32:
            short: npt.NDArray[np.uint32] = self._column("<u4", count, at) >> np.uint32(shift)
            return short
        words: Words = self._column("<u8", count, at) >> np.uint64(shift)
        if shift + self._bits > 64:
            words |= self._column("u1", count, at + 8).astype(np.uint64) << np.uint64(64 - shift)
        return words

    def _column(self, kind: str, count: int, at: int) -> Any:
        return np.ndarray((count,), kind, self._bytes.data, at, (self._bits,))


@lru_cache(maxsize=256)  # moduli come from the wire too
def _is_prime(n: int) -> bool:
    """Deterministic Miller-Rabin: the bases 2, 3, 5, 7 decide every n below 3,215,031,751; 11 takes it past 2^40."""
    small = (2, 3, 5, 7, 11)
    if n < 2 or any(n % prime == 0 for prime in small):
        return n in small
    twos = ((n - 1) & -(n - 1)).bit_length() - 1
    return all(_passes(n, base, twos) for base in small)


def _passes(n: int, base: int, twos: int) -> bool:
    x = pow(base, (n - 1) >> twos, n)
    return x == 1 or any(pow(x, 1 << i, n) == n - 1 for i in range(twos))


@cache
def _largest_prime_below_power(bits: int) -> int:
    if bits == 61:
        return _M61
    if not 2 <= bits <= 32:
        raise FieldError(f"fields have 2..32 bits, or 61, not {bits}")
    return next(n for n in range(2**bits - 1, 1, -1) if _is_prime(n))


M31 = PrimeField(2**31 - 1)
M61 = PrimeField(_M61)
