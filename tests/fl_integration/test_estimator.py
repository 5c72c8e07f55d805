"""The classifier as scikit-learn's own suite and its users meet it."""

import pickle
import warnings

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits, load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import fl_integration.rounds
import veilsum
from fl_integration.estimator import SecureFederatedClassifier
from fl_integration.moments import column_moments
from fl_integration.rounds import SecureMean
from mpc.randomness import SeededRandomness

pytestmark = pytest.mark.slow

QUICK = SecureFederatedClassifier(n_parties=3, rounds=4, random_state=0)
IRIS = load_iris(return_X_y=True)


@parametrize_with_checks([SecureFederatedClassifier(n_parties=3, rounds=4)])  # all of them: none is expected to fail
def test_it_passes_scikit_learns_own_checks(estimator, check):
    check(estimator)


def test_the_package_offers_it():
    assert veilsum.SecureFederatedClassifier is SecureFederatedClassifier


def test_on_digits_it_is_as_good_as_logistic_regression_over_all_rows_in_one_place():
    X, y = load_digits(return_X_y=True)
    train, test, wanted, answers = train_test_split(X, y, test_size=0.3, random_state=0, stratify=y)
    plain = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(train, wanted)
    secure = SecureFederatedClassifier(random_state=0).fit(train, wanted)
    assert secure.score(test, answers) > plain.score(test, answers) - 0.02
    assert sum(report.clipped for report in secure.history_) == 0
    assert [report.included for report in secure.history_] == [frozenset(range(5))] * 10


def test_rows_may_have_owners_and_an_owner_may_lack_a_class():
    X, y = IRIS
    bank = np.where(y == 0, "north", np.where(np.arange(len(y)) % 2, "south", "west"))
    fitted = clone(QUICK).set_params(rounds=10).fit(X, y, party=bank)
    assert fitted.score(X, y) > 0.9
    assert {report.total_weight for report in fitted.history_} == {12}  # three owners of 50 rows, 4 units each


def test_owners_travel_through_cross_validation_and_search():
    X, y = IRIS
    bank = np.arange(len(y)) % 3
    assert cross_val_score(QUICK, X, y, cv=2, params={"party": bank}).mean() > 0.8
    assert cross_val_score(QUICK, X, y, cv=GroupKFold(2), groups=np.arange(len(y)) % 2).mean() > 0.8
    search = GridSearchCV(QUICK, {"epochs": [1, 20]}, cv=2).fit(X, y, party=bank)
    assert search.best_params_ == {"epochs": 20}


@pytest.mark.parametrize(
    ("party", "said"), [([0, 1] * 75, "2 parties that may lose 0"), ([0, 1, 2], "the owner of 3 rows, X has 150")]
)
def test_owners_that_no_session_or_table_fits_are_refused(party, said):
    with pytest.raises(ValueError, match=said):
        clone(QUICK).fit(*IRIS, party=party)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"n_parties": 2}, "2 parties that may lose 0"),
        ({"losses": 1}, "3 parties that may lose 1"),
        ({"rounds": 0}, "rounds is 1 or more"),
        ({"learning_rate": 0}, "learning_rate is above 0"),
        ({"bits": 40}, "bits"),
    ],
)
def test_parameters_that_make_no_sense_are_refused_at_fit(change, said):
    with pytest.raises(ValueError, match=said):
        clone(QUICK).set_params(**change).fit(*IRIS)


def test_fewer_rows_than_parties_leave_some_with_the_weight_nought():
    X, y = np.array([[0.0], [1.0], [10.0]]), np.array(["low", "low", "high"])
    fitted = SecureFederatedClassifier(n_parties=5, random_state=1).fit(X, y)
    assert fitted.predict([[0.5], [9.0]]).tolist() == ["low", "high"]
    assert fitted.history_[0].total_weight == 3
    assert fitted.history_[0].included == frozenset(range(5))


def test_a_seed_repeats_a_fit_to_the_bit_and_no_seed_rounds_anew():
    first, second = (clone(QUICK).fit(*IRIS) for _ in range(2))
    assert np.array_equal(first.coef_, second.coef_)
    fresh = [clone(QUICK).set_params(random_state=None).fit(*IRIS, party=np.arange(150) % 3) for _ in range(2)]
    assert not np.array_equal(fresh[0].coef_, fresh[1].coef_)
    assert np.allclose(fresh[0].coef_, fresh[1].coef_, atol=4 * 2 / (2**16 - 1))


def test_a_fitted_model_is_pickled_without_its_rows():
    fitted = clone(QUICK).fit(*IRIS)
    again = pickle.loads(pickle.dumps(fitted))  # noqa: S301 our own bytes
    assert np.array_equal(again.predict_proba(IRIS[0]), fitted.predict_proba(IRIS[0]))
    assert not any(value.shape[:1] == (150,) for value in vars(fitted).values() if isinstance(value, np.ndarray))


def test_everything_that_a_party_gives_goes_through_a_session(monkeypatch):
    sessions = []
    plain = fl_integration.rounds.local

    def counted(**options):
        sessions.append(options)
        return plain(**options)

    monkeypatch.setattr(fl_integration.rounds, "local", counted)
    fitted = clone(QUICK).fit(*IRIS)
    assert len(sessions) == 4 + fitted.n_iter_ == 8  # reach, mean, reach, spread; then the rounds
    assert {options["parties"] for options in sessions} == {3}


# --- columns ---


def test_moments_are_those_of_all_rows_joined_whatever_the_columns_are_like():
    rng = np.random.default_rng(4)
    rows = 300
    columns = {
        "plain": rng.normal(3, 2, rows),
        "constant": np.full(rows, 1e9 / 3),
        "zero": np.zeros(rows),
        "narrow": 1e9 / 3 + rng.normal(0, 100, rows),  # the first mean, in float32, is off by a tenth of the spread
        "far": 1.7e9 + rng.normal(0, 1e5, rows),
        "tiny": rng.normal(0, 1e-12, rows),
        "huge": rng.normal(0, 1e20, rows),
    }
    X = np.column_stack(list(columns.values()))
    parts = [X[:50], X[50:51], X[51:51], X[51:]]
    mean, scale, counted = column_moments(parts, SecureMean(rand=SeededRandomness(b"moments")))
    assert counted == rows
    reach, width = np.abs(X).max(axis=0), np.abs(X - X.mean(axis=0)).max(axis=0)
    assert (np.abs(mean - X.mean(axis=0)) <= 2.0**-22 * width + 2.0**-44 * reach + 1e-40).all()
    assert scale[[1, 2]].tolist() == [1.0, 1.0]
    varied = [0, 3, 4, 5, 6]
    assert np.allclose(scale[varied], X.std(axis=0)[varied], rtol=1e-4)


def test_a_huge_table_does_not_overflow_a_prediction():
    X, y = IRIS
    fitted = clone(QUICK).fit(X, y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        shares = fitted.predict_proba(X * 1e30)
    assert np.isfinite(shares).all()
    assert np.allclose(shares.sum(axis=1), 1)
