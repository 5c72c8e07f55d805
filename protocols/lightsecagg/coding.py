"""Masks as pieces, and the sum of masks from sums of pieces. [LightSecAgg, MLSys 2022, section 4]

    f_i(beta_k) = piece k of z_i  (k <= U - T),  noise behind it;      recipient j is sent f_i(alpha_j)
    g_j = sum over i in U3 of f_i(alpha_j);      any U of the g_j give  sum of z_i

f_i has degree U - 1, a polynomial for each place in a piece; any T pieces are uniform, whatever z_i is.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from mpc import lagrange, prg
from mpc.field import FieldVector
from mpc.prg import Seed
from protocols.lightsecagg.bindings import MASK_LABEL, NOISE_LABEL
from protocols.lightsecagg.numbers import Numbers
from protocols.session import VectorSpec


@dataclass(frozen=True, slots=True)
class Decoded:
    """masks: the sum of the z of U3, as long as a masked vector. wrong: share points whose answers lie on no polynomial
    with the others'."""

    masks: FieldVector = field(repr=False)
    wrong: frozenset[int]


def cut(mask_seed: Seed, noise_seed: Seed, numbers: Numbers, spec: VectorSpec) -> FieldVector:
    """(N, piece length): row j is f(alpha_j), for the recipient at place j."""
    length = numbers.piece_length(spec)
    mask = prg.expand(mask_seed, MASK_LABEL, spec.field, 0, numbers.pieces * length)
    noise = prg.expand(noise_seed, NOISE_LABEL, spec.field, 0, numbers.privacy * length)
    values = np.concatenate([mask, noise]).reshape(numbers.decode, length)
    return lagrange.evaluate(values, sources=numbers.mask_points, targets=numbers.share_points, field=spec.field)


def add_mask(vector: FieldVector, mask_seed: Seed, spec: VectorSpec) -> None:
    """Turns x, in place, into y = x + z."""
    prg.accumulate(vector, spec.field, MASK_LABEL, plus=[mask_seed], minus=[])


def add_pieces(pieces: Iterable[bytes], numbers: Numbers, spec: VectorSpec) -> bytes:
    """g_j: the sum of packed pieces, packed."""
    length = numbers.piece_length(spec)
    total = spec.field.zeros(length)
    for packed in pieces:
        spec.field.add(total, spec.field.unpack(packed, length), out=total)
    return spec.field.pack(total)


def decode(answers: Mapping[int, FieldVector], numbers: Numbers, spec: VectorSpec, seed: Seed) -> Decoded:
    """The sum of the masks, from U answers or more, by share point. With U + 2e of them up to e may be wrong.

    seed: see `lagrange.wrong_rows`. Raises TooManyErrors. With exactly U answers a wrong one is not seen here.
    """
    wrong = lagrange.wrong_rows(answers, count=numbers.decode, field=spec.field, seed=seed)
    chosen = sorted(answers.keys() - wrong)[: numbers.decode]
    rows = np.stack([answers[point] for point in chosen])
    targets = numbers.mask_points[: numbers.pieces]
    masks = lagrange.evaluate(rows, sources=chosen, targets=targets, field=spec.field)
    return Decoded(masks.reshape(-1)[: spec.masked_length], wrong)
