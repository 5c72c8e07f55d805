"""Sums of field elements in machine words, reduced when the words are full and not before.

A sum begins with a vector; then batches of rows are added and subtracted, and what comes of it, mod p, is written
where it belongs. A batch is a matrix of elements, one row a vector; it is scratch and is written over. Its rows may be
wider than the vector, which `lead` elements of each come before.
"""

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from mpc.field import FieldVector, PrimeField

_FEW_ROWS = 4  # so few long rows are added one by one: summing them apart first would write more
_HALF = np.uint64(32)
_MANY = 7  # so many elements in a word, and reducing is no longer what a sum costs

Words = npt.NDArray[Any]  # unsigned integers of 32 or 64 bits
Step = Callable[..., Any]  # np.add or np.subtract


class Sum(Protocol):
    """A sum under way."""

    def begin(self, vector: FieldVector, lead: int, width: int) -> None:
        """The sum is the vector. width: of the rows that will come."""

    def put(self, step: Step, rows: FieldVector) -> None:
        """Add the rows, or subtract them."""

    def write(self, out: FieldVector, lead: int) -> None:
        """The sum mod p, where the vector was or elsewhere. Ends it."""


def sum_of(field: PrimeField, rows: int, width: int) -> Sum:
    """For a vector and `rows` rows of at most `width` elements, a multiple of 4."""
    return _SplitSum(field, width) if capacity(field) < min(1 + rows, _MANY) else _WordSum(field, width)


def capacity(field: PrimeField) -> int:
    """How many elements a word of the field's size can hold the sum of: 64 of 26 bits, 2 of M31, 8 of M61."""
    return int(np.iinfo(field.dtype).max) // field.modulus


class _WordSum:
    """In words of the field's own size, which may wrap below 0 before `taken` times p is added."""

    __slots__ = ("_capacity", "_field", "_held", "_scratch", "_taken", "_total", "_width")

    def __init__(self, field: PrimeField, width: int) -> None:
        self._field, self._capacity = field, capacity(field)
        self._total, self._scratch = np.zeros((2, width), dtype=field.dtype)
        self._width = width
        self._held = self._taken = 0  # elements whose sum a word of the total is; how many of them with a minus

    def begin(self, vector: FieldVector, lead: int, width: int) -> None:
        self._total[lead : lead + len(vector)] = vector
        self._width, self._held, self._taken = width, 1, 0

    def write(self, out: FieldVector, lead: int) -> None:
        self._fold()
        part = slice(lead, lead + len(out))
        _take_p(self._total[part], self._scratch[part], self._field, out=out)

    def put(self, step: Step, rows: FieldVector) -> None:
        total, scratch = self._total[: self._width], self._scratch[: self._width]
        while len(rows):
            if self._held == self._capacity:
                self._fold()
                _take_p(total, scratch, self._field, out=total)
                self._held, self._taken = 1, 0
            fit = min(self._capacity - self._held, len(rows))
            _step(step, total, rows[:fit], scratch)
            self._held += fit
            self._taken += fit if step is np.subtract else 0
            rows = rows[fit:]

    def _fold(self) -> None:
        total, scratch = self._total[: self._width], self._scratch[: self._width]
        if self._taken:
            np.add(total, total.dtype.type(self._taken * self._field.modulus), out=total)
        if self._held > 2:
            _shrink(total, scratch, self._field, self._held)


def _step(step: Step, total: Words, rows: Words, scratch: Words) -> None:
    """Add all rows to the total, or subtract them, in place."""
    if len(rows) > _FEW_ROWS:
        step(total, np.add.reduce(rows, axis=0, dtype=rows.dtype, out=scratch), out=total)
        return
    for row in rows:
        step(total, row, out=total)


def _shrink(total: Words, scratch: Words, field: PrimeField, held: int) -> None:
    """Bring words below held times p, in place, to words below 2p that are congruent."""
    word, power = total.dtype.type, 1 << field.bits
    gap = power - field.modulus
    if power + gap * (held * field.modulus >> field.bits) <= 2 * field.modulus:  # what is above the bits is small
        np.right_shift(total, word(field.bits), out=scratch)
        np.bitwise_and(total, word(power - 1), out=total)
        if gap > 1:  # 2^bits is as good as the gap
            np.multiply(scratch, word(gap), out=scratch)
        np.add(total, scratch, out=total)
    else:
        np.floor_divide(total, word(field.modulus), out=scratch)
        np.multiply(scratch, word(field.modulus), out=scratch)
        np.subtract(total, scratch, out=total)


def _take_p(words: Words, scratch: Words, field: PrimeField, *, out: Words) -> None:
    """Words below 2p -> their residues mod p."""
    np.subtract(words, words.dtype.type(field.modulus), out=scratch)
    np.minimum(words, scratch, out=out, casting="same_kind")  # below p the difference wraps to a large word


class _SplitSum:
    """For 30 to 32 bits, of which a word of 32 holds few: in words of 64 bits, two neighbours in each.

    One sum takes the pairs as they are and wraps, the other the upper halves alone; what the first has less the second
    is the sum of the lower halves. So a row, or as many as fit in 32 bits, costs two additions and one shift.
    """

    __slots__ = ("_capacity", "_field", "_held", "_pairs", "_scratch", "_taken", "_total", "_upper", "_width")

    def __init__(self, field: PrimeField, width: int) -> None:
        self._field, self._width, self._capacity = field, width, capacity(field)
        self._total = np.zeros(width, dtype=field.dtype)
        self._pairs, self._upper, self._scratch = np.empty((3, width // 2), dtype="<u8")
        self._held = self._taken = 0

    def begin(self, vector: FieldVector, lead: int, width: int) -> None:
        self._total[lead : lead + len(vector)] = vector
        self._width, self._held, self._taken = width, 1, 0
        words, pairs, upper, _ = self._parts()
        pairs[:] = words
        np.right_shift(words, _HALF, out=upper)

    def write(self, out: FieldVector, lead: int) -> None:
        total, (_, pairs, upper, scratch) = self._total[: self._width], self._parts()
        np.subtract(pairs, np.left_shift(upper, _HALF, out=scratch), out=pairs)
        for half, words in enumerate((pairs, upper)):
            np.add(words, np.uint64(self._taken * self._field.modulus), out=words)
            _shrink(words, scratch, self._field, self._held)
            _take_p(words, scratch, self._field, out=total[half::2])
        out[:] = total[lead : lead + len(out)]

    def put(self, step: Step, rows: FieldVector) -> None:
        self._held += len(rows)
        self._taken += len(rows) if step is np.subtract else 0
        words = self._together(rows).view("<u8")
        _, pairs, upper, scratch = self._parts()
        _step(step, pairs, words, scratch)
        np.right_shift(words, _HALF, out=words)
        _step(step, upper, words, scratch)

    def _together(self, rows: FieldVector) -> FieldVector:
        """As few rows as hold the sum of all: each of as many as a word can hold."""
        fewer = rows[:: self._capacity]
        for place in range(1, self._capacity):
            others = rows[place :: self._capacity]
            np.add(fewer[: len(others)], others, out=fewer[: len(others)])
        return fewer

    def _parts(self) -> tuple[Words, Words, Words, Words]:
        """As wide as the rows are: the vector's words, pairs, upper halves, scratch."""
        size = self._width // 2
        return self._total.view("<u8")[:size], self._pairs[:size], self._upper[:size], self._scratch[:size]
