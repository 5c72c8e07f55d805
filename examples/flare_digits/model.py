"""The network, as the server and the sites build it."""

from torch import Tensor, nn


class Digits(nn.Module):
    """Grey images of 8 x 8 pixels, 0 to 1, to one score for each of ten digits."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(64, 48), nn.BatchNorm1d(48), nn.ReLU(), nn.Linear(48, 10))

    def forward(self, images: Tensor) -> Tensor:
        scores: Tensor = self.layers(images)
        return scores
