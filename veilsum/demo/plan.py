"""From what was asked to what can be run: how many may collude, what follows from that, which banks are lost."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from importlib.util import find_spec
from typing import Final

from mpc.field import M31
from protocols import session
from protocols.families import FAMILIES, family_of
from protocols.family import Family
from protocols.session import SMALLEST_COHORT, SessionParams, Subject, VectorSpec, most_colluders
from veilsum.demo.options import FIRST_LOSS, Model, Options
from veilsum.errors import Fault, WrongUsage

_PLAN_FOR_NO_LOSS: Final = ("secagg", "mesh")
"""In these protocols nothing is chosen by the losses that were planned for: only what is left counts."""


@dataclass(frozen=True, slots=True)
class Plan:
    """colluding: c, the most that these banks, losses and the protocol allow. losses: of inputs, which the
    consortium plans for.

    stage: of the family's, where banks are lost. numbers: of the family, while all banks are there.
    """

    options: Options
    family: Family
    stage: StrEnum
    colluding: int
    losses: int
    numbers: Mapping[str, int]

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
    def has_coordinator(self) -> bool:
        return self.family.collector is not None


def plan(options: Options) -> Plan:
    """Raises WrongUsage where no session could follow the rules, Fault where torch is asked for and missing."""
    family = _family(options)
    stage = _stage(options, family)
    _require_sense(options)
    _require_learner(options.model)
    _require_held(options, family, stage)
    input_has_left = _has_left(options, family, stage)
    most = most_colluders(options.banks, options.lose)
    if most is not None:
        return _planned(options, family, stage, most, options.lose)
    helpers_to_spare = options.banks - 2 * options.lose - 1
    if helpers_to_spare >= 0 and input_has_left and _is_the_last(options, family):
        return _planned(options, family, stage, helpers_to_spare, 0)
    raise WrongUsage(_refusal(options, family, input_has_left))


def _planned(options: Options, family: Family, stage: StrEnum, most: int, losses: int) -> Plan:
    """With as many colluders, `most` at the most, as the protocol has numbers for."""
    reason = ""
    for colluding in range(most, -1, -1):
        try:
            numbers = family.numbers(_params(options, family, colluding, losses), options.banks)
        except ValueError as exc:
            reason = str(exc)
        else:
            return Plan(options, family, stage, colluding, losses, numbers)
    raise WrongUsage(f"{family.name} with {options.banks} banks of which {options.lose} are lost: {reason}")


def _params(options: Options, family: Family, colluding: int, losses: int) -> SessionParams:
    """Of a session of nothing: numbers follow from it, and no more."""
    nothing = bytes(32)
    return SessionParams(
        subject=Subject(nothing, 1, nothing, nothing, nothing, nothing),
        spec=VectorSpec(1, M31),
        nonce=nothing,
        colluding=colluding,
        variant=session.Variant(options.variant.value),
        protocol=family.name,
        losses=losses,
        rounds_per_epoch=options.rounds_per_epoch,
    )


def _family(options: Options) -> Family:
    name = options.protocol.value
    if name not in FAMILIES:
        raise WrongUsage(f"this version does not run {name}: use one of {', '.join(FAMILIES)}")
    variant = session.Variant(options.variant.value)
    try:
        family = family_of(name, options.rounds_per_epoch)
    except KeyError as exc:
        raise WrongUsage(f"{name} has no epochs: leave --rounds-per-epoch out") from exc
    if variant not in family.variants:
        raise WrongUsage(f"{name} has no {variant.value} variant: use --variant {family.variants[0].value}")
    return family


def _stage(options: Options, family: Family) -> StrEnum:
    stages = family.stages(session.Variant(options.variant.value))
    for stage in stages:
        if stage.value == (options.stage or family.input_stage.value):
            return stage
    what = f"the {options.variant.value} {family.name}" if len(family.variants) > 1 else family.name
    raise WrongUsage(f"{what} has no stage {options.stage!r}: use one of {', '.join(one.value for one in stages)}")


def _require_held(options: Options, family: Family, stage: StrEnum) -> None:
    """Stages before the input's are held in the first sum of an epoch only. The statistics are the first sum of all."""
    stages = family.stages(session.Variant(options.variant.value))
    before = stages.index(stage) < stages.index(family.input_stage)
    if options.lose and before and FIRST_LOSS % options.rounds_per_epoch:
        raise WrongUsage(
            f"with --rounds-per-epoch {options.rounds_per_epoch} no keys are exchanged in training round {FIRST_LOSS}, "
            f"where banks are lost: use --stage {family.input_stage.value} or a later one"
        )


def _has_left(options: Options, family: Family, stage: StrEnum) -> bool:
    stages = family.stages(session.Variant(options.variant.value))
    return stages.index(stage) > stages.index(family.input_stage)


def _is_the_last(options: Options, family: Family) -> bool:
    """No round follows: the lost bank's help is missed and not its input."""
    return family.name in _PLAN_FOR_NO_LOSS and options.rounds == FIRST_LOSS


def _refusal(options: Options, family: Family, input_has_left: bool) -> str:
    banks, lose = options.banks, options.lose
    if 2 * lose >= banks:
        return f"{banks} banks cannot lose {lose}: colluders + 2 losses must stay below the banks; use more --banks"
    left = f"{banks - lose} would be left and a sum covers at least {SMALLEST_COHORT}"
    if input_has_left:
        remedy = f"use --rounds {FIRST_LOSS} or more" if family.name in _PLAN_FOR_NO_LOSS else "use more"
        return f"{banks} banks cannot lose {lose} for good: after it {left}; {remedy} --banks"
    return f"{banks} banks cannot lose {lose} before its input left: {left}; use more --banks"


def _require_sense(options: Options) -> None:
    if options.lose and options.rounds < FIRST_LOSS:
        raise WrongUsage(f"banks are lost in training round {FIRST_LOSS}: use --rounds {FIRST_LOSS} or --lose 0")


def _require_learner(model: Model) -> None:
    if model is Model.MLP and find_spec("torch") is None:
        raise Fault("--model mlp needs torch, which is not installed: pip install 'veilsum[torch]'")
