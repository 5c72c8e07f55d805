"""Both processes as plain calls, for programs without an event loop of their own."""

from functools import partial

import trio

from net.config import CoordinatorConfig, PartyConfig
from net.contributing import BeforeSend
from net.coordinator import OnListening, OnReport, run_coordinator
from net.party import OnEvent, run_party
from net.workload import Workload


def coordinate(
    config: CoordinatorConfig, workload: Workload, initial: bytes, *, on_report: OnReport, on_listening: OnListening
) -> None:
    """`run_coordinator`, to its end."""
    trio.run(partial(run_coordinator, config, workload, initial, on_report=on_report, on_listening=on_listening))


def take_part(
    config: PartyConfig, workload: Workload, initial: bytes, *, before_send: BeforeSend, on_event: OnEvent
) -> None:
    """`run_party`, to its end."""
    trio.run(partial(run_party, config, workload, initial, before_send=before_send, on_event=on_event))
