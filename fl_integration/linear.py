"""Logistic regression by stochastic gradient descent, and how models are scored: everything that needs scikit-learn."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import SGDClassifier
from sklearn.metrics import average_precision_score, roc_auc_score

from fl_integration.layout import Array, Floats, Tensors

_PENALTY = 1e-3


@dataclass(frozen=True, slots=True)
class LinearLearner:
    """One weight an input and an intercept. Both classes weigh the same, however rare one is."""

    width: int
    epochs: int
    learning_rate: float

    def initial(self, seed: int) -> dict[str, Array]:
        """All zero: every seed starts alike."""
        return {"weights": np.zeros(self.width, dtype=np.float32), "intercept": np.zeros(1, dtype=np.float32)}

    def train(self, tensors: Tensors, inputs: Floats, labels: npt.NDArray[np.uint8], seed: int) -> dict[str, Array]:
        """Tensors after `epochs` passes over the rows from `tensors` on; the steps' average, which is less noisy."""
        model = SGDClassifier(
            loss="log_loss",
            alpha=_PENALTY,
            learning_rate="constant",
            eta0=self.learning_rate,
            max_iter=self.epochs,
            tol=None,
            average=True,
            class_weight="balanced",
            random_state=seed,
        )
        model.fit(
            inputs.astype(np.float64),
            labels,
            coef_init=tensors["weights"].astype(np.float64).reshape(1, -1),
            intercept_init=tensors["intercept"].astype(np.float64),
        )
        return {
            "weights": model.coef_.reshape(-1).astype(np.float32),
            "intercept": model.intercept_.astype(np.float32),
        }

    def logits(self, tensors: Tensors, inputs: Floats) -> npt.NDArray[np.float64]:
        """float64[n]: the log odds of the positive class."""
        scores = inputs.astype(np.float64) @ tensors["weights"].astype(np.float64)
        return np.asarray(scores + float(tensors["intercept"][0]), dtype=np.float64)


def scores(labels: npt.NDArray[np.uint8], predicted: npt.NDArray[np.float64]) -> dict[str, float]:
    """Area under the ROC curve and average precision."""
    return {
        "auc": float(roc_auc_score(labels, predicted)),
        "average_precision": float(average_precision_score(labels, predicted)),
    }
