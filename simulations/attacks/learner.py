"""A network small enough to read, for attacks in which it matters what is trained: one hidden layer, squared error."""

from dataclasses import dataclass

import numpy as np

from mpc.randomness import SeededRandomness
from simulations.attacks.scene import to_steps
from simulations.attacks.verdicts import Reals

INPUTS, HIDDEN, ROWS = 28, 33, 12
SIZE = INPUTS * HIDDEN + 2 * HIDDEN

_DEAD = -1000.0  # a bias at which no unit ever fires


@dataclass(frozen=True, slots=True)
class Rows:
    """One party's table."""

    inputs: Reals
    labels: Reals

    @classmethod
    def drawn(cls, rand: SeededRandomness) -> "Rows":
        return cls(normal(rand, ROWS * INPUTS).reshape(ROWS, INPUTS), normal(rand, ROWS))

    def each(self) -> "list[Rows]":
        """Tables of one row."""
        return [Rows(self.inputs[at : at + 1], self.labels[at : at + 1]) for at in range(len(self.labels))]


def normal(rand: SeededRandomness, count: int) -> Reals:
    """Sums of twelve uniform numbers: near enough, and the same everywhere."""
    words = np.frombuffer(rand.bytes(4 * 12 * count), dtype="<u4").reshape(count, 12)
    return np.asarray((words / 2**32).sum(axis=1) - 6.0)


def model(rand: SeededRandomness, *, dead: bool = False) -> bytes:
    """Weights, biases, output weights. dead: the same, but that no hidden unit ever fires: every gradient is zero."""
    weights = normal(rand, SIZE) / np.sqrt(INPUTS)
    if dead:
        weights[INPUTS * HIDDEN : -HIDDEN] = _DEAD
    return bytes(weights.astype("<f8").data)


def update(of: bytes, rows: Rows) -> Reals:
    """That of one step: the mean gradient, clipped to -1..1, in steps that both engines have."""
    return to_steps(np.clip(gradient(of, rows), -1, 1))


def gradient(of: bytes, rows: Rows) -> Reals:
    """The mean over the rows."""
    weights = np.frombuffer(of, dtype="<f8")
    first = weights[: INPUTS * HIDDEN].reshape(INPUTS, HIDDEN)
    biases, last = weights[INPUTS * HIDDEN : -HIDDEN], weights[-HIDDEN:]
    before = rows.inputs @ first + biases
    hidden = np.maximum(before, 0)
    off = hidden @ last - rows.labels
    back = np.outer(off, last) * (before > 0)
    parts = rows.inputs.T @ back, back.sum(axis=0), hidden.T @ off
    return np.concatenate([part.ravel() for part in parts]) / len(rows.labels)
