"""Seeds, and the pseudorandom field vectors that they stand for.

Element i is word i of AES-128-CTR under K0, cut to the field's bits; where that is not below p, spare words replace it,
drawn under K1 from a counter that names i. So every element depends on the seed, the label and its index alone: any
slice can be computed by itself, and the vector is exactly uniform if AES is. [PROTOCOLS, rule 4]
"""

import hmac
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext
from cryptography.hazmat.primitives.ciphers.algorithms import AES128
from cryptography.hazmat.primitives.ciphers.modes import CTR, ECB

from mpc.field import FieldVector, PrimeField
from mpc.hashing import kdf
from mpc.work import count

SEED_BYTES = 32

_BLOCK = 16
_CHUNK_BYTES = 1 << 18  # keystream made at a time: it stays in cache until it is summed, calls cost little beside it
_ZEROS = bytes(_CHUNK_BYTES)


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Seed:
    """32 secret bytes. Use one for one purpose; `expand` and `accumulate` ask for its label."""

    raw: bytes

    def __post_init__(self) -> None:
        if type(self.raw) is not bytes or len(self.raw) != SEED_BYTES:
            raise ValueError(f"a seed is {SEED_BYTES} bytes")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Seed):
            return NotImplemented
        return hmac.compare_digest(self.raw, other.raw)

    def __hash__(self) -> int:
        return hash((Seed, self.raw))

    def __repr__(self) -> str:
        return "Seed(<32 secret bytes>)"


def expand(seed: Seed, label: str, field: PrimeField, start: int, stop: int) -> FieldVector:
    """Elements start..stop-1 of the pseudorandom vector of (seed, label), uniform in the field.

    Raises ValueError unless 0 <= start <= stop.
    """
    if not 0 <= start <= stop:
        raise ValueError(f"no slice: {start}..{stop}")
    count(streams=1, stream_bytes=(stop - start) * field.itemsize)
    out = np.empty(stop - start, dtype=field.dtype.newbyteorder("<"))
    stream = _Keystream(seed, label, field, start)
    step = _CHUNK_BYTES // field.itemsize
    for at in range(0, len(out), step):
        stream.fill(out[at : at + step])
    return out.astype(field.dtype, copy=False)


def accumulate(
    acc: FieldVector, field: PrimeField, label: str, *, plus: Sequence[Seed], minus: Sequence[Seed], start: int = 0
) -> None:
    """Add the vectors of the seeds in `plus` to `acc` and subtract those in `minus`, in place.

    acc: elements `start`.. of a vector over the field. The result is that of `expand` and then `add` or `sub`, seed by
    seed; but nothing of the vector's length is made, and a sum is reduced only when its words are full.
    Raises FieldError when `acc` is no vector over the field, ValueError for a negative start.
    """
    if field.check(acc).ndim != 1 or start < 0:
        raise ValueError("one vector is wanted, and a start that is not negative")
    seeds = len(plus) + len(minus)
    count(streams=seeds, stream_bytes=seeds * acc.nbytes)
    signed: list[_Signed] = [(np.add, _Keystream(seed, label, field, start)) for seed in plus]
    signed += [(np.subtract, _Keystream(seed, label, field, start)) for seed in minus]
    total = _LazySum(field, signed)
    step = _CHUNK_BYTES // field.itemsize
    for at in range(0, len(acc), step):
        total.update(acc[at : at + step])


class _Keystream:
    """The elements of one (seed, label), in order from `start`."""

    __slots__ = ("_at", "_encryptor", "_field", "_label", "_mask", "_seed", "_spare")

    def __init__(self, seed: Seed, label: str, field: PrimeField, start: int) -> None:
        key = kdf(seed.raw, "prg", label, "main", length=_BLOCK)
        block, skipped = divmod(start * field.itemsize, _BLOCK)
        self._encryptor = Cipher(AES128(key), CTR(block.to_bytes(_BLOCK, "big"))).encryptor()
        self._encryptor.update(_ZEROS[:skipped])
        self._spare: CipherContext | None = None  # most streams of a field just below a power of two need none
        self._seed, self._label, self._field, self._at = seed, label, field, start
        self._mask = field.dtype.type((1 << field.bits) - 1)

    def fill(self, words: FieldVector) -> None:
        """Write the next elements over `words`: contiguous, little endian, one chunk at most."""
        self._encryptor.update_into(_ZEROS[: words.nbytes], words.view(np.uint8).data)
        np.bitwise_and(words, self._mask, out=words)
        if int(words.max()) >= self._field.modulus:
            outside = np.flatnonzero(words >= self._field.modulus)
            words[outside] = self._replacements(outside + self._at)
        self._at += len(words)

    def _replacements(self, indices: npt.NDArray[np.int64]) -> FieldVector:
        """For each index the first spare word below p: words of AES(K1, index, draw) for draw = 0, 1, .."""
        found = np.empty(len(indices), dtype=self._field.dtype)
        pending, draw = np.arange(len(indices)), 0
        while len(pending):
            words = self._spare_words(indices[pending], draw)
            fits = words < self._field.modulus
            hit = fits.any(axis=1)
            found[pending[hit]] = words[hit, fits[hit].argmax(axis=1)]
            pending, draw = pending[~hit], draw + 1
        return found

    def _spare_words(self, indices: npt.NDArray[np.int64], draw: int) -> FieldVector:
        """One row of candidates an index: the masked words of one block."""
        if self._spare is None:
            key = kdf(self._seed.raw, "prg", self._label, "spare", length=_BLOCK)
            self._spare = Cipher(AES128(key), ECB()).encryptor()  # a block is a counter: none occurs twice
        blocks = np.empty((len(indices), 2), dtype="<u8")
        blocks[:, 0], blocks[:, 1] = indices, draw
        stream = self._spare.update(blocks.tobytes())
        words = np.frombuffer(stream, dtype=self._field.dtype.newbyteorder("<")).reshape(len(indices), -1)
        masked: FieldVector = words & self._mask
        return masked


_Signed = tuple[np.ufunc, _Keystream]


class _LazySum:
    """Adds keystreams to a chunk, as many between two reductions as the words have room for.

    A 32-bit word holds 63 further elements of 26 bits, one of 31 bits, and none above: those are summed in 64 bits.
    """

    __slots__ = ("_batches", "_element", "_p", "_scratch", "_wide")

    def __init__(self, field: PrimeField, signed: Sequence[_Signed]) -> None:
        step = _CHUNK_BYTES // field.itemsize
        wide = 2**31 < field.modulus < 2**32
        dtype = np.dtype(np.uint64) if wide else field.dtype
        room = int(np.iinfo(dtype).max) // field.modulus - 1
        self._batches = [signed[at : at + room] for at in range(0, len(signed), room)]
        self._p = dtype.type(field.modulus)
        self._element = np.empty(step, dtype=field.dtype.newbyteorder("<"))
        self._scratch = np.empty(step, dtype=dtype)
        self._wide = np.empty(step, dtype=dtype) if wide else None

    def update(self, part: FieldVector) -> None:
        """Take every stream's next elements into `part`, one chunk at most."""
        if self._wide is None:
            self._sum_batches(part)
            return
        total = self._wide[: len(part)]
        total[:] = part
        self._sum_batches(total)
        part[:] = total

    def _sum_batches(self, total: FieldVector) -> None:
        element = self._element[: len(total)]
        for batch in self._batches:
            lift = sum(operation is np.subtract for operation, _ in batch)
            if lift:  # a multiple of p under the sum, so that no difference falls below zero
                np.add(total, self._p * self._p.dtype.type(lift), out=total)
            for operation, stream in batch:
                stream.fill(element)
                operation(total, element, out=total)
            self._reduce(total, len(batch))

    def _reduce(self, total: FieldVector, added: int) -> None:
        """`total` mod p, in place, where no word exceeds (1 + added) p - 1."""
        scratch, p = self._scratch[: len(total)], self._p
        if added > 1:
            np.floor_divide(total, p, out=scratch)
            np.multiply(scratch, p, out=scratch)
            np.subtract(total, scratch, out=total)
            return
        np.subtract(total, p, out=scratch)
        np.minimum(total, scratch, out=total)
