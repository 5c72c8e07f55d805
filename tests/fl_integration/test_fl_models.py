"""The two learners, and torch modules of any kind as tensors."""

import subprocess
import sys

import numpy as np
import pytest

from fl_integration.layout import Layout, LayoutError
from fl_integration.linear import LinearLearner, scores

torch = pytest.importorskip("torch")

from fl_integration.torch_models import MlpLearner, load_arrays, to_arrays, train_module  # noqa: E402

RNG = np.random.default_rng(3)
INPUTS = RNG.normal(size=(400, 4)).astype(np.float32)
LABELS = (INPUTS[:, 0] - INPUTS[:, 1] + RNG.normal(size=400) > 1.2).astype(np.uint8)
LEARNERS = [LinearLearner(4, 10, 0.05), MlpLearner(4, 10, 0.05)]

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("learner", LEARNERS, ids=["linear", "mlp"])
def test_a_learner_learns_and_equal_seeds_give_equal_tensors(learner):
    start = learner.initial(7)
    first, second = (learner.train(start, INPUTS, LABELS, 1) for _ in range(2))
    other = learner.train(start, INPUTS, LABELS, 2)
    assert scores(LABELS, learner.logits(first, INPUTS))["auc"] > 0.85
    assert all(np.array_equal(first[name], second[name]) for name in first)
    assert any(not np.array_equal(first[name], other[name]) for name in first)
    assert Layout.of(first) == Layout.of(start)
    assert all(np.array_equal(start[name], tensor) for name, tensor in learner.initial(7).items())


@pytest.mark.parametrize("learner", LEARNERS, ids=["linear", "mlp"])
def test_training_goes_on_from_the_tensors_that_it_is_given(learner):
    trained = learner.train(learner.initial(7), INPUTS, LABELS, 1)
    twice = learner.train(trained, INPUTS, LABELS, 1)
    moved = Layout.of(trained).difference(twice, trained)
    begun = Layout.of(trained).difference(trained, learner.initial(7))
    assert np.linalg.norm(moved) < np.linalg.norm(begun)


def test_another_process_trains_the_same_weights():
    code = (
        "import numpy as np; from fl_integration.torch_models import MlpLearner;"
        "x = np.random.default_rng(5).normal(size=(300, 4)).astype(np.float32); y = (x[:, 0] > 0.5).astype(np.uint8);"
        "m = MlpLearner(4, 3, 0.05); t = m.train(m.initial(1), x, y, 2);"
        "text = b''.join(a.tobytes() for a in t.values()).hex()"
    )
    here = {}
    exec(code, here)
    there = subprocess.run([sys.executable, "-c", f"{code}; print(text)"], check=True, capture_output=True, text=True)
    assert there.stdout.strip() == here["text"]


def test_training_leaves_the_generator_and_the_threads_of_the_process_alone():
    torch.manual_seed(11)
    wanted = torch.rand(3)
    torch.manual_seed(11)
    threads = torch.get_num_threads()
    module = torch.nn.Linear(4, 1)
    torch.manual_seed(11)
    train_module(module, INPUTS, LABELS, epochs=1, learning_rate=0.1, seed=5)
    assert torch.equal(torch.rand(3), wanted)
    assert torch.get_num_threads() == threads


def network(dtype=torch.float32):
    module = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.BatchNorm1d(3), torch.nn.Linear(3, 1))
    return module.to(dtype)


def test_a_module_with_counters_goes_through_tensors_and_back():
    trained, fresh = network(), network()
    train_module(trained, INPUTS, LABELS, epochs=1, learning_rate=0.01, seed=1)
    tensors = to_arrays(trained.state_dict())
    assert tensors["1.num_batches_tracked"].dtype == np.int64
    assert int(tensors["1.num_batches_tracked"]) == 4
    layout = Layout.of(tensors)
    load_arrays(fresh, layout.unflatten(layout.flatten(tensors)))
    rows = torch.tensor(INPUTS[:10])
    assert torch.equal(fresh.eval()(rows), trained.eval()(rows))


def test_narrow_floats_come_back_in_the_type_of_the_module():
    module = network(torch.bfloat16)
    tensors = to_arrays(module.state_dict())
    assert tensors["0.weight"].dtype == np.float32
    load_arrays(module, {name: tensor + 1 for name, tensor in tensors.items()})
    assert module.state_dict()["0.weight"].dtype == torch.bfloat16


def test_arrays_are_copies():
    module = torch.nn.Linear(2, 1)
    tensors = to_arrays(module.state_dict())
    tensors["bias"][:] = 9
    assert module.bias.item() != 9


def test_tensors_of_another_module_are_refused_by_name_and_change_nothing():
    module = torch.nn.Linear(2, 1)
    before = to_arrays(module.state_dict())
    with pytest.raises(LayoutError, match="'bias' is missing"):
        load_arrays(module, {"weight": np.zeros((1, 2))})
    with pytest.raises(LayoutError, match="'weight' is"):
        load_arrays(module, {"weight": np.zeros((2, 1)), "bias": np.zeros(1)})
    assert all(np.array_equal(before[name], tensor) for name, tensor in to_arrays(module.state_dict()).items())
