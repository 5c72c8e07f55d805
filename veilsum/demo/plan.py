"""From what was asked to what can be run: how many may collude, which threshold follows, which banks are lost."""

from dataclasses import dataclass
from importlib.util import find_spec

from protocols import session
from protocols.session import SMALLEST_COHORT, most_colluders, smallest_threshold
from veilsum.demo.options import FIRST_LOSS, Model, Options, Stage, Variant
from veilsum.errors import Fault, WrongUsage

INPUT_HAS_LEFT = (Stage.CONFIRM, Stage.UNMASK)


@dataclass(frozen=True, slots=True)
class Plan:
    """colluding: c, the most that these banks and losses allow. losses: of inputs, which the consortium plans for."""

    options: Options
    colluding: int
    losses: int

    @property
    def banks(self) -> tuple[str, ...]:
        return tuple(f"bank-{number}" for number in range(1, self.options.banks + 1))

    @property
    def lost(self) -> tuple[str, ...]:
        return self.banks[self.options.banks - self.options.lose :]

    @property
    def variant(self) -> session.Variant:
        return session.Variant(self.options.variant.value)

    @property
    def threshold(self) -> int:
        """t while all banks are there."""
        return smallest_threshold(self.variant, self.options.banks, self.colluding)


def plan(options: Options) -> Plan:
    """Raises WrongUsage where no session could follow the rules, Fault where torch is asked for and missing."""
    _require_sense(options)
    _require_learner(options.model)
    most = most_colluders(options.banks, options.lose)
    if most is not None:
        return Plan(options, most, options.lose)
    helpers_to_spare = options.banks - 2 * options.lose - 1
    if helpers_to_spare >= 0 and _is_in_every_sum(options):
        return Plan(options, helpers_to_spare, 0)
    raise WrongUsage(_refusal(options))


def _is_in_every_sum(options: Options) -> bool:
    """The lost bank's input left before it, and no round follows: its help is missed and not its input."""
    return options.stage in INPUT_HAS_LEFT and options.rounds == FIRST_LOSS


def _refusal(options: Options) -> str:
    banks, lose = options.banks, options.lose
    if 2 * lose >= banks:
        return f"{banks} banks cannot lose {lose}: colluders + 2 losses must stay below the banks; use more --banks"
    left = f"{banks - lose} would be left and a sum covers at least {SMALLEST_COHORT}"
    if options.stage in INPUT_HAS_LEFT:
        return f"{banks} banks cannot lose {lose} for good: after it {left}; use --rounds {FIRST_LOSS} or more --banks"
    return f"{banks} banks cannot lose {lose} before its input left: {left}; use more --banks"


def _require_sense(options: Options) -> None:
    if options.lose and options.rounds < FIRST_LOSS:
        raise WrongUsage(f"banks are lost in training round {FIRST_LOSS}: use --rounds {FIRST_LOSS} or --lose 0")
    if options.variant is Variant.CURIOUS and options.stage is Stage.CONFIRM:
        raise WrongUsage("the curious variant has no confirm round: use another --stage, or --variant active")


def _require_learner(model: Model) -> None:
    if model is Model.MLP and find_spec("torch") is None:
        raise Fault("--model mlp needs torch, which is not installed: pip install 'veilsum[torch]'")
