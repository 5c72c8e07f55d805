"""Table B: what lost clients cost the server.

    python -m examples.tables.b_server          # n = 100
    python -m examples.tables.b_server --full   # n = 500 as well, about two minutes

Paper: Bonawitz et al., CCS 2017, the server's side: with s survivors of n on the complete graph it expands
s + (n - s) s masks of m elements: one a survivor, and one for each pair of which one was lost.
Compared: the seeds that our server holds when it unmasks, counted; and the CPU seconds of that unmasking with 30 % and
with 10 % lost, m = 100,000, taken in turns. The server's side is built with random seeds; no clients are run.
Match: 500 / 22,950 / 52,850 masks at n = 500 and 1,000 / 90,900 / 210,700 at n = 1000, with 0 / 10 / 30 % lost; the
keystream that unmasking asks for, in bytes, in just that ratio, 2.303 at n = 500; and the median of five measured
ratios within 10 % of it, on a machine that does nothing else.
The paper's own seconds are not repeated here.
Needs nothing beyond veilsum.
"""

import argparse
from dataclasses import dataclass
from functools import cached_property
from statistics import median
from time import process_time

from examples.tables.printing import Table
from mpc.field import PrimeField
from mpc.prg import SEED_BYTES, Seed
from mpc.randomness import SeededRandomness
from mpc.work import Work, counted
from protocols.errors import PartyId
from protocols.masking import remove_pairwise_masks, remove_self_masks

# Bonawitz et al., CCS 2017: n -> masks with so many lost
PUBLISHED = {500: {0: 500, 50: 22_950, 150: 52_850}, 1000: {0: 1000, 100: 90_900, 300: 210_700}}
LENGTH = 100_000
REPETITIONS = 5
QUICK, FULL = 100, 500


@dataclass(frozen=True)
class ServerSide:
    """All that the server of n clients, the last `lost` of them lost, unmasks their sum with."""

    n: int
    lost: int

    @cached_property
    def self_seeds(self) -> list[Seed]:
        rand = SeededRandomness(b"self seeds")
        return [Seed(rand.bytes(SEED_BYTES)) for _ in range(self.n - self.lost)]

    @cached_property
    def leaf_seeds(self) -> dict[PartyId, dict[PartyId, Seed]]:
        """dropped -> survivor -> seed"""
        rand, survivors = SeededRandomness(b"leaf seeds"), [PartyId(party) for party in range(self.n - self.lost)]
        dropped = [PartyId(party) for party in range(self.n - self.lost, self.n)]
        return {party: {other: Seed(rand.bytes(SEED_BYTES)) for other in survivors} for party in dropped}

    @property
    def masks(self) -> int:
        return len(self.self_seeds) + sum(map(len, self.leaf_seeds.values()))

    def unmask(self, length: int) -> float:
        """CPU seconds, of all threads together."""
        field = PrimeField.with_bits((self.n * (2**16 - 1)).bit_length())
        total, self_seeds, leaf_seeds = field.zeros(length), self.self_seeds, self.leaf_seeds
        before = process_time()
        remove_self_masks(total, field, self_seeds)
        remove_pairwise_masks(total, field, leaf_seeds)
        return process_time() - before


@dataclass(frozen=True, slots=True)
class Measured:
    """Seconds: medians. ratio: the median of the ratios, of runs that followed each other."""

    n: int
    seconds_10: float
    seconds_30: float
    ratio: float
    expected: float  # of the counts


def counts() -> dict[int, dict[int, int]]:
    """As `PUBLISHED`, of the seeds that our server holds."""
    return {n: {lost: ServerSide(n, lost).masks for lost in masks} for n, masks in PUBLISHED.items()}


def keystream(side: ServerSide, length: int) -> int:
    """Bytes that unmasking asks for."""
    work = Work()
    with counted(work):
        side.unmask(length)
    return work.stream_bytes


def measure(n: int, length: int = LENGTH) -> Measured:
    some, more = ServerSide(n, n // 10), ServerSide(n, 3 * n // 10)
    expected = more.masks / some.masks
    pairs = [(some.unmask(length), more.unmask(length)) for _ in range(REPETITIONS)]
    return Measured(
        n,
        median(first for first, _ in pairs),
        median(second for _, second in pairs),
        median(second / first for first, second in pairs),
        expected,
    )


def counts_table() -> Table:
    found = counts()
    return Table(
        "Masks that the server expands. [Bonawitz et al., CCS 2017]",
        ("n", "lost", "published", "counted"),
        [(n, lost, masks, found[n][lost]) for n, row in PUBLISHED.items() for lost, masks in row.items()],
    )


def measured_table(measured: list[Measured]) -> Table:
    return Table(
        f"CPU seconds of unmasking, m = {LENGTH:,}, medians of {REPETITIONS}.",
        ("n", "10 % lost", "30 % lost", "ratio", "of the counts", "off"),
        [
            (
                one.n,
                f"{one.seconds_10:.3f}",
                f"{one.seconds_30:.3f}",
                f"{one.ratio:.3f}",
                f"{one.expected:.3f}",
                f"{one.ratio / one.expected - 1:+.1%}",
            )
            for one in measured
        ],
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="What lost clients cost the server.")
    parser.add_argument("--full", action="store_true", help=f"measure n = {FULL} as well")
    full = parser.parse_args().full
    print(counts_table(), "", measured_table([measure(n) for n in ((QUICK, FULL) if full else (QUICK,))]), sep="\n")


if __name__ == "__main__":
    main()
