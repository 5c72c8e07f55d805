"""Many small sessions with faults by lot: no sum may be wrong, and the faults must explain each session without one.

    python -m simulations.endurance --rounds 100000

prints the counts, and the scenario of each round that they do not explain as TOML: a file for `scenarios/`.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import islice
from multiprocessing import get_context
from random import Random
from typing import Any

from protocols.deadlines import Policy, RoundPolicy
from protocols.errors import DropReason
from protocols.families import FAMILIES
from protocols.session import Variant, most_colluders
from simulations.faults import ByStage, Dropout, Exactly, Independent, Nobody, Regional
from simulations.network import Device, Network
from simulations.plain import ScenarioError
from simulations.scenario import Scenario
from simulations.simulate import RoundResult, simulate

ROUNDS_EACH = 10
"""Sessions of one scenario: the same parties, with what they remember."""

_HURRIED = (RoundPolicy(5.0, quantile=0.75, stretch=3.0), RoundPolicy(5.0, hoped_for=4))


@dataclass(slots=True)
class Counts:
    """Of rounds. odd: scenarios of one round each that the faults do not explain, or whose sum is wrong."""

    of: Counter[str] = field(default_factory=Counter)
    odd: list[Scenario] = field(default_factory=list)

    def add(self, other: "Counts") -> None:
        self.of.update(other.of)
        self.odd += other.odd


def explained(scenario: Scenario, result: RoundResult) -> bool:
    """Whether more parties than were planned for met a fault, or were left behind by a policy that hurries."""
    blamed = set(result.touched)
    if any(policy in _HURRIED for policy in (scenario.policy.default, *scenario.policy.rounds.values())):
        blamed |= result.left_behind
        blamed |= {lost.party for lost in result.dropped if lost.reason == DropReason.TOO_SLOW}
    return len(blamed) > scenario.planned_losses


def random_scenario(seed: int, protocols: tuple[str, ...] | None = None) -> Scenario:
    """A function of the seed. 4 to 8 parties, any protocol, losses at any stage, a network that is bad or very bad."""
    chance = Random(f"endurance {seed}")
    family = FAMILIES[chance.choice(protocols or tuple(FAMILIES))]
    parties = chance.randrange(4, 9)
    losses = chance.randrange((parties - 2) // 2 + 1)
    noise = chance.choice((0.0, 0.0, 0.002, 0.02))
    return Scenario(
        protocol=family.name,
        parties=parties,
        dimension=chance.randrange(1, 30),
        rounds=ROUNDS_EACH,
        seed=seed,
        losses=losses,
        colluding=chance.randrange((most_colluders(parties, losses) or 0) + 1),
        regions=3,
        dropout=_dropout(chance, [stage.value for stage in family.stages(Variant.ACTIVE)]),
        network=Network(loss=noise, duplicate=noise, reorder=2 * noise, noticed=chance.random() < 0.7),
        devices=(Device(jitter=0.3, latency=0.05), Device(name="slow", share=0.3, jitter=1.0, training=0.5)),
        policy=Policy(chance.choice((RoundPolicy(20.0), RoundPolicy(20.0), *_HURRIED))),
    )


def _dropout(chance: Random, stages: list[str]) -> Dropout:
    rate = chance.choice((0.05, 0.1, 0.2, 0.4))
    models: tuple[Any, ...] = (
        Nobody(),
        Exactly(rate),
        Independent(rate, chance.choice(stages)),
        Regional(outage=rate, within=0.8),
        ByStage(dict.fromkeys(stages, rate / len(stages))),
        ByStage(dict.fromkeys(stages, rate / 2)),
    )
    return chance.choice(models)  # type: ignore[no-any-return]


def endure(seed: int, protocols: tuple[str, ...] | None = None) -> Counts:
    """The rounds of one scenario."""
    scenario, counts = random_scenario(seed, protocols), Counts()
    try:
        results = simulate(scenario).rounds
    except ScenarioError:  # the protocol has no numbers for so many parties, losses and colluders
        counts.of[f"{scenario.protocol}: (not held, no numbers fit)"] += 1
        return counts
    for result in results:
        verdict = _verdict(scenario, result)
        counts.of[f"{scenario.protocol}: {verdict}"] += 1
        if verdict.startswith("ODD"):
            counts.odd.append(replace(scenario, rounds=result.fl_round))
    return counts


def _verdict(scenario: Scenario, result: RoundResult) -> str:
    if result.exact is False:
        return "ODD, a wrong sum"
    if result.exact:
        return "exact, with losses" if result.touched else "exact"
    return f"no sum, {result.aborted}" if explained(scenario, result) else f"ODD, no sum, {result.aborted}"


def endure_all(seeds: range, workers: int, protocols: tuple[str, ...] | None = None) -> Iterator[Counts]:
    """Counts as they come, in the order of the seeds."""
    if workers == 1:
        yield from (endure(seed, protocols) for seed in seeds)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        yield from pool.map(endure, seeds, [protocols] * len(seeds), chunksize=20)


def main() -> int:
    """Status 1 where a round is odd."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=1000)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--protocol", action="append", choices=tuple(FAMILIES))
    given = parser.parse_args()
    seeds = range(given.first_seed, given.first_seed + -(-given.rounds // ROUNDS_EACH))
    total = Counts()
    try:
        for counts in endure_all(seeds, given.workers, tuple(given.protocol) if given.protocol else None):
            total.add(counts)
    except KeyboardInterrupt:
        sys.stdout.write("interrupted; so far:\n")
    for name, count in sorted(total.of.items()):
        sys.stdout.write(f"{count:9,}  {name}\n")
    held = sum(count for name, count in total.of.items() if not name.endswith(")"))
    sys.stdout.write(f"{held:9,}  rounds, {len(total.odd)} odd\n")
    for scenario in islice(total.odd, 5):
        sys.stdout.write(f"\n{scenario.to_toml()}")
    return 1 if total.odd else 0


if __name__ == "__main__":
    sys.exit(main())
