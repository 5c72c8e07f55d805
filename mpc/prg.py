"""Seeds, and the pseudorandom field vectors that they stand for.

Element i is word i of AES-128-CTR under K0, cut to the field's bits; where that is not below p, spare words replace it,
drawn under K1 from a counter that names i. So every element depends on the seed, the label and its index alone: any
slice can be computed by itself, and the vector is exactly uniform if AES is. [PROTOCOLS, rule 4]

A counter encrypted by itself is a block of CTR's keystream: the counters are made once for all seeds.
"""

import hmac
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext
from cryptography.hazmat.primitives.ciphers.algorithms import AES128
from cryptography.hazmat.primitives.ciphers.modes import ECB

from mpc.field import FieldVector, PrimeField
from mpc.hashing import encode_parts, expand_key
from mpc.lazy import rows_together, sum_of
from mpc.spreading import spread
from mpc.work import count

SEED_BYTES = 32

_BLOCK = 16
_WINDOW = 1 << 16  # blocks made at a time, 1 MiB: it stays in cache until it is summed, calls cost little beside it
_CACHED = 4  # windows of counters that are kept: those of the first million elements
_ONE_BY_ONE = ECB()
_SMALLEST_SLICE = 1 << 15  # elements: below it a second core saves nothing


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
    out = np.empty(stop - start, dtype=field.dtype)
    total = _Total(field, label, [seed], out.nbytes)
    for window in total.windows(start, len(out)):
        out[window.part] = total.over(window)
    return out


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
    streams = len(plus) + len(minus)
    count(streams=streams, stream_bytes=streams * acc.nbytes)

    def work(share: slice) -> None:
        part = acc[share]
        for combine, seeds in ((field.add, plus), (field.sub, minus)):
            if not seeds:
                continue
            total = _Total(field, label, seeds, part.nbytes)
            for window in total.windows(start + share.start, len(part)):
                combine(part[window.part], total.over(window), out=part[window.part])

    spread(work, len(acc), smallest=_SMALLEST_SLICE)


@dataclass(frozen=True, slots=True)
class _Window:
    """Whole blocks that hold a part of a slice: `blocks` from `first` on; the part begins `lead` elements into them."""

    first: int
    blocks: int
    lead: int
    part: slice


@lru_cache(maxsize=_CACHED)
def _counters(window: int) -> bytes:
    """The counters of one window: 128 bits each, big endian."""
    blocks = np.zeros((_WINDOW, 2), dtype=">u8")
    blocks[:, 1] = np.arange(window * _WINDOW, (window + 1) * _WINDOW)
    return blocks.tobytes()


class _Keystream:
    """The elements of one (seed, label), whole blocks at a time."""

    __slots__ = ("_encryptor", "_field", "_label", "_mask", "_seed", "_spare")

    def __init__(self, seed: Seed, label: str, field: PrimeField) -> None:
        self._encryptor = _cipher(seed, label, "main")
        self._spare: CipherContext | None = None  # most streams of a field just below a power of two need none
        self._seed, self._label, self._field = seed, label, field
        self._mask = field.dtype.type((1 << field.bits) - 1)

    def write(self, counters: memoryview, out: memoryview) -> None:
        """The words under these counters, as the cipher gives them. `out` is a block longer, which stays as it is."""
        self._encryptor.update_into(counters, out)

    def replace(self, words: FieldVector, first: int) -> None:
        """Put spare words where a word is not below p. words: masked, elements `first`.. of the stream."""
        outside = np.flatnonzero(words >= self._field.modulus)
        if len(outside):
            words[outside] = self._replacements(outside + first)

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
            self._spare = _cipher(self._seed, self._label, "spare")
        blocks = np.empty((len(indices), 2), dtype="<u8")
        blocks[:, 0], blocks[:, 1] = indices, draw
        stream = self._spare.update(blocks.tobytes())
        words = np.frombuffer(stream, dtype=self._field.dtype.newbyteorder("<")).reshape(len(indices), -1)
        masked: FieldVector = words & self._mask
        return masked


def _cipher(seed: Seed, label: str, use: str) -> CipherContext:
    """AES block by block, under the key of this use: every block is a counter, none occurs twice."""
    return Cipher(AES128(expand_key(seed.raw, _purpose(label, use), _BLOCK)), _ONE_BY_ONE).encryptor()


@lru_cache(maxsize=64)
def _purpose(label: str, use: str) -> bytes:
    return encode_parts("prg", _BLOCK, label, use)


class _Total:
    """The sum of the vectors of some seeds, mod p, a window at a time."""

    __slots__ = ("_blocks", "_buffer", "_field", "_mask", "_most", "_streams", "_sum")

    def __init__(self, field: PrimeField, label: str, seeds: Sequence[Seed], nbytes: int) -> None:
        """nbytes: of the slice that the windows are cut from."""
        together = rows_together(field, len(seeds))
        self._field, self._blocks = field, min(nbytes // _BLOCK + 2, _WINDOW // together)  # it may begin inside a block
        size = self._blocks * _BLOCK
        self._mask = None if field.bits == 8 * field.itemsize else field.dtype.type((1 << field.bits) - 1)
        self._streams = [_Keystream(seed, label, field) for seed in seeds]
        self._sum = sum_of(field, len(seeds), size // field.itemsize)
        self._most = min(max(_WINDOW // self._blocks, 1), self._sum.most, len(seeds))
        self._buffer = np.empty(self._most * size + _BLOCK, dtype=np.uint8)

    def windows(self, start: int, length: int) -> Iterator[_Window]:
        """The windows of elements start..start+length-1, in order. Each lies within one cached window of counters."""
        each = _BLOCK // self._field.itemsize
        at, stop = start, start + length
        while at < stop:
            first, lead = divmod(at, each)
            last = min((first // _WINDOW + 1) * _WINDOW, first + self._blocks)
            end = min(last * each, stop)
            yield _Window(first, -(-end // each) - first, lead, slice(at - start, end - start))
            at = end

    def over(self, window: _Window) -> FieldVector:
        """Of the elements of a window's part, until the next call."""
        counters = _counters(window.first // _WINDOW)
        begin = window.first % _WINDOW * _BLOCK
        source = memoryview(counters)[begin : begin + window.blocks * _BLOCK]
        first = window.first * (_BLOCK // self._field.itemsize)
        elements = slice(window.lead, window.lead + window.part.stop - window.part.start)
        if len(self._streams) == 1:
            row: FieldVector = self._rows(self._streams, source, first)[0, elements]
            return row
        self._sum.begin()
        for at in range(0, len(self._streams), self._most):
            self._sum.add(self._rows(self._streams[at : at + self._most], source, first))
        return self._sum.value()[elements]

    def _rows(self, streams: Sequence[_Keystream], source: memoryview, first: int) -> FieldVector:
        """The next elements of some streams, one a row."""
        size = len(source)
        for place, stream in enumerate(streams):
            stream.write(source, self._buffer[place * size : (place + 1) * size + _BLOCK].data)
        words = self._buffer[: len(streams) * size].view(self._field.dtype.newbyteorder("<"))
        rows = words.reshape(len(streams), -1)
        if self._mask is not None:
            np.bitwise_and(rows, self._mask, out=rows)
        if int(np.maximum.reduce(rows, axis=None)) >= self._field.modulus:
            for stream, row in zip(streams, rows, strict=True):
                stream.replace(row, first)
        return rows
