"""What the contract's tests hand to every adapter, plain averaging in double precision, and a look for clear text."""

import math
import struct
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from fl_integration.layout import Layout
from fl_integration.plan import Plan, sample_weight
from protocols.messages import Round

STAGES = (Round.ADVERTISE, Round.SHARE, Round.MASKED_INPUT, Round.CONFIRM, Round.UNMASK)
INPUT_HAD_LEFT = (Round.CONFIRM, Round.UNMASK)
PARTIES, LOSSES = 5, 1  # and two may collude, so that four are needed
CLIP, BITS, MAX_WEIGHT = 1.0, 16, 16
LOSS = (0.0, 10.0)  # the range of the one metric


@dataclass(frozen=True)
class Scene:
    """A model, and for each party what its training adds to it, on how many rows, and the metric `loss`.

    A step of a boolean says which ones change. rows_per_unit: see `sample_weight`.
    """

    model: dict
    steps: tuple
    rows: tuple
    losses: tuple
    rows_per_unit: int

    def trained(self, start, place):
        """What this party makes of a model. The given one stays as it is."""
        return {name: _added(tensor, self.steps[place][name]) for name, tensor in start.items()}

    def weights(self):
        return [sample_weight(rows, self.rows_per_unit, MAX_WEIGHT) for rows in self.rows]

    def training(self, **compression):
        """The table that goes with it."""
        said = {"clip": CLIP, "bits": BITS, "rows_per_unit": self.rows_per_unit, "metrics": {}, "evaluation": {}}
        if self.losses:
            said["metrics"] = {"loss": list(LOSS)}
        return {**said, **compression}


def _added(tensor, step):
    moved = np.logical_xor(tensor, step) if np.asarray(tensor).dtype == bool else tensor + step
    return np.asarray(moved).astype(np.asarray(tensor).dtype)


def _drawn(seed, model):
    """For each party a step: floats in -0.3..0.3, whole numbers in 0..90, booleans either way."""
    rng = np.random.default_rng(seed)
    draw = {
        "f": lambda tensor: rng.uniform(-0.3, 0.3, tensor.shape).astype(tensor.dtype),
        "i": lambda tensor: rng.integers(0, 90, tensor.shape).astype(tensor.dtype),
        "u": lambda tensor: rng.integers(0, 90, tensor.shape).astype(tensor.dtype),
        "b": lambda tensor: rng.random(tensor.shape) < 0.5,
    }
    for _ in range(PARTIES):
        step = {name: draw[tensor.dtype.kind](tensor) for name, tensor in model.items()}
        if "decoder" in step:  # two names of one tensor, which a training moves once
            step["decoder"] = step["encoder"]
        yield step


def _scene(seed, model):
    """Row counts and losses of as many digits as chance does not repeat, and the weights 1, 4, 4, 8, 2."""
    rows = (101_234_567, 298_765_431, 412_345_679, 987_654_321, 176_543_219)
    losses = (0.48291734651, 1.29384756102, 2.13243546576, 3.14159265359, 4.66920160911)
    steps = tuple(_drawn(seed, model))
    return Scene(model, steps, rows, losses, rows_per_unit=100_000_000)


_rng = np.random.default_rng(1)
PLAIN = _scene(
    2,
    {
        "weight": _rng.uniform(-0.3, 0.3, (5, 4)).astype(np.float32),
        "float64": _rng.uniform(-0.3, 0.3, 7),
    },
)
_tied = _rng.uniform(-0.3, 0.3, (2, 3)).astype(np.float32)
ODD = _scene(
    3,
    {
        "weight": _rng.uniform(-0.3, 0.3, (3, 2)).astype(np.float32),
        "scalar": np.array(0.25, dtype=np.float32),
        "empty": np.zeros((0, 3), dtype=np.float32),
        "float16": np.array([0.5, -0.25, 0.125], dtype=np.float16),
        "float64": np.array([[0.125]]),
        "counts": np.array([3, -40_000, 70_000], dtype=np.int32),
        "pixels": np.array([0, 150], dtype=np.uint8),
        "num_batches_tracked": np.array(30_000_000, dtype=np.int64),
        "flags": np.array([True, False, True, False, True]),
        "encoder": _tied,
        "decoder": _tied,
    },
)
WIDE = _scene(
    4, {"weight": _rng.uniform(-0.3, 0.3, (20, 30)).astype(np.float32), "batches": np.array(7, dtype=np.int64)}
)


# --- plain averaging ---


def survivors(lost):
    """The places whose input was in the sum. lost: place -> the stage at which it was lost."""
    return [place for place in range(PARTIES) if lost.get(place) in (None, *INPUT_HAD_LEFT)]


def plain_average(scene, places, start):
    """(tensors, metrics): the weighted mean of what these places trained, in double precision."""
    weights = [scene.weights()[place] for place in places]
    moved = [scene.trained(start, place) for place in places]
    mean = {name: np.average([one[name].astype(np.float64) for one in moved], axis=0, weights=weights)
            for name in start}  # fmt: skip
    losses = [scene.losses[place] for place in places] if scene.losses else []
    return mean, {"loss": np.average(losses, weights=weights)} if losses else {}


def level_bound(model):
    """What the codec promises for the floats of such a model."""
    floats = {name: tensor for name, tensor in model.items() if tensor.dtype.kind == "f"}
    plan = Plan(clip=CLIP, bits=BITS, max_weight=MAX_WEIGHT)
    return plan.codec(Layout.of(floats), PARTIES, bytes(32)).error_bound


def require_average(outcome, places_of_round):
    """The tensors are those of plain averaging over each round's places: floats within the bound that the codec
    promises for each round and what their own type rounds; whole numbers are its mean, rounded."""
    start = outcome.given[0].model
    for scene, places in zip(outcome.given, places_of_round, strict=True):
        mean, _ = plain_average(scene, places, start)
        start = {name: _in_type(value, start[name].dtype) for name, value in mean.items()}
    bound = level_bound(start) * len(outcome.given)
    assert outcome.tensors.keys() == start.keys()
    for name, tensor in outcome.tensors.items():
        assert (name, tensor.dtype, tensor.shape) == (name, start[name].dtype, start[name].shape)
        own = np.finfo(tensor.dtype).eps if tensor.dtype.kind == "f" else 0
        allowed = bound + own * len(outcome.given) if own else 0.0
        off = np.abs(tensor.astype(np.float64) - start[name].astype(np.float64)).max(initial=0.0)
        assert off <= allowed, (name, off, allowed)
    _, metrics = plain_average(outcome.given[-1], places_of_round[-1], outcome.given[0].model)
    assert outcome.metrics.keys() == metrics.keys()
    for name, value in metrics.items():
        assert abs(outcome.metrics[name] - value) <= (LOSS[1] - LOSS[0]) / (2**BITS - 1)


def _in_type(values, dtype):
    return np.asarray(np.rint(values) if dtype.kind in "iub" else values).astype(dtype)


@dataclass(frozen=True)
class Outcome:
    """What a user of the adapter has afterwards.

    tensors: the model. given: for each round that had a sum, what the parties gave. failures: for each round that had
    none, what the framework saw.
    """

    tensors: dict
    metrics: dict = field(default_factory=dict)
    given: tuple = ()
    failures: tuple = ()


# --- clear text ---


@dataclass(frozen=True)
class Secrets:
    """What must not be read in the bytes that leave a party. vectors: its inputs, encoded and packed, as they were
    before they were masked."""

    scene: Scene
    place: int
    vectors: tuple = ()

    @cached_property
    def _runs(self):
        """By kind: all runs of eight bytes, but those with three zeros in them, which chance repeats."""
        old, step, new = (
            self.scene.model,
            self.scene.steps[self.place],
            self.scene.trained(self.scene.model, self.place),
        )
        moved = {name: new[name] - tensor for name, tensor in old.items() if tensor.dtype.kind == "f"}
        update = self._floats(step) + self._floats(moved)  # before and after a rounding to the model's own type
        return {"update": _windows(update), "trained": _windows(self._floats(new)), "encoded": _windows(self.vectors)}

    @staticmethod
    def _floats(tensors):
        floats = [tensor for tensor in tensors.values() if tensor.dtype.kind == "f"]
        return [np.asarray(tensor, dtype=kind).tobytes() for tensor in floats for kind in ("<f4", "<f8")]

    @cached_property
    def _texts(self):
        if not self.scene.losses:  # an estimator's table is small, and small numbers are everywhere
            return {}
        loss, rows = self.scene.losses[self.place], self.scene.rows[self.place]
        forms = [struct.pack(form, rows) for form in ("<q", ">q", "<I", ">I", "<d", ">d")]
        return {
            "loss": [repr(loss).encode(), *(struct.pack(form, loss) for form in ("<d", ">d", "<f", ">f"))],
            "rows": [str(rows).encode(), _varint(rows), _varint(2 * rows), *forms],
        }

    def found_in(self, data):
        """The kinds that these bytes show."""
        runs = _windows([data], with_zeros=True)
        found = {kind for kind, secret in self._runs.items() if np.isin(secret, runs).any()}
        return found | {kind for kind, forms in self._texts.items() if any(form in data for form in forms)}


def _windows(parts, *, with_zeros=False):
    """uint64[n]: every run of eight bytes in them, once."""
    shifts = [np.frombuffer(part, np.uint8) for part in parts if len(part) >= 8]
    if not shifts:
        return np.zeros(0, np.uint64)
    runs = np.concatenate([np.lib.stride_tricks.sliding_window_view(part, 8) for part in shifts])
    if not with_zeros:
        runs = runs[(runs == 0).sum(axis=1) <= 2]
    return np.unique(np.ascontiguousarray(runs).view(np.uint64))


def _varint(number):
    """As protobuf writes it; one with a sign is written as twice as much."""
    digits = [number >> shift & 0x7F for shift in range(0, math.ceil(number.bit_length() / 7) * 7, 7)]
    return bytes([*(digit | 0x80 for digit in digits[:-1]), digits[-1]])
