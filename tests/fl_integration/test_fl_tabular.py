import gzip

import numpy as np
import pandas as pd
import pytest

from fl_integration.schema import Column, Kind, Schema, SchemaError, Table
from fl_integration.tabular import DataError, draft_schema, load_features, load_table, table_of

PLAIN = {"amount": {"range": [0.0, 100.0]}, "kind": {"categories": ["cash", "shop"]}}
SCHEMA = Schema.from_mapping(PLAIN)
CSV = "id,kind,amount,fraud\n1,shop,10,0\n2,cash,250,1\n3,online,,0\n"


def load(folder, text, label="fraud", positive="1", schema=SCHEMA):
    path = folder / "bank.csv"
    path.write_text(text)
    return load_table(path, schema, label=label, positive=positive)


def test_numbers_are_clipped_categories_one_hot_and_what_is_odd_is_counted(tmp_path):
    table = load(tmp_path, CSV)
    assert table.features.dtype == np.float32
    wanted = [[10, 0, 1, 0], [100, 1, 0, 0], [np.nan, 0, 0, 1]]
    assert np.array_equal(table.features, np.array(wanted, dtype=np.float32), equal_nan=True)
    assert table.labels.tolist() == [0, 1, 0]
    assert (len(table), table.missing, table.unknown) == (3, 1, 1)


def test_gzip_is_read_as_plain_text_is(tmp_path):
    path = tmp_path / "bank.csv.gz"
    path.write_bytes(gzip.compress(CSV.encode()))
    assert load_table(path, SCHEMA, label="fraud", positive="1").labels.tolist() == [0, 1, 0]


def test_a_data_frame_gives_the_same_table(tmp_path):
    frame = pd.DataFrame({"kind": ["shop", "cash", "online"], "amount": [10.0, 250.0, np.nan], "fraud": [0, 1, 0]})
    table, read = table_of(frame, SCHEMA, label="fraud", positive="1"), load(tmp_path, CSV)
    assert np.array_equal(table.features, read.features, equal_nan=True)
    assert np.array_equal(table.labels, read.labels)
    assert (table.missing, table.unknown) == (read.missing, read.unknown)


def test_the_positive_answer_may_be_a_word_or_a_number_however_it_is_written(tmp_path):
    assert load(tmp_path, CSV.replace(",1\n", ",yes\n"), positive="yes").labels.tolist() == [0, 1, 0]
    assert load(tmp_path, CSV.replace(",1\n", ",1.0\n")).labels.tolist() == [0, 1, 0]


def test_rows_to_score_need_no_answer(tmp_path):
    path = tmp_path / "new.csv"
    path.write_text("amount,kind\n5,cash\n")
    assert load_features(path, SCHEMA).tolist() == [[5, 1, 0, 0]]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (CSV.replace("fraud", "f"), "label column 'fraud' is missing"),
        (CSV.replace("amount", "sum"), "column 'amount' is missing"),
        ("kind,amount,fraud\n", "no rows"),
        ("", "the file is empty"),
        (CSV.replace("250", "many"), r"'amount' has text where numbers should be \(row 2\)"),
        (CSV.replace(",1\n", ",0\n"), "no row has '1'"),
        (CSV.replace(",0\n", ",1\n"), "every row has '1'"),
        (CSV.replace(",,0\n", ",,\n"), "'fraud' has no value in row 3"),
        ('kind,amount,fraud\n"shop,1,0\n', "not a CSV file"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused_in_one_line_with_its_name(tmp_path, text, said):
    with pytest.raises(DataError, match=said) as caught:
        load(tmp_path, text)
    assert "bank.csv" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_or_cut_short_is_refused(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        load_table(tmp_path / "none.csv", SCHEMA, label="fraud", positive="1")
    path = tmp_path / "bank.csv.gz"
    path.write_bytes(gzip.compress(CSV.encode())[:-12])
    with pytest.raises(DataError, match="not a CSV file"):
        load_table(path, SCHEMA, label="fraud", positive="1")


def test_a_table_prints_only_its_size():
    table = Table(np.full((2, 1), 4321, dtype=np.float32), np.array([0, 1], dtype=np.uint8))
    assert repr(table) == "Table(<2 rows>)"


# --- schemas ---


def test_a_schema_comes_back_from_its_plain_form_whatever_the_order_of_its_columns():
    assert Schema.from_mapping(SCHEMA.to_mapping()) == SCHEMA
    reordered = Schema.from_mapping(dict(reversed(PLAIN.items())))
    assert reordered == SCHEMA
    assert reordered.digest == SCHEMA.digest
    assert SCHEMA.width == 4


@pytest.mark.parametrize(
    "given",
    [
        {},
        [],
        {"a": {}},
        {"a": 1},
        {"a": {"range": [1.0]}},
        {"a": {"range": [2.0, 1.0]}},
        {"a": {"range": [0.0, float("inf")]}},
        {"a": {"range": ["0", "1"]}},
        {"a": {"range": [0, 1], "categories": ["b"]}},
        {"a": {"categories": []}},
        {"a": {"categories": ["b", "b"]}},
        {"a": {"categories": [1]}},
        {"a": {"range": [0, 1], "log": True}},
    ],
)
def test_what_is_no_schema_is_refused(given):
    with pytest.raises(SchemaError):
        Schema.from_mapping(given)


def test_a_draft_takes_numbers_and_common_categories_and_leaves_out_row_numbers_and_free_text():
    rows = 400
    rng = np.random.default_rng(1)
    frame = pd.DataFrame(
        {
            "row": np.arange(rows),
            "amount": np.append(rng.uniform(1, 98, rows - 1), 1e6),
            "abroad": rng.random(rows) < 0.002,
            "kind": ["rare", *rng.choice(["cash", "shop"], rows - 1)],
            "note": [f"text {row}" for row in range(rows)],
            "constant": 5,
            "fraud": 0,
        }
    ).astype({"abroad": int})
    frame.loc[7, "abroad"] = 1
    drafted = draft_schema(frame, "fraud")
    assert [column.name for column in drafted.columns] == ["abroad", "amount", "kind"]
    assert drafted.columns[0] == Column("abroad", Kind.NUMERIC, low=0.0, high=1.0)
    assert 0.5 < drafted.columns[1].low < 3
    assert 95 <= drafted.columns[1].high <= 99
    assert drafted.columns[2].categories == ("cash", "shop")


def test_a_draft_of_nothing_but_the_label_is_refused():
    with pytest.raises(DataError, match="no column to learn from"):
        draft_schema(pd.DataFrame({"fraud": [0, 1]}), "fraud")
