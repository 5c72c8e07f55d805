"""The training loop: what the secure sum gives is what plain averaging gives, whatever the server does with it."""

from dataclasses import replace

import numpy as np
import pytest

from fl_integration.aggregation import AggregationError, Mean
from fl_integration.buffered import stale_weight, train_buffered
from fl_integration.control_variates import ScaffoldClient, ScaffoldServer, with_control, without_control
from fl_integration.rounds import SecureMean, Trained, train
from fl_integration.server_optimisers import FedAdam, FedAvg, FedYogi
from fl_integration.training import TrainingError
from mpc.randomness import SeededRandomness
from protocols.messages import Round

CLIP, BITS = 0.5, 16
LEVEL = 2 * CLIP / (2**BITS - 1)
START = {"w": np.zeros((3, 2), dtype=np.float32), "b": np.zeros((), dtype=np.float32)}
SECURE = SecureMean(clip=CLIP, losses=1)


class Quadratic:
    """Local steps of gradient descent on curvature/2 * ||w - target||^2."""

    def __init__(self, target, *, steps=3, rate=0.1, weight=1, curvature=1.0):
        self.target, self.steps, self.rate, self.weight, self.curvature = target, steps, rate, weight, curvature

    def train(self, tensors, fl_round, correction=None):
        tensors = {name: tensor.astype(np.float64) for name, tensor in tensors.items()}
        distance = sum(float(((tensor - self.target) ** 2).sum()) for tensor in tensors.values())
        for _ in range(self.steps):
            for name in tensors:
                gradient = self.curvature * (tensors[name] - self.target)
                tensors[name] = tensors[name] - self.rate * (gradient + (correction[name] if correction else 0.0))
        return Trained(tensors, weight=self.weight, metrics={"distance": distance}, step_sum=self.steps * self.rate)


CLIENTS = [Quadratic(target, weight=weight) for target, weight in ((-1, 1), (0.2, 2), (0.4, 4), (1, 8), (3, 16))]


def plain_mean(contributions, lose):
    """The weighted mean of the clipped updates, in double precision."""
    gone = {who for who, stage in lose.items() if stage in (Round.ADVERTISE, Round.SHARE, Round.MASKED_INPUT)}
    given = {who: one for who, one in contributions.items() if who not in gone}
    total = sum(one.weight for one in given.values())
    update = {
        name: sum(one.weight * np.clip(one.update[name].astype(np.float64), -CLIP, CLIP) for one in given.values())
        / total
        for name in next(iter(given.values())).update
    }
    clipped = sum(int((np.abs(one.update[name]) > CLIP).sum()) for one in given.values() for name in one.update)
    return Mean(update, frozenset(given), total, clipped, {})


def furthest(one, other):
    return max(np.abs(one[name] - other[name]).max() for name in other)


# --- the server's step ---


@pytest.mark.slow
@pytest.mark.parametrize(
    ("optimiser", "reach"),
    [(FedAvg(), 1.0), (FedAvg(0.5), 0.5), (FedAdam(tau=0.1), 1.0), (FedYogi(tau=0.1), 1.0)],
    ids=["avg", "half", "adam", "yogi"],
)
def test_the_secure_loop_follows_plain_averaging_of_the_same_clipped_updates(optimiser, reach):
    secure, plain = START, START
    for _ in range(4):  # one round at a time from one model: errors of earlier rounds do not mix with this one's
        secure = train(CLIENTS, plain, rounds=1, optimiser=optimiser, aggregate=SECURE).tensors
        plain = train(CLIENTS, plain, rounds=1, optimiser=optimiser, aggregate=plain_mean).tensors
        assert furthest(plain, START) > 100 * LEVEL
        assert furthest(secure, plain) <= reach * LEVEL + 1e-6


@pytest.mark.slow
@pytest.mark.parametrize(
    "optimiser", [FedAvg(), FedAdam(learning_rate=0.05, tau=0.1), FedYogi(learning_rate=0.05, tau=0.1)], ids=str
)
def test_over_several_rounds_the_secure_loop_stays_beside_plain_averaging(optimiser):
    rounds = 4
    secure = train(CLIENTS, START, rounds=rounds, optimiser=optimiser, aggregate=SECURE)
    plain = train(CLIENTS, START, rounds=rounds, optimiser=optimiser, aggregate=plain_mean)
    # each round adds at most one level (times eta/tau < 1), and these clients' own steps draw models together
    assert furthest(secure.tensors, plain.tensors) <= rounds * LEVEL + 1e-6
    assert furthest(plain.tensors, START) > 100 * LEVEL
    for mine, wanted in zip(secure.rounds, plain.rounds, strict=True):
        assert mine.included == wanted.included == frozenset(range(5))
        assert (mine.total_weight, mine.clipped) == (wanted.total_weight, wanted.clipped)
    assert secure.rounds[0].clipped > 0


@pytest.mark.parametrize("kind", ["adam", "yogi"])
def test_the_adaptive_servers_are_algorithm_2_of_the_paper(kind):
    eta, beta1, beta2, tau = 0.3, 0.8, 0.95, 0.02
    optimiser = (FedAdam if kind == "adam" else FedYogi)(learning_rate=eta, beta1=beta1, beta2=beta2, tau=tau)
    rng = np.random.default_rng(1)
    x, delta, v = 0.5, 0.0, tau**2
    tensors = {"x": np.array([0.5])}
    state = optimiser.start(tensors)
    for update in rng.normal(scale=0.1, size=6):
        delta = beta1 * delta + (1 - beta1) * update
        if kind == "adam":
            v = beta2 * v + (1 - beta2) * delta**2
        else:
            v = v - (1 - beta2) * delta**2 * np.sign(v - delta**2)
        x = x + eta * delta / (np.sqrt(v) + tau)
        tensors, state = optimiser.step(tensors, {"x": np.array([update])}, 1.0, state)
        assert tensors["x"][0] == pytest.approx(x, rel=1e-12)


@pytest.mark.parametrize("optimiser", [FedAvg(0.1), FedAdam(), FedYogi()], ids=str)
def test_a_server_changes_nothing_that_it_is_given_and_moves_counters_by_their_mean(optimiser):
    tensors = {"w": np.ones(2, dtype=np.float32), "n": np.array(7, dtype=np.int64)}
    state = optimiser.start(tensors)
    for _ in range(2):
        new, _ = optimiser.step(tensors, {"w": np.full(2, 0.5), "n": np.array(3)}, 1.0, state)
        assert (int(new["n"]), new["n"].dtype, new["w"].dtype) == (10, np.int64, np.float32)
        assert tensors["w"].tolist() == [1, 1]
        again, _ = optimiser.step(tensors, {"w": np.full(2, 0.5), "n": np.array(3)}, 1.0, state)
        assert np.array_equal(again["w"], new["w"])


# --- who takes part ---


def test_metrics_are_those_that_are_agreed_on_and_averaged_with_the_weights():
    history = train(CLIENTS, START, rounds=2, aggregate=SecureMean(clip=CLIP, metrics={"distance": (0.0, 100.0)}))
    weights = [client.weight for client in CLIENTS]
    wanted = np.average([7 * client.target**2 for client in CLIENTS], weights=weights)
    assert history.rounds[0].metrics == {"distance": pytest.approx(wanted, abs=100 / (2**BITS - 1))}
    assert history.rounds[1].metrics["distance"] < wanted
    with pytest.raises(TrainingError, match="client 0 does not report 'accuracy'"):
        train(CLIENTS, START, rounds=1, aggregate=SecureMean(metrics={"accuracy": (0.0, 1.0)}))


@pytest.mark.parametrize("stage", [Round.ADVERTISE, Round.SHARE, Round.MASKED_INPUT, Round.CONFIRM, Round.UNMASK])
def test_a_lost_client_is_in_the_mean_only_if_its_input_had_left(stage):
    def lose(fl_round):
        return {4: stage} if fl_round == 2 else {}

    secure = train(CLIENTS, START, rounds=2, aggregate=SECURE, lose=lose)
    plain = train(CLIENTS, START, rounds=2, aggregate=plain_mean, lose=lose)
    assert [sorted(one.included) for one in secure.rounds] == [sorted(one.included) for one in plain.rounds]
    assert (4 in secure.rounds[1].included) == (stage in (Round.CONFIRM, Round.UNMASK))
    assert furthest(secure.tensors, plain.tensors) <= 2 * LEVEL + 1e-6


@pytest.mark.slow
def test_a_round_without_a_sum_leaves_the_model_and_says_so():
    def lose(fl_round):
        return dict.fromkeys((0, 1, 2), Round.MASKED_INPUT) if fl_round == 2 else {}

    one, two = (
        train(CLIENTS, START, rounds=rounds, aggregate=replace(SECURE, rand=SeededRandomness(b"x")), lose=lose)
        for rounds in (1, 2)
    )
    assert furthest(one.tensors, two.tensors) == 0
    assert [bool(report.failure) for report in two.rounds] == [False, True]
    assert two.rounds[1].included == frozenset()
    with pytest.raises(AggregationError, match="parties contributed"):
        train(CLIENTS, START, rounds=2, aggregate=SECURE, lose=lambda _: dict.fromkeys((0, 1, 2), Round.MASKED_INPUT))


def test_a_cohort_is_drawn_anew_each_round_and_by_the_seed_alone():
    def cohorts(seed):
        history = train(CLIENTS, START, rounds=6, cohort=3, aggregate=plain_mean, seed=seed)
        return [sorted(report.included) for report in history.rounds]

    assert cohorts(1) == cohorts(1) != cohorts(2)
    assert all(len(cohort) == 3 for cohort in cohorts(1))
    assert len({tuple(cohort) for cohort in cohorts(1)}) > 2
    with pytest.raises(TrainingError, match=r"take 1\.\.5"):
        train(CLIENTS, START, rounds=1, cohort=6)


@pytest.mark.slow
def test_with_seeded_randomness_a_training_repeats_to_the_bit():
    def trained(key):
        aggregate = replace(SECURE, rand=SeededRandomness(key))
        return train(CLIENTS, START, rounds=2, cohort=4, aggregate=aggregate, seed=3).tensors

    first, second, other = trained(b"one"), trained(b"one"), trained(b"two")
    assert furthest(first, second) == 0
    assert 0 < furthest(first, other) <= 2 * LEVEL


def test_the_secure_mean_names_the_clients_not_their_seats():
    history = train(CLIENTS, START, rounds=3, cohort=3, aggregate=SecureMean(clip=CLIP), seed=1)
    plain = train(CLIENTS, START, rounds=3, cohort=3, aggregate=plain_mean, seed=1)
    assert [report.included for report in history.rounds] == [report.included for report in plain.rounds]


class Broken(Quadratic):
    def __init__(self, change):
        super().__init__(0)
        self.change = change

    def train(self, tensors, fl_round, correction=None):
        trained = super().train(tensors, fl_round)
        return replace(trained, tensors=self.change(dict(trained.tensors)))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda tensors: tensors | {"w": tensors["w"] * np.nan}, "client 2, round 1: tensor 'w' is not finite"),
        (lambda tensors: tensors | {"w": tensors["w"][0]}, "client 2, round 1: tensor 'w' is"),
        (lambda tensors: tensors | {"more": 1}, "client 2, round 1: tensor 'more' is missing or not in the model"),
    ],
)
def test_a_client_that_returns_no_update_is_named(change, said):
    with pytest.raises(TrainingError, match=said):
        train([*CLIENTS[:2], Broken(change)], START, rounds=1)


def test_a_client_keeps_what_it_remembers_only_when_the_sum_holds_its_part():
    kept = []

    class Remembering(Quadratic):
        def train(self, tensors, fl_round, correction=None):
            return replace(super().train(tensors, fl_round), keep=lambda: kept.append((self.target, fl_round)))

    clients = [Remembering(target) for target in range(4)]
    train(clients, START, rounds=2, aggregate=SECURE, lose=lambda fl_round: {fl_round: Round.MASKED_INPUT})
    assert kept == [(0, 1), (2, 1), (3, 1), (0, 2), (1, 2), (3, 2)]


# --- SCAFFOLD ---

# two kinds of clients: where they disagree, many local steps pull each to its own minimum. FedAvg ends in between by
# the number of steps, not by the curvature; the minimum of the mean of both is the curvature-weighted mean
STEEP, FLAT = {"target": 1.0, "curvature": 10.0}, {"target": -1.0, "curvature": 0.5}
MINIMUM = (10.0 * 1.0 - 0.5 * 1.0) / 10.5
HETEROGENEOUS = [Quadratic(**kind, steps=20, rate=0.05) for kind in (STEEP, FLAT, STEEP, FLAT)]
ONE = {"w": np.zeros(1, dtype=np.float32)}
WIDE = SecureMean(clip=3.0, bits=24, rand=SeededRandomness(b"scaffold"))


def scaffold(rounds, **options):
    clients = [ScaffoldClient(client, unit=5.0) for client in HETEROGENEOUS]
    options = {"aggregate": WIDE, "optimiser": ScaffoldServer()} | options
    history = train(clients, with_control(ONE), rounds=rounds, **options)
    return without_control(history.tensors)["w"][0], clients, history


@pytest.mark.slow
def test_scaffold_reaches_the_minimum_where_averaging_many_local_steps_does_not():
    averaged = train(HETEROGENEOUS, ONE, rounds=15, aggregate=WIDE).tensors["w"][0]
    corrected, _, _ = scaffold(15)
    assert abs(averaged - MINIMUM) > 0.3
    assert abs(corrected - MINIMUM) < 0.01


@pytest.mark.slow
def test_scaffold_with_cohorts_and_losses_still_gets_there():
    reached, _, history = scaffold(
        60, cohort=3, aggregate=plain_wide, lose=lambda fl_round: {fl_round % 4: Round.MASKED_INPUT}
    )
    assert abs(reached - MINIMUM) < 0.05
    assert {len(report.included) for report in history.rounds} == {2, 3}


def plain_wide(contributions, lose):
    scaled = {
        who: replace(one, update={n: t / 10 for n, t in one.update.items()}) for who, one in contributions.items()
    }
    mean = plain_mean(scaled, lose)
    return replace(mean, update={name: tensor * 10 for name, tensor in mean.update.items()})


def test_the_servers_variate_is_the_mean_of_the_clients_and_both_updates_are_one_contribution():
    seen = []

    def watched(contributions, lose):
        seen.extend(contributions.values())
        return plain_wide(contributions, lose)

    gone = {1: {3: Round.MASKED_INPUT}, 2: {0: Round.SHARE}}
    _, clients, history = scaffold(3, aggregate=watched, lose=lambda fl_round: gone.get(fl_round, {}))
    own = np.mean([client._control["w"][0] for client in clients])
    assert abs(own) > 0.1
    assert history.tensors["control.w"][0] * 5.0 == pytest.approx(own, abs=1e-5)
    assert {frozenset(one.update) for one in seen} == {frozenset({"model.w", "control.w"})}


def test_after_one_step_a_clients_variate_is_its_own_gradient_whatever_the_correction_was():
    """Option II: c_i+ = c_i - c + (x - y_i) / eta, with y_i = x - eta (g_i - c_i + c), is g_i."""
    clients = [ScaffoldClient(Quadratic(target, steps=1, rate=0.05), unit=5.0) for target in (1.0, -2.0, 0.5)]
    tensors = with_control(ONE)
    for _ in range(3):
        given = without_control(tensors)["w"][0]
        tensors = train(clients, tensors, rounds=1, optimiser=ScaffoldServer(), aggregate=plain_wide).tensors
        assert [client._control["w"][0] for client in clients] == pytest.approx(
            [given - 1.0, given + 2.0, given - 0.5], abs=1e-5
        )
    assert tensors["control.w"][0] != 0


def test_counters_have_no_variate_and_the_models_names_come_back():
    tensors = {"w": np.ones(2, dtype=np.float16), "n": np.array(3)}
    both = with_control(tensors)
    assert {name: tensor.dtype for name, tensor in both.items() if name.startswith("control")} == {
        "control.w": np.float32
    }
    back = without_control(both)
    assert back.keys() == tensors.keys()
    assert all(np.array_equal(back[name], tensors[name]) for name in tensors)


def test_scaffold_without_the_sum_of_learning_rates_is_refused():
    with pytest.raises(TrainingError, match=r"set Trained\.step_sum above 0"):
        ScaffoldClient(Quadratic(1.0, rate=0.0)).train(with_control(ONE), 1)


# --- buffers ---


@pytest.mark.parametrize(
    ("weight", "staleness", "left"), [(16, 0, 16), (16, 1, 11), (16, 3, 8), (16, 15, 4), (1, 9, 1), (0, 3, 0)]
)
def test_a_stale_update_weighs_less_but_stays_a_whole_number(weight, staleness, left):
    assert stale_weight(weight, staleness) == left


def buffered(rounds=6, aggregate=plain_mean, clients=None, **options):
    clients = clients or [Quadratic(float(target), weight=16, rate=0.02) for target in range(5)]
    slow = {4: 3.5}
    options = {"buffer": 3, "at_work": 4, "duration": lambda who, _: slow.get(who, 1.0), "seed": 2} | options
    return train_buffered(clients, START, rounds=rounds, aggregate=aggregate, **options)


def test_a_buffer_closes_when_it_is_full_and_a_late_update_enters_a_later_sum():
    history = buffered()
    assert [len(report.included) for report in history.rounds] == [3] * 6
    late = [report.staleness[4] for report in history.rounds if 4 in report.included]
    assert late
    assert min(late) >= 2
    for report in history.rounds:
        assert report.staleness.keys() == report.included
        assert report.total_weight == sum(stale_weight(16, stale) for stale in report.staleness.values())


@pytest.mark.slow
def test_buffers_are_drawn_by_the_seed_and_sums_are_secure_ones_over_just_these_clients():
    plain, again, secure = buffered(), buffered(), buffered(aggregate=SecureMean(clip=CLIP))
    other = buffered(seed=5)
    assert [report.included for report in plain.rounds] == [report.included for report in again.rounds]
    assert [report.included for report in plain.rounds] == [report.included for report in secure.rounds]
    assert [report.included for report in plain.rounds] != [report.included for report in other.rounds]
    assert furthest(plain.tensors, again.tensors) == 0
    assert furthest(secure.tensors, plain.tensors) <= 6 * LEVEL + 1e-6


def test_an_update_is_measured_from_the_model_that_its_client_found():
    found, seen = {}, []

    class Noting(Quadratic):
        def train(self, tensors, fl_round, correction=None):
            found[self.target, fl_round] = tensors, (trained := super().train(tensors, fl_round)).tensors
            return trained

    def watched(contributions, lose):
        seen.append(contributions)
        return plain_mean(contributions, lose)

    clients = [Noting(float(target), weight=16, rate=0.02) for target in range(5)]
    history = buffered(aggregate=watched, clients=clients)
    late = 0
    for version, (report, contributions) in enumerate(zip(history.rounds, seen, strict=True)):
        for who, stale in report.staleness.items():
            start, end = found[float(who), version - stale + 1]
            assert np.allclose(contributions[who].update["w"], end["w"] - start["w"], atol=1e-7)
            late += bool(stale and start["w"].any())
    assert late  # some began from a model that had moved, and came when it had moved on


def test_a_buffer_that_the_clients_cannot_fill_is_refused():
    with pytest.raises(TrainingError, match=r"a buffer of 6 and 4 at work: there are 1\.\.5 clients"):
        buffered(buffer=6)
