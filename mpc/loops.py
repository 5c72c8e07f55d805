"""The loops of `native/loops.c`, which do in one pass over memory what takes numpy several.

They are compiled when the package is installed. Where no compiler was at hand they are missing, `available` is False,
and whoever would call them does the same by array operations. They raise ValueError for what does not lie in memory as
they need it, RuntimeError when they are not available; other threads run while they do.
"""

import ctypes
import sys
from collections.abc import Mapping, Sequence
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Words = npt.NDArray[np.unsignedinteger[Any]]

_FORM: Final = 2  # as in loops.c
_AT, _SIZE, _BITS, _REAL = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_uint, ctypes.c_double
_U32, _U64, _INT = ctypes.c_uint32, ctypes.c_uint64, ctypes.c_int


class _StretchInC(ctypes.Structure):
    """`struct stretch` of loops.c, in its order and types: handed over once, since to convert all of it at each call
    would cost as much as a short loop."""

    _fields_ = [
        ("sum", _AT),
        ("rows", _AT),
        ("outside", _AT),
        ("apart", _SIZE),
        ("width", _SIZE),
        ("mask", _U64),
        ("p", _U64),
    ]


_SIGNATURES: Final[Mapping[str, tuple[Any, ...]]] = {  # what each takes, then what it returns
    "block": (_INT,),
    "add_32": (_AT, _SIZE, _INT),
    "subtract_32": (_AT, _SIZE, _INT),
    "add_64": (_AT, _SIZE, _INT),
    "subtract_64": (_AT, _SIZE, _INT),
    "pack_32": (_AT, _AT, _SIZE, _BITS, None),
    "unpack_32": (_AT, _AT, _SIZE, _SIZE, _BITS, _U32, _INT),
    "round_32": (_AT, _AT, _AT, _SIZE, _REAL, _REAL, _REAL, _REAL, _REAL, _U32, _SIZE),
}


def _load() -> Mapping[str, Any]:
    """None of a library that is missing, or of another machine, or older than this file."""
    folder = Path(__file__).parent / "native"
    found = [path for suffix in EXTENSION_SUFFIXES if (path := folder / f"loops{suffix}").exists()]
    if not found or sys.byteorder != "little":  # a keystream's words are, and so are packed ones
        return {}
    try:
        library = ctypes.CDLL(str(found[0]))
        if library.form() != _FORM:
            return {}
        loops = {name: getattr(library, name) for name in _SIGNATURES}
    except (OSError, AttributeError):
        return {}
    for name, loop in loops.items():
        *loop.argtypes, loop.restype = _SIGNATURES[name]
    return loops


_loops = _load()
available = bool(_loops)
_block: int = _loops["block"]() if available else 0  # words


def _loop(name: str) -> Any:
    if not available:
        raise RuntimeError("the loops were not compiled when this package was installed")
    return _loops[name]


def _address(array: npt.NDArray[Any], dtype: npt.DTypeLike, length: int, *, written: bool = False) -> int:
    if array.dtype != dtype or array.shape != (length,) or not array.flags.c_contiguous or not array.flags.aligned:
        raise ValueError(f"{length} elements of {np.dtype(dtype)} are wanted, aligned and in one piece")
    if written and not array.flags.writeable:
        raise ValueError("an array that is read-only cannot be written to")
    return array.ctypes.data


def pack(elements: Words, bits: int) -> bytes:
    """`bits` bits of each of these uint32, which have no more of them: 1..32. Lowest bit first; the last byte is filled
    up with zero bits."""
    loop = _loop("pack_32")
    if not 1 <= bits <= 32:
        raise ValueError(f"an element has 1..32 bits, not {bits}")
    out = np.empty((len(elements) * bits + 7) // 8, dtype=np.uint8)
    loop(out.ctypes.data, _address(elements, np.uint32, len(elements)), len(elements), bits)
    return out.tobytes()


def unpack(data: bytes, out: Words, bits: int, modulus: int) -> bool:
    """Write what was packed into `out`, of uint32. Returns whether all elements are below the modulus."""
    loop, length, source = _loop("unpack_32"), len(out), np.frombuffer(data, dtype=np.uint8)
    if not (1 <= bits <= 32 and 0 < modulus < 1 << 32 and source.size == (length * bits + 7) // 8):
        raise ValueError(f"{source.size} bytes are not {length} elements of {bits} bits below {modulus}")
    to = _address(out, np.uint32, length, written=True)
    return not loop(to, source.ctypes.data, source.size, length, bits, modulus)


def round_values(
    values: npt.NDArray[np.float32],
    noise: Words,
    out: Words,
    *,
    ends: tuple[float, float],
    width: float,
    top: float,
    noise_top: int,
    factor: int,
) -> int:
    """Write levels of values into `out`, of uint32, and return how many values were clipped to `ends`, low and high.

    The level of a value is (value - low) / width * top, in float64 and below 2^32; rounded down, or up where noise /
    noise_top is below its fraction; times `factor`, below 2^32 too. noise: uint32 below noise_top, at most 2^31.
    """
    loop, length = _loop("round_32"), len(out)
    if not (0 <= factor < 1 << 32 and 0 < noise_top <= 1 << 31):
        raise ValueError("a factor below 2^32 is wanted, and noise below 2^31")
    to = _address(out, np.uint32, length, written=True)
    given = _address(values, np.float32, length), _address(noise, np.uint32, length)
    clipped: int = loop(to, *given, length, *ends, width, top, noise_top, factor)
    return clipped


class Total:
    """A vector mod p, to which rows of words are added and from which rows are subtracted, in place."""

    __slots__ = ("_add", "_at", "_kept", "_length", "_mask", "_modulus", "_room", "_rows_at", "_size", "_subtract")

    def __init__(self, total: Words, buffer: Words, *, mask: int, modulus: int) -> None:
        """total: words below the modulus, uint32 or uint64. buffer: where rows will lie, of the same dtype.

        mask, modulus: below half of what such a word holds.
        """
        if total.dtype not in (np.uint32, np.uint64):
            raise ValueError(f"a total of uint32 or uint64 is wanted, not of {total.dtype}")
        self._size = total.itemsize
        half = 1 << (8 * self._size - 1)
        if not (0 < modulus < half and 0 <= mask < half):
            raise ValueError(f"modulus and mask of a total of {total.dtype} are below {half}")
        self._add, self._subtract = (_loop(f"{verb}_{8 * self._size}") for verb in ("add", "subtract"))
        word = np.dtype(f"u{self._size}")
        self._at = _address(total, word, len(total), written=True)
        self._rows_at = _address(buffer, word, len(buffer))
        self._kept = total, buffer  # as long as their addresses are
        self._length, self._room = len(total), len(buffer)
        self._mask, self._modulus = mask, modulus

    def stretch(self, part: slice, rows: int, *, apart: int, lead: int) -> "Stretch":
        """A part of the total, for up to so many rows at a time.

        apart: words from the begin of one row to that of the next. lead: words of a row before those of the part.
        Raises ValueError for what lies outside the total or the buffer.
        """
        width = part.stop - part.start
        fits = 0 <= part.start <= part.stop <= self._length and min(rows, lead) >= 0
        if not (fits and lead + width <= apart and rows * apart <= self._room):
            raise ValueError("the part is not one of the total, or the rows do not lie in the buffer")
        return Stretch(self, part, rows, apart, lead)


class Stretch:
    """A part of a total, to which rows are added and from which rows are subtracted, by one thread at a time."""

    __slots__ = ("_add", "_at", "_blocks", "_in_c", "_kept", "_most", "_outside", "_subtract")

    def __init__(self, total: Total, part: slice, rows: int, apart: int, lead: int) -> None:
        width = part.stop - part.start
        self._kept, self._most = total, rows
        self._add, self._subtract = total._add, total._subtract
        self._blocks = -(-width // _block)
        self._outside = (ctypes.c_char * (rows * self._blocks))()
        self._in_c = _StretchInC(
            total._at + part.start * total._size,
            total._rows_at + lead * total._size,
            ctypes.addressof(self._outside),
            apart,
            width,
            total._mask,
            total._modulus,
        )
        self._at = ctypes.addressof(self._in_c)

    def put(self, rows: int, *, minus: bool) -> Sequence[tuple[int, slice]]:
        """Add so many rows, cut to the mask, to the part; or subtract them.

        A cut word that is not below the modulus counts as 0: returned are the row, and the stretch of the part, of each
        block in which there is one. Raises ValueError for more rows than it was made for.
        """
        if not 0 <= rows <= self._most:
            raise ValueError(f"{rows} rows, where there is room for {self._most}")
        loop = self._subtract if minus else self._add
        if not loop(self._at, rows):
            return ()
        found = (
            divmod(place, self._blocks) for place, one in enumerate(self._outside.raw[: rows * self._blocks]) if one
        )
        return [(row, slice(block * _block, (block + 1) * _block)) for row, block in found]
