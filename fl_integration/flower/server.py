"""The server's half: a strategy whose grid carries a secure sum where it carried one update a node.

The strategy inside configures and aggregates as ever: it is shown one reply, the sum's, as if a single node held all
rows, and an error for each node that was lost. Below the threshold there are errors alone.
"""

import logging
import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Error, Message, MetricRecord, RecordDict
from flwr.common.constant import ErrorCode
from flwr.proto.node_pb2 import NodeInfo
from flwr.serverapp import Grid
from flwr.serverapp import strategy as strategies
from flwr.serverapp.strategy import Result, Strategy
from flwr.supercore.run import Run

from fl_integration.asking import Held, Packet, why_aborted
from fl_integration.desk import Desk, Patience
from fl_integration.flower.records import (
    RECORD,
    FlowerError,
    arrays_in,
    in_own_types,
    pack,
    replied,
    step_of,
    unpack,
)
from fl_integration.layout import LayoutError
from fl_integration.step import Step
from mpc.encoding import EncodingError
from protocols.machine import Aborted
from protocols.messages import Round

__all__ = ["Secure", "SecureGrid", "Strategy"]

log = logging.getLogger("veilsum.flower")

_SHORTEST_PAUSE: Final = 0.1  # seconds between two looks for answers: a tenth of the wait so far, between these
_LONGEST_PAUSE: Final = 1.0
_IN_MEMORY: Final = 64 * 2**20  # bytes of answers that are fetched at once

_NEEDS_EACH: Final = (
    strategies.Bulyan,
    strategies.FedMedian,
    strategies.FedTrimmedAvg,
    strategies.FedXgbBagging,
    strategies.FedXgbCyclic,
    strategies.Krum,
    strategies.MultiKrum,
    strategies.QFedAvg,
    strategies.DifferentialPrivacyClientSideAdaptiveClipping,
    strategies.DifferentialPrivacyClientSideFixedClipping,
    strategies.DifferentialPrivacyServerSideAdaptiveClipping,
    strategies.DifferentialPrivacyServerSideFixedClipping,
)


class NoSum(Exception):
    """A session that ended without a sum. One line: why."""


class Secure(Strategy):
    """`inner`, with every update and metric of its nodes summed behind masks.

    Raises FlowerError for a strategy that works on the updates one by one.
    """

    def __init__(self, inner: Strategy, desk: Desk[int]) -> None:
        if isinstance(inner, _NEEDS_EACH):
            raise FlowerError(
                f"{type(inner).__name__} looks at each node's update, and a secure sum shows none of them: "
                f"take FedAvg or a strategy that works on the average"
            )
        if not isinstance(inner, Strategy):
            raise FlowerError(f"{type(inner).__name__} is no strategy of flwr.serverapp.strategy: take one of those")
        self.inner = inner
        self._desk = desk

    def start(self, grid: Grid, *args: Any, **kwargs: Any) -> Result:
        """As the strategy's own `start`."""
        secure = SecureGrid(grid, self._desk, weighted_by=getattr(self.inner, "weighted_by_key", "num-examples"))
        try:
            result = self.inner.start(secure, *args, **kwargs)
        finally:
            secure.say_goodbye()
        result.arrays = in_own_types(result.arrays, secure.types)
        return result

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        return self.inner.configure_train(server_round, arrays, config, grid)

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        return self.inner.aggregate_train(server_round, replies)

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        return self.inner.configure_evaluate(server_round, arrays, config, grid)

    def aggregate_evaluate(self, server_round: int, replies: Iterable[Message]) -> MetricRecord | None:
        return self.inner.aggregate_evaluate(server_round, replies)

    def summary(self) -> None:
        self.inner.summary()


class SecureGrid(Grid):
    """A grid whose `send_and_receive` of train and evaluate messages is one session, and one reply."""

    def __init__(self, grid: Grid, desk: Desk[int], *, weighted_by: str) -> None:
        self._grid = grid
        self._desk = desk
        self._weighted_by = weighted_by
        self._last: Message | None = None
        self.types: dict[str, np.dtype[Any]] = {}
        """Of each array, as it was when it was first sent."""

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        """One reply with the sum and an error for each node that was lost, or errors alone.

        Raises FlowerError for messages that do not all say the same, and LayoutError or EncodingError for a model that
        no vector holds.
        """
        asked = list(messages)
        if not asked or asked[0].metadata.message_type.split(".")[0] == "query":
            return self._grid.send_and_receive(asked, timeout=timeout)
        _require_alike(asked)
        first = self._last = asked[0]
        first.content = self._in_own_types(first.content)
        step = step_of(first.metadata, first.content, self._desk.plan, self._desk.clients)
        by_node = {message.metadata.dst_node_id: message for message in asked}
        exchange = _Exchange(self._grid, first, step, self._desk.policy, timeout)
        held = self._desk.questioner.hold_session(step, list(by_node), exchange.ask)
        return list(self._replies(step, held, by_node))

    def _in_own_types(self, content: RecordDict) -> RecordDict:
        name, arrays = arrays_in(content)
        for each, array in arrays.items():
            self.types.setdefault(each, np.dtype(array.dtype))
        return RecordDict({**content, name: in_own_types(arrays, self.types)})

    def _replies(self, step: Step, held: Held[int], asked: Mapping[int, Message]) -> Iterator[Message]:
        for node, round_ in held.lost.items():
            yield _error(asked[node], ErrorCode.NODE_UNAVAILABLE, f"lost in the round {round_.value} of the secure sum")
        try:
            yield self._sum(step, held, asked)
        except (NoSum, EncodingError, LayoutError) as exc:
            for node in asked.keys() - held.lost.keys():
                yield _error(asked[node], ErrorCode.UNKNOWN, f"there is no sum: {exc}")

    def _sum(self, step: Step, held: Held[int], asked: Mapping[int, Message]) -> Message:
        if isinstance(held.outcome, Aborted):
            raise NoSum(why_aborted(held.outcome))
        summed = step.decode(held.outcome.aggregate.vector)
        return replied(asked[min(held.included)], step, summed, self._weighted_by)

    def say_goodbye(self) -> None:
        """What nodes should still hear, that they may forget: pushed, and not waited for."""
        waiting = self._desk.questioner.undelivered
        if self._last is not None and waiting:
            self._grid.push_messages(
                [_message(self._last, node, packet, RecordDict()) for node, packet in waiting.items()]
            )
        waiting.clear()

    # the rest as the grid inside

    def set_run(self, run: Run) -> None:
        self._grid.set_run(run)

    @property
    def run(self) -> Run:
        return self._grid.run

    def create_message(
        self, content: RecordDict, message_type: str, dst_node_id: int, group_id: str, ttl: float | None = None
    ) -> Message:
        return self._grid.create_message(content, message_type, dst_node_id, group_id, ttl)

    def get_node_ids(self) -> Iterable[int]:
        return self._grid.get_node_ids()

    def get_nodes(self) -> Iterable[NodeInfo]:
        return self._grid.get_nodes()

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        return self._grid.push_messages(messages)

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        return self._grid.pull_messages(message_ids)


class _Exchange:
    """The messages of one session. first: one of those that the strategy wanted to send."""

    def __init__(self, grid: Grid, first: Message, step: Step, patience: Patience, timeout: float | None) -> None:
        self._grid = grid
        self._first = first
        self._patience = patience
        self._timeout = timeout
        self._at_once = max(1, _IN_MEMORY // max(1, step.spec.field.packed_size(step.spec.length)))

    def ask(self, round_: Round, packets: Mapping[int, Packet]) -> Iterator[tuple[int, Packet]]:
        """`asking.Ask`: what the strategy wanted to say goes out with the invitation."""
        beside = self._first.content if round_ is Round.ADVERTISE else RecordDict()
        messages = [_message(self._first, node, packet, beside) for node, packet in packets.items()]
        accepted = set(self._grid.push_messages(messages))
        waiting = {
            message.metadata.message_id: message.metadata.dst_node_id
            for message in messages
            if message.metadata.message_id in accepted
        }
        del messages
        limits, answered, patience = self._patience.of(round_.value), 0, self._seconds(round_)
        started = time.monotonic()
        while waiting and not limits.enough(answered):
            for reply in self._pull(list(waiting)):
                node = waiting.pop(reply.metadata.reply_to_message_id, None)
                if node is not None and (packet := _packet_of(node, reply)) is not None:
                    answered += 1
                    yield node, packet
            waited = time.monotonic() - started
            if waited >= patience:
                break
            if waiting:
                time.sleep(min(max(_SHORTEST_PAUSE, waited / 10), _LONGEST_PAUSE, patience - waited))

    def _seconds(self, round_: Round) -> float:
        """Nodes train before they advertise: without a word on that round they have the strategy's own time-out."""
        if round_ is Round.ADVERTISE and round_.value not in self._patience.rounds:
            return math.inf if self._timeout is None else self._timeout
        return self._patience.of(round_.value).patience

    def _pull(self, waiting: Sequence[str]) -> Iterator[Message]:
        """Some at a time, so that memory does not grow with the number of nodes."""
        for start in range(0, len(waiting), self._at_once):
            yield from self._grid.pull_messages(waiting[start : start + self._at_once])


def _require_alike(asked: Sequence[Message]) -> None:
    """All nodes hear the same, so that all of them agree on what is summed."""
    first = asked[0]
    for message in asked[1:]:
        same = message.content is first.content or message.content.object_id == first.content.object_id
        if not same or message.metadata.message_type != first.metadata.message_type:
            raise FlowerError("the strategy sends its nodes messages that differ: a secure sum needs one for all")
    if len({message.metadata.dst_node_id for message in asked}) != len(asked):
        raise FlowerError("the strategy sends two messages to one node: a secure sum takes one update of each")


def _message(like: Message, node: int, packet: Packet, beside: RecordDict) -> Message:
    content = RecordDict({**beside, RECORD: pack(packet)})
    said = like.metadata
    return Message(content, node, said.message_type, ttl=said.ttl, group_id=said.group_id)


def _packet_of(node: int, reply: Message) -> Packet | None:
    """None, and a line in the log, for an answer that is an error or holds no packet."""
    try:
        if not reply.has_error():
            return unpack(reply.content)
        log.warning("node %d is out of this session: %s", node, reply.error.reason)
    except FlowerError as exc:
        log.warning("node %d is out of this session: %s", node, exc)
    return None


def _error(asked: Message, code: int, reason: str) -> Message:
    return Message(Error(code, reason), reply_to=asked)
