import re
import shutil
import subprocess
import sys
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpc import loops
from mpc.encoding.rounding import Rounding, Scale
from mpc.field import M31, M61, FieldVector, PrimeField
from mpc.prg import Seed
from mpc.randomness import SeededRandomness

FIELDS = [PrimeField(p) for p in (2, 3, 5, 65537, 2**26 - 5, 2**30 - 35, 2**30 + 3, 2**31 - 1)] + [M61]
BLOCK = 4096

compiled = pytest.mark.skipif(not loops.available, reason="no compiler was at hand when the package was installed")


def test_where_a_compiler_works_the_loops_are(tmp_path: Path):
    compiler = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
    if compiler is None or sys.byteorder != "little":
        pytest.skip("no compiler, or words that the loops do not read")
    source = tmp_path / "probe.c"
    source.write_text("#include <math.h>\n#include <stdint.h>\ndouble probe(double x) { return floor(x); }\n")
    built = subprocess.run([compiler, "-shared", "-fPIC", "-o", tmp_path / "probe.so", source, "-lm"], check=False)
    assert loops.available or built.returncode != 0, "install the package again: `make`"


def test_all_that_the_loops_are_compiled_from_is_packed_and_makes_them_anew():
    """Where `loops.c` was packed without what it includes, an install would go on without the loops."""
    root = Path(__file__).parents[2]
    included = re.findall(r'^#include "(.+)"$', (root / "mpc/native/loops.c").read_text(), re.M)
    assert set(included) == {path.name for path in (root / "mpc/native").glob("*.h")}
    setup, make = (root / "setup.py").read_text(), (root / "Makefile").read_text()
    assert "include_dirs" not in setup  # then it would be of somewhere else
    for name in set(included):
        assert f'"mpc/native/{name}"' in setup
        assert f" mpc/native/{name}" in make


def test_a_library_that_is_none_or_has_another_form_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    assert bool(loops._load()) == loops.available
    with monkeypatch.context() as patch:
        patch.setattr(loops, "_FORM", loops._FORM + 1)
        assert not loops._load()
    (tmp_path / "native").mkdir()
    (tmp_path / "native" / f"loops{EXTENSION_SUFFIXES[0]}").write_bytes(b"no library")
    monkeypatch.setattr(loops, "__file__", str(tmp_path / "loops.py"))
    assert not loops._load()


def by_integers(
    total: FieldVector, rows: FieldVector, field: PrimeField, *, minus: bool
) -> tuple[list[int], set[tuple[int, int]]]:
    """What `put` does, word by word, and the row and block of each word that is not below the modulus."""
    sums, outside = total.tolist(), set()
    for at, row in enumerate(rows.tolist()):
        for place, word in enumerate(row):
            cut = word & int(field.mask)
            if cut >= field.modulus:
                outside.add((at, place // BLOCK))
                continue
            sums[place] = (sums[place] + (-cut if minus else cut)) % field.modulus
    return sums, outside


def words(field: PrimeField, shape: tuple[int, int], name: bytes) -> FieldVector:
    """Any bits, with words at the modulus and beside it among them."""
    found = np.frombuffer(SeededRandomness(name).bytes(shape[0] * shape[1] * field.itemsize), dtype=field.dtype).copy()
    found[::7], found[1::7], found[2::7] = field.modulus, field.modulus - 1, 0
    return found.reshape(shape)


def readonly(vector: FieldVector) -> FieldVector:
    vector.flags.writeable = False
    return vector


def odd(array: np.ndarray) -> np.ndarray:
    """The same at an address that is no multiple of its elements' size."""
    return np.frombuffer(b"x" + array.tobytes(), dtype=array.dtype, offset=1)


@compiled
@given(
    st.sampled_from(FIELDS),
    st.integers(0, 7),
    st.integers(0, 2),
    st.one_of(st.integers(0, 40), st.integers(BLOCK - 2, BLOCK + 40), st.just(2 * BLOCK + 1)),
    st.integers(0, 9),
    st.integers(0, 9),
    st.booleans(),
)
@settings(deadline=None, max_examples=60)
def test_a_put_is_that_of_integers_and_writes_nothing_beside_its_part(
    field: PrimeField, count: int, spare: int, width: int, lead: int, behind: int, minus: bool
):
    around = field.uniform(width + 32, SeededRandomness(b"total"))
    around[16 : 16 + width // 2] = field.modulus - 1
    before, part = around.copy(), slice(16, 16 + width)
    rows = words(field, (count + spare, lead + width + behind), b"rows")
    rows_before = rows.copy()
    expected, outside = by_integers(around[part], rows[:count, lead : lead + width], field, minus=minus)
    total = loops.Total(around, rows.reshape(-1), mask=int(field.mask), modulus=field.modulus)
    stretch = total.stretch(part, count + spare, apart=rows.shape[1], lead=lead)
    found = stretch.put(count, minus=minus)
    assert around[part].tolist() == expected
    assert {(row, place.start // BLOCK) for row, place in found} == outside
    assert all(place.stop - place.start == BLOCK for _, place in found)
    assert np.array_equal(around[:16], before[:16])
    assert np.array_equal(around[16 + width :], before[16 + width :])
    assert np.array_equal(rows, rows_before)


@compiled
@pytest.mark.parametrize("place", [0, 1, 31, BLOCK - 1, BLOCK, BLOCK + 12])
@pytest.mark.parametrize("outside", range(4))
@pytest.mark.parametrize("field", [PrimeField(2**30 - 35), M31], ids=str)
def test_one_word_that_is_not_below_the_modulus_is_seen_wherever_it_is(field: PrimeField, outside: int, place: int):
    width = BLOCK + 13
    vector, buffer = field.zeros(width), field.zeros(4 * width)
    total = loops.Total(vector, buffer, mask=int(field.mask), modulus=field.modulus)
    stretch = total.stretch(slice(0, width), 4, apart=width, lead=0)
    assert not stretch.put(4, minus=False)
    buffer[outside * width + place] = 2**32 - 1
    ((row, block),) = stretch.put(4, minus=True)
    assert row == outside
    assert block.start <= place < block.stop
    assert not vector.any()


@compiled
@given(st.integers(1, 31), st.one_of(st.integers(0, 70), st.integers(990, 1010)), st.randoms(use_true_random=False))
@settings(deadline=None)
def test_packed_elements_are_their_bits_and_come_back(bits: int, length: int, rnd: Random):
    elements = [rnd.choice([rnd.randrange(1 << bits), 0, (1 << bits) - 1]) for _ in range(length)]
    packed = loops.pack(np.array(elements, dtype=np.uint32), bits)
    size = (length * bits + 7) // 8
    assert packed == sum(element << bits * place for place, element in enumerate(elements)).to_bytes(size, "little")
    around = np.full(length + 32, 7, dtype=np.uint32)
    largest = max(elements, default=0)
    assert loops.unpack(packed, around[16 : 16 + length], bits, largest + 1)
    assert around.tolist() == [7] * 16 + elements + [7] * 16
    assert largest == 0 or not loops.unpack(packed, around[16 : 16 + length], bits, largest)


@compiled
@pytest.mark.parametrize(
    ("data", "length", "bits", "modulus"),
    [
        (bytes(0), 8, 0, 2),
        (bytes(33), 8, 33, 2),
        (bytes(30), 8, 31, 2),
        (bytes(32), 8, 31, 2),
        (bytes(0), 1, 8, 2),
        (bytes(31), 8, 31, 2**32),
        (bytes(31), 8, 31, 0),
        (memoryview(np.zeros((4, 0), np.uint8)), 4, 8, 2),
        (memoryview(np.zeros((1, 31), np.uint8)), 8, 1, 2),
    ],
)
def test_what_is_not_so_many_elements_of_so_many_bits_is_not_unpacked(
    data: bytes, length: int, bits: int, modulus: int
):
    with pytest.raises(ValueError, match="elements of"):
        loops.unpack(data, M31.zeros(length), bits, modulus)


@compiled
@pytest.mark.parametrize(
    "elements",
    [M61.zeros(8), M31.zeros(16)[::2], M31.zeros(8).reshape(2, 4), odd(M31.zeros(8))],
    ids=["wide words", "with gaps", "a matrix", "at an odd address"],
)
def test_what_is_not_one_piece_of_elements_is_neither_packed_nor_unpacked_into(elements: FieldVector):
    with pytest.raises(ValueError, match="in one piece"):
        loops.pack(elements, 31)
    with pytest.raises(ValueError, match="in one piece"):
        loops.unpack(bytes((31 * len(elements) + 7) // 8), elements, 31, 2)


def rounding(length: int, **others: object) -> dict[str, Any]:
    """Arguments that are in order, but for the others."""
    values = np.linspace(-2, 2, length, dtype=np.float32)
    order = {"values": values, "noise": M31.zeros(length), "out": M31.zeros(length)}
    return order | {"ends": (-1.0, 1.0), "width": 2.0, "top": 255.0, "noise_top": M31.modulus, "factor": 3} | others


@compiled
@pytest.mark.parametrize("length", [0, 1, 3, 4, 5, 8, 31])
def test_rounded_values_stand_in_their_part_alone(length: int):
    around = np.full(length + 32, 7, dtype=np.uint32)
    given = rounding(length, out=around[16 : 16 + length])
    clipped = loops.round_values(**given)
    inside = np.clip(given["values"].astype(np.float64), -1, 1)
    scaled = (inside + 1.0) / 2.0 * 255.0
    assert around.tolist() == [7] * 16 + (3 * np.ceil(scaled).astype(int)).tolist() + [7] * 16
    assert clipped == np.count_nonzero(np.abs(given["values"]) > 1)


@compiled
@given(
    st.lists(st.floats(-10, 10, width=32), max_size=40),
    st.sampled_from([(-1.0, 1.0), (0.0, 1e-3), (-3.7, 9.1), (-8.0, 7.0)]),
    st.integers(1, 32),
    st.sampled_from([1, 2, 77]),
)
@settings(deadline=None, max_examples=300)
def test_rounding_by_the_loop_is_rounding_by_array_operations_to_the_bit(
    values: list[float], ends: tuple[float, float], bits: int, factor: int
):
    scale = Scale(*ends, ends[1] - ends[0], float((1 << bits) - 1))
    given, outs, counts = np.array(values, dtype=np.float32), [], []
    for available in (True, False):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(loops, "available", available)
            outs.append(M31.zeros(len(given)))
            counts.append(scale.put(given, outs[-1], factor, Rounding(Seed(bytes(32))), 5))
    assert np.array_equal(*outs)
    assert len(set(counts)) == 1


@compiled
@pytest.mark.parametrize(
    "others",
    [
        {"values": np.zeros(8)},
        {"values": odd(np.zeros(8, np.float32))},
        {"noise": M31.zeros(7)},
        {"out": M61.zeros(8)},
        {"out": readonly(M31.zeros(8))},
        {"factor": 2**32},
        {"noise_top": 2**31 + 1},
    ],
    ids=["float64", "at an odd address", "less noise", "wide words", "read-only", "factor", "noise"],
)
def test_what_is_not_one_piece_of_values_is_not_rounded(others: dict[str, Any]):
    with pytest.raises(ValueError, match=r"wanted|read-only"):
        loops.round_values(**rounding(8, **others))


@compiled
@pytest.mark.parametrize(
    ("total", "buffer"),
    [
        (M31.zeros(16)[::2], M31.zeros(24)),
        (M31.zeros(8).reshape(2, 4), M31.zeros(24)),
        (readonly(M31.zeros(8)), M31.zeros(24)),
        (M61.zeros(8), M31.zeros(24)),
        (M31.zeros(8), M61.zeros(24)),
        (M31.zeros(8), M31.zeros(24).reshape(3, 8)),
        (M31.zeros(8), M31.zeros(48)[::2]),
        (M31.zeros(8), odd(M31.zeros(24))),
        (M31.zeros(8), M31.zeros(24)[::-1]),
        (M31.zeros(8), M31.zeros(24).view(np.int32)),
        (M31.zeros(8).view(np.int32), M31.zeros(24).view(np.int32)),
        (np.zeros(8, np.uint16), np.zeros(24, np.uint16)),
        (M31.zeros(8).astype(">u4"), M31.zeros(24).astype(">u4")),
    ],
    ids=[
        "total with gaps", "a matrix", "read-only", "wide total", "wide buffer", "buffer is a matrix",
        "buffer with gaps", "odd buffer", "backwards", "signed buffer", "signed", "short words", "big-endian",
    ],
)  # fmt: skip
def test_what_lies_otherwise_in_memory_is_refused(total: FieldVector, buffer: FieldVector):
    with pytest.raises(ValueError, match=r"wanted|read-only"):
        loops.Total(total, buffer, mask=2**31 - 1, modulus=2**31 - 1)


@compiled
@pytest.mark.parametrize(("mask", "modulus"), [(2**31, 5), (7, 2**31), (7, 2**32 + 5), (7, 0), (-1, 5)])
def test_numbers_that_a_word_has_no_room_for_are_refused(mask: int, modulus: int):
    with pytest.raises(ValueError, match="are below"):
        loops.Total(M31.zeros(8), M31.zeros(8), mask=mask, modulus=modulus)


@compiled
@pytest.mark.parametrize(
    ("part", "rows", "apart", "lead"),
    [
        (slice(-1, 4), 1, 8, 0),
        (slice(4, 3), 1, 8, 0),
        (slice(0, 11), 1, 12, 0),
        (slice(0, 8), 4, 8, 0),
        (slice(0, 8), 2, 7, 0),
        (slice(0, 8), 2, 8, 1),
        (slice(0, 8), 2, 9, -1),
        (slice(0, 8), -1, 8, 0),
        (slice(0, 1), 1, 25, 24),
    ],
)
def test_what_lies_outside_is_refused(part: slice, rows: int, apart: int, lead: int):
    vector = M31.zeros(10)
    total = loops.Total(vector, M31.zeros(24) + M31.dtype.type(1), mask=2**31 - 1, modulus=2**31 - 1)
    with pytest.raises(ValueError, match="do not lie in the buffer"):
        total.stretch(part, rows, apart=apart, lead=lead)
    assert not vector.any()


@compiled
@pytest.mark.parametrize("rows", [-1, 3])
def test_more_rows_than_a_stretch_was_made_for_are_refused(rows: int):
    total = loops.Total(M31.zeros(8), M31.zeros(24), mask=2**31 - 1, modulus=2**31 - 1)
    stretch = total.stretch(slice(0, 8), 2, apart=8, lead=0)
    with pytest.raises(ValueError, match="room for 2"):
        stretch.put(rows, minus=False)


def test_without_the_loops_nothing_is_done(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(loops, "available", False)
    for work in (
        lambda: loops.Total(M31.zeros(8), M31.zeros(8), mask=1, modulus=2),
        lambda: loops.pack(M31.zeros(8), 31),
        lambda: loops.unpack(bytes(31), M31.zeros(8), 31, 2),
        lambda: loops.round_values(**rounding(8)),
    ):
        with pytest.raises(RuntimeError, match="not compiled"):
            work()
