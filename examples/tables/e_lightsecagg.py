"""Table E: how many elements a client of LightSecAgg carries before its masked input.

    python -m examples.tables.e_lightsecagg

Paper: LightSecAgg, MLSys 2022: a mask of m elements is cut in U - T pieces and coded into one for each of N clients, so
each client sends and hears N / (U - T) m elements: 2.5 m at T = 0.5 N, U = 0.9 N, and 5 m at U = 0.7 N. Then m of
masked input, and m / (U - T) of the sum of the masks.
Compared: the elements of the pieces of a vector as the protocol cuts it. One of the N pieces is the client's own and
stays with it; the paper counts it.
Match: equal counts.
Needs nothing beyond veilsum.
"""

from dataclasses import dataclass

from examples.tables.printing import Table
from mpc.field import PrimeField
from protocols.session import VectorSpec

N = 1000
LENGTH = 1_000_000  # with the canaries
PUBLISHED = {(500, 900): 2.5, (500, 700): 5.0}  # (T, U) -> elements before the masked input, over m


@dataclass(frozen=True, slots=True)
class Row:
    """Elements. coded: of all N pieces. sent: without the client's own. recovery: of the sum of the masks."""

    privacy: int
    decode: int
    published: int
    coded: int
    sent: int
    masked: int
    recovery: int


def spec() -> VectorSpec:
    field = PrimeField.with_bits(26)
    return VectorSpec(LENGTH - VectorSpec(1, field).canaries, field)


def piece_length(vector: VectorSpec, pieces: int) -> int:
    """Elements of one piece of a mask that is cut in so many."""
    return -(-vector.masked_length // pieces)


def rows() -> list[Row]:
    vector = spec()
    found = []
    for (privacy, decode), load in PUBLISHED.items():
        piece = piece_length(vector, decode - privacy)
        counts = (round(load * LENGTH), N * piece, (N - 1) * piece, vector.masked_length, piece)
        found.append(Row(privacy, decode, *counts))
    return found


def table() -> Table:
    return Table(
        f"Elements that one of N = {N:,} clients sends, and as many that it hears; m = {LENGTH:,}. "
        "[LightSecAgg, MLSys 2022]",
        ("T", "U", "published N / (U - T) m", "all N pieces", "without its own", "masked input", "recovery"),
        [(one.privacy, one.decode, one.published, one.coded, one.sent, one.masked, one.recovery) for one in rows()],
    )


def main() -> None:
    print(table())


if __name__ == "__main__":
    main()
