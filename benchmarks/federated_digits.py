"""Federated averaging on scikit-learn's digits, with any codec between the parties and the mean.

Ten parties of equal size hold 1,347 images of 8 x 8 pixels, half of them by label, so that no two see the same digits;
450 further images measure the accuracy. The model is a perceptron with one hidden layer. Vectors are summed in the
field as the protocol does it, without masks: these are the numbers that secure aggregation returns.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from fl_integration.feedback import ErrorFeedback
from fl_integration.layout import Floats, Layout, Tensors
from fl_integration.torch_models import load_arrays, to_arrays
from mpc.encoding import Codec, Decoded
from mpc.randomness import SeededRandomness

CLIENTS = 10
HIDDEN = 128
EPOCHS = 2
_BATCH = 16
_RATE = 0.2

Rows = tuple[torch.Tensor, torch.Tensor]
MakeCodec = Callable[[Layout, bytes], Codec]
"""The codec of one sum: the layout of an update, 32 public bytes that are fresh for it."""


@dataclass(slots=True)
class Run:
    """accuracy, error: after each round, the share of test images that are right and the relative L2 error of the mean.

    norm: the longest update. cosine: between two parties' updates, the mean of each round. codec: the last round's.
    """

    accuracy: list[float] = field(default_factory=list)
    error: list[float] = field(default_factory=list)
    norm: float = 0.0
    cosine: list[float] = field(default_factory=list)
    clipped: int = 0
    codec: Codec = field(init=False)


def train(make: MakeCodec, *, seed: int, rounds: int, feedback: bool = False) -> Run:
    """One training. feedback: every party keeps what the codec left out, and adds it to its next update."""
    shards, tests = _data(seed)
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    model = torch.nn.Sequential(torch.nn.Linear(64, HIDDEN), torch.nn.ReLU(), torch.nn.Linear(HIDDEN, 10))
    tensors = to_arrays(model.state_dict())
    layout, run = Layout.of(tensors), Run()
    owed = [ErrorFeedback.none(layout.length)] * CLIENTS if feedback else None
    for fl_round in range(rounds):
        updates = [_update(model, layout, tensors, shard) for shard in shards]
        run.codec = make(layout, hashlib.sha256(b"digits %d %d" % (seed, fl_round)).digest())
        rands = [SeededRandomness(b"%d %d %d" % (seed, fl_round, party)) for party in range(CLIENTS)]
        decoded = _mean(run.codec, updates, rands, owed)
        tensors = layout.moved(tensors, decoded.mean)
        _record(run, updates, decoded)
        run.accuracy.append(_accuracy(model, tensors, tests))
    return run


def _update(model: torch.nn.Module, layout: Layout, tensors: Tensors, shard: Rows) -> Floats:
    load_arrays(model, tensors)
    _train_locally(model, shard)
    return layout.difference(to_arrays(model.state_dict()), tensors)


def _mean(
    codec: Codec, updates: list[Floats], rands: list[SeededRandomness], owed: list[ErrorFeedback] | None
) -> Decoded:
    total = codec.field.zeros(codec.vector_length)
    for party, (update, rand) in enumerate(zip(updates, rands, strict=True)):
        if owed is None:
            vector = codec.encode(update, rand=rand)
        else:
            vector, owed[party] = owed[party].encode(codec, update, rand=rand)
        codec.field.add(total, vector, out=total)
    return codec.decode_sum(total)


def _record(run: Run, updates: list[Floats], decoded: Decoded) -> None:
    truth = np.mean(updates, axis=0)
    run.error.append(float(np.linalg.norm(decoded.mean - truth) / np.linalg.norm(truth)))
    run.norm = max(run.norm, *(float(np.linalg.norm(update)) for update in updates))
    run.cosine.append(_cosine(updates))
    run.clipped += decoded.clipped


def _accuracy(model: torch.nn.Module, tensors: Tensors, tests: Rows) -> float:
    load_arrays(model, tensors)
    images, labels = tests
    with torch.no_grad():
        return float((model(images).argmax(1) == labels).float().mean())


def _cosine(updates: list[Floats]) -> float:
    units = np.array([update / np.linalg.norm(update) for update in updates])
    products = units @ units.T
    return float((products.sum() - len(units)) / (len(units) * (len(units) - 1)))


def _data(seed: int) -> tuple[list[Rows], Rows]:
    """(each party's rows, the test rows)"""
    images, labels = load_digits(return_X_y=True)
    scaled = (images / 16).astype(np.float32)
    parts = train_test_split(scaled, labels, test_size=0.25, stratify=labels, random_state=seed)
    inputs, tests, answers, test_answers = parts
    return [_rows(inputs[own], answers[own]) for own in _shares(answers, seed)], _rows(tests, test_answers)


def _shares(labels: npt.NDArray[np.int64], seed: int) -> list[npt.NDArray[np.int64]]:
    """Half of the rows dealt in the order of their labels, half at random."""
    shuffled = np.random.default_rng(seed).permutation(len(labels))
    by_label, mixed = shuffled[: len(labels) // 2], shuffled[len(labels) // 2 :]
    by_label = by_label[np.argsort(labels[by_label], kind="stable")]
    pairs = zip(np.array_split(by_label, CLIENTS), np.array_split(mixed, CLIENTS), strict=True)
    return [np.concatenate(pair) for pair in pairs]


def _rows(images: npt.NDArray[np.float32], labels: npt.NDArray[np.int64]) -> Rows:
    return torch.tensor(images), torch.tensor(labels)


def _train_locally(model: torch.nn.Module, shard: Rows) -> None:
    optimiser = torch.optim.SGD(model.parameters(), lr=_RATE)
    images, labels = shard
    for _ in range(EPOCHS):
        for batch in torch.randperm(len(labels)).split(_BATCH):  # type: ignore[no-untyped-call]
            optimiser.zero_grad()
            torch.nn.functional.cross_entropy(model(images[batch]), labels[batch]).backward()  # type: ignore[no-untyped-call]
            optimiser.step()
