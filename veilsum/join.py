"""Where the parts are joined: a process of `net` with a workload of `fl_integration`, from the process's own file."""

from collections.abc import Callable
from pathlib import Path

from fl_integration.layout import PayloadError
from fl_integration.means import KIND, Means, MeanWorkload
from fl_integration.plan import PlanError
from fl_integration.schema import SchemaError, Table
from fl_integration.tabular import DataError, load_table
from fl_integration.training import TrainingConfig, TrainingError
from fl_integration.workload import TabularWorkload, initial_payload
from mpc.encoding import EncodingError
from mpc.randomness import SystemRandomness
from net.blocking import coordinate as run_coordinator
from net.blocking import take_part
from net.config import CoordinatorConfig, PartyConfig, load_consortium
from net.coordinator import OnListening
from net.errors import NetError
from net.events import BeforeSend, Happened, OnEvent, PartyEvent, ignore
from net.report import OnReport, SessionReport
from net.store import read_keys, read_payload
from net.workload import Workload
from protocols.roster import Consortium, ConsortiumError
from veilsum.result import describe

FOR_PEOPLE = (NetError, ConsortiumError, DataError, SchemaError, TrainingError, PlanError, PayloadError, EncodingError)
"""Errors whose text is a line for the person who runs the process."""

Wrap = Callable[[TabularWorkload], Workload]

_STORED = (Happened.ADOPTED, Happened.SUMMED, Happened.FINISHED)  # a payload is on disk that may not have been there


def serve(
    config: CoordinatorConfig, *, on_report: OnReport, on_listening: OnListening, wrap: Wrap = lambda workload: workload
) -> None:
    """A coordinator to its end. It holds no rows. Raises the errors of FOR_PEOPLE."""
    consortium = load_consortium(config.consortium)
    means = means_of(consortium, config.consortium)
    members = len(consortium.members)
    workload = MeanWorkload(means, members) if means else wrap(_workload(consortium, config.consortium, None))
    require_ours(config.payload, workload)
    initial = means.initial() if means else initial_payload(consortium.training)

    def described(report: SessionReport) -> None:
        if not means:
            describe(config.payload, consortium)
        on_report(report)

    run_coordinator(config, workload, initial, on_report=described, on_listening=on_listening)


def contribute(
    config: PartyConfig,
    *,
    before_send: BeforeSend = ignore,
    on_event: OnEvent = ignore,
    on_report: OnReport = ignore,
    wrap: Wrap = lambda workload: workload,
) -> None:
    """A party to its end, with the rows of its own table, or with none where it only aggregates. Raises the errors of
    FOR_PEOPLE."""
    consortium = load_consortium(config.consortium)
    if means_of(consortium, config.consortium):
        raise TrainingError(f"{config.consortium}: programs contribute to this training: call veilsum.connect in yours")
    table = None if only_aggregates(config, consortium) else own_table(config, consortium)
    workload = wrap(_workload(consortium, config.consortium, table))
    require_ours(config.payload, workload)

    def described(event: PartyEvent) -> None:
        if event.what in _STORED:
            describe(config.payload, consortium)
        on_event(event)

    initial = initial_payload(consortium.training)
    take_part(config, workload, initial, before_send=before_send, on_event=described, on_report=on_report)


def only_aggregates(config: PartyConfig, consortium: Consortium) -> bool:
    """Whether this party is of a committee that contributes nothing. Raises KeyFileError and ConsortiumError."""
    if not consortium.aggregators:
        return False
    return consortium.party_of(read_keys(config.identity).identity.verify_key) in consortium.committee


def own_table(config: PartyConfig, consortium: Consortium) -> Table:
    """A party's rows. What its own file does not say of the label, the consortium's does. Raises DataError."""
    training = _training(consortium, config.consortium)
    if config.data is None:
        raise DataError("'data' is missing in this party's file: name the table that it trains on")
    label, positive = config.label or training.label, config.positive or training.positive
    return load_table(config.data, training.schema, label=label, positive=positive)


def means_of(consortium: Consortium, file: Path) -> Means | None:
    """What programs sum; None where parties train on their tables. Raises PlanError naming the consortium's file."""
    if consortium.training.get("kind") != KIND:
        return None
    try:
        return Means.from_mapping(consortium.training, max_weight=consortium.max_weight)
    except PlanError as exc:
        raise PlanError(f"{file}: [training] {exc}") from exc


def require_ours(file: Path, workload: Workload) -> None:
    """Raises PayloadError when the stored model is none of this training."""
    try:
        if (payload := read_payload(file)) is not None:
            workload.fl_round(payload)
    except PayloadError as exc:
        raise PayloadError(
            f"{file}: {exc}: move it away to start anew, or use the consortium's file that it was made under"
        ) from exc


def _training(consortium: Consortium, file: Path) -> TrainingConfig:
    try:
        return TrainingConfig.from_mapping(consortium.training)
    except (TrainingError, SchemaError) as exc:
        raise TrainingError(f"{file}: {exc}") from exc


def _workload(consortium: Consortium, file: Path, table: Table | None) -> TabularWorkload:
    _training(consortium, file)
    return TabularWorkload(
        consortium.training,
        clients=len(consortium.members),
        max_weight=consortium.max_weight,
        data=table,
        rand=SystemRandomness(),
    )
