"""The masks of one input, on and off. The sign rule lives here and nowhere else.

    y_u = x_u + PRG(b_u) + sum over v in U2 - {u} of (+ if u > v, else -) PRG(leaf_uv)      [Bonawitz 17, round 2]

so that over any two that both stay the pairwise masks cancel.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import islice

from mpc import prg
from mpc.field import FieldVector, PrimeField
from mpc.prg import Seed
from protocols.errors import PartyId

SELF_MASK = "self mask"
PAIRWISE_MASK = "pairwise mask"

_BATCH = 64  # keystreams that are open at a time

Tell = Callable[[int], None]


def _nobody(_count: int) -> None:
    pass


_tell: ContextVar[Tell] = ContextVar("who is told of masks that are off", default=_nobody)


@contextmanager
def counting(tell: Tell) -> Iterator[None]:
    """Within this context, and in what is called from it, `tell` hears how many more masks are off: for progress."""
    token = _tell.set(tell)
    try:
        yield
    finally:
        _tell.reset(token)


def mask(
    vector: FieldVector, field: PrimeField, *, me: PartyId, self_seed: Seed, leaf_seeds: Mapping[PartyId, Seed]
) -> None:
    """Turns x_u, in place, into y_u. `leaf_seeds`: one for each other member of U2."""
    prg.accumulate(vector, field, SELF_MASK, plus=[self_seed], minus=[])
    plus, minus = _by_sign(me, leaf_seeds)
    prg.accumulate(vector, field, PAIRWISE_MASK, plus=plus, minus=minus)


def remove_self_masks(total: FieldVector, field: PrimeField, self_seeds: Iterable[Seed]) -> None:
    """Takes the self masks of the survivors off their sum, in place."""
    seeds = iter(self_seeds)
    while batch := list(islice(seeds, _BATCH)):
        prg.accumulate(total, field, SELF_MASK, plus=[], minus=batch)
        _tell.get()(len(batch))


def remove_pairwise_masks(
    total: FieldVector, field: PrimeField, leaf_seeds: Mapping[PartyId, Mapping[PartyId, Seed]]
) -> None:
    """Takes off, in place, what survivors added for peers that were lost. `leaf_seeds`: dropped -> survivor -> seed."""
    for dropped, seeds in leaf_seeds.items():
        # what the dropped party would have added itself is the negative of what the survivors added for it
        plus, minus = _by_sign(dropped, seeds)
        prg.accumulate(total, field, PAIRWISE_MASK, plus=plus, minus=minus)
        _tell.get()(len(seeds))


def _by_sign(me: PartyId, leaf_seeds: Mapping[PartyId, Seed]) -> tuple[list[Seed], list[Seed]]:
    """The leaf seeds whose masks `me` adds, and those whose masks it subtracts."""
    plus = [seed for peer, seed in leaf_seeds.items() if me > peer]
    minus = [seed for peer, seed in leaf_seeds.items() if me < peer]
    return plus, minus
