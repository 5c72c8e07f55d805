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
from operator import index
from threading import local

import numpy as np
import numpy.typing as npt
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext
from cryptography.hazmat.primitives.ciphers.algorithms import AES128
from cryptography.hazmat.primitives.ciphers.modes import ECB

from mpc import loops
from mpc.field import FieldVector, PrimeField
from mpc.hashing import encode_parts, expand_key
from mpc.lazy import sum_of
from mpc.spreading import cores, spread
from mpc.work import count

SEED_BYTES = 32

_BLOCK = 16
_WINDOW = 1 << 15  # blocks of a stream made at a time, 512 KiB: they stay in cache until they are summed
_BATCH = 1 << 16  # blocks whose counters are kept, 1 MiB
_ROOM = 3 * _WINDOW  # blocks of several streams that are looked at together: three rows are added at once
_ONE_BY_ONE = ECB()
_LONG = 1 << 23  # bytes of a vector that cores share by slices; of a shorter one each takes some of enough seeds
_SMALLEST_SLICE = 1 << 15  # elements: below it a second core saves nothing
_SMALLEST_SHARE = 1 << 20  # bytes of keystream, for the same reason


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
    return Expansion(seed, label, field, longest=max(0, stop - start)).elements(start, stop)


class Expansion:
    """The pseudorandom vector of (seed, label), some stretches of it, in memory that is used again for each."""

    __slots__ = ("_batches", "_field", "_out")

    def __init__(self, seed: Seed, label: str, field: PrimeField, *, longest: int) -> None:
        """longest: elements of the longest stretch."""
        self._field, self._out = field, np.empty(longest, dtype=field.dtype)
        self._batches = _Batches(field, [_Keystream(seed, label, field)], [], self._out.nbytes)

    def elements(self, start: int, stop: int) -> FieldVector:
        """Elements start..stop-1, until the next call. Raises ValueError unless 0 <= start <= stop, not too far."""
        if not 0 <= start <= stop <= start + len(self._out):
            raise ValueError(f"no slice: {start}..{stop}")
        out = self._out[: stop - start]
        count(streams=1, stream_bytes=out.nbytes)
        out.fill(0)
        _add_up(out, self._field, self._batches, start)
        return out


def accumulate(
    acc: FieldVector, field: PrimeField, label: str, *, plus: Sequence[Seed], minus: Sequence[Seed], start: int = 0
) -> None:
    """Add the vectors of the seeds in `plus` to `acc` and subtract those in `minus`, in place.

    acc: elements `start`.. of a vector over the field. The result is that of `expand` and then `add` or `sub`, seed by
    seed; but one core makes nothing of the vector's length, and of several each has one such vector at most.
    Raises FieldError when `acc` is no vector over the field, ValueError for a negative start. After any other error
    `acc` is of no use.
    """
    if field.check(acc).ndim != 1 or start < 0:
        raise ValueError("one vector is wanted, and a start that is not negative")
    streams = len(plus) + len(minus)
    count(streams=streams, stream_bytes=streams * acc.nbytes)
    if not streams or not len(acc):
        return
    by = _by_slices if streams < cores() or acc.nbytes >= _LONG else _by_seeds
    by(acc, field, label, plus, minus, start)


def _by_slices(
    acc: FieldVector, field: PrimeField, label: str, plus: Sequence[Seed], minus: Sequence[Seed], start: int
) -> None:
    """Each core sums all masks in its slice: nothing is made of the vector's length."""

    def work(share: slice) -> None:
        _accumulate(acc[share], field, label, plus=plus, minus=minus, start=start + share.start)

    spread(work, len(acc), smallest=_SMALLEST_SLICE)


def _by_seeds(
    acc: FieldVector, field: PrimeField, label: str, plus: Sequence[Seed], minus: Sequence[Seed], start: int
) -> None:
    """Each core sums some of the masks, the first one in `acc`: no key is derived twice."""
    others: list[FieldVector] = []

    def work(share: slice) -> None:
        total = acc
        if share.start:
            others.append(total := field.zeros(len(acc)))
        added, taken = plus[share], minus[max(0, share.start - len(plus)) : max(0, share.stop - len(plus))]
        _accumulate(total, field, label, plus=added, minus=taken, start=start)

    spread(work, len(plus) + len(minus), smallest=_SMALLEST_SHARE // acc.nbytes)
    for total in others:
        field.add(acc, total, out=acc)


def _accumulate(
    acc: FieldVector, field: PrimeField, label: str, *, plus: Sequence[Seed], minus: Sequence[Seed], start: int
) -> None:
    added, taken = ([_Keystream(seed, label, field) for seed in seeds] for seeds in (plus, minus))
    _add_up(acc, field, _Batches(field, added, taken, acc.nbytes), start)


def _add_up(acc: FieldVector, field: PrimeField, batches: "_Batches", start: int) -> None:
    fits = acc.flags.carray and 2 * field.modulus < 1 << 8 * field.itemsize
    add_up = _by_loop if loops.available and fits else _by_passes
    add_up(acc, field, batches, index(start))


def _by_loop(acc: FieldVector, field: PrimeField, batches: "_Batches", start: int) -> None:
    """With a compiled loop: cut, looked at and added in one pass."""
    p = field.modulus
    total = loops.Total(acc, batches.buffer, mask=int(field.mask), modulus=p)
    for window in _windows(field, start, len(acc)):
        stretch = total.stretch(window.part, batches.most, apart=window.width, lead=window.lead)
        for minus, streams in batches.write(window):
            for row, place in stretch.put(len(streams), minus=minus):
                part, put = acc[window.part][place], field.sub if minus else field.add
                word = batches.words(len(streams), window)[row, window.elements][place] & field.mask
                outside = np.flatnonzero(word >= p)  # these counted as 0
                indices = outside + (start + window.part.start + place.start)
                part[outside] = put(part[outside], streams[row].replacements(indices))


def _by_passes(acc: FieldVector, field: PrimeField, batches: "_Batches", start: int) -> None:
    """With array operations alone."""
    total = sum_of(field, batches.streams, batches.width)
    for window in _windows(field, start, len(acc)):
        part, first = acc[window.part], start + window.part.start - window.lead
        total.begin(part, window.lead, window.width)
        for minus, streams in batches.write(window):
            words = batches.words(len(streams), window)
            np.bitwise_and(words, field.mask, out=words)
            if int(np.maximum.reduce(words, axis=None)) >= field.modulus:
                _replace(words, streams, field.modulus, first)
            total.put(np.subtract if minus else np.add, words)
        total.write(part, window.lead)


def _replace(rows: FieldVector, streams: Sequence["_Keystream"], p: int, first: int) -> None:
    """Put spare words where a word is not below p. rows: cut, elements `first`.. of each stream."""
    for place in np.flatnonzero(np.maximum.reduce(rows, axis=1) >= p).tolist():
        outside = np.flatnonzero(rows[place] >= p)
        rows[place, outside] = streams[place].replacements(outside + first)


@dataclass(frozen=True, slots=True)
class _Window:
    """`blocks` blocks from `block` on, all of one batch, that hold a part of a slice. They have `width` elements; the
    part begins `lead` elements into them."""

    block: int
    blocks: int
    width: int
    lead: int
    part: slice

    @property
    def elements(self) -> slice:
        """The part's, among those of the blocks."""
        return slice(self.lead, self.lead + self.part.stop - self.part.start)


def _windows(field: PrimeField, start: int, length: int) -> Iterator[_Window]:
    """The windows of elements start..start+length-1, in order."""
    each = _BLOCK // field.itemsize
    at, stop = start, start + length
    while at < stop:
        block, lead = divmod(at, each)
        end = min((block + min(_WINDOW, _BATCH - block % _BATCH)) * each, stop)
        blocks = -(-end // each) - block
        yield _Window(block, blocks, blocks * each, lead, slice(at - start, end - start))
        at = end


class _Counters(local):
    """The counters of one batch of blocks, 128 bits each, big endian. Each thread has its own: they are made once, and
    from batch to batch only what stands above their last 16 bits is written again."""

    def __init__(self) -> None:
        self._batch = 0
        self._words = np.zeros((_BATCH, _BLOCK // 2), dtype=">u2")
        self._words[:, -1] = np.arange(_BATCH)
        self._bytes = self._words.reshape(-1).view(np.uint8).data.toreadonly()

    def of(self, window: _Window) -> memoryview:
        """Until the next call in this thread."""
        batch, place = divmod(window.block, _BATCH)
        if batch != self._batch:
            for column, (old, new) in enumerate(zip(_above(self._batch), _above(batch), strict=True)):
                if old != new:
                    self._words[:, column] = new
            self._batch = batch
        return self._bytes[place * _BLOCK : (place + window.blocks) * _BLOCK]


def _above(batch: int) -> list[int]:
    """What stands above the last 16 bits of each counter of a batch, 16 bits each."""
    return [batch >> 16 * place & 0xFFFF for place in reversed(range(_BLOCK // 2 - 1))]


_counters = _Counters()


class _Keystream:
    """The elements of one (seed, label), whole blocks at a time."""

    __slots__ = ("_field", "_label", "_seed", "_spare", "write")

    def __init__(self, seed: Seed, label: str, field: PrimeField) -> None:
        """write(counters, out): the words under these, as the cipher gives them. `out` is a block longer, which stays
        as it is."""
        self.write = _cipher(seed, label, "main").update_into
        self._spare: CipherContext | None = None  # most streams of a field just below a power of two need none
        self._seed, self._label, self._field = seed, label, field

    def replacements(self, indices: npt.NDArray[np.int64]) -> FieldVector:
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
        masked: FieldVector = words & self._field.mask
        return masked


def _cipher(seed: Seed, label: str, use: str) -> CipherContext:
    """AES block by block, under the key of this use: every block is a counter, none occurs twice."""
    return Cipher(AES128(expand_key(seed.raw, _purpose(label, use), _BLOCK)), _ONE_BY_ONE).encryptor()


@lru_cache(maxsize=64)
def _purpose(label: str, use: str) -> bytes:
    return encode_parts("prg", _BLOCK, label, use)


class _Batches:
    """The words of some streams, a window at a time and some streams at a time, a row each.

    streams: how many there are, most: at a time. width: words of the widest row. buffer: where all rows lie, one behind
    the other.
    """

    __slots__ = ("_bytes", "_signed", "_size", "_slots", "buffer", "most", "streams", "width")

    def __init__(
        self, field: PrimeField, added: Sequence[_Keystream], taken: Sequence[_Keystream], nbytes: int
    ) -> None:
        """nbytes: of the slice that the windows are cut from."""
        blocks = min(nbytes // _BLOCK + 2, _WINDOW)  # it may begin inside a block
        self.most = most = min(_ROOM // blocks, max(len(added), len(taken)))
        self._signed = [
            (minus, streams[at : at + most])
            for minus, streams in ((False, added), (True, taken))
            for at in range(0, len(streams), most)
        ]
        self.streams, self.width = len(added) + len(taken), blocks * _BLOCK // field.itemsize
        self._size = blocks * _BLOCK
        self._bytes = np.empty(most * self._size + _BLOCK, dtype=np.uint8)
        self.buffer = self._bytes[:-_BLOCK].view(field.dtype.newbyteorder("<"))
        self._slots = self._cut(self._size)

    def write(self, window: _Window) -> Iterator[tuple[bool, Sequence[_Keystream]]]:
        """(minus, streams) of each batch; their words in the blocks of a window lie in the buffer until the next."""
        size, counters = window.blocks * _BLOCK, _counters.of(window)
        slots = self._slots if size == self._size else self._cut(size)
        for batch in self._signed:
            for stream, slot in zip(batch[1], slots, strict=False):
                stream.write(counters, slot)
            yield batch

    def words(self, rows: int, window: _Window) -> FieldVector:
        """So many rows as they lie in the buffer: scratch, all bits of the keystream."""
        return self.buffer[: rows * window.width].reshape(rows, window.width)

    def _cut(self, size: int) -> list[memoryview]:
        """Where each stream writes `size` bytes, and a block more that the next one writes over."""
        return [self._bytes[at : at + size + _BLOCK].data for at in range(0, self.most * size, size)]
