"""A file of a person's own, before there is a schema: read, understood, cut into parts."""

import gzip

import numpy as np
import pandas as pd
import pytest

from fl_integration.own_data import held_out_and_parts, positive_of, read_whole
from fl_integration.schema import Kind
from fl_integration.tabular import DataError, draft_schema, load_table


def written(folder, text: str):
    (folder / "data.csv").write_text(text)
    return folder / "data.csv"


def test_a_column_is_numbers_only_if_every_value_is_one(tmp_path):
    frame = read_whole(written(tmp_path, "a,b,y\n1,1,0\n,x,1\n3,2,0\n"), "y")
    assert frame["a"].tolist()[::2] == [1.0, 3.0]
    assert frame["b"].tolist() == ["1", "x", "2"]
    assert frame["y"].tolist() == ["0", "1", "0"]


def test_what_was_drafted_from_a_file_reads_that_file(tmp_path):
    lines = [f"{n * 7 % 13},{n % 2 == 0},{'NL' if n % 3 else 'BE'},{n % 2}" for n in range(60)]
    path = written(tmp_path, "\n".join(["amount,online,country,y", *lines]))
    schema = draft_schema(read_whole(path, "y"), "y")
    assert [column.kind for column in schema.columns] == [Kind.NUMERIC, Kind.CATEGORICAL, Kind.CATEGORICAL]
    table = load_table(path, schema, label="y", positive="1")
    assert (len(table), table.missing, table.unknown) == (60, 0, 0)


def test_a_compressed_file_is_the_same(tmp_path):
    with gzip.open(tmp_path / "data.csv.gz", "wt") as file:
        file.write("a,y\n1,0\n2,1\n")
    pd.testing.assert_frame_equal(
        read_whole(tmp_path / "data.csv.gz", "y"), read_whole(written(tmp_path, "a,y\n1,0\n2,1\n"), "y")
    )


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(DataError, match=r"none\.csv: there is no such file"):
        read_whole(tmp_path / "none.csv", "y")


@pytest.mark.parametrize(
    ("values", "positive"),
    [
        ("1 0 0", "1"),
        ("1.0 0.0 1.0", "1.0"),
        ("YES NO NO", "YES"),
        ("false true true", "true"),
        ("good good bad", "bad"),
        ("b b a a", "a"),
    ],
)
def test_the_positive_value_is_what_people_would_take(values, positive):
    assert positive_of(pd.DataFrame({"y": values.split()}), "y", None) == positive


def test_the_parts_are_unequal_and_hold_every_row_once():
    frame = pd.DataFrame({"row": np.arange(1003)})
    held_out, parts = held_out_and_parts(frame, 5, seed=4)
    assert len(held_out) == 200
    rows = sorted(row for part in (held_out, *parts) for row in part["row"])
    assert rows == list(range(1003))
    sizes = [len(part) for part in parts]
    assert len(set(sizes)) == 5
    assert min(sizes) >= 0.5 * 803 / 5 - 1


def test_the_seed_decides_the_cut():
    frame = pd.DataFrame({"row": np.arange(500)})
    first, again, other = (held_out_and_parts(frame, 3, seed)[0]["row"].tolist() for seed in (1, 1, 2))
    assert first == again
    assert first != other
