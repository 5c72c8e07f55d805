"""A scikit-learn classifier that several parties train without showing their rows: multinomial logistic regression.

All parties are in this process, as in `aggregation.local`: it is there to find out what a federation would be worth
before there is one, with the pipelines, searches and scorers that one knows. Whatever leaves a party, for standardising
as for training, goes through the secure sum of the shipping machines.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state, column_or_1d
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from fl_integration.aggregation import AggregationError
from fl_integration.layout import Tensors
from fl_integration.moments import Reals, column_moments
from fl_integration.plan import sample_weight
from fl_integration.rounds import SecureMean, Trained, train
from mpc.randomness import Randomness, SeededRandomness, SystemRandomness

Places = npt.NDArray[np.intp]

_PENALTY = 1e-4
_LARGEST_WEIGHT = 16
_UNITS = 4  # the weight of a party with as many rows as the average one


class SecureFederatedClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Multinomial logistic regression over rows that lie at several parties, joined by secure sums.

    n_parties: how many share the rows when `fit` is not told whose each row is; 3 or more. rounds: secure sums of
    model updates. epochs: steps of gradient descent at each party in a round. learning_rate: 1 is the longest step
    that surely lowers a party's own loss. clip: each value of an update is clipped to -clip..clip. bits: 1..32 for
    each. colluding: how many parties may side with the server (None: the most that the rules allow beside `losses`).
    losses: how many parties a sum could do without. random_state: deals the rows and rounds the updates; None for
    fresh randomness.

    classes_, n_features_in_, feature_names_in_: as everywhere in scikit-learn. n_iter_: rounds. mean_, scale_: how the
    columns are standardised. coef_ (a row for each class) and intercept_: of the standardised columns. history_: what
    each round's sum said.
    """

    def __init__(
        self,
        n_parties: int = 5,
        rounds: int = 10,
        epochs: int = 20,
        learning_rate: float = 1.0,
        clip: float = 1.0,
        bits: int = 16,
        colluding: int | None = None,
        losses: int = 0,
        random_state: Any = None,
    ) -> None:
        self.n_parties = n_parties
        self.rounds = rounds
        self.epochs = epochs
        self.learning_rate = learning_rate
        self.clip = clip
        self.bits = bits
        self.colluding = colluding
        self.losses = losses
        self.random_state = random_state

    def fit(self, X: Any, y: Any, party: Any = None) -> Self:
        """party: for each row whose it is, any labels; 3 parties or more. When None, the rows are dealt to `n_parties`
        so that each has its part of every class; with fewer rows than parties some take part with the weight 0.

        The classes are taken from all of y, as the names of the columns are from all of X: parties agree on both.
        Raises ValueError for what cannot be trained with.
        """
        self._require_counts()
        X, y = validate_data(self, X, y, dtype=np.float64)
        check_classification_targets(y)
        self.classes_, labels = np.unique(y, return_inverse=True)
        rng = check_random_state(self.random_state)
        places = self._dealt(labels, rng) if party is None else _owned(party, len(labels))
        rand = SystemRandomness() if self.random_state is None else SeededRandomness(rng.bytes(32))
        try:
            self._train([(X[mine], labels[mine]) for mine in places], rand)
        except AggregationError as exc:
            raise ValueError(str(exc)) from exc
        return self

    def predict_proba(self, X: Any) -> Reals:
        """float64[n, classes], in the order of `classes_`."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)
        standard = (X - self.mean_) / self.scale_
        return _softmax(standard @ self.coef_.T + self.intercept_)

    def predict(self, X: Any) -> npt.NDArray[Any]:
        """The likeliest class of each row."""
        likeliest = self.predict_proba(X).argmax(axis=1)
        predicted: npt.NDArray[Any] = self.classes_[likeliest]
        return predicted

    def _require_counts(self) -> None:
        for name in ("n_parties", "rounds", "epochs"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is 1 or more, not {getattr(self, name)}")
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate is above 0, not {self.learning_rate}")

    def _dealt(self, labels: Places, rng: np.random.RandomState) -> list[Places]:
        """The rows of each party: class after class is dealt round, in a random order."""
        order = rng.permutation(len(labels))
        by_class = order[np.argsort(labels[order], kind="stable")]
        return [by_class[start :: self.n_parties] for start in range(self.n_parties)]

    def _train(self, parts: Sequence[tuple[Reals, Places]], rand: Randomness) -> None:
        secure = SecureMean(
            clip=self.clip,
            bits=self.bits,
            max_weight=_LARGEST_WEIGHT,
            colluding=self.colluding,
            losses=self.losses,
            rand=rand,
        )
        mean, scale, rows = column_moments([inputs for inputs, _ in parts], secure)
        clients = [
            _Party.of((inputs - mean) / scale, labels, self.epochs, self.learning_rate, rows / len(parts))
            for inputs, labels in parts
        ]
        shape = (len(self.classes_), self.n_features_in_)
        start = {"coef": np.zeros(shape), "intercept": np.zeros(shape[0])}
        trained = train(clients, start, rounds=self.rounds, aggregate=secure)
        self.mean_, self.scale_ = mean, scale  # not before: a fit that fails leaves a fitted model as it was
        self.coef_, self.intercept_ = trained.tensors["coef"], trained.tensors["intercept"]
        self.history_ = trained.rounds
        self.n_iter_ = self.rounds


@dataclass(frozen=True, slots=True, eq=False)
class _Party:
    """One party's standardised rows, the length of its steps and the weight of its updates."""

    inputs: Reals = field(repr=False)
    labels: Places = field(repr=False)
    epochs: int
    step: float
    weight: int = field(repr=False)

    @classmethod
    def of(cls, inputs: Reals, labels: Places, epochs: int, learning_rate: float, average: float) -> Self:
        """average: how many rows a party has on average, which the sums have shown."""
        unit = max(1, round(average / _UNITS))
        weight = sample_weight(len(labels), unit, _LARGEST_WEIGHT) if len(labels) else 0
        return cls(inputs, labels, epochs, learning_rate / _curvature(inputs), weight)

    def train(self, tensors: Tensors, fl_round: int) -> Trained:
        """Some steps of gradient descent over all own rows; without any, the model, with weight 0."""
        coef, intercept = np.array(tensors["coef"]), np.array(tensors["intercept"])
        if not len(self.labels):
            return Trained({"coef": coef, "intercept": intercept}, weight=self.weight)
        wanted = np.eye(len(coef))[self.labels]
        for _ in range(self.epochs):
            slope = (_softmax(self.inputs @ coef.T + intercept) - wanted) / len(wanted)
            coef -= self.step * (slope.T @ self.inputs + _PENALTY * coef)
            intercept -= self.step * slope.sum(axis=0)
        return Trained({"coef": coef, "intercept": intercept}, weight=self.weight)


def _curvature(inputs: Reals) -> float:
    """The most that the mean loss bends: half the largest eigenvalue of the inputs' second moments. [Böhning 1992]"""
    joined = np.hstack([inputs, np.ones((len(inputs), 1))])
    small = joined if len(joined) < joined.shape[1] else joined.T
    largest = float(np.linalg.eigvalsh(small @ small.T)[-1]) if len(inputs) else 0.0
    return 0.5 * largest / max(1, len(inputs)) + _PENALTY


def _owned(party: Any, rows: int) -> list[Places]:
    owners = column_or_1d(party)
    if len(owners) != rows:
        raise ValueError(f"party names the owner of {len(owners)} rows, X has {rows}")
    names, owner = np.unique(owners, return_inverse=True)
    return [np.flatnonzero(owner == place) for place in range(len(names))]


def _softmax(scores: Reals) -> Reals:
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    shares: Reals = weights / weights.sum(axis=1, keepdims=True)
    return shares
