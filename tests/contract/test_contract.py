"""What every adapter keeps to: the facade, Flower, NVIDIA FLARE, the loop with torch modules, the estimator."""

import dataclasses
import json
import re
import subprocess
import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from adapters import NAMES, AgreedTable, installed, load, vectors_before_masking
from scenes import LOSS, MAX_WEIGHT, ODD, PLAIN, STAGES, WIDE, Secrets, plain_average, require_average, survivors

from fl_integration.layout import Layout
from fl_integration.plan import Plan
from protocols.messages import CODEC, Round

ROOT = Path(__file__).parents[2]
EVERYBODY = survivors({})


def adapters(*names):
    return pytest.mark.parametrize("adapter", [_param(name) for name in names])


def _param(name):
    marks = [] if name == "facade" else [pytest.mark.slow]
    marks += [] if installed(name) else [pytest.mark.skip(reason=f"{name} is not installed")]
    return pytest.param(name, id=name, marks=marks)


@pytest.fixture
def make(adapter, tmp_path):
    """The adapter's harness for a scene."""
    return lambda scene=PLAIN, **said: load(adapter)(tmp_path / adapter, scene, **said)


# 1, 2, 5. What comes out


@adapters(*NAMES)
def test_the_result_is_plain_averaging_with_the_same_rounded_weights(make):
    assert PLAIN.weights() == [1, 4, 4, 8, 2]
    require_average(make().run(), [EVERYBODY])


@pytest.mark.slow
@adapters(*NAMES)
def test_several_rounds_move_the_same_model(make):
    require_average(make().run(rounds=2), [EVERYBODY] * 2)


@pytest.mark.parametrize("stage", STAGES)
@adapters(*NAMES)
def test_a_party_lost_at_a_stage_is_in_the_average_only_if_its_input_had_left(make, stage):
    lost = {3: stage}
    require_average(make().run(lose=[lost]), [survivors(lost)])


@adapters(*NAMES)
def test_an_odd_model_comes_back_in_its_own_types_and_shapes(make):
    require_average(make(ODD).run(), [EVERYBODY])


@adapters("flare")
def test_what_flare_saves_is_of_the_types_that_it_saves_without_us(make):
    harness = make(WIDE)
    harness.run()
    harness.plain()
    assert harness.saved["batches"].dtype == np.float64
    types = [{name: tensor.dtype for name, tensor in saved.items()} for saved in (harness.saved, harness.saved_plainly)]
    assert types[0] == types[1]


@pytest.mark.slow
@pytest.mark.xdist_group("runtime")
@pytest.mark.skipif(not installed("flower"), reason="flower is not installed")
@pytest.mark.parametrize("stages", [pytest.param(STAGES, id="flower-runtime")])
def test_in_flowers_own_runtime_an_odd_model_is_averaged_whatever_stage_a_supernode_is_killed_at(stages, tmp_path):
    runs = import_module("runtime_adapter").run(tmp_path)
    for place, (stage, (outcome, errors)) in enumerate(zip(stages, runs, strict=True)):
        require_average(outcome, [survivors({place: stage})])
        assert errors == {place: f"lost in the round {stage} of the secure sum"}


# 3. Below the threshold

FAILURE = {  # as the framework itself tells its user
    "facade": r"AggregationError: no sum \(too-few\): 5 of 5 parties contributed",
    "flower": r"5 errors in 5 replies: lost in the round {stage} of the secure sum; there is no sum: too-few",
    "flare": r"the job ended: .*no secure sum, the model stays as it was: too-few",
    "torch": r"AggregationError: no sum \(too-few\): 5 of 5 parties contributed",
    "sklearn": r"ValueError: no sum \(too-few\): 5 of 5 parties contributed",
}


@pytest.mark.parametrize("stage", [Round.SHARE, Round.MASKED_INPUT, Round.UNMASK])
@adapters(*NAMES)
def test_below_the_threshold_the_framework_sees_its_own_kind_of_failure(adapter, make, stage):
    harness = make()
    outcome = harness.run(lose=[{0: stage, 3: stage}])
    (failure,) = outcome.failures
    assert re.match(FAILURE[adapter].replace("{stage}", stage), failure), failure
    unmoved = {} if adapter == "sklearn" else harness.scene.model  # an estimator that was never fitted has none
    assert outcome.tensors.keys() == unmoved.keys()
    assert all(np.array_equal(outcome.tensors[name], tensor) for name, tensor in unmoved.items())
    assert not outcome.metrics


@pytest.mark.slow
@adapters("facade", "flower", "torch")  # FLARE ends the job, scikit-learn the fit
def test_after_a_round_without_a_sum_the_next_starts_from_the_same_model(make):
    stage = Round.MASKED_INPUT
    outcome = make().run(rounds=2, lose=[{0: stage, 3: stage}, {}])
    assert len(outcome.failures) == 1
    require_average(outcome, [EVERYBODY])


@adapters("sklearn")
@pytest.mark.parametrize("spared", [0, 4])  # the sums that find the columns' moments: four
def test_a_fit_without_a_sum_leaves_the_fitted_model_as_it_was(make, spared):
    harness = make()
    harness.run()
    before, rows = harness.classifier.predict_proba(harness.X), harness.X
    harness.X = 10 * rows + 3
    outcome = harness.run(lose=[dict.fromkeys([0, 3], Round.MASKED_INPUT)], spared=spared)
    assert outcome.failures
    assert np.array_equal(harness.classifier.predict_proba(rows), before)


# 4. What leaves a party

REVIEWED = {
    "AdvertiseKeys.client": "its place in the consortium, which is public",
    "AdvertiseKeys.channel_key": "a public key of this session",
    "AdvertiseKeys.mask_key": "a public key of this session",
    "AdvertiseKeys.signature": "of the two keys",
    "ShareKeys.commitment": "a hash of a seed of 256 random bits",
    "ShareKeys.bundles": "shares, sealed for one recipient each",
    "ShareKeys.signature": "of the two above",
    "ShareKeys.digests": "of shares, in an accountable session; empty here",
    "MaskedInput.masked": "the input under masks that are uniform in the field",
    "Confirm.signature": "of the list of survivors, which the server made",
    "UnmaskShares.reveals": "one of the next two for each peer, never both",
    "UnmaskShares.signature": "of these, in an accountable session; empty here",
    "SurvivorReveal.share": "of the self mask of a peer that is in the sum",
    "DroppedReveal.leaf_seed": "of one mask that was made with a peer that is not in the sum",
}
REVIEWED_NAMES = {
    "facade": {},  # it carries the protocol's messages, and nothing beside them
    "torch": {},
    "sklearn": {},
    "flower": {
        "ArrayRecord veilsum": "the packet, its arrays are numbered",
        "Array uint8 veilsum.message": "one message of the protocol",
    },
    "flare": {
        "veilsum.packet": "messages of the protocol",
        "__headers__": "where FLARE puts the kind of a failure; empty without one",
    },
}
SHOWN_PLAINLY = {
    "facade": {"trained", "loss", "rows"},
    "flower": {"trained", "loss", "rows"},
    "flare": {"trained", "loss", "rows"},
    "torch": {"update", "loss"},  # the loop is given a weight, no number of rows
    "sklearn": {"update"},  # and an estimator has no metrics
}


@adapters(*NAMES)
def test_what_leaves_a_party_is_on_the_reviewed_list(adapter, make):
    harness = make()
    harness.run(lose=[{3: Round.MASKED_INPUT}])
    found = {name for data in harness.wire for name in fields_of(CODEC.decode(data))}
    assert found == REVIEWED.keys()
    assert harness.names == REVIEWED_NAMES[adapter].keys()


def fields_of(message):
    """The names of a message's fields, and of those of what lies in them."""
    for field in dataclasses.fields(message):
        yield f"{type(message).__name__}.{field.name}"
        value = getattr(message, field.name)
        for inner in value.values() if isinstance(value, Mapping) else [value]:
            if dataclasses.is_dataclass(inner):
                yield from fields_of(inner)


@adapters(*NAMES)
def test_no_update_no_metric_and_no_row_count_leaves_a_party_in_clear(make):
    harness = make()
    with vectors_before_masking() as vectors:
        outcome = harness.run(lose=[{3: Round.MASKED_INPUT}])
    assert len(vectors) >= 4  # where the lost one was gone before it masked
    assert shown(outcome.given[0], vectors, harness.carried) == set()


@pytest.mark.slow
@adapters(*NAMES)
def test_the_same_look_finds_them_where_nothing_is_secure(adapter, make):
    harness = make()
    scene = harness.run().given[0]
    carried = list(harness.plain())
    for place in EVERYBODY:
        assert Secrets(scene, place).found_in(b"".join(carried)) >= SHOWN_PLAINLY[adapter]


@pytest.mark.slow
@adapters(*NAMES)
def test_the_same_look_finds_an_input_that_was_not_masked(make):
    harness = make()
    scene = harness.run().given[0]
    with vectors_before_masking(unmasked=True) as vectors:
        harness.run()
    assert shown(scene, vectors, harness.carried) == {"encoded"}


def shown(scene, vectors, carried):
    """The kinds of anybody's secrets that lie in clear in what was carried."""
    data = b"".join(carried)
    return {kind for place in EVERYBODY for kind in Secrets(scene, place, tuple(vectors)).found_in(data)}


# 6. A large model


@pytest.mark.slow
@adapters("facade")
def test_fifty_million_parameters_of_ten_parties_fit_into_eight_gib(adapter):
    """In a bounded form: as many bytes a parameter as the whole run of the benchmark would take."""
    words = [sys.executable, "-m", "benchmarks.large_model", "--parameters", "2000000", "--parties", "10"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    measured = json.loads(done.stdout.splitlines()[-1])
    beside = measured["peak_gib"] * 2**30 - measured["bytes_each"] * 2_000_000 * 10
    assert beside + measured["bytes_each"] * 50_000_000 * 10 < 8 * 2**30


# 7. Compression

COMPRESSED = {
    "rotated": {"rotate": True, "norm": 8.0, "clip": 0.1},  # the range of rotated values does not depend on the clip
    "kept": {"keep": 0.25},
    "rotated-kept": {"rotate": True, "norm": 8.0, "clip": 0.1, "keep": 0.25, "bits": 8},
}


@pytest.mark.slow
@pytest.mark.parametrize("compression", COMPRESSED.values(), ids=COMPRESSED)
@adapters("facade", "flower", "flare")  # the loop and the estimator take no plan
def test_a_compressed_sum_is_off_by_what_its_codec_says(adapter, tmp_path, compression):
    harness = (AgreedTable if adapter == "facade" else load(adapter))(tmp_path / "veil", WIDE, **compression)
    outcome = harness.run()
    mean, _ = plain_average(WIDE, EVERYBODY, WIDE.model)
    off = outcome.tensors["weight"].astype(np.float64) - mean["weight"]
    assert outcome.tensors["batches"] == np.rint(mean["batches"])  # goes beside what is compressed
    if "keep" not in compression:
        assert np.abs(off).max() <= codec_of(**compression).error_bounds[0]
        return
    # a random quarter stands for all: what is left out comes to 1/keep - 1 of the mean's square, here of 600 values.
    # Which ones are kept follows from the model, so that this is always the same number
    expected = (1 / compression["keep"] - 1) * np.sum((mean["weight"] - WIDE.model["weight"]) ** 2)
    assert 0.5 * expected < np.sum(off**2) < 2 * expected
    whole = codec_of()
    assert max(map(len, harness.wire)) < 0.4 * whole.field.packed_size(whole.vector_length)


def codec_of(**compression):
    plan = Plan(max_weight=MAX_WEIGHT, metrics={"loss": LOSS}, **compression)
    return plan.codec(Layout.of(WIDE.model), len(WIDE.rows), bytes(32))
