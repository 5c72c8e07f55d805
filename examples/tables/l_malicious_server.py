"""Table L: what a coordinator that lies learns, against (t, n, c).

    python -m examples.tables.l_malicious_server          # n = 3 and 4
    python -m examples.tables.l_malicious_server --full   # n = 5 as well, minutes

Paper: Bonawitz et al., CCS 2017, the threshold against an active adversary: 2t > n + c.
Compared: the smallest sum of honest inputs that comes out when the coordinator shows every honest client whatever U2
and U3 it likes (one of them a short U2 alone, too), c parties sign anything, and t is taken as it stands here. Every
choice of views is played on the real machines of the active variant, complete graph, one U1; with the smallest cohort
of the shipped rules taken out, which would forbid small sums by itself. The search stops at a single input.
Match: a sum of fewer than t - c honest inputs, or a single one, is learnt exactly where 2t <= n + c. It is a search for
attacks and no proof.
Needs nothing beyond veilsum.
"""

import argparse
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from examples.tables.printing import Table
from simulations.attacks.playing import Played, every_threshold, without_the_rule

QUICK, FULL = (3, 4), (3, 4, 5)


@dataclass(frozen=True, slots=True)
class Row:
    """smallest: honest inputs in the smallest sum that is learnt."""

    n: int
    c: int
    t: int
    smallest: int

    @property
    def too_small(self) -> bool:
        return self.smallest < self.t - self.c or self.smallest == 1

    @property
    def quorums_can_miss_each_other(self) -> bool:
        return 2 * self.t <= self.n + self.c


def rows(n: int) -> Iterator[Row]:
    """For every c with two honest parties at least, and every t."""
    for _, c, t in every_threshold(n):
        with without_the_rule(t):
            finding = Played(n, c, t).smallest_sum(enough=1)
        assert finding is not None, "not even the sum that the protocol is for"
        yield Row(n, c, t, finding.size)


def table(found: Iterable[Row]) -> Table:
    return Table(
        "The smallest honest sum that a lying coordinator learns. [Bonawitz et al., CCS 2017]",
        ("n", "c", "t", "2t > n + c", "t - c", "smallest sum", "too small"),
        [
            (
                one.n,
                one.c,
                one.t,
                "no" if one.quorums_can_miss_each_other else "yes",
                one.t - one.c,
                one.smallest,
                "yes" if one.too_small else "no",
            )
            for one in found
        ],
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="What a coordinator that lies learns.")
    parser.add_argument("--full", action="store_true", help="n = 5 as well")
    sizes = FULL if parser.parse_args().full else QUICK
    print(table(row for n in sizes for row in rows(n)))


if __name__ == "__main__":
    main()
