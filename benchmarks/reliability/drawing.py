"""Plans by lot: a function of a seed and a number."""

from collections.abc import Mapping
from random import Random
from typing import Final

from benchmarks.reliability.faults import PATIENCE, Action, Fault, FaultPlan, Setting, Way
from protocols.session import Variant

STEPS: Final = 25
FAULTS_A_STEP: Final = 1.3
GREETING: Final = 1300  # bytes of a connection within which the handshake and the hello lie
IN_GREETING: Final = 0.2  # so many of the faults strike there

# name -> members, colluding, losses, rounds an epoch, how often it is drawn
_KINDS: Final = (
    (("secagg", Variant.ACTIVE), (5, 1, 1, 1), 4),
    (("secagg", Variant.ACTIVE), (7, 0, 2, 1), 2),
    (("secagg", Variant.CURIOUS), (5, 0, 2, 1), 2),
    (("secagg+", Variant.ACTIVE), (6, 0, 2, 1), 3),
    (("committee", Variant.ACTIVE), (5, 1, 1, 1), 2),
    (("lightsecagg", Variant.ACTIVE), (5, 1, 1, 1), 2),
    (("secagg", Variant.ACTIVE), (5, 1, 1, 3), 3),
    (("mesh", Variant.ACTIVE), (5, 0, 1, 1), 2),
)

_WEIGHTS: Final[Mapping[Action, int]] = {
    Action.CUT: 6, Action.TRUNCATE: 3, Action.CORRUPT: 3, Action.STALL: 4, Action.DELAY: 3, Action.REPLAY: 2,
    Action.KILL: 3, Action.KILL_OTHER: 1,
}  # fmt: skip

_STALLS: Final = (0.03, 0.03, 0.1, 0.1, 1.3)  # times the patience of a round

# bytes of one session over one connection; only how evenly faults are spread depends on them
_SESSION: Final[Mapping[str, Mapping[Way, int]]] = {
    "secagg": {Way.UP: 1600, Way.DOWN: 2700},
    "secagg+": {Way.UP: 1800, Way.DOWN: 3800},
    "committee": {Way.UP: 1900, Way.DOWN: 7500},
    "lightsecagg": {Way.UP: 2000, Way.DOWN: 3100},
    "mesh": {Way.UP: 3000, Way.DOWN: 3000},
}


def draw(seed: int, number: int, steps: int = STEPS, patience: float = PATIENCE) -> FaultPlan:
    """The plan of this number."""
    chance = Random(f"soak {seed} {number}")
    setting = _setting(chance, steps, patience)
    count = round(steps * FAULTS_A_STEP * chance.uniform(0.6, 1.4))
    return FaultPlan(setting, tuple(_fault(chance, setting) for _ in range(count)))


def _setting(chance: Random, steps: int, patience: float) -> Setting:
    ((protocol, variant), numbers, _), *_ = chance.choices(_KINDS, [weight for *_, weight in _KINDS])
    return Setting(protocol, variant, *numbers, steps, patience=patience)


def _fault(chance: Random, setting: Setting) -> Fault:
    way = chance.choice(tuple(Way))
    (action,) = chance.choices(tuple(_WEIGHTS), list(_WEIGHTS.values()))
    greeting = chance.random() < IN_GREETING
    most = GREETING if greeting else setting.steps * _SESSION[setting.protocol][way]
    return Fault(
        chance.choice(setting.links),
        way,
        chance.randrange(most),
        action,
        _seconds(chance, action, setting.patience),
        chance.randrange(1, 5) if greeting else None,
    )


def _seconds(chance: Random, action: Action, patience: float) -> float:
    if action is Action.STALL:
        return round(chance.choice(_STALLS) * patience, 3)
    return chance.choice((0.01, 0.05)) if action is Action.DELAY else 0.0
