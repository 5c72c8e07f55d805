"""Federated averaging over tables: what a bank contributes to a step and how the sum moves the model.

A step's state is one payload (canonical bytes, the same at every bank). Step 0 sums statistics, if it was agreed; each
later step sums model updates, clipped and weighted. Weight, loss and the number of clipped values travel in the same
masked vector as the update: nothing of a bank leaves beside it.
"""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import sha256
from typing import Any

import numpy as np
import numpy.typing as npt

from fl_integration import standardisation
from fl_integration.layout import Array, Layout, LayoutError, PayloadError, dump_payload, load_payload
from fl_integration.plan import sample_weight
from fl_integration.schema import Floats, Table
from fl_integration.standardisation import Standard
from fl_integration.training import Model, TrainingConfig, TrainingError, learner_of
from mpc.encoding import Encoding, Metric
from mpc.field import FieldVector
from mpc.hashing import digest
from mpc.randomness import Randomness
from protocols.ledger import ONE_VERSION
from protocols.machine import Aggregate
from protocols.session import VectorSpec

log = logging.getLogger("veilsum.training")

FORMAT = "veilsum-tabular/1"

_LOSS = Metric("loss", 0.0, 10.0)
_TENSOR = "model."


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """What a payload says: the input of step `fl_round`. After the last round it is the result.

    history: for each training round so far how many parties were in the sum, their total weight, their mean loss before
    it (both classes weighing the same) and how many values were clipped.
    """

    model: Model
    rounds: int
    fl_round: int
    schema_digest: str
    standard: Standard
    tensors: dict[str, Array]
    history: tuple[Mapping[str, float], ...] = ()

    @classmethod
    def initial(cls, config: TrainingConfig) -> "State":
        return cls(
            model=config.model,
            rounds=config.rounds,
            fl_round=config.first_round,
            schema_digest=config.schema_digest,
            standard=Standard.of_ranges(config.schema),
            tensors=config.learner().initial(config.seed),
        )

    @classmethod
    def load(cls, payload: bytes) -> "State":
        """Raises PayloadError for anything that `dump` did not make."""
        tensors, meta = load_payload(payload)
        try:
            state = cls(
                model=Model(meta["model"]),
                rounds=_whole(meta["rounds"]),
                fl_round=_whole(meta["fl_round"]),
                schema_digest=str(meta["schema"]),
                standard=Standard(tensors.pop("mean"), tensors.pop("scale")),
                tensors={name.removeprefix(_TENSOR): tensor for name, tensor in tensors.items()},
                history=tuple(dict(entry) for entry in meta["history"]),
            )
        except (KeyError, TypeError, ValueError) as exc:
            raise PayloadError(f"not a payload of {FORMAT}: {exc}") from exc
        if state.dump() != payload:
            raise PayloadError(f"not a payload of {FORMAT}")
        return state

    def dump(self) -> bytes:
        """Canonical: equal states, equal bytes."""
        meta = {
            "format": FORMAT,
            "model": self.model.value,
            "rounds": self.rounds,
            "fl_round": self.fl_round,
            "schema": self.schema_digest,
            "history": [dict(entry) for entry in self.history],
        }
        model = {_TENSOR + name: tensor for name, tensor in self.tensors.items()}
        return dump_payload({"mean": self.standard.mean, "scale": self.standard.scale, **model}, meta)

    @property
    def finished(self) -> bool:
        return self.fl_round > self.rounds


class TabularWorkload:
    """One bank's part in a training, or the coordinator's when `data` is None.

    training: the table `[training]` (see TrainingConfig). clients: the most parties of a sum. max_weight: the largest
    weight, both from the consortium's file. rand: rounds the updates, and is as secret as they are.
    Raises TrainingError when the table is wrong.
    """

    def __init__(
        self, training: Mapping[str, Any], clients: int, max_weight: int, data: Table | None, rand: Randomness
    ) -> None:
        self._config = TrainingConfig.from_mapping(training)
        self._layout = Layout.of(self._config.learner().initial(self._config.seed))
        self._encoding = Encoding.fitting(
            spans=self._layout.spans(self._config.clip, self._config.bits),
            bits=self._config.bits,
            max_weight=max_weight,
            clients=clients,
            metrics=(_LOSS,),
        )
        self._data = data
        self._rand = rand
        self._attempts: Counter[bytes] = Counter()

    def spec(self, payload: bytes) -> VectorSpec:
        """What this step's vectors look like."""
        if self._load(payload).fl_round == 0:
            return VectorSpec(standardisation.vector_length(self._config.schema), standardisation.FIELD)
        return VectorSpec(self._encoding.vector_length, self._encoding.field)

    def contribute(self, payload: bytes) -> FieldVector:
        """Count or train on the own rows, and encode. Raises TrainingError where there are none, or no step is left.

        Asked again for the same payload it trains in another order of the rows: after an abort no second answer may be
        an old one under another mask.
        """
        state = self._load(payload)
        if self._data is None:
            raise TrainingError("the coordinator has no rows and contributes nothing")
        if state.finished:
            raise TrainingError("the training is finished: nothing is left to contribute")
        if state.fl_round == 0:
            return standardisation.contribution(self._config.schema, self._data, self._encoding.clients)
        return self._update(state, self._data, self._local_seed(state.fl_round, payload))

    @cached_property
    def local_version(self) -> bytes:
        """32 bytes: equal for equal rows. With it the bank's ledger knows which of its inputs are the same."""
        if self._data is None:
            return ONE_VERSION
        return digest("rows", *(sha256(array.tobytes()).digest() for array in (self._data.features, self._data.labels)))

    def retrains(self, payload: bytes) -> bool:
        """Whether this step has another contribution from the same rows: the statistics have not."""
        return self._load(payload).fl_round != 0

    def contribute_again(self, payload: bytes) -> FieldVector:
        """`contribute` with the rows in an order that no process of this bank has had."""
        self._attempts[sha256(payload).digest()] = int.from_bytes(self._rand.bytes(8), "little")
        return self.contribute(payload)

    def advance(self, payload: bytes, aggregate: Aggregate) -> bytes:
        """The next payload, the same bytes at every bank. Raises mpc's EncodingError for what is no sum."""
        state = self._load(payload)
        if state.fl_round == 0:
            standard = Standard.of_sums(self._config.schema, standardisation.FIELD.check(aggregate.vector))
            return replace(state, fl_round=1, standard=standard).dump()
        decoded = self._encoding.decode_sum(aggregate.vector)
        entry = {
            "fl_round": state.fl_round,
            "parties": len(aggregate.included),
            "weight": decoded.total_weight,
            "loss": decoded.metrics[_LOSS.name],
            "clipped": decoded.clipped,
        }
        self._warn_of_own_weight(state.fl_round, decoded.total_weight)
        tensors = self._layout.moved(state.tensors, decoded.mean)
        return replace(state, fl_round=state.fl_round + 1, tensors=tensors, history=(*state.history, entry)).dump()

    def fl_round(self, payload: bytes) -> int:
        """The step that this payload is the input of: 0 is the statistics step, 1 the first training round."""
        return self._load(payload).fl_round

    def finished(self, payload: bytes) -> bool:
        """Whether this payload is the result."""
        return self._load(payload).finished

    def _update(self, state: State, data: Table, seed: int) -> FieldVector:
        learner, inputs = self._config.learner(), state.standard.applied(data.features)
        try:
            with np.errstate(over="ignore", invalid="ignore"):  # found below, and said in words
                trained = learner.train(state.tensors, inputs, data.labels, seed)
            update = self._layout.difference(trained, state.tensors)
        except ValueError as exc:  # NaN, infinity: from the layout, or from scikit-learn in its own words
            raise TrainingError(
                f"round {state.fl_round}: this bank's update is no finite vector ({exc}): "
                f"lower training.learning_rate, or agree on narrower ranges in the schema"
            ) from exc
        return self._encoding.encode(
            update,
            weight=self._weight(data),
            metrics={_LOSS.name: balanced_loss(learner.logits(state.tensors, inputs), data.labels)},
            rand=self._rand,
        )

    def _weight(self, data: Table) -> int:
        return sample_weight(len(data), self._config.rows_per_unit, self._encoding.max_weight)

    def _warn_of_own_weight(self, fl_round: int, total: int) -> None:
        """A sum that is mostly one bank's is hardly a disguise for it: the bank is told. [PROTOCOLS section 1]"""
        if self._data is not None and 2 * (own := self._weight(self._data)) > total:
            log.warning(
                "round %d: our weight was %d of %d in all, so the mean is mostly our update", fl_round, own, total
            )

    def _local_seed(self, fl_round: int, payload: bytes) -> int:
        attempt = self._attempts[key := sha256(payload).digest()]
        self._attempts[key] += 1
        return _seed(self._config.seed, fl_round, attempt)

    def _load(self, payload: bytes) -> State:
        """The state, if it belongs to this training. Raises PayloadError."""
        state, config = State.load(payload), self._config
        expected = (config.model, config.rounds, config.schema_digest)
        if (state.model, state.rounds, state.schema_digest) != expected:
            raise PayloadError("the payload belongs to another model, number of rounds or schema")
        if not config.first_round <= state.fl_round <= config.rounds + 1:
            raise PayloadError(f"the payload is of step {state.fl_round}, there are {config.rounds}")
        try:
            self._layout.flatten(state.tensors)
            _standard_layout(config).flatten({"mean": state.standard.mean, "scale": state.standard.scale})
        except LayoutError as exc:
            raise PayloadError(f"the payload does not fit the model: {exc}") from exc
        if not (state.standard.scale > 0).all():
            raise PayloadError("the payload's scales are not above 0")
        return state


def initial_payload(training: Mapping[str, Any]) -> bytes:
    """The payload of the first step, the same bytes for the same table. Raises TrainingError."""
    return State.initial(TrainingConfig.from_mapping(training)).dump()


def predict(payload: bytes, table: Table) -> npt.NDArray[np.float64]:
    """float64[n]: the probability of the positive class for each row, as if both classes were equally frequent."""
    return predict_rows(payload, table.features)


def predict_rows(payload: bytes, features: Floats) -> npt.NDArray[np.float64]:
    """The same for rows without labels; features as in `Table`."""
    state = State.load(payload)
    learner = learner_of(state.model, features.shape[1])
    logits = learner.logits(state.tensors, state.standard.applied(features))
    return np.exp(-np.logaddexp(0.0, -logits))


def evaluate(payload: bytes, table: Table) -> dict[str, float]:
    """`auc` and `average_precision` of the payload's model on these rows."""
    from fl_integration.linear import scores  # scikit-learn is loaded only where something is scored

    return scores(table.labels, predict(payload, table))


def train_alone(training: Mapping[str, Any], table: Table) -> bytes:
    """What one bank gets without the others: the same learner, as many passes in all, standardised by its own rows."""
    config = TrainingConfig.from_mapping(training)
    state, learner = State.initial(config), config.learner()
    if config.first_round == 0:
        sums = standardisation.contribution(config.schema, table, 1)
        state = replace(state, standard=Standard.of_sums(config.schema, sums))
    inputs, tensors = state.standard.applied(table.features), state.tensors
    for fl_round in range(1, config.rounds + 1):
        tensors = learner.train(tensors, inputs, table.labels, _seed(config.seed, fl_round, 0))
    return replace(state, fl_round=config.rounds + 1, tensors=tensors).dump()


def train_pooled(training: Mapping[str, Any], tables: Sequence[Table]) -> bytes:
    """What all rows in one place would give: the bar that no federation passes by much."""
    return train_alone(training, Table.joined(tables))


def balanced_loss(logits: npt.NDArray[np.float64], labels: npt.NDArray[np.uint8]) -> float:
    """Mean log loss, both classes weighing the same: ln 2 for a model that knows nothing."""
    positive = labels == 1
    losses = np.logaddexp(0.0, np.where(positive, -logits, logits))
    return float((losses[positive].mean() + losses[~positive].mean()) / 2)


def _standard_layout(config: TrainingConfig) -> Layout:
    standard = Standard.of_ranges(config.schema)
    return Layout.of({"mean": standard.mean, "scale": standard.scale})


def _seed(seed: int, fl_round: int, attempt: int) -> int:
    """The order of the rows: not a secret, the same at every bank."""
    return int(np.random.SeedSequence([seed, fl_round, attempt]).generate_state(1)[0])


def _whole(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"{value!r} is no count")
    return value
