"""Error feedback: what a codec leaves out of one update comes with the next ones."""

import hashlib

import numpy as np
import pytest

from fl_integration.feedback import ErrorFeedback
from fl_integration.layout import PayloadError, dump_payload
from mpc.encoding import EncodingError, build_codec, uniform
from mpc.randomness import SeededRandomness

LENGTH = 200


def codec(number=0, **choice):
    seed = hashlib.sha256(b"feedback %d" % number).digest()
    return build_codec(**{"spans": uniform(LENGTH, 4.0), "clients": 2, "max_weight": 3, "seed": seed, **choice})


def rand(number=0):
    return SeededRandomness(b"feedback %d" % number)


@pytest.fixture
def update():
    return np.random.default_rng(3).normal(0, 0.1, LENGTH).astype(np.float32)


def sent(codec, vector):
    return codec.decode_sum(vector).mean


@pytest.mark.parametrize(
    "choice",
    [
        {"bits": 2},
        {"keep": 0.1, "damped": True},
        {"sketch": 0.2, "norm": 40.0, "damped": True},
        {"rotate": True, "keep": 0.2, "bits": 8, "norm": 40.0, "damped": True},
    ],
)
def test_over_rounds_what_arrives_is_what_was_meant_but_for_one_residual(choice, update):
    rounds, feedback, arrived = 60, ErrorFeedback.none(LENGTH), np.zeros(LENGTH)
    for number in range(rounds):
        used = codec(number, **choice)
        vector, feedback = feedback.encode(used, update, rand=rand(number))
        arrived += sent(used, vector)
    np.testing.assert_allclose(arrived + feedback.residual, rounds * update, atol=1e-3)
    # a residual that grows with the rounds would be 60 updates long
    assert np.linalg.norm(feedback.residual) < 20 * np.linalg.norm(update)


def test_a_round_without_this_party_leaves_its_residual_as_it_was(update):
    before = ErrorFeedback.none(LENGTH)
    _, after = before.encode(codec(keep=0.5, damped=True), update, rand=rand())
    assert not before.residual.any()
    assert after.residual.any()


def test_without_weight_everything_is_still_owed(update):
    _, after = ErrorFeedback(update).encode(codec(keep=0.5, damped=True), update, weight=0, rand=rand())
    np.testing.assert_allclose(after.residual, 2 * update)


def test_a_weight_does_not_change_what_is_owed(update):
    light, heavy = (
        ErrorFeedback.none(LENGTH).encode(codec(keep=0.5, damped=True), update, weight=weight, rand=rand())[1]
        for weight in (1, 3)
    )
    np.testing.assert_allclose(light.residual, heavy.residual, atol=1e-6)


def test_what_is_clipped_is_owed():
    _, after = ErrorFeedback.none(LENGTH).encode(codec(), np.full(LENGTH, 7, dtype=np.float32), rand=rand())
    assert after.residual == pytest.approx(3.0)


def test_a_codec_that_would_let_the_residual_grow_is_refused(update):
    for choice in ({"keep": 0.1}, {"sketch": 0.2, "norm": 4.0}):
        with pytest.raises(EncodingError, match="damped"):
            ErrorFeedback.none(LENGTH).encode(codec(**choice), update, rand=rand())


def test_a_residual_comes_back_from_its_bytes_and_from_no_others(update):
    again = ErrorFeedback.from_bytes(ErrorFeedback(update).to_bytes())
    assert np.array_equal(again.residual, update)
    for wrong in (
        b"",
        dump_payload({}, {}),
        dump_payload({"residual": update}, {"more": 1}),
        dump_payload({"residual": update, "more": update}, {}),
        dump_payload({"residual": update.astype(np.float64)}, {}),
        dump_payload({"residual": update.reshape(2, -1)}, {}),
    ):
        with pytest.raises(PayloadError):
            ErrorFeedback.from_bytes(wrong)


def test_a_residual_does_not_print(update):
    assert repr(ErrorFeedback(update)) == "ErrorFeedback()"
