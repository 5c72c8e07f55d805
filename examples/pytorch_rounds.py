"""A small network on handwritten digits: five clients who each see mostly two digits, and nobody sees an update.

Needs torch: pip install 'veilsum[torch]'. Takes about half a minute on one core.
"""

import numpy as np
import torch
from sklearn.datasets import load_digits

from veilsum.pytorch import Descent, TorchClient, to_arrays
from veilsum.rounds import (
    ScaffoldClient,
    ScaffoldServer,
    SecureMean,
    personalise,
    train,
    with_control,
    without_control,
)

CLIENTS, ROUNDS = 5, 15
DESCENT = Descent(epochs=5, learning_rate=0.1)


def network() -> torch.nn.Module:
    return torch.nn.Sequential(torch.nn.Linear(64, 32), torch.nn.ReLU(), torch.nn.Linear(32, 10))


def client(place: int, module: torch.nn.Module) -> TorchClient:
    """Four rows in five are of two digits, the fifth is of any."""
    images, digits = load_digits(return_X_y=True)
    images, rng = (images / 16).astype(np.float32), np.random.default_rng(place)
    own = rng.permutation(np.flatnonzero(digits // 2 == place))
    others = rng.permutation(np.flatnonzero(digits // 2 != place))
    rows = np.concatenate([own[:120], others[:30]])
    held_out = np.concatenate([own[120:280], others[30:70]])
    return TorchClient(
        module,
        (images[rows], digits[rows]),
        DESCENT,
        held_out=(images[held_out], digits[held_out]),
        weight=4,
        seed=place,
    )


def show(method: str, clients: list[TorchClient], tensors: dict[str, np.ndarray]) -> None:
    """Each client's accuracy with the model of all, and after fine-tuning it on its own rows."""
    rows = personalise(clients, tensors, epochs=5)
    print(f"{method}\n  client  before  after fine-tuning")
    for row in rows:
        print(f"  {row.client:6}  {row.before:6.3f}  {row.after:6.3f}")
    print(f"  {'mean':>6}  {np.mean([r.before for r in rows]):6.3f}  {np.mean([r.after for r in rows]):6.3f}")


def main() -> None:
    torch.manual_seed(1)
    module = network()
    clients = [client(place, module) for place in range(CLIENTS)]
    start, secure = to_arrays(module.state_dict()), SecureMean(clip=1.0, losses=1)

    averaged = train(clients, start, rounds=ROUNDS, aggregate=secure)
    show("FedAvg", clients, averaged.tensors)

    corrected = train(
        [ScaffoldClient(each) for each in clients],
        with_control(start),
        rounds=ROUNDS,
        optimiser=ScaffoldServer(),
        aggregate=secure,
    )
    show("SCAFFOLD", clients, without_control(corrected.tensors))


if __name__ == "__main__":
    main()
