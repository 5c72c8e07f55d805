"""Table C: degree and threshold of the sparse graph.

    python -m examples.tables.c_graph

Paper: Bell et al., CCS 2020 (SecAgg+); the rows are those of the public solver that goes with it,
google-parfait/federated-compute, security 40 bits and correctness 20.
Compared: the degree k and the threshold t that `protocols.graph.find_graph` finds.
Match: equal integers, in every row; and none where the solver finds none.
Needs nothing beyond veilsum.
"""

from dataclasses import dataclass

from examples.tables.printing import Table
from protocols.graph import Adversary, GraphParameters, find_graph

CURIOUS, SEMI = Adversary.CURIOUS, Adversary.SEMI_MALICIOUS

# google-parfait/federated-compute: n, corrupt, dropped -> (k, t) against either server
PUBLISHED: dict[tuple[int, float, float], dict[Adversary, tuple[int, int] | None]] = {
    (100, 0.05, 0.05): {CURIOUS: (12, 6), SEMI: (16, 11)},
    (1000, 0.05, 0.05): {CURIOUS: (30, 17), SEMI: (52, 37)},
    (10_000, 0.05, 0.05): {CURIOUS: (34, 20), SEMI: (62, 44)},
    (1000, 0.05, 0.33): {CURIOUS: (72, 24), SEMI: (398, 223)},
    (1000, 0.33, 0.05): {CURIOUS: (78, 60), SEMI: (132, 109)},
    (1000, 0.33, 0.33): {CURIOUS: (286, 150), SEMI: None},
    (1_000_000, 0.05, 0.05): {CURIOUS: (38, 22), SEMI: (74, 52)},
}


@dataclass(frozen=True, slots=True)
class Row:
    """What was published for a setting, and what is found. None: no sparse graph does."""

    n: int
    corrupt: float
    dropped: float
    adversary: Adversary
    published: GraphParameters | None
    found: GraphParameters | None


def rows() -> list[Row]:
    return [
        Row(
            n,
            corrupt,
            dropped,
            adversary,
            GraphParameters(*pair) if pair else None,
            find_graph(n, corrupt, dropped, adversary=adversary),
        )
        for (n, corrupt, dropped), published in PUBLISHED.items()
        for adversary, pair in published.items()
    ]


def table() -> Table:
    return Table(
        "Degree k and threshold t of the sparse graph. [Bell et al., CCS 2020; google-parfait/federated-compute]",
        ("n", "corrupt", "dropped", "server", "published k, t", "found k, t"),
        [
            (one.n, one.corrupt, one.dropped, one.adversary.value, _shown(one.published), _shown(one.found))
            for one in rows()
        ],
    )


def _shown(graph: GraphParameters | None) -> str:
    return f"{graph.degree}, {graph.threshold}" if graph else "none"


def main() -> None:
    print(table())


if __name__ == "__main__":
    main()
