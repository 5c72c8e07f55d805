"""scikit-learn's estimator. Its parties make their updates of rows, so those are noted as they are handed over."""

from contextlib import contextmanager
from itertools import count
from unittest.mock import patch

import numpy as np
from adapters import InProcess, Plainly
from scenes import LOSSES, ODD, PARTIES, Outcome, Scene, survivors

from fl_integration import rounds as loop
from fl_integration.aggregation import local
from fl_integration.estimator import SecureFederatedClassifier
from fl_integration.rounds import SecureMean

UNITS = 4  # in the weight of a party with the average number of rows
OWNED = (30, 61, 90, 301, 18)  # rows of each party: the average is 100


class Estimator(InProcess):
    """`veilsum.SecureFederatedClassifier`: a model of two float64 tensors, and no metrics."""

    def __init__(self, folder, scene):
        super().__init__(folder, scene)
        self.owner = np.repeat(np.arange(PARTIES), OWNED)
        rng = np.random.default_rng(6)
        self.X = rng.normal(size=(len(self.owner), 4)) + np.array([0.0, 5.0, -2.0, 0.5])
        self.y = (self.X[:, 0] + rng.normal(size=len(self.owner)) > 0) * 1 + (self.X[:, 1] > 5.5)
        if scene is ODD:
            self._make_odd()
        # shorter steps than usual, so that no update is clipped
        self.classifier = SecureFederatedClassifier(losses=LOSSES, learning_rate=0.2, epochs=5)
        self.given = []

    def _make_odd(self):
        """Whole numbers, a column that does not vary, labels of text, one of which a party lacks."""
        self.X = np.stack([np.rint(10 * self.X[:, 0]), np.full(len(self.X), 7)], axis=1).astype(np.int16)
        self.y = np.where((self.y > 0) & (self.owner != 2), "yes", "no")

    def run(self, rounds=1, lose=(), spared=0):
        """lose: in all rounds alike, and in the sums that find the columns' moments, which come before. spared: how
        many sums come before the first that loses anybody."""
        (lost,) = lose or ({},)
        self.classifier.set_params(rounds=rounds)
        with self.tapped(), self._noting(), self._losing(lost, spared):
            try:
                self.classifier.fit(self.X, self.y, party=self.owner)
            except ValueError as exc:
                return Outcome(self._model(), failures=(f"{type(exc).__name__}: {exc}",))
        assert sum(report.clipped for report in self.classifier.history_) == 0
        shown = sum(OWNED[place] for place in survivors(lost))
        return Outcome(self._model(), {}, tuple(self._scene(one, shown) for one in self.given))

    def plain(self):
        aggregate = Plainly()
        with self._noting(aggregate):
            self.classifier.set_params(rounds=1).fit(self.X, self.y, party=self.owner)
        return aggregate.carried

    def _model(self):
        fitted = {"coef": "coef_", "intercept": "intercept_"}
        return {name: getattr(self.classifier, kept) for name, kept in fitted.items() if hasattr(self.classifier, kept)}

    @contextmanager
    def _noting(self, plainly=None):
        """Notes what goes into the sums of the rounds. plainly: what takes the place of all secure ones."""
        self.given.clear()
        secure = SecureMean.__call__

        def noted(mean, contributions, lose):
            if "coef" in contributions[0].update:
                self.given.append({place: given.update for place, given in contributions.items()})
            return plainly(contributions, lose) if plainly else secure(mean, contributions, lose)

        with patch.object(SecureMean, "__call__", noted):
            yield

    @contextmanager
    def _losing(self, lost, spared):
        by_text, sums = {place: stage.value for place, stage in lost.items()}, count()

        def losing(**said):
            return local(**{**said, "lose": by_text if next(sums) >= spared else {}})

        with patch.object(loop, "local", losing):
            yield

    def _scene(self, updates, rows):
        """What the parties gave in a round, on their rows. rows: how many the sums have shown."""
        steps = tuple({name: tensor.astype(np.float64) for name, tensor in updates[place].items()} for place in updates)
        start = {name: np.zeros_like(tensor) for name, tensor in steps[0].items()}
        return Scene(start, steps, OWNED, (), rows_per_unit=round(rows / PARTIES / UNITS))
