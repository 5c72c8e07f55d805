"""The page on compression shows what the benchmark found, and the benchmark finds it again."""

import re
from pathlib import Path

import numpy as np
import pytest

from benchmarks.compression import BASELINE, ROUNDS, ROWS, SEEDS, load, table, upload_bytes
from benchmarks.federated_digits import HIDDEN
from fl_integration.layout import Layout

pytestmark = pytest.mark.slow

PAGE = (Path(__file__).parents[2] / "docs" / "compression.md").read_text()
FOUND = {one.name: one for one in load()}


def test_the_page_shows_the_results_with_a_row_for_each_codec():
    assert list(FOUND) == [row.name for row in ROWS]
    shown = re.search(r"<!-- table -->\n(.*)\n<!-- end -->", PAGE, re.DOTALL)
    assert shown
    assert shown[1] == table(list(FOUND.values()))


def test_several_codecs_send_four_times_fewer_bytes_at_less_than_a_point():
    base = FOUND[BASELINE]
    good = [one.name for one in FOUND.values() if 4 * one.bytes <= base.bytes and one.last > base.last - 1]
    assert len(good) >= 3


def test_every_row_has_a_curve_for_each_seed():
    assert {(len(one.accuracy), *map(len, one.accuracy)) for one in FOUND.values()} == {(len(SEEDS), *[ROUNDS] * 3)}


def test_the_bytes_are_those_of_the_codecs_as_they_are():
    shapes = {"a": (HIDDEN, 64), "b": (HIDDEN,), "c": (10, HIDDEN), "d": (10,)}
    layout = Layout.of({name: np.zeros(shape, dtype=np.float32) for name, shape in shapes.items()})
    for row in ROWS:
        codec = row.codec(layout, bytes(32))
        assert upload_bytes(codec) == FOUND[row.name].bytes
        assert (codec.vector_length, codec.field.bits) == (FOUND[row.name].elements, FOUND[row.name].element_bits)


@pytest.mark.parametrize("name", [BASELINE, "rotation, rand-k 25 %, 4 bits"])
def test_a_training_gives_the_curve_again(name):
    (row,) = [row for row in ROWS if row.name == name]
    curve = row.run(SEEDS[0], 3).accuracy
    # four of 450 images: another version of torch may round another way
    assert curve == pytest.approx(FOUND[name].accuracy[0][:3], abs=0.01)
