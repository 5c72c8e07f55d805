"""Whether a plan explains a story. Strict rules, and a line for each thing that they do not explain.

A member is *excused* from a session when a fault struck it, or a connection of its, since the last session that it was
in began. So a fault excuses whoever it struck until that one is in a sum again, and nobody else.

- A sum is exactly that of the inputs that it names, and all who made the model of a step made it of the same inputs.
- Whoever is not excused is in every sum.
- No session ends without a sum unless more are excused than the losses that were planned.
- No party loses its coordinator, gives a session up, or ends before the training does, without being excused.
- Nobody breaks down. Whoever is asked to end ends. Whoever has ended well holds the coordinator's model.

In a mesh, where nobody says who takes part, some begin a session with a member that was killed and is back, and others
without it: such an attempt may end without a sum, or without those who began it otherwise.

A party that has answered for a sum of a step answers for no other one of it. Where a session was lost after that, its
refusal (`summed-before`) excuses it from the step's next sessions: the ledger does what it is for.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, TypeVar

from benchmarks.reliability.child import BROKE_DOWN
from benchmarks.reliability.excuses import Excuses, Held
from benchmarks.reliability.faults import Action, FaultPlan, Setting
from benchmarks.reliability.files import card_name
from benchmarks.reliability.story import Ended, Failed, Happening, Places, Reported, Sent, Story, Summed, name, victims
from net.events import Happened
from protocols.errors import DropReason
from protocols.families import family_of

F = TypeVar("F")

_KILLS: Final = (Action.KILL, Action.KILL_OTHER)

_OPENED: Final = {"secagg": "unmask", "secagg+": "unmask", "lightsecagg": "confirm", "committee": "contribute"}
"""Protocol -> the stage from which on a party's ledger counts the sum of a step as opened."""


@dataclass(frozen=True, slots=True)
class Session:
    """touched: a fault struck in it or since the one before, or somebody is still missing because of one."""

    fl_round: int
    included: Places
    touched: bool

    @property
    def finished(self) -> bool:
        return bool(self.included)


@dataclass(slots=True)
class Verdict:
    """wrong, hangs, odd: a line each. odd: what happened and no fault explains."""

    sessions: list[Session] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    hangs: list[str] = field(default_factory=list)
    odd: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        return not (self.wrong or self.hangs or self.odd)


def judge(plan: FaultPlan, story: Story) -> Verdict:
    kind = _MeshJudge if plan.setting.is_mesh else _Judge
    return kind(plan.setting, story).judge()


class _Judge:
    """Of a training with a coordinator."""

    def __init__(self, setting: Setting, story: Story) -> None:
        self._setting = setting
        self._story = story
        self._everybody = frozenset(range(setting.banks))
        self._verdict = Verdict(hangs=list(story.hangs))
        self._reports = self._all(Reported)
        self._excuses = Excuses(setting, story.strikes, self._held())

    def judge(self) -> Verdict:
        self._check_sums()
        self._check_sessions()
        self._check_events()
        self._check_ends()
        self._check_models()
        return self._verdict

    def _all(self, kind: type[F]) -> list[tuple[int | None, F]]:
        return [(told.who, told.fact) for told in self._story.told if isinstance(told.fact, kind)]

    def _held(self) -> Iterator[Held]:
        return (Held(one.begin, one.end, one.included) for _, one in self._reports if one.finished)

    def _odd(self, text: str) -> None:
        self._verdict.odd.append(text)

    # Sums

    def _check_sums(self) -> None:
        first: dict[int, Places] = {}
        for who, one in self._all(Summed):
            said = f"step {one.fl_round} at {name(who)}: over {sorted(one.included)}"
            if not one.exact:
                self._verdict.wrong.append(f"{said}, and the sum is another")
            if (other := first.setdefault(one.fl_round, one.included)) != one.included:
                self._verdict.wrong.append(f"{said}, elsewhere over {sorted(other)}")

    # Sessions

    def _check_sessions(self) -> None:
        before = 0.0
        for _, one in self._reports:
            excused = self._excuses.at(one.end) | self._guarded(one)
            if one.finished:
                self._require_all_but(excused, one)
            else:
                self._require_many(len(excused), one)
            struck = any(before < struck.at <= one.end for struck in self._story.strikes)
            missing = one.finished and one.included != self._everybody
            self._verdict.sessions.append(Session(one.fl_round, one.included, struck or missing or not one.finished))
            before = one.end

    def _require_all_but(self, excused: Places, one: Reported) -> None:
        if left_out := self._everybody - one.included - excused:
            self._odd(f"step {one.fl_round}: {sorted(left_out)} not in the sum: {'; '.join(one.dropped) or 'absent'}")

    def _require_many(self, excused: int, one: Reported) -> None:
        if excused <= self._setting.losses:
            self._odd(f"step {one.fl_round}: no sum with {excused} excused: {'; '.join(one.dropped) or 'nobody lost'}")

    def _guarded(self, one: Reported) -> Places:
        """Who refused this session because of what it had sent in an earlier one of the same step."""
        return frozenset(
            who
            for who, event in self._all(Happening)
            if who is not None
            and one.begin <= event.at <= one.end
            and self._is_guard(event)
            and self._answered_before(who, one)
        )

    def _is_guard(self, event: Happening) -> bool:
        return event.what == Happened.ABORTED and DropReason.SUMMED_BEFORE.value in event.text

    def _answered_before(self, who: int, one: Reported) -> bool:
        stages = [stage.value for stage in family_of(self._setting.protocol).stages(self._setting.variant)]
        opening = stages[stages.index(_OPENED[self._setting.protocol]) :]
        return any(
            sender == who and sent.fl_round == one.fl_round and sent.at < one.begin and sent.stage in opening
            for sender, sent in self._all(Sent)
        )

    # What happened to the parties

    def _check_events(self) -> None:
        for who, event in self._all(Happening):
            if who in self._excuses.at(event.at):
                continue
            if event.what == Happened.ABORTED and not self._told_to_abort(event):
                self._odd(f"step {event.fl_round}: bank {who} gave it up: {event.text}")
            if event.what in (Happened.LOST, Happened.TURNED_AWAY) and event.at < self._given_up():
                self._odd(f"bank {who}: {event.what}: {event.text}")
            if event.what == Happened.DECLINED:
                self._odd(f"bank {who}: declined: {event.text}")

    def _told_to_abort(self, event: Happening) -> bool:
        """The session ended without a sum for the coordinator too, which says so itself."""
        aborted = (one for _, one in self._reports if not one.finished and one.fl_round == event.fl_round)
        return any(one.begin <= event.at for one in aborted)

    def _given_up(self) -> float:
        """When the coordinator's last session ended, where it failed; then its connections end too."""
        failed = any(who is None for who, _ in self._all(Failed))
        return max((one.end for _, one in self._reports), default=0.0) if failed else float("inf")

    # Ends

    def _check_ends(self) -> None:
        killed = sum(one.fault.action in _KILLS for one in self._story.strikes)
        kills = [who for who, one in self._all(Ended) if one.status == -9]
        if len(kills) > killed + len(self._story.hangs):
            self._odd(f"killed, but not by the plan: {', '.join(map(name, kills))}")
        for who, one in self._all(Ended):
            if one.status == BROKE_DOWN or one.status not in (0, 1, -9):
                self._odd(f"{name(who)} broke down: status {one.status}, see its log")
            if one.stopped and who not in self._excuses.at(one.at) and self._given_up() == float("inf"):
                self._odd(f"{name(who)} had to be asked to end")
        for who, failed in self._all(Failed):
            if not self._may_fail(who, failed):
                self._odd(f"{name(who)} ended: {failed.kind}: {failed.text}")

    def _may_fail(self, who: int | None, failed: Failed) -> bool:
        """Sessions without a sum were judged one by one; too few parties must have met a fault, too."""
        if failed.kind == "NoResult":
            return who is None
        if failed.kind == "TooFewParties":
            return who is None and len(self._excuses.at(failed.at)) > self._setting.losses
        return failed.kind == "CoordinatorNotThere" and failed.at > self._given_up()

    def _check_models(self) -> None:
        models = self._story.models
        longest = max(models.values(), key=len)
        for who, model in models.items():
            if model != longest[: len(model)]:
                self._verdict.wrong.append(f"{name(who)} holds another model than the others")
            elif len(model) < len(longest) and self._ended_well(who):
                self._odd(f"{name(who)} ended with the model of step {len(model)} of {len(longest)}")
        made = {one.fl_round: sorted(one.included) for _, one in self._all(Summed)}
        if longest != [made.get(step) for step in range(1, len(longest) + 1)]:
            self._verdict.wrong.append("a stored model is not that of the sums that were made")

    def _ended_well(self, who: int | None) -> bool:
        last = [one for ended, one in self._all(Ended) if ended == who][-1:]
        return any(one.status == 0 and not one.stopped for one in last)


class _MeshJudge(_Judge):
    """Each member decides for itself; a session is one for all, and each says how it ended there."""

    def _held(self) -> Iterator[Held]:
        steps = {one.fl_round for _, one in self._reports if one.finished}
        for step in sorted(steps):
            own = [one for _, one in self._reports if one.finished and one.fl_round == step]
            yield Held(min(one.begin for one in own), min(one.end for one in own), own[0].included)

    def _check_sessions(self) -> None:
        for who, one in self._reports:
            excused = self._excuses.at(one.end)
            if self._came_back_into(one):
                continue
            if one.finished:
                self._require_all_but(excused, one)
            elif who not in excused:
                self._require_many(self._excuses.fewest(one.end), one)
        self._verdict.sessions = list(self._sessions())

    def _came_back_into(self, one: Reported) -> bool:
        """Whether a member that was killed had come back before it ended, and was in no sum since."""
        out = self._excuses.at(one.begin) | self._excuses.at(one.end)  # others may have had it in a sum meanwhile
        return any(
            event.what == Happened.MET and event.text in back and struck.at <= event.at <= one.end
            for struck in self._story.strikes
            if struck.fault.action in _KILLS and (back := {*map(card_name, victims(struck, self._setting) & out)})
            for _, event in self._all(Happening)
        )

    def _sessions(self) -> Iterator[Session]:
        """One with a sum a step; of those without as many as the member that saw the most."""
        before = 0.0
        for step in sorted({one.fl_round for _, one in self._reports}):
            here = [(who, one) for who, one in self._reports if one.fl_round == step]
            included = next((one.included for _, one in here if one.finished), frozenset())
            end = max(one.end for _, one in here)
            struck = any(before < struck.at <= end for struck in self._story.strikes)
            aborted = max(sum(who == member and not one.finished for who, one in here) for member in self._everybody)
            yield from [Session(step, frozenset(), touched=True)] * aborted
            if included:
                yield Session(step, included, touched=struck or included != self._everybody)
            before = end

    def _check_events(self) -> None:
        """What a member gives up it reports, and a connection that ends has two ends."""

    def _may_fail(self, who: int | None, failed: Failed) -> bool:
        """A member that is left alone, or whose ledger forbids the step, says so at last."""
        return failed.kind in ("NoResult", "TooFewParties", "NetError") and not self._goes_on_for(who, failed.at)

    def _goes_on_for(self, who: int | None, moment: float) -> bool:
        """Whether the others were there for it and it met no fault."""
        return who not in self._excuses.at(moment) and not any(
            one.status != -9 and one.at <= moment for _, one in self._all(Ended)
        )

    def _given_up(self) -> float:
        return 0.0 if self._all(Failed) else float("inf")
