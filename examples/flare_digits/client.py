"""A site's training, with FLARE's Client API. Nothing in it knows of the secure sum."""

import argparse

import nvflare.client as flare
import torch
from model import Digits
from sklearn.datasets import load_digits
from torch.nn.functional import cross_entropy


def own_images(sites: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Every `sites`-th image that scikit-learn ships: a part of its own for site-1, site-2, ..."""
    images, labels = load_digits(return_X_y=True)
    first = int(flare.get_site_name().removeprefix("site-")) - 1
    part = slice(first, None, sites)
    return torch.tensor(images[part] / 16, dtype=torch.float32), torch.tensor(labels[part])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--sites", type=int, required=True)
    parser.add_argument("--epochs", type=int, default=3)
    given = parser.parse_args()

    flare.init()
    torch.set_num_threads(1)
    images, labels = own_images(given.sites)
    model = Digits()
    while flare.is_running():
        received = flare.receive()
        model.load_state_dict(received.params)
        model.eval()
        accuracy = (model(images).argmax(1) == labels).float().mean().item()

        model.train()
        optimiser = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        steps = 0
        for _ in range(given.epochs):
            for batch in torch.randperm(len(images)).split(32):
                optimiser.zero_grad()
                cross_entropy(model(images[batch]), labels[batch]).backward()
                optimiser.step()
                steps += 1
        flare.send(
            flare.FLModel(
                params=model.state_dict(),
                metrics={"accuracy": accuracy},
                meta={"NUM_STEPS_CURRENT_ROUND": steps},
            )
        )


if __name__ == "__main__":
    main()
