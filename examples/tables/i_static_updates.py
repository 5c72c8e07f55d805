"""Table I: after how many sums a party that always sends the same is found out.

    python -m examples.tables.i_static_updates

Paper: So et al., "Securing secure aggregation: mitigating multi-round privacy leakage in federated learning" (2021):
where K of N users are selected at random each round, the sums of enough rounds give single updates away.
Compared: N = 120, K = 12, uniform selection, every user sending one and the same update. The coordinator knows who was
selected; an update is solvable once its unit vector lies in the span of the rounds' 0/1 rows, over the field in which
the sums are. And it is solved: the combination of the sums is the update.
Match: the first leak after 117 to 120 rounds. Masks change nothing in it: each of these sums is what a session is for.
Needs python-flint (`pip install 'veilsum[dev]'`).
"""

from collections import Counter
from dataclasses import dataclass

import flint
import numpy as np
import numpy.typing as npt

from examples.tables.printing import Table
from mpc.field import FieldVector, PrimeField
from mpc.randomness import SeededRandomness

N, K = 120, 12
FIRST_LEAK = range(117, 121)  # rounds
MOST_ROUNDS = 2 * N
DRAWS = 20
LENGTH = 4  # elements of an update
FIELD = PrimeField.with_bits(26)


@dataclass(frozen=True, slots=True)
class Leak:
    """rounds: the fewest after which an update is solvable. user: whose. update: what the sums give for it."""

    rounds: int
    user: int
    solvable: int  # updates, of N
    update: FieldVector


def selections(seed: int) -> npt.NDArray[np.int64]:
    """(rounds, N): 1 where the user is selected; K in each round, each set as likely as another."""
    rng = np.random.default_rng(seed)
    rows = np.zeros((MOST_ROUNDS, N), dtype=np.int64)
    for row in rows:
        row[rng.choice(N, K, replace=False)] = 1
    return rows


def updates(seed: int) -> FieldVector:
    """(N, LENGTH)"""
    return FIELD.uniform(N * LENGTH, SeededRandomness(b"updates %d" % seed)).reshape(N, LENGTH)


def first_leak(selected: npt.NDArray[np.int64], sums: FieldVector) -> Leak:
    """From the rows and the sums of the rounds alone. Raises LookupError where these rounds leak nothing."""
    few, enough = 0, len(selected)
    if not _solvable(selected, sums):
        raise LookupError(f"{enough} rounds leak nothing")
    while enough - few > 1:  # more rounds leak no less
        middle = (few + enough) // 2
        few, enough = (few, middle) if _solvable(selected[:middle], sums) else (middle, enough)
    found = _solvable(selected[:enough], sums)
    user = min(found)
    return Leak(enough, user, len(found), found[user])


def _solvable(selected: npt.NDArray[np.int64], sums: FieldVector) -> dict[int, FieldVector]:
    """user -> update: the rows of the reduced echelon form in which one user is left."""
    rounds, users = selected.shape
    both = np.concatenate([selected, sums[:rounds].astype(np.int64)], axis=1)
    reduced, rank = flint.nmod_mat(rounds, both.shape[1], both.ravel().tolist(), FIELD.modulus).rref()
    rows = np.array([[int(cell) for cell in row] for row in reduced.table()[:rank]])
    alone = np.count_nonzero(rows[:, :users], axis=1) == 1
    return {int(row[:users].argmax()): FIELD.vector(row[users:].tolist()) for row in rows[alone]}


def rows(draws: int = DRAWS) -> list[Leak]:
    """One a draw. Each leaked update is checked against the one that was sent."""
    found = []
    for seed in range(draws):
        selected, sent = selections(seed), updates(seed)
        sums = FIELD.matmul(selected.astype(FIELD.dtype), sent)
        leak = first_leak(selected, sums)
        assert np.array_equal(leak.update, sent[leak.user]), "the sums give another update"
        found.append(leak)
    return found


def table(draws: int = DRAWS) -> Table:
    found = Counter(leak.rounds for leak in rows(draws))
    return Table(
        f"Rounds until a static update is solvable, N = {N}, K = {K}, {draws} draws; expected "
        f"{FIRST_LEAK[0]} to {FIRST_LEAK[-1]}. [So et al., 2021]",
        ("first leak after", "draws"),
        sorted(found.items()),
    )


def main() -> None:
    print(table())


if __name__ == "__main__":
    main()
