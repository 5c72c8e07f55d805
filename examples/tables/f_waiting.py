"""Table F: what waiting costs.

    python -m examples.tables.f_waiting

Paper: Ma et al., S&P 2023 (Flamingo). The code that accompanies it (eniac/flamingo, util/param.py) waits for a dropout
of 1 %: 10, 3 and 3 s in its own three steps, and 10, 10, 30, 10, 3 and 2 s in the six of the malicious SecAgg+ that it
is compared with (Bell et al., CCS 2020).
Compared: one sum over 1,000 parties, 1 % of them lost, some in each step, in virtual time: each party that is still
there answers after seconds that the seed draws, and each step closes when the shipped policy says so
(`protocols/deadlines.py`). Beside the constants, a policy that looks at the arrivals: once 90 % have answered it waits
as long again, and never longer than the constant.
Match: with the constants 16 s and 65 s. With somebody missing in every step, each lasts as long as it may.
Needs nothing beyond veilsum.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from examples.tables.printing import Table
from protocols.deadlines import RoundPolicy, Waiting

# eniac/flamingo, util/param.py: seconds of each step
STEPS = {
    "Flamingo": {"report": 10, "crosscheck": 3, "reconstruction": 3},
    "SecAgg+": {"keys": 10, "graph": 10, "share": 30, "collection": 10, "crosscheck": 3, "reconstruction": 2},
}
PUBLISHED = {"Flamingo": 16, "SecAgg+": 65}  # their sums
PARTIES, LOST = 1000, 10
MEDIAN, SPREAD = 0.5, 0.4  # of a lognormal: seconds until a party answers
QUANTILE = 0.9
SEED = 1


@dataclass(frozen=True, slots=True)
class Row:
    """steps: whose. too_slow: parties that answered after their step had closed."""

    steps: str
    policy: str
    seconds: float
    too_slow: int


def arrivals(steps: int, seed: int = SEED) -> list[list[float]]:
    """Of each party the seconds that it takes in each step; inf from the step on in which it is lost."""
    rng = np.random.default_rng(seed)
    taken = MEDIAN * np.exp(SPREAD * rng.standard_normal((PARTIES, steps)))
    for place, party in enumerate(rng.choice(PARTIES, LOST, replace=False)):
        taken[party, place % steps :] = math.inf
    answers: list[list[float]] = taken.tolist()
    return answers


def wait(policy: RoundPolicy, answers: Sequence[float]) -> float:
    """Seconds after which a step is over."""
    waiting = Waiting(policy, asked=len(answers))
    for answered, at in enumerate(sorted(answers), start=1):
        if at > waiting.limit(can_close=True):
            return waiting.limit(can_close=True)
        waiting.heard(answered, at)
        if policy.enough(answered):
            return at
    return max(answers)


def hold(policies: Sequence[RoundPolicy], answers: list[list[float]]) -> tuple[float, int]:
    """Seconds of all steps, and how many came too late. Who has not answered in one step is not asked in the next."""
    seconds, too_slow = 0.0, 0
    for step, policy in enumerate(policies):
        took = [party[step] for party in answers]
        closed = wait(policy, took)
        seconds += closed
        too_slow += sum(closed < at < math.inf for at in took)
        answers = [party for party in answers if party[step] <= closed]
    return seconds, too_slow


def rows() -> list[Row]:
    found = []
    for name, patience in STEPS.items():
        constant = [RoundPolicy(patience=float(seconds)) for seconds in patience.values()]
        hurried = [replace(policy, quantile=QUANTILE) for policy in constant]
        for kind, policies in (("constant", constant), ("quantile", hurried)):
            found.append(Row(name, kind, *hold(policies, arrivals(len(patience)))))
    return found


def table() -> Table:
    return Table(
        f"Seconds of one sum, {PARTIES:,} parties, {LOST} lost. [Ma et al., S&P 2023; eniac/flamingo]",
        ("steps of", "policy", "published", "seconds", "too slow"),
        [
            (
                one.steps,
                one.policy,
                PUBLISHED[one.steps] if one.policy == "constant" else "",
                f"{one.seconds:.1f}",
                one.too_slow,
            )
            for one in rows()
        ],
    )


def main() -> None:
    print(table())


if __name__ == "__main__":
    main()
