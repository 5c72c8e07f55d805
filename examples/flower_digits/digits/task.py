"""The network of Flower's PyTorch quickstart, on images of 8 x 8 made as large as those it is for."""

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class Net(nn.Module):
    """As in the quickstart, but for one colour in place of three."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 5)
        self.pool = nn.MaxPool2d(2, 2)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(16 * 5 * 5, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, 10)

    def forward(self, x):
        x = self.pool(F.relu(self.conv1(x)))
        x = self.pool(F.relu(self.conv2(x)))
        x = x.view(-1, 16 * 5 * 5)
        x = F.relu(self.fc1(x))
        x = F.relu(self.fc2(x))
        return self.fc3(x)


def load_images(seed):
    """((images, digits) to train on, the same to test on): a fifth is for testing, none of it at any node."""
    images, digits = load_digits(return_X_y=True)
    large = np.kron(images.reshape(-1, 1, 8, 8) / 8.0 - 1.0, np.ones((4, 4))).astype(np.float32)
    parts = train_test_split(large, digits.astype(np.int64), test_size=0.2, random_state=seed, stratify=digits)
    train_x, test_x, train_y, test_y = (torch.from_numpy(part) for part in parts)
    return (train_x, train_y), (test_x, test_y)


def load_data(partition_id, num_partitions, batch_size, seed=0):
    """A node's part: four fifths to train on, one to evaluate on."""
    (images, digits), _ = load_images(seed)
    own = range(partition_id, len(digits), num_partitions)
    cut = len(own) * 4 // 5
    training = TensorDataset(images[own[:cut]], digits[own[:cut]])
    evaluation = TensorDataset(images[own[cut:]], digits[own[cut:]])
    return DataLoader(training, batch_size=batch_size, shuffle=True), DataLoader(evaluation, batch_size=batch_size)


def train(net, trainloader, epochs, lr):
    """The average loss."""
    optimizer = torch.optim.SGD(net.parameters(), lr=lr, momentum=0.9)
    total = 0.0
    net.train()
    for _ in range(epochs):
        for images, digits in trainloader:
            optimizer.zero_grad()
            loss = F.cross_entropy(net(images), digits)
            loss.backward()
            optimizer.step()
            total += loss.item()
    return total / (epochs * len(trainloader))


def test(net, testloader):
    """(average loss, share that is right)."""
    loss, right = 0.0, 0
    net.eval()
    with torch.no_grad():
        for images, digits in testloader:
            outputs = net(images)
            loss += F.cross_entropy(outputs, digits).item()
            right += (outputs.argmax(1) == digits).sum().item()
    return loss / len(testloader), right / len(testloader.dataset)
