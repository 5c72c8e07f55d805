"""Secrets from shares of which some may be wrong, where a commitment tells right from wrong. [PROTOCOLS rule 6]"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import combinations, islice
from typing import Final

from mpc import shamir
from mpc.field import M31, FieldVector

MOST_SUBSETS: Final = 5000

Rows = Mapping[int, FieldVector]  # Shamir point -> its shares, one for each secret
NOBODY: Final[frozenset[int]] = frozenset()


class NothingFits(Exception):
    """No t of the shares rebuild what was committed to."""


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """used: points whose shares gave the secrets, t at the least. wrong: those whose shares are wrong, as far as that
    can be told.
    """

    secrets: FieldVector = field(repr=False)
    used: frozenset[int]
    wrong: frozenset[int]


def rebuild(rows: Rows, *, threshold: int, fits: Callable[[FieldVector], bool]) -> Rebuilt:
    """The secrets that fit. Raises NothingFits.

    Up to half of the spare shares are found wrong by decoding; beyond that, since a commitment tells right from wrong,
    the secrets are found by trying, within `MOST_SUBSETS`. It tells nothing of the shares: many wrong ones can be made
    to lie on polynomials of their own with the right secrets, and then it is the right ones that look wrong. So who is
    named is wrong for certain while (shares - t + 1) // 2 are at the most; and where more must be, nobody is named.
    """
    try:
        corrected = shamir.correct(rows, threshold=threshold, field=M31)
        if fits(corrected.secrets):
            return Rebuilt(corrected.secrets, frozenset(rows) - corrected.wrong, corrected.wrong)
    except shamir.TooManyErrors:
        pass
    for chosen in islice(combinations(sorted(rows), threshold), MOST_SUBSETS):
        secrets = shamir.reconstruct({point: rows[point] for point in chosen}, threshold=threshold, field=M31)
        if fits(secrets):
            return Rebuilt(secrets, frozenset(chosen), _wrong_beside(rows, secrets, threshold))
    raise NothingFits("no subset of the shares rebuilds what was committed to")


def _wrong_beside(rows: Rows, secrets: FieldVector, threshold: int) -> frozenset[int]:
    """With the secrets known, f(x) = secret + x g(x) is decoded as g, which has a degree less: one half more."""
    divided = {point: M31.mul(M31.sub(row, secrets), M31.inv(M31.vector([point]))) for point, row in rows.items()}
    try:
        return shamir.correct(divided, threshold=threshold - 1, field=M31).wrong
    except shamir.SharingError:
        return NOBODY
