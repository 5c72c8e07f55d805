"""`veilsum coordinator` and `veilsum party` to their end, with logs and a bar that shows an upload."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn

from net.config import load_consortium, load_coordinator, load_party
from net.events import Happened, PartyEvent
from net.report import OnReport, SessionReport
from protocols.advisor import reconsider
from protocols.errors import PartyId
from protocols.roster import Consortium
from veilsum.join import contribute, serve
from veilsum.logs import LogFormat, set_up_logging, tell


def coordinate(file: Path, log_format: LogFormat) -> None:
    """`veilsum coordinator`. Raises the errors of FOR_PEOPLE."""
    with _events(log_format) as logger:
        _coordinate(file, logger)


def participate(file: Path, log_format: LogFormat) -> None:
    """`veilsum party`. Raises the errors of FOR_PEOPLE."""
    with _events(log_format) as logger:
        config = load_party(file)
        if config.mesh is None:
            tell(logger, "dialling", None, f"looking for the coordinator at {config.address}")
        else:
            tell(logger, "listening", None, f"listening on {config.mesh.listen}, and looking for the other members")
        with _Display(logger, config.payload, bar=log_format is LogFormat.TEXT) as display:
            contribute(config, on_event=display.show, on_report=_reporting(config.consortium, logger, "session"))


@contextmanager
def _events(log_format: LogFormat) -> Iterator[logging.Logger]:
    """Where a process's events go. A machine hears of the end as well; a person reads it on standard error."""
    logger = set_up_logging(log_format)
    try:
        yield logger
    except Exception as exc:
        if log_format is LogFormat.JSON:
            tell(logger, "failed", None, f"{exc}", level=logging.ERROR)
        raise


def _coordinate(file: Path, logger: logging.Logger) -> None:
    config = load_coordinator(file)

    def on_listening(host: str, port: int) -> None:
        tell(logger, "listening", None, f"listening on {host}:{port}")

    serve(config, on_report=_reporting(config.consortium, logger), on_listening=on_listening)
    tell(logger, "finished", None, f"the model is in {config.payload}")


def _reporting(consortium: Path, logger: logging.Logger, event: str | None = None) -> OnReport:
    """A line for each session, with names, and one where its losses speak for other terms. event: None: by how it
    ended.
    """
    agreed = load_consortium(consortium)
    advise = _advising(agreed)

    def on_report(report: SessionReport) -> None:
        what = event or ("summed" if report.included else "aborted")
        tell(logger, what, report.fl_round, _report_line(report, lambda party: agreed.members[party].name))
        if said := advise(report):
            tell(logger, "advice", report.fl_round, said)

    return on_report


def _advising(agreed: Consortium) -> Callable[[SessionReport], str | None]:
    """What the advisor would change for the most parties that a session has lost so far; said once."""
    most = agreed.losses

    def advise(report: SessionReport) -> str | None:
        nonlocal most
        lost = len(report.dropped.keys() | report.absent)
        if lost <= most:
            return None
        most = lost
        return reconsider(
            agreed.protocol, len(agreed.members), agreed.colluding, agreed.losses, lost, agreed.variant
        )  # fmt: skip

    return advise


_TEXTS: Final = {
    Happened.CONNECTED: "connected to the coordinator",
    Happened.TURNED_AWAY: "{text}",
    Happened.LOST: "the connection to the coordinator is lost, dialling again",
    Happened.RESUMED: "the session that was open goes on",
    Happened.MET: "connected to {text}",
    Happened.PARTED: "the connection to {text} is lost",
    Happened.TASK: "training on our own rows",
    Happened.TRAINED: "trained, waiting for the others",
    Happened.SUMMED: "{text}",
    Happened.ABORTED: "no sum: {text}",
    Happened.ADOPTED: "{text}",
    Happened.DECLINED: "not taken: {text}",
    Happened.CONTESTED: "a record of the coordinator is contested, and kept as evidence: {text}",
    Happened.FINISHED: "the training is finished, the model is in {model}",
}


class _Display:
    """A line for each event; while a vector is uploaded, a bar on standard error where that is a terminal."""

    def __init__(self, logger: logging.Logger, model: Path, *, bar: bool) -> None:
        console = Console(stderr=True)
        self._logger = logger
        self._model = model
        self._progress = Progress(
            TextColumn("uploading"), BarColumn(), DownloadColumn(),
            console=console, transient=True, disable=not (bar and console.is_terminal),
        )  # fmt: skip
        self._upload: TaskID | None = None

    def show(self, event: PartyEvent) -> None:
        if event.what is Happened.UPLOADING:
            self._show_upload(event.done, event.total)
        else:
            text = _TEXTS[event.what].format(text=event.text, model=self._model)
            where = "" if event.fl_round is None or event.what is Happened.FINISHED else f"round {event.fl_round}: "
            tell(self._logger, event.what.value, event.fl_round, where + text)

    def _show_upload(self, done: int, total: int) -> None:
        if self._upload is None:
            self._upload = self._progress.add_task("", total=total)
        self._progress.update(self._upload, completed=done)
        if done == total:
            self._progress.remove_task(self._upload)
            self._upload = None

    def __enter__(self) -> "_Display":
        self._progress.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._progress.stop()


def _report_line(report: SessionReport, name: Callable[[PartyId], str]) -> str:
    lost = "".join(f", {name(party)} lost at {stage.value}" for party, (stage, _) in sorted(report.dropped.items()))
    absent = "".join(f", {name(party)} not there" for party in sorted(report.absent))
    if not report.included:
        return f"round {report.fl_round}: no sum{lost}{absent}"
    names = ", ".join(name(party) for party in sorted(report.included))
    return f"round {report.fl_round}: the sum of {names}{lost}{absent} ({report.seconds:.1f} s)"
