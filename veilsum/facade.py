"""The facade over the real network: a party runs in a thread of its own, the program contributes and gets the means."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any, Self, TypeAlias

from fl_integration.aggregation import AggregationError, Mean
from fl_integration.forms import Form, Update, tensors_of
from fl_integration.handover import Handover
from fl_integration.means import Asked, Means, MeanWorkload, State
from fl_integration.waiting import finish_in_thread, in_thread
from mpc.field import FieldVector
from mpc.randomness import SystemRandomness
from net.blocking import PartyThread
from net.config import PartyConfig, load_consortium, load_coordinator, load_party
from net.errors import ConfigError
from net.events import Happened, PartyEvent
from net.store import read_payload
from veilsum.join import FOR_PEOPLE, means_of, require_ours
from veilsum.join import serve as run_coordinator

File: TypeAlias = str | PathLike[str]
Metrics: TypeAlias = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Task:
    """What the next contribution is for: round `fl_round` of `rounds`. mean: the last one; None before the first."""

    fl_round: int
    rounds: int
    mean: Mean | None


def connect(file: File) -> "ConnectedAggregation":
    """A party's session with its coordinator, for `with` or `async with`. file: its party.toml.

    Raises AggregationError with the line that says which file is wrong and what would help.
    """
    with _in_one_line():
        config = load_party(Path(file))
        consortium = load_consortium(config.consortium)
        if (means := means_of(consortium, config.consortium)) is None:
            raise ConfigError(f"{config.consortium}: parties train on tables here: start veilsum party {file}")
        session = ConnectedAggregation(config, means, len(consortium.members))
        require_ours(config.payload, session._workload)
    return session


def serve(file: File, *, on_listening: Callable[[str, int], None] = lambda _host, _port: None) -> None:
    """A coordinator to its end, in the main thread. file: its coordinator.toml. on_listening: told host and port.

    Raises AggregationError with the line that `veilsum coordinator` would end with.
    """
    with _in_one_line():
        run_coordinator(load_coordinator(Path(file)), on_report=lambda _report: None, on_listening=on_listening)


class ConnectedAggregation:
    """A party's part in a training, from `connect`: contribute and take the mean, round by round.

    Calls may come from several threads. Whatever ends the network's thread ends each call that waits, with an
    AggregationError. `async with` gives the same calls to be awaited.
    """

    def __init__(self, config: PartyConfig, means: Means, clients: int) -> None:
        self._means = means
        self._file = config.payload
        self._form = Form.of_names([entry.name for entry in means.layout.entries])
        self._handover = Handover()
        self._workload = MeanWorkload(means, clients, self._handover.ask, self._handover.computed)
        self._thread = PartyThread(
            config, self._workload, means.initial(), on_event=self._happened, on_end=self._thread_ended
        )
        self._entered = False

    def __enter__(self) -> Self:
        if self._entered:
            raise AggregationError("a session is opened once: connect again for another one")
        self._entered = True
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> "AwaitableConnected":
        self.__enter__()
        return AwaitableConnected(self)

    async def __aexit__(self, *_: object) -> None:
        await finish_in_thread(self.close)

    def close(self) -> None:
        """Leaves the training where it stands, as the end of `with` does: take the mean of a contribution first."""
        if self._entered:
            self._handover.end("the session is closed: connect again")
            self._thread.stop()

    def task(self) -> Task | None:
        """Waits until the coordinator asks for a contribution; None when the training has finished.

        Not needed by a program that was there in each round. Raises AggregationError when the party cannot go on.
        """
        asked = self._opened().wait_for_task()
        if asked is None:
            return None
        return Task(asked.state.fl_round, self._means.rounds, self._mean(asked.state))

    def contribute(self, update: Update, *, weight: int = 1, metrics: Metrics | None = None) -> None:
        """Waits until the coordinator asks, and hands the encoded update over.

        Raises LayoutError for another layout than the agreed one and EncodingError for what cannot be encoded: the
        round stays open then. Raises AggregationError when the round went on without us.
        """
        self._give(self._opened().wait_to_contribute(), update, weight, metrics)

    def mean(self) -> Any:
        """The weighted mean that our last contribution is in, in its form. Raises as `result`."""
        return self.result().update

    def result(self) -> Mean:
        """Waits for the mean, with what travelled beside it. Raises AggregationError where our contribution is in none.

        The coordinator then asks again: train anew, rather than sending the same update a second time, and contribute.
        """
        mean = self._mean(self._opened().wait_for_outcome())
        assert mean is not None
        return mean

    def latest(self) -> Mean | None:
        """The last mean that this party holds, with or without a contribution of its own; None before the first."""
        with _in_one_line():
            payload = read_payload(self._file)
            return None if payload is None else self._mean(self._means.load(payload))

    def _give(self, asked: Asked, update: Update, weight: int, metrics: Metrics | None) -> None:
        flat = self._means.layout.flatten(tensors_of(update))
        rand = SystemRandomness()

        def encode(asked: Asked) -> FieldVector:
            return asked.codec.encode(flat, weight=weight, metrics=metrics or {}, rand=rand)

        self._opened().give(asked, encode)
        self._form = Form.of(update)

    def _mean(self, state: State) -> Mean | None:
        if (facts := state.facts) is None:
            return None
        return Mean(
            update=self._form.restored(state.tensors),
            included=frozenset(facts.included),
            total_weight=facts.total_weight,
            clipped=facts.clipped,
            metrics=facts.metrics,
        )

    def _opened(self) -> Handover:
        if not self._entered:
            raise AggregationError("the session is not open: use with veilsum.connect(..) as session")
        return self._handover

    # Called in the party's thread

    def _happened(self, event: PartyEvent) -> None:
        match event.what:
            case Happened.SUMMED:
                self._handover.summed()
            case Happened.ABORTED:
                self._handover.aborted(event.text)
            case Happened.DECLINED:
                self._handover.end(event.text)

    def _thread_ended(self, error: Exception | None) -> None:
        if error is None:
            self._handover.end("the training has finished: no round is left", finished=True)
        elif isinstance(error, FOR_PEOPLE):
            self._handover.end(str(error))
        else:
            self._handover.end(f"the party ended unexpectedly: {error!r}")


@dataclass(frozen=True, slots=True)
class AwaitableConnected:
    """A `ConnectedAggregation` whose calls are awaited, under asyncio as under trio. They raise the same errors."""

    _session: ConnectedAggregation

    async def task(self) -> Task | None:
        """As in `ConnectedAggregation`."""
        return await in_thread(self._session.task, abandon=True)

    async def contribute(self, update: Update, *, weight: int = 1, metrics: Metrics | None = None) -> None:
        """As in `ConnectedAggregation`. Cancelled while it waits, it contributes nothing."""
        asked = await in_thread(self._session._opened().wait_to_contribute, abandon=True)
        await in_thread(partial(self._session._give, asked, update, weight, metrics))

    async def mean(self) -> Any:
        """As in `ConnectedAggregation`."""
        return await in_thread(self._session.mean, abandon=True)

    async def result(self) -> Mean:
        """As in `ConnectedAggregation`."""
        return await in_thread(self._session.result, abandon=True)


@contextmanager
def _in_one_line() -> Iterator[None]:
    """What a person would read at the end of a command, as the facade's own error."""
    try:
        yield
    except FOR_PEOPLE as exc:
        raise AggregationError(str(exc)) from exc
