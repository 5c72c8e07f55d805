"""The demo from its options to its results."""

import sys
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console

from fl_integration.schema import Table
from fl_integration.tabular import load_table
from fl_integration.workload import evaluate, train_alone, train_pooled
from net.config import Address, MeshConfig
from veilsum.demo.crew import Crew, Event
from veilsum.demo.files import (
    COORDINATOR,
    LOOPBACK,
    Workplace,
    mesh_places,
    open_workplace,
    write_consortium,
    write_coordinator,
    write_party,
    write_tables,
)
from veilsum.demo.guard import Keeper, temporary_files_in
from veilsum.demo.plan import Plan
from veilsum.demo.recording import Recording, is_exact
from veilsum.demo.results import Dropped, Results, RoundResult, Scores
from veilsum.demo.source import Source, source_of
from veilsum.demo.tables import show_plan, show_results, show_round
from veilsum.errors import Fault


def run_demo(planned: Plan, *, out: Path | None, json: bool) -> None:
    """Shows the demo, on standard error when `json`, and then ends standard output with its line.

    Raises WrongUsage when `out` cannot be used, Fault when a process fails or a sum is not exact.
    """
    console = Console(stderr=json, highlight=False)
    with Keeper() as keeper, temporary_files_in(keeper.folder):
        place = open_workplace(out or keeper.folder / "demo")
        show_plan(console, planned)
        recording = Recording(keeper.folder / "recording")
        recording.folder.mkdir()
        source = source_of(planned.options)
        results = _Demo(planned, place, recording, console, source).run(keeper)
    show_results(console, results)
    if json:
        sys.stdout.write(f"{results.to_json()}\n")
    if not results.exact:
        raise Fault("a sum differs from what the included banks encoded: please report it")


class _Demo:
    def __init__(self, planned: Plan, place: Workplace, recording: Recording, console: Console, source: Source) -> None:
        self._plan = planned
        self._place = place
        self._recording = recording
        self._console = console
        self._source = source
        self._lost = frozenset(planned.lost)
        self._all_exact = True

    def run(self, keeper: Keeper) -> Results:
        with self._console.status("writing identities, configuration and tables"):
            self._write()
            held_out = self._load(self._place.held_out)
        rounds = self._train(keeper, held_out)
        with self._console.status("training on each table alone, and on all in one place"):
            scores = self._compare(held_out)
        return Results(protocol=self._plan.family.name, rounds=rounds, auc=scores, exact=self._all_exact)

    def _write(self) -> None:
        source = self._source
        write_tables(self._place, self._plan, source.tables, source.held_out)
        write_consortium(self._place, self._plan, source.training)
        if self._plan.has_coordinator:
            write_coordinator(self._place, Address(LOOPBACK, 0))

    def _load(self, path: Path) -> Table:
        source = self._source
        return load_table(path, source.schema, label=source.label, positive=source.positive)

    # Training

    def _train(self, keeper: Keeper, held_out: Table) -> list[RoundResult]:
        rounds: list[RoundResult] = []
        with Crew(keeper) as crew, self._console.status("starting the processes") as status:
            for event in self._sessions(crew):
                exact = self._measure(event)
                if event["step"] > 0:  # step 0 sums the statistics and trains nothing
                    rounds.append(self._round(event, exact, held_out))
                    show_round(self._console, rounds[-1])
                status.update(f"{len(rounds)} of {self._plan.options.rounds} rounds")
            crew.finish(self._lost)
        return rounds

    def _sessions(self, crew: Crew) -> Iterator[Event]:
        """Starts the processes and yields the report of each session that ended with a sum."""
        events = self._start_coordinated(crew) if self._plan.has_coordinator else self._start_mesh(crew)
        yield from (event for event in events if event["included"])

    def _start_coordinated(self, crew: Crew) -> Iterator[Event]:
        """The coordinator's reports."""
        place, folder = self._place, str(self._recording.folder)
        crew.start(COORDINATOR, place.log(COORDINATOR), "coordinator", str(place.coordinator), folder, reports=True)
        events = crew.events(COORDINATOR, self._lost)
        listening = next(events, None)
        if listening is None:
            crew.finish(self._lost)
            raise Fault("the coordinator ended before it listened")
        address = Address(listening["host"], listening["port"])
        write_coordinator(place, address)
        for bank in self._plan.banks:
            self._start_bank(crew, bank, address)
        return events

    def _start_mesh(self, crew: Crew) -> Iterator[Event]:
        """The reports of the first bank, which is never lost."""
        reporter, *_ = self._plan.banks
        for bank, where in mesh_places(self._plan.banks).items():
            self._start_bank(crew, bank, where, reports=bank == reporter)
        return crew.events(reporter, self._lost)

    def _start_bank(self, crew: Crew, bank: str, where: Address | MeshConfig, *, reports: bool = False) -> None:
        place, role = self._place, "reporter" if reports else "party"
        write_party(place, self._plan, bank, where, self._source.label)
        stage = [self._plan.stage.value] if bank in self._lost else []
        folder = str(self._recording.folder)
        crew.start(bank, place.log(bank), role, str(place.party(bank)), folder, bank, *stage, reports=reports)

    def _measure(self, event: Event) -> bool:
        exact = is_exact(self._recording, event["step"], event["included"])
        self._all_exact &= exact
        return exact

    def _round(self, event: Event, exact: bool, held_out: Table) -> RoundResult:
        return RoundResult(
            round=event["step"],
            included=event["included"],
            dropped=[Dropped(bank, stage) for bank, stage in event["dropped"].items()],
            absent=event["absent"],
            exact=exact,
            bytes_up_per_bank=event["bytes_up"],
            seconds=round(event["seconds"], 3),
            auc=_auc(self._recording.payload(event["step"]).read_bytes(), held_out),
        )

    def _compare(self, held_out: Table) -> Scores:
        """The same learner with as many passes in all, on each table alone and on all of them."""
        tables = {bank: self._load(self._place.table(bank)) for bank in self._plan.banks}
        training = self._source.training
        last = self._recording.payload(self._plan.options.rounds).read_bytes()
        return Scores(
            alone={bank: _auc(train_alone(training, table), held_out) for bank, table in tables.items()},
            federated=_auc(last, held_out),
            pooled=_auc(train_pooled(training, list(tables.values())), held_out),
        )


def _auc(payload: bytes, held_out: Table) -> float:
    return round(evaluate(payload, held_out)["auc"], 4)
