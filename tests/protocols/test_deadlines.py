import pytest

from protocols.deadlines import Policy, RoundPolicy, Waiting


def test_without_a_quantile_a_round_waits_for_its_patience_whatever_is_heard() -> None:
    waiting = Waiting(RoundPolicy(30.0), asked=10)
    waiting.heard(10, 1.0)
    assert waiting.limit(can_close=True) == 30.0


def test_once_the_quantile_has_answered_the_round_waits_a_multiple_of_the_time_that_took() -> None:
    waiting = Waiting(RoundPolicy(30.0, quantile=0.9, stretch=3.0), asked=10)
    waiting.heard(8, 1.0)
    assert waiting.limit(can_close=True) == 30.0
    waiting.heard(9, 2.0)
    assert waiting.limit(can_close=True) == 6.0
    waiting.heard(10, 5.0)
    assert waiting.limit(can_close=True) == 6.0


def test_a_quantile_hurries_nobody_who_cannot_close() -> None:
    """Found by a simulation: a session was given up that one more answer, a moment later, would have saved."""
    waiting = Waiting(RoundPolicy(30.0, quantile=0.5), asked=4)
    waiting.heard(2, 1.0)
    assert waiting.limit(can_close=False) == 30.0
    assert waiting.limit(can_close=True) == 2.0


def test_a_quantile_never_makes_a_round_longer() -> None:
    waiting = Waiting(RoundPolicy(10.0, quantile=0.5), asked=4)
    waiting.heard(2, 8.0)
    assert waiting.limit(can_close=True) == 10.0


@pytest.mark.parametrize("share", [0.1, 0.3, 0.7])
def test_a_quantile_of_ten_is_no_rounding_error_above_it(share: float) -> None:
    waiting = Waiting(RoundPolicy(10.0, quantile=share, stretch=1.0), asked=10)
    waiting.heard(round(10 * share), 1.0)
    assert waiting.limit(can_close=True) == 1.0


@pytest.mark.parametrize("wrong", [{"quantile": 0.0}, {"quantile": 1.1}, {"stretch": 0.5}, {"stretch": float("inf")}])
def test_a_quantile_or_a_stretch_that_means_nothing_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"quantile|stretch"):
        RoundPolicy(1.0, **wrong)  # type: ignore[arg-type]


def test_a_round_has_its_own_policy_or_the_common_one() -> None:
    policy = Policy(RoundPolicy(30), {"masked-input": RoundPolicy(300, hoped_for=4)})
    assert policy.of("share") == RoundPolicy(30)
    assert policy.of("masked-input").enough(4)
    assert not policy.of("masked-input").enough(3)
    assert not policy.of("share").enough(1000)
