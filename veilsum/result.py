"""What comes out: model.npz, the same bytes at every bank, model.json beside it, and scores for new rows."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from fl_integration.layout import PayloadError
from fl_integration.schema import Schema, SchemaError
from fl_integration.tabular import load_features
from fl_integration.training import TrainingConfig
from fl_integration.workload import FORMAT, State, predict_rows
from net.store import read_payload, write_whole
from protocols.roster import Consortium
from protocols.session import model_digest
from veilsum.errors import Fault

_DESCRIPTION: Final = ".json"


def description_of(payload: bytes, consortium: Consortium) -> dict[str, Any]:
    """The content of model.json: what a person, or `predict`, needs to know of the model (docs/json.md)."""
    state, training = State.load(payload), TrainingConfig.from_mapping(consortium.training)
    return {
        "format": FORMAT,
        "consortium": consortium.name,
        "version": consortium.version,
        "model": state.model.value,
        "rounds": {"done": max(state.fl_round - 1, 0), "of": state.rounds},
        "label": training.label,
        "positive": training.positive,
        "schema": training.schema.to_mapping(),
        "history": [dict(entry) for entry in state.history],
        "digests": {
            "model": model_digest(payload).hex(),
            "schema": training.schema_digest,
            "consortium": consortium.digest.hex(),
            "config": consortium.config_digest.hex(),
        },
    }


def describe(model_file: Path, consortium: Consortium) -> None:
    """Writes model.json beside the stored model, if there is one."""
    if (payload := read_payload(model_file)) is not None:
        text = json.dumps(description_of(payload, consortium), indent=2, ensure_ascii=False)
        write_whole(model_file.with_suffix(_DESCRIPTION), f"{text}\n".encode())


@dataclass(frozen=True, slots=True)
class Scored:
    """rows: how many got a score. rounds: how many the model was trained for."""

    rows: int
    rounds: int


def score(model_file: Path, data: Path, out: Path) -> Scored:
    """Writes one score a row of `data`, in its order: the probability of the positive class, 0..1, as if both classes
    were equally frequent. Replaces `out` whole. Raises Fault, DataError, PayloadError, NetError."""
    payload = read_payload(model_file)
    if payload is None:
        raise Fault(f"{model_file}: there is no such model: name the model.npz of a training")
    state = _state(model_file, payload)
    scores = predict_rows(payload, load_features(data, _schema(model_file, state)))
    lines = ["score", *(f"{value:.6f}" for value in scores)]
    write_whole(out, "\n".join([*lines, ""]).encode())
    return Scored(len(scores), max(state.fl_round - 1, 0))


def _state(model_file: Path, payload: bytes) -> State:
    try:
        return State.load(payload)
    except PayloadError as exc:
        raise Fault(f"{model_file}: not a model of veilsum, or damaged ({exc}): copy it again") from exc


def _schema(model_file: Path, state: State) -> Schema:
    """From model.json. Raises Fault where it is not the one that the model was trained on."""
    path = model_file.with_suffix(_DESCRIPTION)
    try:
        description = json.loads(path.read_text(encoding="utf-8"))
        schema = Schema.from_mapping(description["schema"])
    except OSError as exc:
        raise Fault(f"{path}: cannot be read ({exc.strerror}): keep it beside {model_file.name}") from exc
    except (ValueError, TypeError, KeyError, SchemaError) as exc:
        raise Fault(f"{path}: not the description of a model: copy it again with {model_file.name}") from exc
    if schema.digest != state.schema_digest:
        raise Fault(f"{path}: describes another model than {model_file.name}: copy both from one place")
    return schema
