import pandas as pd
import pytest

from fl_integration import synthetic
from fl_integration.schema import Schema
from fl_integration.tabular import table_of
from fl_integration.training import TrainingConfig


@pytest.mark.slow
def test_banks_differ_in_size_and_frauds_are_rare():
    frames = synthetic.transactions(5, seed=0)
    assert [len(frame) for frame in frames] == list(synthetic.ROWS)
    assert all(0.01 < frame[synthetic.LABEL].mean() < 0.035 for frame in frames)


def test_a_bank_is_the_same_whoever_else_is_there_and_another_for_another_seed():
    alone = synthetic.transactions(1, seed=3)[0]
    pd.testing.assert_frame_equal(alone, synthetic.transactions(2, seed=3)[0])
    assert not alone.equals(synthetic.transactions(1, seed=4)[0])


def test_more_banks_than_profiles_have_rows_of_their_own():
    first, *_, sixth = synthetic.transactions(6, seed=0, rows_per_bank=(300,))
    assert len(sixth) == 300
    assert not first.equals(sixth)


def test_the_schema_names_every_column_and_every_category():
    schema = Schema.from_mapping(synthetic.SCHEMA)
    frame = synthetic.held_out(0, rows=500)
    table = table_of(frame, schema, label=synthetic.LABEL, positive="1")
    assert set(frame.columns) == {*synthetic.SCHEMA, synthetic.LABEL}
    assert (table.missing, table.unknown) == (0, 0)
    assert len(table) == 500


@pytest.mark.parametrize("model", ["linear", "mlp"])
def test_the_training_is_one_that_the_engine_accepts(model):
    config = TrainingConfig.from_mapping(synthetic.training(model, rounds=3, seed=8))
    assert (config.model, config.rounds, config.seed) == (model, 3, 8)
