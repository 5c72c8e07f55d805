"""Secrets from shares of which some may be wrong, where a commitment tells right from wrong. [PROTOCOLS rule 6]"""

from collections.abc import Callable, Mapping
from itertools import combinations, islice
from typing import Final

import numpy as np

from mpc import shamir
from mpc.field import M31, FieldVector

MOST_SUBSETS: Final = 5000

Rows = Mapping[int, FieldVector]  # Shamir point -> its shares, one for each secret


class NothingFits(Exception):
    """No t of the shares rebuild what was committed to."""


def rebuild(rows: Rows, *, threshold: int, fits: Callable[[FieldVector], bool]) -> tuple[FieldVector, frozenset[int]]:
    """The secrets that fit, and the points whose shares are not on their polynomials. Raises NothingFits.

    Up to half of the spare shares are found wrong by decoding; beyond that, since a commitment tells right from wrong,
    by trying, within `MOST_SUBSETS`.
    """
    try:
        corrected = shamir.correct(rows, threshold=threshold, field=M31)
        if fits(corrected.secrets):
            return corrected.secrets, corrected.wrong
    except shamir.TooManyErrors:
        pass
    for chosen in islice(combinations(sorted(rows), threshold), MOST_SUBSETS):
        secrets = shamir.reconstruct({point: rows[point] for point in chosen}, threshold=threshold, field=M31)
        if fits(secrets):
            return secrets, _off_the_line(rows, chosen, secrets)
    raise NothingFits("no subset of the shares rebuilds what was committed to")


def _off_the_line(rows: Rows, chosen: tuple[int, ...], secrets: FieldVector) -> frozenset[int]:
    """The points whose shares are not on the polynomials through the chosen ones."""
    kept = {point: rows[point] for point in chosen[1:]}
    wrong = set()
    for point in rows.keys() - set(chosen):
        other = shamir.reconstruct({**kept, point: rows[point]}, threshold=len(chosen), field=M31)
        if not np.array_equal(other, secrets):
            wrong.add(point)
    return frozenset(wrong)
