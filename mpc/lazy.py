"""Sums of field elements in machine words, reduced when the words are full and not before.

Both classes take one batch of rows after another and give the sum of all rows mod p. A batch is a matrix of elements,
one row a vector; it is scratch and is written over.
"""

from typing import Protocol

import numpy as np

from mpc.field import FieldVector, PrimeField

_FEW_ROWS = 4  # so few long rows are added one by one: summing them apart first would write more
_HALF = np.uint64(32)
_MANY = 7  # so many elements in a word, and reducing is no longer what a sum costs


class Sum(Protocol):
    """A sum under way."""

    def begin(self) -> None:
        """Nothing is in the sum."""

    def add(self, rows: FieldVector) -> None:
        """All batches between `begin` and `value` are equally wide."""

    def value(self) -> FieldVector:
        """The sum mod p, until the next `begin`. Some row was added."""


def sum_of(field: PrimeField, rows: int, width: int) -> Sum:
    """For `rows` rows of at most `width` elements, a multiple of 4."""
    return _SplitSum(field, width) if capacity(field) < min(rows, _MANY) else _WordSum(field, width)


def capacity(field: PrimeField) -> int:
    """How many elements a word of the field's size can hold the sum of: 64 of 26 bits, 2 of M31, 8 of M61."""
    return int(np.iinfo(field.dtype).max) // (field.modulus - 1)


class _WordSum:
    """In words of the field's own size."""

    __slots__ = ("_capacity", "_field", "_held", "_scratch", "_total", "_width")

    def __init__(self, field: PrimeField, width: int) -> None:
        self._field, self._capacity = field, capacity(field)
        self._total, self._scratch = np.empty((2, width), dtype=field.dtype)
        self._width = width
        self._held = 0  # elements whose sum a word of the total may be

    def begin(self) -> None:
        self._held = 0

    def add(self, rows: FieldVector) -> None:
        self._width = rows.shape[1]
        if not self._held:
            self._total[: self._width], self._held, rows = rows[0], 1, rows[1:]
        while len(rows):
            if self._held == self._capacity:
                self._reduce()
            fit = min(self._capacity - self._held, len(rows))
            _add_rows(self._total[: self._width], rows[:fit], self._scratch[: self._width])
            self._held, rows = self._held + fit, rows[fit:]

    def value(self) -> FieldVector:
        self._reduce()
        total: FieldVector = self._total[: self._width]
        return total

    def _reduce(self) -> None:
        total, scratch = self._total[: self._width], self._scratch[: self._width]
        p = total.dtype.type(self._field.modulus)
        if self._held > 2:
            _shrink(total, scratch, self._field)
        if self._held > 1:
            np.subtract(total, p, out=scratch)
            np.minimum(total, scratch, out=total)  # below p the difference wraps to a large word
        self._held = min(self._held, 1)


def _add_rows(total: FieldVector, rows: FieldVector, scratch: FieldVector) -> None:
    """Add all rows to the total, in place."""
    if len(rows) > _FEW_ROWS:
        np.add(total, np.add.reduce(rows, axis=0, dtype=rows.dtype, out=scratch), out=total)
        return
    for row in rows:
        np.add(total, row, out=total)


def _shrink(total: FieldVector, scratch: FieldVector, field: PrimeField) -> None:
    """Bring any words below 2p, in place, to words that are congruent."""
    word, power = total.dtype.type, 1 << field.bits
    gap, above = power - field.modulus, 1 << (8 * field.itemsize - field.bits)
    if power + gap * above <= 2 * field.modulus:  # p is just below 2^bits, so 2^bits is as good as the gap
        np.right_shift(total, word(field.bits), out=scratch)
        np.bitwise_and(total, word(power - 1), out=total)
        if gap > 1:
            np.multiply(scratch, word(gap), out=scratch)
        np.add(total, scratch, out=total)
    else:
        np.floor_divide(total, word(field.modulus), out=scratch)
        np.multiply(scratch, word(field.modulus), out=scratch)
        np.subtract(total, scratch, out=total)


class _SplitSum:
    """For 30 to 32 bits, of which a word of 32 holds few: in words of 64 bits, two neighbours in each.

    One sum takes the pairs as they are and wraps, the other the upper halves alone; what the first has less the second
    is the sum of the lower halves. So a row, or as many as fit in 32 bits, costs two additions and one shift.
    """

    __slots__ = ("_capacity", "_empty", "_field", "_pairs", "_scratch", "_total", "_upper", "_width")

    def __init__(self, field: PrimeField, width: int) -> None:
        self._field, self._width, self._capacity = field, width, capacity(field)
        self._total = np.empty(width, dtype=field.dtype)
        self._pairs, self._upper, self._scratch = np.empty((3, width // 2), dtype="<u8")
        self._empty = True

    def begin(self) -> None:
        self._empty = True

    def add(self, rows: FieldVector) -> None:
        self._width = rows.shape[1]
        words = self._together(rows).view("<u8")
        size = words.shape[1]
        pairs, upper, scratch = self._pairs[:size], self._upper[:size], self._scratch[:size]
        if self._empty:
            pairs[:], upper[:], self._empty = 0, 0, False
        _add_rows(pairs, words, scratch)
        np.right_shift(words, _HALF, out=words)
        _add_rows(upper, words, scratch)

    def _together(self, rows: FieldVector) -> FieldVector:
        """As few rows as hold the sum of all: each of as many as a word can hold."""
        fewer = rows[:: self._capacity]
        for place in range(1, self._capacity):
            others = rows[place :: self._capacity]
            np.add(fewer[: len(others)], others, out=fewer[: len(others)])
        return fewer

    def value(self) -> FieldVector:
        total, field = self._total[: self._width], self._field
        pairs, upper = self._pairs[: self._width // 2], self._upper[: self._width // 2]
        total[1::2] = field.reduce(upper)
        total[0::2] = field.reduce(pairs - (upper << _HALF))
        return total
