"""One process of the demo: `veilsum coordinator` or `veilsum party`, recorded, and lost where it was told to be.

    python -m veilsum.demo.child coordinator CONFIG RECORDING
    python -m veilsum.demo.child party CONFIG RECORDING BANK [STAGE]
    python -m veilsum.demo.child reporter CONFIG RECORDING BANK

The coordinator, and in a mesh one bank in its place, reports on standard output, one JSON object a line. Whatever else
is to be said goes to standard error.
"""

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from veilsum.demo.guard import die_with_parent
from veilsum.demo.options import FIRST_LOSS

if TYPE_CHECKING:
    from net.report import OnReport, SessionReport


def _coordinate(config: str, recording: str) -> None:
    from net.config import load_coordinator
    from veilsum.demo.recording import RecordedCoordinator, Recording
    from veilsum.join import serve

    own = load_coordinator(Path(config))
    serve(
        own,
        on_report=_reporting(own.consortium, lambda report: max(report.bytes_up[party] for party in report.included)),
        on_listening=lambda host, port: _report(host=host, port=port),
        wrap=lambda workload: RecordedCoordinator(workload, Recording(Path(recording))),
    )


def _take_part(config: str, recording: str, bank: str, stage: str | None = None) -> None:
    from net.config import load_party
    from veilsum.demo.recording import RecordedBank, Recording
    from veilsum.join import contribute

    def before_send(fl_round: int, message: Any) -> None:
        if fl_round == FIRST_LOSS and message.round.value == stage:
            os.kill(os.getpid(), signal.SIGKILL)

    contribute(
        load_party(Path(config)),
        before_send=before_send,
        wrap=lambda workload: RecordedBank(workload, Recording(Path(recording)), bank),
    )


def _take_part_and_report(config: str, recording: str, bank: str) -> None:
    from net.config import load_party
    from veilsum.demo.recording import RecordedReporter, Recording
    from veilsum.join import contribute

    own = load_party(Path(config))
    contribute(
        own,
        on_report=_reporting(own.consortium, lambda report: sum(report.bytes_down.values())),
        wrap=lambda workload: RecordedReporter(workload, Recording(Path(recording)), bank),
    )


def _reporting(consortium: Path, bytes_up: "Callable[[SessionReport], int]") -> "OnReport":
    """bytes_up: that one included bank sent, of a session with a sum."""
    from net.config import load_consortium
    from protocols.errors import PartyId

    members = load_consortium(consortium).members

    def names(parties: Any) -> list[str]:
        return [members[PartyId(party)].name for party in sorted(parties)]

    def on_report(report: "SessionReport") -> None:
        _report(
            step=report.fl_round,
            included=names(report.included),
            dropped={members[party].name: stage.value for party, (stage, _) in sorted(report.dropped.items())},
            absent=names(report.absent),
            bytes_up=bytes_up(report) if report.included else 0,
            seconds=report.seconds,
        )

    return on_report


def _report(**event: Any) -> None:
    sys.stdout.write(json.dumps(event) + "\n")
    sys.stdout.flush()


def _run(role: str, *arguments: str) -> None:
    roles: dict[str, Callable[..., None]] = {
        "coordinator": _coordinate,
        "party": _take_part,
        "reporter": _take_part_and_report,
    }
    roles[role](*arguments)


def main() -> int:
    from veilsum.cli import in_one_line

    die_with_parent()
    try:
        _run(*sys.argv[1:])
    except Exception as exc:  # the one who started us shows it to a person
        sys.stderr.write(f"{in_one_line(exc)}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
