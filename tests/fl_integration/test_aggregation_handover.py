"""Where a program and the network's thread meet, without a network: each order of events, and nobody waits for ever."""

import threading

import numpy as np
import pytest

from fl_integration.aggregation import AggregationError
from fl_integration.handover import Handover, Withdrawn
from fl_integration.means import Asked, Facts, State

FACTS = Facts(included=(0, 1, 2), total_weight=3, clipped=0, metrics={})


def state(fl_round):
    return State(fl_round, {"w": np.zeros(1)}, None if fl_round == 1 else FACTS)


def asked(fl_round):
    return Asked(state(fl_round), codec=None)


class Network(threading.Thread):
    """The workload's thread: asks for one step and keeps what it gets."""

    def __init__(self, handover, step):
        super().__init__(daemon=True)
        self.handover, self.step, self.got = handover, step, None
        self.start()

    def run(self):
        try:
            self.got = self.handover.ask(self.step)
        except Withdrawn:
            self.got = "withdrawn"

    def result(self):
        self.join(10)
        return self.got


def give(handover, vector):
    handover.give(handover.wait_to_contribute(), lambda _asked: vector)


def summed(handover, fl_round):
    handover.computed(state(fl_round + 1))
    handover.summed()


def test_a_contribution_is_handed_over_and_its_mean_comes_back():
    handover = Handover()
    network = Network(handover, asked(1))
    give(handover, "vector")
    assert network.result() == "vector"
    summed(handover, 1)
    assert handover.wait_for_outcome().fl_round == 2
    assert handover.wait_for_outcome().fl_round == 2


def test_a_mean_is_not_shown_before_it_is_on_disk():
    handover = Handover()
    Network(handover, asked(1))
    give(handover, "vector")
    handover.computed(state(2))
    handover.end("the disk is full")
    with pytest.raises(AggregationError, match="the disk is full"):
        handover.wait_for_outcome()


def test_a_second_contribution_to_a_round_is_refused_until_its_outcome_is_known():
    handover = Handover()
    network = Network(handover, asked(1))
    step = handover.wait_to_contribute()
    give(handover, "vector")
    network.result()
    with pytest.raises(AggregationError, match="round 1: contributed already: take the mean first"):
        handover.wait_to_contribute()
    with pytest.raises(AggregationError, match="went on without us"):
        handover.give(step, lambda _asked: "second")


def test_an_aborted_session_is_told_and_the_next_attempt_gets_a_contribution_of_its_own():
    handover = Handover()
    network = Network(handover, asked(1))
    give(handover, "first")
    assert network.result() == "first"
    handover.aborted("too-few")
    with pytest.raises(AggregationError, match=r"round 1: no sum \(too-few\): train again and contribute again"):
        handover.wait_for_outcome()
    again = Network(handover, asked(1))
    give(handover, "second")
    assert again.result() == "second"
    summed(handover, 1)
    assert handover.wait_for_outcome().fl_round == 2


def test_a_step_that_is_put_away_while_it_waits_takes_no_contribution():
    handover = Handover()
    network = Network(handover, asked(1))
    step = handover.wait_for_task()
    handover.aborted("told")
    assert network.result() == "withdrawn"
    with pytest.raises(AggregationError, match="round 1 went on without us"):
        handover.give(step, lambda _asked: "late")


def test_a_step_that_another_one_takes_the_place_of_takes_no_contribution():
    handover = Handover()
    network = Network(handover, asked(1))
    step = handover.wait_for_task()
    following = Network(handover, asked(2))
    assert network.result() == "withdrawn"
    with pytest.raises(AggregationError, match="went on without us"):
        handover.give(step, lambda _asked: "late")
    with pytest.raises(AggregationError, match=r"round 1 went on without us, the next one is 2: call task\(\)"):
        handover.wait_to_contribute()
    assert handover.wait_for_task().state.fl_round == 2
    give(handover, "vector")
    assert following.result() == "vector"


def test_what_cannot_be_encoded_leaves_the_round_open():
    handover = Handover()
    network = Network(handover, asked(1))
    with pytest.raises(ValueError, match="NaN"):
        handover.give(handover.wait_to_contribute(), _refuse)
    give(handover, "vector")
    assert network.result() == "vector"


def _refuse(_asked):
    raise ValueError("NaN")


def test_an_abort_after_the_mean_takes_nothing_away():
    handover = Handover()
    Network(handover, asked(1))
    give(handover, "vector")
    summed(handover, 1)
    handover.aborted("the connection to the coordinator was lost")
    assert handover.wait_for_outcome().fl_round == 2


@pytest.mark.parametrize("wait", ["wait_for_task", "wait_to_contribute"])
def test_the_end_wakes_everybody_who_waits(wait):
    handover = Handover()
    heard = []

    def listen():
        try:
            getattr(handover, wait)()
        except AggregationError as exc:
            heard.append(str(exc))

    waiting = threading.Thread(target=listen)
    waiting.start()
    handover.end("the coordinator is gone")
    handover.end("a later reason")
    waiting.join(10)
    assert heard == ["the coordinator is gone"]


def test_the_end_wakes_the_network_and_who_waits_for_a_mean():
    handover = Handover()
    network = Network(handover, asked(1))
    handover.wait_for_task()
    handover.end("closed")
    assert network.result() == "withdrawn"
    with pytest.raises(AggregationError, match="nothing was contributed"):
        handover.wait_for_outcome()


def test_after_the_last_round_no_task_is_left_and_the_last_mean_stays():
    handover = Handover()
    Network(handover, asked(1))
    give(handover, "vector")
    summed(handover, 1)
    handover.end("the training has finished: no round is left", finished=True)
    assert handover.wait_for_task() is None
    assert handover.wait_for_outcome().fl_round == 2
    with pytest.raises(AggregationError, match="no round is left"):
        handover.wait_to_contribute()
