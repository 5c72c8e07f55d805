"""Both processes as plain calls, for programs without an event loop of their own; a party also in its own thread.

They mask and unmask on all cores that the process may use.
"""

import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial

import trio

from net import cores
from net.config import CoordinatorConfig, PartyConfig
from net.coordinator import OnListening, run_coordinator
from net.events import BeforeSend, OnEvent
from net.party import run_party
from net.report import OnReport
from net.workload import Workload


def coordinate(
    config: CoordinatorConfig, workload: Workload, initial: bytes, *, on_report: OnReport, on_listening: OnListening
) -> None:
    """`run_coordinator`, to its end."""
    cores.run(partial(run_coordinator, config, workload, initial, on_report=on_report, on_listening=on_listening))


def take_part(
    config: PartyConfig,
    workload: Workload,
    initial: bytes,
    *,
    before_send: BeforeSend,
    on_event: OnEvent,
    on_report: OnReport,
) -> None:
    """`run_party`, to its end."""
    hooks = partial(run_party, before_send=before_send, on_event=on_event, on_report=on_report)
    cores.run(hooks, config, workload, initial)


class PartyThread:
    """`run_party` in a thread, so that its caller can be any program.

    The workload's `contribute` may wait for that program: it is left alone when its session is over. on_event is called
    in the thread; so is on_end, once and last, with the error that ended it or None. A caller that waits for the
    thread must be woken by on_end.
    """

    def __init__(
        self,
        config: PartyConfig,
        workload: Workload,
        initial: bytes,
        *,
        on_event: OnEvent,
        on_end: Callable[[Exception | None], None],
    ) -> None:
        hooks = partial(run_party, on_event=on_event, at_once=True, abandon_training=True)
        self._run_party = partial(hooks, config, workload, initial)
        self._on_end = on_end
        self._running: tuple[trio.lowlevel.TrioToken, trio.Event] | None = None
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, name="veilsum party", daemon=True)

    def start(self) -> None:
        """Returns at once."""
        self._thread.start()

    def stop(self) -> None:
        """Ends it where it stands, closes its connection and waits for its end, which takes no answer of anybody."""
        self._started.wait()
        if self._running is not None:
            token, stop = self._running
            with suppress(trio.RunFinishedError):
                token.run_sync_soon(stop.set)
        self._thread.join()

    def _run(self) -> None:
        error: Exception | None = None
        try:
            cores.run(self._take_part)
        except Exception as exc:
            error = exc
        finally:
            self._started.set()
            self._on_end(error)

    async def _take_part(self) -> None:
        stop = trio.Event()
        self._running = trio.lowlevel.current_trio_token(), stop
        self._started.set()
        await self._run_party(stop=stop)
