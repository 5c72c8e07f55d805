"""One step of a framework's training: what everybody starts from, how a party's part of it becomes a vector and back.

The same object is built by every node from the message that it got, and by the server from what it sent: equal bytes,
equal digest, which goes into the session as the model. A party that was sent anything else aborts before its input
leaves.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fl_integration.layout import Array, Layout, Tensors, dump_payload
from fl_integration.plan import Plan
from mpc.encoding import Codec
from mpc.field import FieldVector
from mpc.randomness import Randomness
from protocols.session import VectorSpec, model_digest


class StepError(ValueError):
    """What a node's own training gave cannot be summed. One line: what, and the remedy."""


@dataclass(frozen=True, slots=True)
class Contribution:
    """What a party's training gave. rows: how many it was trained (or evaluated) on; its weight follows from them.

    tensors: the trained ones, None for an evaluation.
    """

    tensors: Tensors | None = field(repr=False)
    rows: int = field(repr=False)
    metrics: Mapping[str, float] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Summed:
    """What the sum says. tensors: the step's own, moved by the mean update; those of an evaluation are unmoved."""

    tensors: dict[str, Array] = field(repr=False)
    total_weight: int
    clipped: int
    metrics: Mapping[str, float]


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """tensors: where everybody starts. meta: what was said beside them (JSON values). clients: most in one sum.

    evaluation: nothing is moved, only metrics are summed. digest: 32 bytes over tensors and meta.
    Raises LayoutError and EncodingError for tensors and a plan that no vector holds.
    """

    tensors: Tensors = field(repr=False)
    meta: Mapping[str, Any]
    plan: Plan
    clients: int
    evaluation: bool = False
    digest: bytes = field(init=False)
    layout: Layout = field(init=False, repr=False)
    codec: Codec = field(init=False, repr=False)

    def __post_init__(self) -> None:
        meta = {"evaluation": self.evaluation, "step": dict(self.meta)}
        digest, layout = model_digest(dump_payload(self.tensors, meta)), Layout.of(self.tensors)
        object.__setattr__(self, "digest", digest)
        object.__setattr__(self, "layout", layout)
        object.__setattr__(self, "codec", self._codec(layout, digest))

    def _codec(self, layout: Layout, digest: bytes) -> Codec:
        if self.evaluation:
            return self.plan.evaluation_codec(self.clients, digest)
        return self.plan.codec(layout, self.clients, digest)

    @property
    def spec(self) -> VectorSpec:
        return VectorSpec(self.codec.vector_length, self.codec.field)

    def encode(self, given: Contribution, rand: Randomness) -> FieldVector:
        """The vector of a party's contribution. Raises StepError, LayoutError or EncodingError in words."""
        declared = self.plan.evaluation if self.evaluation else self.plan.metrics
        table = "evaluation" if self.evaluation else "metrics"
        if odd := sorted(declared.keys() ^ given.metrics.keys()):
            missing = f"the plan names the metric {odd[0]!r}, the reply has none: report it, or take it out of {table}"
            unknown = f"the reply's metric {odd[0]!r} is not in the plan: add {odd[0]} = [lowest, highest] to {table}"
            raise StepError(missing if odd[0] in declared else unknown)
        weight = self.plan.weight(given.rows)
        return self.codec.encode(self._update(given), weight=weight, metrics=given.metrics, rand=rand)

    def _update(self, given: Contribution) -> Array:
        if self.evaluation:
            return np.zeros(1, dtype=np.float32)
        if given.tensors is None:
            raise StepError("the reply holds no tensors: return the trained ones")
        return self.layout.difference(given.tensors, self.tensors)

    def decode(self, vector: FieldVector) -> Summed:
        """Raises EncodingError for what is no sum."""
        decoded = self.codec.decode_sum(vector)
        moved = dict(self.tensors) if self.evaluation else self.layout.moved(self.tensors, decoded.mean)
        return Summed(moved, decoded.total_weight, decoded.clipped, decoded.metrics)
