"""n-of-n sharing of a vector: all shares but one are 32-byte seeds, the last is the vector less what they stand for."""

from collections.abc import Sequence

from mpc.field import FieldVector, PrimeField
from mpc.prg import SEED_BYTES, Seed, accumulate
from mpc.randomness import Randomness


def split(
    vector: FieldVector, parties: int, *, field: PrimeField, label: str, rand: Randomness
) -> tuple[tuple[Seed, ...], FieldVector]:
    """Share `vector` among `parties` >= 2: their number less one of seeds, and one explicit share of its length.

    Any set of shares but the whole says nothing about the vector. Raises FieldError when it is not over the field.
    """
    if parties < 2:
        raise ValueError(f"sharing takes two parties or more, not {parties}")
    seeds = tuple(Seed(rand.bytes(SEED_BYTES)) for _ in range(parties - 1))
    return seeds, explicit_share(vector, seeds, field=field, label=label)


def explicit_share(vector: FieldVector, seeds: Sequence[Seed], *, field: PrimeField, label: str) -> FieldVector:
    """The share that makes `vector` together with those of `seeds`: it less what they stand for.

    Raises FieldError when `vector` is not over the field.
    """
    explicit = field.check(vector).copy()
    accumulate(explicit, field, label, plus=(), minus=seeds)
    return explicit


def combine(seeds: Sequence[Seed], explicit: FieldVector, *, field: PrimeField, label: str) -> FieldVector:
    """The shared vector, from all shares. A wrong or missing one gives a uniform vector, undetected.

    Raises FieldError when the explicit share is not over the field.
    """
    vector = field.check(explicit).copy()
    accumulate(vector, field, label, plus=seeds, minus=())
    return vector
