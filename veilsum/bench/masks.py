"""Expanding and adding masks, over raw AES-CTR; and what a second thread brings to both."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from statistics import median
from typing import Any, Final

from mpc.field import PrimeField
from mpc.prg import SEED_BYTES, Seed, accumulate
from mpc.randomness import SystemRandomness
from net import cores
from veilsum.bench import floors
from veilsum.bench.measuring import Scale, Work, by_turns, compare, rounded

BITS: Final = (26, 31, 61)
SEEDS: Final = 32
SEEDS_FOR_THREADS: Final = 512  # work of a server: threads that were asleep take milliseconds to be spread over cores


def measure(scale: Scale) -> list[dict[str, Any]]:
    """One row a field and number of threads: 32 masks of a million elements (quick: of 200,000)."""
    return [_row(bits, threads, scale) for bits in BITS for threads in (1, 2)]


def measure_threads(scale: Scale) -> dict[str, float]:
    """One thread's time over two threads', of masks of 26 bits and of raw AES-CTR."""
    work, size = masking(26, length(scale), SEEDS_FOR_THREADS)
    with ThreadPoolExecutor(2) as pool:
        works: list[Work] = [partial(on_threads, work, count, pool) for count in (1, 2)]
        works += [partial(floors.aes, size), partial(floors.aes_on, pool, size, 2)]
        one, two, raw_one, raw_two = map(median, by_turns(works, scale.times))
    return {"two_over_one": rounded(one / two), "raw_aes_two_over_one": rounded(raw_one / raw_two)}


def length(scale: Scale) -> int:
    return 200_000 if scale.quick else 1_000_000


def masking(bits: int, elements: int, masks: int = SEEDS) -> tuple[Work, int]:
    """Adding masks to a vector, and the bytes of keystream that it takes."""
    field, rand = PrimeField.with_bits(bits), SystemRandomness()
    vector = field.uniform(elements, rand)
    seeds = [Seed(rand.bytes(SEED_BYTES)) for _ in range(masks)]
    work = partial(accumulate, vector, field, "bench", plus=seeds, minus=[])
    return work, masks * elements * field.itemsize


def on_threads(work: Work, count: int, pool: ThreadPoolExecutor) -> None:
    """The threads are there before, as in a process that makes many masks."""
    with cores.spread_over(pool, count):
        work()


def _row(bits: int, threads: int, scale: Scale) -> dict[str, Any]:
    work, size = masking(bits, length(scale))
    with ThreadPoolExecutor(threads) as pool:
        found = compare(partial(on_threads, work, threads, pool), partial(floors.aes, size), scale.times)
    return {
        "bits": bits,
        "threads": threads,
        "gbps": rounded(size / found.seconds / 1e9),
        "ratio_to_aes": rounded(1 / found.ratio),
    }
