"""Federated training as a loop, for researchers: see docs/pytorch.md."""

from fl_integration.buffered import stale_weight, train_buffered
from fl_integration.control_variates import ScaffoldClient, ScaffoldServer, with_control, without_control
from fl_integration.personalisation import Personalised, personalise
from fl_integration.rounds import Client, Contribution, History, RoundReport, SecureMean, Trained, train
from fl_integration.server_optimisers import FedAdam, FedAvg, FedYogi
from mpc.randomness import SeededRandomness
from protocols.messages import Round

__all__ = [
    "Client",
    "Contribution",
    "FedAdam",
    "FedAvg",
    "FedYogi",
    "History",
    "Personalised",
    "Round",
    "RoundReport",
    "ScaffoldClient",
    "ScaffoldServer",
    "SecureMean",
    "SeededRandomness",
    "Trained",
    "personalise",
    "stale_weight",
    "train",
    "train_buffered",
    "with_control",
    "without_control",
]
