"""What the demo measures exactness with: each bank's encoded vector, each aggregate, each model, in a private folder.

Only the demo's own processes are started like this. `veilsum party` has no such switch: a vector that is written down
is a vector that is no longer secret.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fl_integration.workload import TabularWorkload
from mpc.field import FieldVector
from protocols.machine import Aggregate
from protocols.session import VectorSpec


@dataclass(frozen=True, slots=True)
class Recording:
    """The private folder, and which file is what. `step` is the training round; the statistics are step 0."""

    folder: Path

    def vector(self, bank: str, step: int) -> Path:
        return self.folder / f"{bank}-{step}.npy"

    def aggregate(self, step: int) -> Path:
        return self.folder / f"aggregate-{step}.npz"

    def payload(self, step: int) -> Path:
        """The model after this step."""
        return self.folder / f"model-{step}.npz"


@dataclass(frozen=True, slots=True)
class Recorded:
    """A workload that hands everything on to another, and what it knows of its input with it."""

    workload: TabularWorkload
    recording: Recording

    def spec(self, payload: bytes) -> VectorSpec:
        return self.workload.spec(payload)

    def contribute(self, payload: bytes) -> FieldVector:
        return self.workload.contribute(payload)

    def advance(self, payload: bytes, aggregate: Aggregate) -> bytes:
        return self.workload.advance(payload, aggregate)

    def fl_round(self, payload: bytes) -> int:
        return self.workload.fl_round(payload)

    def finished(self, payload: bytes) -> bool:
        return self.workload.finished(payload)

    @property
    def local_version(self) -> bytes:
        return self.workload.local_version

    def retrains(self, payload: bytes) -> bool:
        return self.workload.retrains(payload)

    def contribute_again(self, payload: bytes) -> FieldVector:
        return self.workload.contribute_again(payload)


@dataclass(frozen=True, slots=True)
class RecordedBank(Recorded):
    """Also writes each vector that it hands to the protocol."""

    bank: str

    def contribute(self, payload: bytes) -> FieldVector:
        return self._kept(payload, self.workload.contribute(payload))

    def contribute_again(self, payload: bytes) -> FieldVector:
        return self._kept(payload, self.workload.contribute_again(payload))

    def _kept(self, payload: bytes, vector: FieldVector) -> FieldVector:
        np.save(self.recording.vector(self.bank, self.fl_round(payload)), vector)
        return vector


@dataclass(frozen=True, slots=True)
class RecordedCoordinator(Recorded):
    """Also writes each aggregate and each model."""

    def advance(self, payload: bytes, aggregate: Aggregate) -> bytes:
        return _recorded_advance(self, payload, aggregate)


@dataclass(frozen=True, slots=True)
class RecordedReporter(RecordedBank):
    """A bank of a mesh that writes what a coordinator would."""

    def advance(self, payload: bytes, aggregate: Aggregate) -> bytes:
        return _recorded_advance(self, payload, aggregate)


def _recorded_advance(recorded: Recorded, payload: bytes, aggregate: Aggregate) -> bytes:
    step, recording = recorded.fl_round(payload), recorded.recording
    following = recorded.workload.advance(payload, aggregate)
    modulus = recorded.spec(payload).field.modulus
    np.savez(recording.aggregate(step), vector=aggregate.vector, modulus=np.uint64(modulus))
    recording.payload(step).write_bytes(following)
    return following


def is_exact(recording: Recording, step: int, included: Sequence[str]) -> bool:
    """Whether the aggregate is, element by element, the sum over the integers of what the included banks encoded.

    The integers are Python's, so nothing wraps unseen; a sum at or above the modulus is none that the field can hold.
    """
    vectors = [np.load(recording.vector(bank, step)).astype(object) for bank in included]
    total = np.sum(vectors, axis=0)
    with np.load(recording.aggregate(step)) as file:
        aggregate, modulus = file["vector"].astype(object), int(file["modulus"])
    return aggregate.shape == total.shape and bool((total < modulus).all() and (total == aggregate).all())
