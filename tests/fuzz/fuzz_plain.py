"""Fuzzing without a look at coverage: seeds, changed by a generator of a fixed seed. It runs wherever Python does."""

from collections.abc import Iterator
from random import Random

from fuzz_mutations import of_bytes
from fuzz_target import Target

_FRESH = 16  # of so many inputs one is a seed again; the others go on from what was made before
_POOL = 64


def inputs(target: Target, count: int, seed: int = 0) -> Iterator[bytes]:
    """All seeds first. Then most inputs are a change of a seed, and some of a change."""
    chance, seeds = Random(f"{target.name}/{seed}"), list(target.seeds()) or [b""]
    flat = of_bytes(target.words)
    yield from seeds[:count]
    pool = list(seeds)
    for _ in range(max(0, count - len(seeds))):
        base = chance.choice(pool if chance.randrange(_FRESH) else seeds)
        mutate = target.mutate if target.mutate and chance.randrange(2) else flat
        made = mutate(base, chance)
        if len(pool) < len(seeds) + _POOL:
            pool.append(made)
        else:
            pool[len(seeds) + chance.randrange(_POOL)] = made
        yield made
