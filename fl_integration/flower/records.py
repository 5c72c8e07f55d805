"""Flower's records <-> packets, steps and contributions. The only place that knows how a message is laid out."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, Metadata, MetricRecord, RecordDict

from fl_integration.asking import Packet
from fl_integration.layout import Array as Tensor
from fl_integration.layout import LayoutError, in_type
from fl_integration.plan import Plan
from fl_integration.step import Contribution, Step, StepError, Summed

RECORD: Final = "veilsum"
"""The name of the record with a packet, in messages both ways, and of the one in a node's `context.state`."""

_SNAPSHOT: Final = "snapshot"
_STYPE: Final = "veilsum.message"  # how the bytes of an Array are to be read: as one wire message
_METRICS: Final = "metrics"


class FlowerError(ValueError):
    """What Flower was asked to do cannot be done with a secure sum. One line: what, and the remedy."""


# Packets. As Arrays, which Flower cuts into chunks; a ConfigRecord would travel as one object, whatever its size.


def pack(packet: Sequence[bytes]) -> ArrayRecord:
    return ArrayRecord(
        {str(place): Array("uint8", (len(data),), _STYPE, bytes(data)) for place, data in enumerate(packet)}
    )


def unpack(content: RecordDict) -> Packet:
    """Raises FlowerError where there is no packet in it."""
    record = content.get(RECORD)
    if not isinstance(record, ArrayRecord) or any(array.stype != _STYPE for array in record.values()):
        raise FlowerError(f"the record {RECORD!r} is missing or holds no packet")
    return [array.data for array in record.values()]


# What a node keeps for its next process


def kept_snapshot(state: RecordDict) -> bytes:
    """Empty where no session is open."""
    record = state.get(RECORD)
    snapshot = record.get(_SNAPSHOT, b"") if isinstance(record, ConfigRecord) else b""
    return snapshot if isinstance(snapshot, bytes) else b""


def keep_snapshot(state: RecordDict, snapshot: bytes) -> None:
    if snapshot:
        state[RECORD] = ConfigRecord({_SNAPSHOT: snapshot})
    else:
        state.pop(RECORD, None)


# Steps


def arrays_in(content: RecordDict) -> tuple[str, ArrayRecord]:
    """The model and the name of its record. Raises FlowerError unless there is exactly one beside the packet."""
    found = [(name, record) for name, record in content.array_records.items() if name != RECORD]
    if len(found) != 1:
        raise FlowerError(f"{len(found)} ArrayRecords in one message: a secure sum moves one, send one")
    return found[0]


def without_packet(content: RecordDict) -> RecordDict:
    return RecordDict({name: record for name, record in content.items() if name != RECORD})


def is_evaluation(message_type: str) -> bool:
    return message_type.split(".")[0] == "evaluate"


def step_of(metadata: Metadata, content: RecordDict, plan: Plan, clients: int) -> Step:
    """The same at the server and at each node: everything that the message says, but for its packet.

    The run's id is in it: a run that starts from the same model as an earlier one sums other steps.

    Raises FlowerError, LayoutError, EncodingError.
    """
    name, arrays = arrays_in(content)
    said = {
        other: _said(other, record)
        for other, record in content.items()
        if isinstance(record, ConfigRecord | MetricRecord)
    }
    kind = metadata.message_type
    meta = {"run": str(metadata.run_id), "type": kind, "arrays": name, "records": said}
    return Step(tensors_of(arrays), meta, plan, clients, evaluation=is_evaluation(kind))


def tensors_of(arrays: ArrayRecord) -> dict[str, Tensor]:
    """By name. Raises LayoutError for an array that is not numpy's."""
    return {name: _numpy(name, arrays[name]) for name in sorted(arrays)}


def _numpy(name: str, array: Array) -> Tensor:
    try:
        return array.numpy()
    except (TypeError, ValueError) as exc:
        raise LayoutError(f"array {name!r} cannot be read as a numpy array: {exc}") from exc


def _said(name: str, record: ConfigRecord | MetricRecord) -> dict[str, Any]:
    """As JSON values that say the same only for the same values of the same kinds."""
    try:
        return {type(record).__name__: {key: _plain(value) for key, value in record.items()}}
    except ValueError as exc:
        raise FlowerError(f"record {name!r}: {exc}: leave it out") from exc


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if isinstance(value, bytes):
        return {"bytes": value.hex()}
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("a value is NaN or infinite")
    return value


# What a node's own function gave


def contribution_of(step: Step, content: RecordDict, weighted_by: str) -> Contribution:
    """Raises StepError, LayoutError. Texts of a StepError name records and metrics, never a value."""
    metrics = dict(_one(content.metric_records, "MetricRecord"))
    if weighted_by not in metrics:
        raise StepError(f"the reply's metrics have no {weighted_by!r}: report on how many examples it was computed")
    rows = _rows(metrics.pop(weighted_by), weighted_by)
    tensors = None if step.evaluation else tensors_of(_one(content.array_records, "ArrayRecord"))
    return Contribution(tensors, rows, {name: _number(name, value) for name, value in metrics.items()})


def _one(records: Mapping[str, Any], kind: str) -> Any:
    if len(records) != 1:
        raise StepError(f"the reply holds {len(records)} records of type {kind}: return one")
    return next(iter(records.values()))


def _rows(value: Any, name: str) -> int:
    number = _number(name, value)
    if not (math.isfinite(number) and number >= 0):
        raise StepError(f"the reply's {name!r} is no number of examples")
    return round(number)


def _number(name: str, value: Any) -> float:
    if isinstance(value, list):
        raise StepError(f"the metric {name!r} is a list: report each of its values under a name of its own")
    return float(value)


# What the strategy gets


def replied(asked: Message, step: Step, summed: Summed, weighted_by: str) -> Message:
    """As if one node that holds all rows had answered."""
    content = RecordDict()
    if not step.evaluation:
        name, sent = arrays_in(asked.content)
        content[name] = ArrayRecord({each: Array(np.asarray(summed.tensors[each])) for each in sent})
    content[_METRICS] = MetricRecord({weighted_by: summed.total_weight, **summed.metrics})
    return Message(content, reply_to=asked)


def in_own_types(arrays: ArrayRecord, types: Mapping[str, np.dtype[Any]]) -> ArrayRecord:
    """Arrays that Flower's averaging turned into floats are whole numbers again, rounded; the others as they are."""
    return ArrayRecord({name: _in_type(array, types.get(name)) for name, array in arrays.items()})


def _in_type(array: Array, dtype: np.dtype[Any] | None) -> Array:
    if dtype is None or np.dtype(array.dtype) == dtype:
        return array
    return Array(in_type(array.numpy(), dtype))
