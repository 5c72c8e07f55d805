"""Stochastic rounding: a value in levels goes to one of its two neighbours, so that its mean is the value.

[Suresh, Yu, Kumar, McMahan 2017, section 2]
"""

import numpy as np

from mpc.encoding.parts import Reals
from mpc.field import M31
from mpc.prg import Seed, expand


def rounded(scaled: Reals, rounding: Seed, start: int) -> Reals:
    """Whole levels: `floor`, or one above with the probability of the fraction.

    start: the coordinate of the first value, so that no stretch of a vector is rounded like another. rounding: as
    secret as the values, and used for one vector. `scaled` is scratch afterwards.
    """
    levels: Reals = np.floor(scaled)
    np.subtract(scaled, levels, out=scaled)
    levels += _noise(rounding, start, start + len(scaled)) < scaled
    return levels


def _noise(rounding: Seed, start: int, stop: int) -> Reals:
    """Uniform in 0..1 in steps of 2^-31, which is the most that the rounding's mean is off, in levels."""
    return expand(rounding, "rounding", M31, start, stop) / np.float64(M31.modulus)
