"""Named tensors <-> one flat vector, and named tensors <-> canonical bytes. The only place that knows shapes.

Floats of any width and whole numbers (counters, batch-norm's number of batches) all travel as float32; on the way back
each tensor gets its own type again, whole numbers rounded. The bytes are an ordinary `.npz` file that `numpy.load`
opens without pickle; equal tensors and equal `meta` give equal bytes, so a hash of them is a hash of the model.
"""

import io
import json
import math
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import groupby
from tokenize import TokenError
from typing import Any, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from mpc.encoding import Span, whole_numbers

Array: TypeAlias = npt.NDArray[Any]
Tensors: TypeAlias = Mapping[str, Array]
Floats: TypeAlias = npt.NDArray[np.float32]

META = "__meta__"

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest date that a zip file can hold
_KINDS = "biuf"
# what zipfile and numpy raise on bytes that they cannot read
_DAMAGED = (
    KeyError, TypeError, ValueError, EOFError, OSError, NotImplementedError, RuntimeError, TokenError,
    zipfile.BadZipFile,
)  # fmt: skip
_LONGEST_HEADER = 512  # bytes; numpy parses a header as Python text


class LayoutError(ValueError):
    """Tensors or a vector that do not have the layout. The message names the tensor."""


class PayloadError(ValueError):
    """Not the canonical bytes of a payload."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One tensor: its name, its shape, its type in numpy's notation without byte order (`f4`, `i8`)."""

    name: str
    shape: tuple[int, ...]
    dtype: str

    @property
    def size(self) -> int:
        return math.prod(self.shape)


@dataclass(frozen=True, slots=True)
class Layout:
    """Where each tensor lies in the flat vector: in the order of the mapping, each in C order."""

    entries: tuple[Entry, ...]

    @classmethod
    def of(cls, tensors: Tensors) -> Self:
        """The layout of these tensors. Raises LayoutError for one that is not numbers, naming it."""
        return cls(tuple(_entry(name, np.asarray(tensor)) for name, tensor in tensors.items()))

    @property
    def length(self) -> int:
        """Elements of the flat vector."""
        return sum(entry.size for entry in self.entries)

    def spans(self, clip: float, bits: int) -> tuple[Span, ...]:
        """The ranges of an update: floats in -clip..clip; whole numbers and booleans with one level a unit.

        So a whole number of -2^(bits-1)..2^(bits-1)-1 is exact. Raises EncodingError for a clip that is no range.
        """
        one = [_span(entry, clip, bits) for entry in self.entries if entry.size]
        alike = groupby(one, key=lambda span: (span.low, span.high))
        return tuple(Span(sum(span.length for span in group), low, high) for (low, high), group in alike)

    def flatten(self, tensors: Tensors) -> Floats:
        """float32[length]. Raises LayoutError for a name, shape or type of another layout, and for NaN or infinity."""
        self._require_same(tensors)
        return self._joined(lambda entry: np.asarray(tensors[entry.name]))

    def difference(self, new: Tensors, old: Tensors) -> Floats:
        """new - old as float32[length], taken in each tensor's own precision or better. Raises as `flatten`."""
        self._require_same(new)
        self._require_same(old)
        return self._joined(lambda entry: _wide(new[entry.name]) - _wide(old[entry.name]))

    def unflatten(self, vector: npt.NDArray[np.floating[Any]]) -> dict[str, Array]:
        """The tensors again, each in its own shape and type. Raises LayoutError: length, NaN, does not fit its type."""
        return self._split(vector, lambda entry, part: part)

    def moved(self, tensors: Tensors, delta: npt.NDArray[np.floating[Any]]) -> dict[str, Array]:
        """`tensors` + `delta` (float[length]), each in its own shape and type. Raises as `unflatten`."""
        self._require_same(tensors)
        return self._split(delta, lambda entry, part: _wide(tensors[entry.name]) + part)

    def _joined(self, values: Callable[[Entry], Array]) -> Floats:
        vector = np.empty(self.length, dtype=np.float32)
        at = 0
        for entry in self.entries:
            with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and is refused below
                vector[at : at + entry.size] = values(entry).reshape(-1)
            _require_finite(entry, vector[at : at + entry.size])
            at += entry.size
        return vector

    def _split(self, vector: Array, values: Callable[[Entry, Array], Array]) -> dict[str, Array]:
        if vector.shape != (self.length,):
            raise LayoutError(f"the layout has {self.length} elements, the vector's shape is {vector.shape}")
        tensors, at = {}, 0
        for entry in self.entries:
            part = vector[at : at + entry.size].astype(np.float64).reshape(entry.shape)
            tensors[entry.name] = _restored(entry, values(entry, part))
            at += entry.size
        return tensors

    def _require_same(self, tensors: Tensors) -> None:
        if tensors.keys() != {entry.name for entry in self.entries}:
            odd = sorted(tensors.keys() ^ {entry.name for entry in self.entries})
            raise LayoutError(f"tensor {odd[0]!r} is missing or not in the layout")
        for entry in self.entries:
            found = _entry(entry.name, np.asarray(tensors[entry.name]))
            if found != entry:
                raise LayoutError(
                    f"tensor {entry.name!r} is {found.dtype}{list(found.shape)}, "
                    f"the layout has {entry.dtype}{list(entry.shape)}"
                )


def _entry(name: str, tensor: Array) -> Entry:
    if tensor.dtype.kind not in _KINDS or tensor.dtype.itemsize > 8:
        raise LayoutError(
            f"tensor {name!r} is of type {tensor.dtype}: only booleans, whole numbers and floats up to f8"
        )
    return Entry(name, tensor.shape, tensor.dtype.str[1:])


def _span(entry: Entry, clip: float, bits: int) -> Span:
    if np.dtype(entry.dtype).kind == "f":
        return Span(entry.size, -clip, clip)
    return whole_numbers(entry.size, bits)


def in_type(values: Array, dtype: np.dtype[Any]) -> Array:
    """`values` in this type, rounded where it is one of whole numbers: what an average made floats of."""
    return np.asarray(np.rint(values) if dtype.kind in "biu" else values).astype(dtype)


def _wide(tensor: Array) -> Array:
    return np.asarray(tensor).astype(np.float64)


def _require_finite(entry: Entry, values: Array) -> None:
    if not np.isfinite(values).all():
        raise LayoutError(f"tensor {entry.name!r} holds NaN, infinity or a value beyond its type")


def _restored(entry: Entry, values: Array) -> Array:
    """float64 values in the tensor's own type."""
    _require_finite(entry, values)
    dtype = np.dtype(entry.dtype)
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            restored = np.asarray(values).astype(dtype)
        _require_finite(entry, restored)
        return restored
    whole = np.asarray(np.rint(values))
    low, high = (0, 1) if dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    # float(high) of a 64-bit type is one above it, so the largest value is refused with those beyond
    if whole.size and not (low <= whole.min() and whole.max() <= high and whole.max() < 2.0**63):
        raise LayoutError(f"tensor {entry.name!r} holds a value beyond its type {entry.dtype}")
    return whole.astype(dtype)


# --- canonical bytes ---


def dump_payload(tensors: Tensors, meta: Mapping[str, Any]) -> bytes:
    """The one `.npz` file of these tensors (in their order) and of `meta` (JSON, keys sorted, whole numbers of 64 bits
    at most).

    Little endian, C order, not compressed, a fixed date. Raises LayoutError for a tensor that is not numbers.
    """
    text = json.dumps(meta, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=True)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        _write(archive, META, np.frombuffer(text.encode(), dtype=np.uint8))
        for name, tensor in tensors.items():
            _entry(name, np.asarray(tensor))
            _write(archive, name, np.asarray(tensor))
    return buffer.getvalue()


def load_payload(data: bytes) -> tuple[dict[str, Array], dict[str, Any]]:
    """(tensors, meta) of `dump_payload`. Raises PayloadError for any other bytes: there is one form of each payload."""
    try:
        tensors = _read_all(data)
        meta = json.loads(tensors.pop(META).tobytes(), parse_int=_whole)
        canonical = isinstance(meta, dict) and dump_payload(tensors, meta) == data
    except _DAMAGED as exc:
        raise PayloadError(f"not a payload: {exc}") from exc
    if not canonical:
        raise PayloadError("not the canonical bytes of a payload")
    return tensors, meta


def _whole(digits: str) -> int:
    """What is beyond 64 bits would be no float, and prints only where it is short. Raises ValueError."""
    if not -(2**63) <= (number := int(digits)) < 2**63:
        raise ValueError("a whole number of more than 64 bits")
    return number


def _write(archive: zipfile.ZipFile, name: str, tensor: Array) -> None:
    member = zipfile.ZipInfo(name + ".npy", date_time=_EPOCH)
    member.create_system = 3  # on every system
    member.external_attr = 0o600 << 16
    little = tensor.astype(tensor.dtype.newbyteorder("<"), order="C", copy=False)
    body = io.BytesIO()
    np.lib.format.write_array(body, little, version=(1, 0), allow_pickle=False)
    archive.writestr(member, body.getvalue())


def _read_all(data: bytes) -> dict[str, Array]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = archive.infolist()
        _require_plain(members, len(data))
        return {member.filename.removesuffix(".npy"): _read(archive.read(member)) for member in members}


def _require_plain(members: list[zipfile.ZipInfo], size: int) -> None:
    """Before anything is read: what the members say they hold fits into the file, so that it cannot be a bomb."""
    if any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise PayloadError("a payload is not compressed")
    if len({member.filename for member in members}) != len(members):
        raise PayloadError("two arrays of one name")
    if sum(member.file_size for member in members) > size:
        raise PayloadError("arrays that overlap")


def _read(body: bytes) -> Array:
    """One `.npy` file; its header is believed only where its size agrees with the bytes that are there."""
    stream = io.BytesIO(body)
    if int.from_bytes(body[8:10], "little") > _LONGEST_HEADER:
        raise PayloadError("an array's header is too long")
    if np.lib.format.read_magic(stream) != (1, 0):
        raise PayloadError("another version of the array format")
    shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
    if fortran or dtype.kind not in _KINDS or math.prod(shape) * dtype.itemsize != len(body) - stream.tell():
        raise PayloadError("an array's header does not describe its bytes")
    return np.frombuffer(body, dtype=dtype, offset=stream.tell()).reshape(shape).copy()
