"""From a scenario to what came of it: the one call that everything else here is built on."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mpc.work import Work
from protocols.errors import SERVER, PartyId
from protocols.families import FAMILIES, family_of
from protocols.family import Family
from protocols.machine import Aborted, Finished, Outcome
from protocols.session import VectorSpec
from simulations.oracle import Oracle
from simulations.plain import ScenarioError
from simulations.rates import Rates
from simulations.rounds import Phase
from simulations.scenario import Scenario
from simulations.seats import Consortium, Seats
from simulations.session import Clock, Dropped, Tap, VirtualSession


@dataclass(frozen=True, slots=True)
class Measured:
    """Seconds of this machine's processor: all of the server's calls, and on average one party's."""

    server_seconds: float
    party_seconds: float


@dataclass(frozen=True, slots=True)
class RoundResult:
    """What came of one session.

    included: whose inputs are in the sum. exact: whether it is the sum of exactly these, and everybody who was given a
    sum was given this one; None where there is none. aborted: why there is none. virtual_seconds: until the server
    ended, or the last peer. recovery_seconds: of these, those after the round in which inputs leave; None where there
    is no sum. bytes_*: the most that one included party sent and heard, with frames; of all parties where there is no
    sum. server_masks_expanded: keystreams that the server opened; None without a server. touched: parties
    to whom a fault happened. left_behind: those for whom the server, or a peer, no longer waited although it had
    patience left. wire: digest of all that was sent, in order. bytes_by_stage: (up, down), of all parties.
    """

    fl_round: int
    included: tuple[PartyId, ...]
    dropped: tuple[Dropped, ...]
    exact: bool | None
    aborted: str | None
    virtual_seconds: float
    recovery_seconds: float | None
    bytes_up_per_client: int
    bytes_down_per_client: int
    server_masks_expanded: int | None
    touched: frozenset[PartyId]
    left_behind: frozenset[PartyId] = field(repr=False)
    phases: tuple[Phase, ...] = field(repr=False)
    bytes_by_stage: Mapping[str, tuple[int, int]] = field(repr=False)
    server_work: Work = field(repr=False)
    party_work: Work = field(repr=False)
    bytes_up: Mapping[PartyId, int] = field(repr=False)
    bytes_down: Mapping[PartyId, int] = field(repr=False)
    wire: str = ""
    measured: Measured | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """degree: peers with whom a party shares its secrets. threshold: answers that rebuild them. None: not known."""

    scenario: Scenario
    degree: int | None
    threshold: int | None
    rounds: tuple[RoundResult, ...]

    def to_json(self) -> dict[str, Any]:
        """As docs/json.md says."""
        value = {
            "protocol": self.scenario.protocol,
            "parties": self.scenario.parties,
            "degree": self.degree,
            "threshold": self.threshold,
            "rounds": [_round_json(one) for one in self.rounds],
        }
        measured = [one.measured for one in self.rounds if one.measured]
        if measured:
            value["measured"] = {
                "server_seconds": [one.server_seconds for one in measured],
                "party_seconds": [one.party_seconds for one in measured],
            }
        return value


def _round_json(one: RoundResult) -> dict[str, Any]:
    return {
        "included": list(one.included),
        "dropped": [{"party": lost.party, "stage": lost.stage, "reason": lost.reason} for lost in one.dropped],
        "exact": one.exact,
        "aborted": one.aborted,
        "virtual_seconds": one.virtual_seconds,
        "bytes_up_per_client": one.bytes_up_per_client,
        "bytes_down_per_client": one.bytes_down_per_client,
        "server_masks_expanded": one.server_masks_expanded,
    }


def simulate(
    scenario: Scenario,
    *,
    family: Family | None = None,
    rates: Rates | None = None,
    tap: Tap | None = None,
    clock: Clock | None = None,
    on_round: Callable[[RoundResult], None] = lambda result: None,
) -> Report:
    """All rounds of the scenario. family: of a protocol that `protocols.families` does not know.

    clock: of real seconds, for `measured`. Raises ScenarioError for a protocol that is not there, or one that does not
    take part in such a session.
    """
    consortium = Consortium(scenario, family or known_family(scenario))
    spec = VectorSpec(scenario.dimension, scenario.field_)
    oracle = Oracle(spec.field, spec.length, scenario.parties, scenario.seed)
    numbers = _degree_and_threshold(consortium.session(1, spec))
    results = []
    for fl_round in range(1, scenario.rounds + 1):
        seats = consortium.session(fl_round, spec)
        held = hold(scenario, seats, fl_round, oracle=oracle, rates=rates, tap=tap, clock=clock)
        results.append(held)
        on_round(held)
    return Report(scenario, *numbers, tuple(results))


def known_family(scenario: Scenario) -> Family:
    """Raises ScenarioError."""
    protocol, rounds = scenario.protocol, scenario.rounds_per_epoch
    try:
        return family_of(protocol, rounds)
    except KeyError as exc:
        if protocol in FAMILIES:
            raise ScenarioError(f"rounds_per_epoch is {rounds}: {protocol} has no epochs") from exc
        raise ScenarioError(f"protocol is {protocol!r}: this version runs {', '.join(FAMILIES)}") from exc


def hold(
    scenario: Scenario, seats: Seats, fl_round: int, *, oracle: Oracle, rates: Rates | None = None,
    tap: Tap | None = None, clock: Clock | None = None,
) -> RoundResult:  # fmt: skip
    """One session over the oracle's inputs."""
    session = VirtualSession(
        seats, scenario, scenario.plan(fl_round), fl_round,
        inputs=oracle.input, judge=oracle.exact, rates=rates, tap=tap, clock=clock,
    )  # fmt: skip
    session.run()
    return result_of(session, fl_round, measured=clock is not None)


def result_of(session: VirtualSession, fl_round: int, *, measured: bool = False) -> RoundResult:
    """After `run`."""
    tally, outcomes = session.tally, {place: seat.outcome for place, seat in session.seats.items()}
    finished = [outcome for outcome in _who_decides(outcomes) if isinstance(outcome, Finished)]
    included = finished[0].aggregate.included if finished else frozenset()
    counted = included or frozenset(place for place in session.seats if place != SERVER)
    parties = [place for place in session.seats if place != SERVER]
    server = SERVER in session.seats
    return RoundResult(
        fl_round,
        included=tuple(sorted(included)),
        dropped=session.dropped,
        exact=not session.wrong if finished else None,
        aborted=None if finished else _why(outcomes),
        virtual_seconds=session.ended or 0.0,
        recovery_seconds=_after_input(session) if finished else None,
        bytes_up_per_client=max(tally.up[place] for place in counted),
        bytes_down_per_client=max(tally.down[place] for place in counted),
        server_masks_expanded=tally.server.streams if server else None,
        touched=frozenset(tally.touched),
        left_behind=frozenset(tally.left_behind),
        phases=tuple(tally.phases),
        bytes_by_stage=_by_stage(session),
        server_work=tally.server,
        party_work=tally.parties,
        bytes_up={place: tally.up[place] for place in parties},
        bytes_down={place: tally.down[place] for place in parties},
        wire=tally.wire.hexdigest(),
        measured=Measured(tally.server_seconds, tally.party_seconds / len(parties)) if measured else None,
    )


def _who_decides(outcomes: Mapping[PartyId, Outcome | None]) -> list[Outcome | None]:
    """The server; without one all peers."""
    return [outcomes[SERVER]] if SERVER in outcomes else list(outcomes.values())


def _why(outcomes: Mapping[PartyId, Outcome | None]) -> str:
    reasons = [outcome.reason.value for outcome in _who_decides(outcomes) if isinstance(outcome, Aborted)]
    return reasons[0] if reasons else "vanished"


def _after_input(session: VirtualSession) -> float | None:
    closed = [one.closed for one in session.tally.phases if one.name == session.input_stage]
    return session.ended - closed[0] if closed and session.ended is not None else None


def _by_stage(session: VirtualSession) -> dict[str, tuple[int, int]]:
    sizes = session.tally.by_stage
    return {stage: (sizes[stage, True], sizes[stage, False]) for stage in dict.fromkeys(stage for stage, _ in sizes)}


def _degree_and_threshold(seats: Seats) -> tuple[int | None, int | None]:
    """As the protocol says itself: the complete graph where it speaks of no degree (k), and the most answers that one
    of its steps needs (t; U and q where it decodes and certifies)."""
    parties = len(seats.consortium.members)
    try:
        numbers = seats.family.numbers(seats.params, parties)
    except ValueError as exc:
        raise ScenarioError(f"{seats.family.name}: {exc}") from exc
    needed = [numbers[name] for name in ("t", "U", "q") if name in numbers]
    return numbers.get("k", parties - 1), max(needed, default=None)
