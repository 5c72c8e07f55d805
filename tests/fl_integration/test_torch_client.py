"""Torch modules as clients of the loop: FedProx, SCAFFOLD, fine-tuning on digits whose labels are spread unevenly."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

from fl_integration.control_variates import ScaffoldClient, ScaffoldServer, with_control, without_control
from fl_integration.layout import Layout
from fl_integration.personalisation import personalise
from fl_integration.rounds import SecureMean, train
from fl_integration.training import TrainingError
from mpc.randomness import SeededRandomness

torch = pytest.importorskip("torch")

from fl_integration.torch_client import TorchClient  # noqa: E402
from fl_integration.torch_models import Descent, to_arrays, train_module  # noqa: E402

pytestmark = pytest.mark.slow

PARTIES = 5
PLAIN = Descent(epochs=5, learning_rate=0.1)
SECURE = SecureMean(clip=0.5, metrics={"loss": (0.0, 10.0)})


def network():
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return torch.nn.Sequential(torch.nn.Linear(64, 16), torch.nn.ReLU(), torch.nn.Linear(16, 10))


START = to_arrays(network().state_dict())


def skewed():
    """(train, held out) of each client: 80 rows of two digits of its own, 20 of any."""
    X, y = load_digits(return_X_y=True)
    X, rng = (X / 16).astype(np.float32), np.random.default_rng(8)
    for place in range(PARTIES):
        own = rng.permutation(np.flatnonzero((y == 2 * place) | (y == 2 * place + 1)))
        any_row = rng.permutation(len(y))
        train_rows = np.concatenate([own[:80], any_row[:20]])
        held_out = np.concatenate([own[100:180], any_row[100:120]])
        yield (X[train_rows], y[train_rows]), (X[held_out], y[held_out])


DATA = list(skewed())


def clients(descent=PLAIN):
    return [
        TorchClient(network(), rows, descent, held_out=held_out, seed=place)
        for place, (rows, held_out) in enumerate(DATA)
    ]


def distance(tensors, start=START):
    return float(np.linalg.norm(Layout.of(start).difference(tensors, start)))


def test_a_training_lowers_the_loss_and_fine_tuning_helps_clients_whose_labels_differ():
    parties = clients()
    history = train(parties, START, rounds=6, aggregate=SECURE)
    losses = [report.metrics["loss"] for report in history.rounds]
    assert losses[0] == pytest.approx(np.log(10), abs=0.1)
    assert losses[-1] < losses[0] - 0.5
    rows = personalise(parties, history.tensors, epochs=10)
    assert [row.client for row in rows] == list(range(PARTIES))
    assert np.mean([row.after for row in rows]) > np.mean([row.before for row in rows]) + 0.1
    assert all(row.after > 0.65 for row in rows)


def test_fine_tuning_changes_neither_the_given_model_nor_what_it_is_worth_elsewhere():
    first, second = clients()[:2]
    before = first.accuracy(START)
    tuned = first.fine_tuned(START, epochs=3)
    assert distance(tuned) > 0.1
    assert first.accuracy(START) == before
    (row,) = personalise([second], START, epochs=1)
    assert row.before == second.accuracy(START)


def test_the_proximal_term_pulls_towards_the_model_of_the_round():
    far, near, nearest = (
        clients(Descent(epochs=10, learning_rate=0.1, proximal=mu))[0].train(START, 1).tensors for mu in (0.0, 1.0, 5.0)
    )
    assert distance(far) > 1.5 * distance(near) > 2 * distance(nearest) > 0


def test_fine_tuning_is_not_pulled_back():
    pulled = clients(Descent(epochs=1, learning_rate=0.1, proximal=5.0))[0]
    assert distance(pulled.fine_tuned(START, 5), clients()[0].fine_tuned(START, 5)) == 0


def test_one_step_with_a_proximal_term_is_the_plain_one_and_the_second_adds_mu_times_the_way_so_far():
    rate, mu = 0.1, 2.0
    rows = DATA[0][0]

    def tensors(epochs, mu, start=START):
        descent = Descent(epochs=epochs, learning_rate=rate, batch=len(rows[0]), proximal=mu)
        return TorchClient(network(), rows, descent).train(start, 1).tensors

    first = tensors(1, 0.0)
    assert distance(tensors(1, mu), first) < 1e-6
    plain, pulled = tensors(1, 0.0, start=first), tensors(2, mu)
    for name in START:
        assert np.allclose(pulled[name], plain[name] - rate * mu * (first[name] - START[name]), atol=1e-6)


def test_the_two_class_trainer_takes_a_proximal_term_too():
    rng = np.random.default_rng(1)
    inputs = rng.normal(size=(200, 4)).astype(np.float32)
    labels = (inputs[:, 0] > 0).astype(np.uint8)

    def way(mu):
        module = torch.nn.Linear(4, 1)
        torch.nn.init.zeros_(module.weight)
        train_module(module, inputs, labels, epochs=5, learning_rate=0.1, seed=1, proximal=mu)
        return float(module.weight.detach().norm())

    assert way(5.0) < 0.5 * way(0.0)


def test_a_correction_is_added_to_every_gradient_of_the_parameters_that_it_names():
    rows = DATA[0][0]
    descent = Descent(epochs=1, learning_rate=0.1, batch=len(rows[0]))
    plain = TorchClient(network(), rows, descent).train(START, 1)
    bias = np.full(10, 0.25, dtype=np.float32)
    steered = TorchClient(network(), rows, descent).train(START, 1, {"2.bias": bias})
    assert plain.step_sum == steered.step_sum == pytest.approx(0.1)
    assert np.allclose(steered.tensors["2.bias"], plain.tensors["2.bias"] - 0.1 * bias, atol=1e-6)
    assert np.array_equal(steered.tensors["0.weight"], plain.tensors["0.weight"])


def test_scaffold_with_torch_clients_beats_averaging_where_labels_differ():
    many = Descent(epochs=10, learning_rate=0.1)
    aggregate = SecureMean(clip=1.0)
    averaged = train(clients(many), START, rounds=6, aggregate=aggregate).tensors
    parties = [ScaffoldClient(client) for client in clients(many)]
    both = train(parties, with_control(START), rounds=6, optimiser=ScaffoldServer(), aggregate=aggregate).tensors
    X = np.concatenate([held_out[0] for _, held_out in DATA])
    y = np.concatenate([held_out[1] for _, held_out in DATA])
    judge = TorchClient(network(), (X, y), many)
    assert judge.accuracy(without_control(both)) > judge.accuracy(averaged) + 0.02


def test_scaffold_refuses_momentum():
    client = clients(Descent(epochs=1, learning_rate=0.1, momentum=0.9))[0]
    with pytest.raises(TrainingError, match="set momentum=0"):
        ScaffoldClient(client).train(with_control(START), 1)


def test_equal_seeds_repeat_a_training_and_a_client_asked_twice_trains_anew():
    def trained():
        aggregate = SecureMean(clip=0.5, rand=SeededRandomness(b"torch"))
        return train(clients(), START, rounds=2, aggregate=aggregate).tensors

    assert distance(trained(), trained()) == 0
    client = clients()[0]
    assert distance(client.train(START, 1).tensors, client.train(START, 1).tensors) > 0


def test_batch_norms_counters_move_by_their_mean_and_have_no_variate():
    module = torch.nn.Sequential(torch.nn.Linear(64, 8), torch.nn.BatchNorm1d(8), torch.nn.Linear(8, 10))
    start = to_arrays(module.state_dict())
    parties = [TorchClient(module, rows, Descent(epochs=1, learning_rate=0.1, batch=25)) for rows, _ in DATA]
    averaged = train(parties, start, rounds=2, aggregate=SecureMean(clip=1.0)).tensors
    assert (int(averaged["1.num_batches_tracked"]), averaged["1.num_batches_tracked"].dtype) == (8, np.int64)
    steered = [ScaffoldClient(party) for party in parties]
    both = train(steered, with_control(start), rounds=2, optimiser=ScaffoldServer(), aggregate=SecureMean()).tensors
    assert int(without_control(both)["1.num_batches_tracked"]) == 8
    assert "control.1.num_batches_tracked" not in both
