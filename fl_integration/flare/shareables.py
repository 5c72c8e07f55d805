"""What travels between FLARE's server and its sites (Shareable) <-> packets, steps and contributions."""

import json
import math
from collections.abc import Mapping
from numbers import Real
from typing import Any, Final

import numpy as np
from nvflare.apis.dxo import DXO, DataKind, from_shareable
from nvflare.apis.shareable import ReservedHeaderKey, Shareable
from nvflare.app_common.abstract.fl_model import FLModel, ParamsType
from nvflare.app_common.app_constant import AppConstants
from nvflare.app_common.utils.fl_model_utils import FLModelUtils

from fl_integration.asking import AskingError, Packet
from fl_integration.layout import Array, Tensors, in_type
from fl_integration.plan import Plan
from fl_integration.step import Contribution, Step, StepError, Summed

TASK: Final = "veilsum"
"""The name of every task of a secure sum, whichever protocol round it is."""

RUN: Final = "veilsum.run"
"""A header of every model: which start of the job it is from. A job that is run again sums other steps."""

PACKET: Final = "veilsum.packet"
_MODEL: Final = "veilsum.model"
_SAID: Final = "flare"
_HEADERS: Final = (
    ReservedHeaderKey.TASK_NAME,
    AppConstants.START_ROUND,
    AppConstants.CURRENT_ROUND,
    AppConstants.NUM_ROUNDS,
    RUN,
)


def question(packet: Packet, model: Shareable | None) -> Shareable:
    """What the server asks one site. model: what its own training is asked, beside the invitation."""
    asked = answer_of(packet)
    if model is not None:
        asked[_MODEL] = model
    return asked


def answer_of(packet: Packet) -> Shareable:
    """The packet and nothing else."""
    return Shareable({PACKET: packet})


def packet_of(shareable: Shareable) -> Packet:
    """Raises AskingError where there is none."""
    packet = shareable.get(PACKET)
    if not isinstance(packet, list) or not all(isinstance(part, bytes) for part in packet):
        raise AskingError("no packet of a secure sum: both sides need veilsum.flare")
    return packet


def model_of(shareable: Shareable) -> Shareable:
    """The model that came with the invitation. Raises AskingError where there is none."""
    model = shareable.get(_MODEL)
    if not isinstance(model, Shareable):
        raise AskingError("an invitation without a model")
    return model


def step_of(model: Shareable, plan: Plan, clients: int) -> Step:
    """The same at the server and at each site. Its tensors are a copy: a training may change what it is given.

    Raises StepError, and what `Step` raises.
    """
    asked = _dxo(model, "the task")
    if asked.data_kind != DataKind.WEIGHTS:
        raise StepError(f"the task holds {asked.data_kind}: a secure sum starts from a whole model (WEIGHTS)")
    headers = {key: value for key in _HEADERS if (value := model.get_header(key)) is not None}
    torch = sorted(name for name, value in asked.data.items() if _is_torch(value))
    said = _json({"headers": headers, "meta": asked.meta, "torch": torch})
    tensors = {name: _copy(np.asarray(value)) for name, value in asked.data.items()}
    return Step(tensors, {_SAID: said}, plan, clients)


def task_of(step: Step, model: Shareable) -> Shareable:
    """The task again, made of what the step's digest covers and of nothing else: a site is shown what all are shown.

    model: whose step it is; only for how PyTorch makes its tensors.
    """
    said, sent = json.loads(step.meta[_SAID]), _dxo(model, "the task").data
    tensors = {name: _like(sent[name], _copy(value)) for name, value in step.tensors.items()}
    task = DXO(DataKind.WEIGHTS, tensors, said["meta"]).to_shareable()
    for key, value in said["headers"].items():
        task.set_header(key, value)
    return task


def _json(said: Mapping[str, Any]) -> str:
    """In full: a shortened text could be the same for two sites that were told different things."""
    try:
        return json.dumps(said, sort_keys=True)
    except (TypeError, ValueError) as exc:
        raise StepError(f"the task's meta holds more than numbers, texts, lists and dicts of them: {exc}") from exc


def _copy(value: Array) -> Array:
    """Of its numbers, its shape and its type alone: in C order and in this machine's byte order."""
    return np.array(value, dtype=value.dtype.newbyteorder("="), order="C")


def contribution_of(step: Step, result: Shareable, weight_key: str) -> Contribution:
    """What a site's own training gave. weight_key: where it says how much; 1 where it does not, as in FLARE.

    Raises StepError.
    """
    _dxo(result, "the training's result")
    model = FLModelUtils.from_shareable(result)
    tensors = None if model.params is None else _whole(step.tensors, model)
    return Contribution(tensors, _rows(model.meta.get(weight_key, 1), weight_key), _metrics(model.metrics or {}))


def _dxo(shareable: Shareable, what: str) -> Any:
    try:
        return from_shareable(shareable)
    except ValueError as exc:
        raise StepError(f"{what} holds no model: {exc}") from exc


def _whole(base: Tensors, model: FLModel) -> dict[str, Array]:
    """The trained tensors, also where the training sent only what it changed, or floats of another width."""
    known = {name: (base[name], np.asarray(value)) for name, value in model.params.items() if name in base}
    tensors = {name: start + given if model.params_type is ParamsType.DIFF else given
               for name, (start, given) in known.items()}  # fmt: skip
    floats = {name: given.astype(base[name].dtype) for name, given in tensors.items() if given.dtype.kind == "f"}
    return {**model.params, **tensors, **floats}


def _rows(value: Any, key: str) -> int:
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 < float(value) < math.inf:
        raise StepError(f"meta[{key!r}] is a number above 0, not {value!r}")
    return max(1, round(float(value)))


def _metrics(given: Mapping[str, Any]) -> dict[str, float]:
    try:
        return {name: float(value) for name, value in given.items()}
    except (TypeError, ValueError) as exc:
        raise StepError(f"every metric is one number: {exc}") from exc


def mean_of(summed: Summed, asked: FLModel, weight_key: str) -> Shareable:
    """The sum as the answer of one site that holds all of them: their mean, their weight, their metrics' mean."""
    params = {name: _like(asked.params[name], value) for name, value in summed.tensors.items()}
    model = FLModel(
        params_type=ParamsType.FULL,
        params=params,
        metrics=dict(summed.metrics) or None,
        current_round=asked.current_round,
        total_rounds=asked.total_rounds,
        meta={weight_key: summed.total_weight},
    )
    return FLModelUtils.to_shareable(model)


def in_own_types(params: Mapping[str, Any], types: Mapping[str, Any]) -> dict[str, Any]:
    """Tensors that FLARE's averaging turned into floats are whole numbers again, rounded; the others as they are."""
    return {name: _in_type(value, types[name]) for name, value in params.items()}


def _in_type(value: Any, dtype: Any) -> Any:
    if value.dtype == dtype:
        return value
    if isinstance(dtype, np.dtype):
        return in_type(value, dtype)
    return (value if dtype.is_floating_point else value.round()).to(dtype)  # a torch tensor


def _like(sent: Any, value: Array) -> Any:
    """A torch tensor where one was sent (a server that expects PyTorch's format), without importing torch."""
    return sent.new_tensor(value) if _is_torch(sent) else value


def _is_torch(value: Any) -> bool:
    return hasattr(value, "new_tensor")
