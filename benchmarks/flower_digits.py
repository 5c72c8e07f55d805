"""Flower's PyTorch quickstart network on scikit-learn's digits: plain averaging, secure sums, Flower's own SecAgg+.

    python -m benchmarks.flower_digits

trains with each over three seeds in Flower's simulation engine: five nodes, of which one is lost in every round, the
same one everywhere and always before its update is in. Prints one JSON value and writes
benchmarks/results/flower_digits.json. Seconds are of a training round, from the strategy's first message to its
result; bytes are what the records of all messages of a round count, in the mean.
"""

import argparse
import json
import logging
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import mean, median
from typing import Any, Final

ROOT: Final = Path(__file__).parents[1]
RESULTS: Final = Path(__file__).parent / "results" / "flower_digits.json"
EXAMPLE: Final = ROOT / "examples" / "flower_digits"
sys.path.insert(0, str(EXAMPLE))

import torch  # noqa: E402
from digits.task import Net, load_data, load_images, test, train  # noqa: E402
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict  # noqa: E402
from flwr.client import NumPyClient  # noqa: E402
from flwr.client.mod import secaggplus_mod  # noqa: E402
from flwr.clientapp import ClientApp  # noqa: E402
from flwr.common import ndarrays_to_parameters  # noqa: E402
from flwr.server import LegacyContext, ServerConfig  # noqa: E402
from flwr.server.strategy import FedAvg as OldFedAvg  # noqa: E402
from flwr.server.workflow import DefaultWorkflow, SecAggPlusWorkflow  # noqa: E402
from flwr.serverapp import ServerApp  # noqa: E402
from flwr.serverapp.strategy import FedAvg  # noqa: E402
from flwr.simulation import run_simulation  # noqa: E402
from torch.utils.data import DataLoader, TensorDataset  # noqa: E402

from protocols.messages import CODEC, Abort, Round  # noqa: E402
from veilsum.flower import secure, secure_mod  # noqa: E402
from veilsum.trial import write_trial  # noqa: E402

NODES: Final = 5
ROUNDS: Final = 20
SEEDS: Final = (0, 1, 2)
EPOCHS: Final = 2
RATE: Final = 0.02
BATCH: Final = 32
STAGES: Final = (Round.ADVERTISE, Round.SHARE, Round.MASKED_INPUT)  # lost in turn: after these an update is in
PLAN: Final = {
    "clip": 1.0,
    "bits": 16,
    "rows_per_unit": 50,
    "metrics": {"train_loss": [0.0, 10.0]},
    "evaluation": {},
}


class Lost(Exception):
    """This node does not answer."""


def lost_in(fl_round: int) -> int:
    """Which node."""
    return (fl_round - 1) % NODES


# What every node does


def trained(net: Net, seed: int, fl_round: int, place: int) -> tuple[float, int]:
    """Trains in place: (loss, examples). The same for the same arguments."""
    torch.set_num_threads(1)
    torch.manual_seed(seed * 10_000 + fl_round * 100 + place)
    loader, _ = load_data(place, NODES, BATCH, seed)
    return train(net, loader, EPOCHS, RATE), len(loader.dataset)


def initial(seed: int) -> Net:
    torch.manual_seed(seed)
    return Net()


def accuracy(net: Net, seed: int) -> float:
    _, held_out = load_images(seed)
    return test(net, DataLoader(TensorDataset(*held_out), batch_size=128))[1]


def new_client(mods: list[Any], seed: int) -> ClientApp:
    app = ClientApp(mods=mods)

    @app.train()
    def train_(message: Message, context: Any) -> Message:
        net, place, fl_round = Net(), context.node_config["partition-id"], message.content["config"]["server-round"]
        net.load_state_dict(message.content["arrays"].to_torch_state_dict())
        loss, rows = trained(net, seed, fl_round, place)
        metrics = MetricRecord({"train_loss": loss, "num-examples": rows})
        return Message(RecordDict({"arrays": ArrayRecord(net.state_dict()), "metrics": metrics}), reply_to=message)

    return app


# Losing a node, as its error: the server hears of it at once, in each of the three ways of training


def lose_plain(message: Message, context: Any, call_next: Callable[..., Message]) -> Message:
    if lost_in(message.content["config"]["server-round"]) == context.node_config["partition-id"]:
        raise Lost
    return call_next(message, context)


def lose_ours(message: Message, context: Any, call_next: Callable[..., Message]) -> Message:
    heard = [CODEC.decode(array.data) for array in message.content["veilsum"].values()]
    stage = next((one.round for one in reversed(heard) if not isinstance(one, Abort)), None)
    if stage is Round.ADVERTISE:
        context.state["benchmark"] = ConfigRecord({"round": message.content["config"]["server-round"]})
    fl_round = context.state["benchmark"]["round"]
    if lost_in(fl_round) == context.node_config["partition-id"] and stage is STAGES[fl_round % len(STAGES)]:
        raise Lost
    return call_next(message, context)


def lose_theirs(message: Message, context: Any, call_next: Callable[..., Message]) -> Message:
    stage = message.content["secaggplus_configs"]["stage"]
    fl_round = int(message.metadata.group_id)
    if lost_in(fl_round) == context.node_config["partition-id"] and stage == "collect_masked_vectors":
        raise Lost
    return call_next(message, context)


# What is counted


class Counting:
    """A grid that counts what passes."""

    def __init__(self, grid: Any) -> None:
        self._grid = grid
        self.to_nodes = self.from_nodes = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._grid, name)

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        asked = list(messages)
        self.to_nodes += sum(map(size, asked))
        return self._grid.push_messages(asked)

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        replies = list(self._grid.pull_messages(message_ids))
        self.from_nodes += sum(map(size, replies))
        return replies

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        asked = list(messages)
        self.to_nodes += sum(map(size, asked))
        replies = list(self._grid.send_and_receive(asked, timeout=timeout))
        self.from_nodes += sum(map(size, replies))
        return replies


def size(message: Message) -> int:
    return sum(record.count_bytes() for record in message.content.values()) if message.has_content() else 0


class Watch:
    """Seconds of each round."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    @contextmanager
    def __call__(self) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.seconds.append(time.perf_counter() - started)


# The three ways. Each gives its apps and fills `found`.

Found = dict[str, Any]


def message_apps(ours: bool, seed: int, rounds: int, found: Found, veil: Path) -> tuple[ServerApp, ClientApp]:
    """Flower's FedAvg, as it is or made secure."""
    watch, app = Watch(), ServerApp()

    class Timed(FedAvg):
        def configure_train(self, *args: Any) -> Iterable[Message]:
            self.started = time.perf_counter()
            return super().configure_train(*args)

        def aggregate_train(self, *args: Any) -> Any:
            result = super().aggregate_train(*args)
            watch.seconds.append(time.perf_counter() - self.started)
            return result

    @app.main()
    def main(grid: Any, context: Any) -> None:
        counting = Counting(grid)
        strategy = Timed(fraction_evaluate=0.0, min_train_nodes=NODES, min_available_nodes=NODES)
        start = (secure(strategy, veil) if ours else strategy).start
        result = start(counting, ArrayRecord(initial(seed).state_dict()), num_rounds=rounds)
        net = Net()
        net.load_state_dict(result.arrays.to_torch_state_dict())
        found.update(seconds=watch.seconds, to_nodes=counting.to_nodes, from_nodes=counting.from_nodes)
        found["accuracy"] = accuracy(net, seed)

    return app, new_client([lose_ours, secure_mod(veil)] if ours else [lose_plain], seed)


def secagg_plus_apps(seed: int, rounds: int, found: Found) -> tuple[ServerApp, ClientApp]:
    """Flower's own secure aggregation, of the interface before messages."""
    watch, app, names = Watch(), ServerApp(), list(initial(seed).state_dict())

    def net_of(arrays: list[Any]) -> Net:
        net = Net()
        net.load_state_dict({name: torch.tensor(array) for name, array in zip(names, arrays, strict=True)})
        return net

    class Timed(SecAggPlusWorkflow):
        def __call__(self, grid: Any, context: Any) -> None:
            with watch():
                super().__call__(grid, context)

    def evaluate(fl_round: int, arrays: list[Any], config: Any) -> tuple[float, dict[str, float]] | None:
        return (0.0, {"accuracy": accuracy(net_of(arrays), seed)}) if fl_round == rounds else None

    @app.main()
    def main(grid: Any, context: Any) -> None:
        strategy = OldFedAvg(
            fraction_evaluate=0.0,
            min_fit_clients=NODES,
            min_available_clients=NODES,
            initial_parameters=ndarrays_to_parameters([v.numpy() for v in initial(seed).state_dict().values()]),
            on_fit_config_fn=lambda fl_round: {"round": fl_round},
            evaluate_fn=evaluate,
        )
        legacy = LegacyContext(context=context, config=ServerConfig(num_rounds=rounds), strategy=strategy)
        counting = Counting(grid)
        DefaultWorkflow(fit_workflow=Timed(num_shares=NODES, reconstruction_threshold=NODES - 1))(counting, legacy)
        found.update(seconds=watch.seconds, to_nodes=counting.to_nodes, from_nodes=counting.from_nodes)
        found["accuracy"] = legacy.history.metrics_centralized["accuracy"][-1][1]

    class Client(NumPyClient):
        def __init__(self, place: int) -> None:
            self.place = place

        def fit(self, parameters: list[Any], config: Any) -> Any:
            net = net_of(parameters)
            _, rows = trained(net, seed, config["round"], self.place)
            return [value.numpy() for value in net.state_dict().values()], rows, {}

    def client(context: Any) -> Any:
        return Client(context.node_config["partition-id"]).to_client()

    return app, ClientApp(client_fn=client, mods=[lose_theirs, secaggplus_mod])


def simulate(way: str, seed: int, rounds: int) -> Found:
    """One training in a simulation of its own."""
    found: Found = {}
    with tempfile.TemporaryDirectory() as folder:
        veil = Path(folder, "veil")
        if way == "SecAgg+":
            apps = secagg_plus_apps(seed, rounds, found)
        else:
            write_trial(veil, nodes=NODES, losses=1, patience=600.0, training=PLAN)
            apps = message_apps(way == "veilsum", seed, rounds, found, veil)
        run_simulation(*apps, num_supernodes=NODES, backend_config={"client_resources": {"num_cpus": 1}})
    if "accuracy" not in found:
        raise SystemExit(f"{way}, seed {seed}: the simulation ended before the training did")
    return found


# The table

NAMES: Final = {"plain": "plain FedAvg", "veilsum": "secure(FedAvg)", "SecAgg+": "Flower's SecAggPlusWorkflow"}
WAYS: Final = tuple(NAMES)


def in_own_process(way: str, seed: int, rounds: int) -> Found:
    command = [
        sys.executable,
        "-m",
        "benchmarks.flower_digits",
        "--one",
        way,
        "--seeds",
        str(seed),
        "--rounds",
        str(rounds),
    ]
    paths = os.pathsep.join([str(ROOT), str(EXAMPLE)])
    quiet = {"FLWR_TELEMETRY_ENABLED": "0", "FLWR_DISABLE_UPDATE_CHECK": "1", "RAY_USAGE_STATS_ENABLED": "0"}
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | quiet | {"PYTHONPATH": paths}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{way}, seed {seed}: {done.stderr[-2000:]}")
    found: Found = json.loads(done.stdout.splitlines()[-1])
    return found


def compare(seeds: Iterable[int], rounds: int) -> dict[str, Any]:
    """All ways over all seeds. Seconds: the median of all rounds but the first, in which the engine starts."""
    rows: dict[str, Any] = {}
    for way in WAYS:
        runs = []
        for seed in seeds:
            runs.append(in_own_process(way, seed, rounds))
            sys.stderr.write(f"{way}, seed {seed}: {100 * runs[-1]['accuracy']:.2f} %\n")
        rows[way] = {
            "accuracy": [run["accuracy"] for run in runs],
            "seconds_a_round": median(second for run in runs for second in run["seconds"][1:]),
            "bytes_to_nodes_a_round": mean(run["to_nodes"] / rounds for run in runs),
            "bytes_from_nodes_a_round": mean(run["from_nodes"] / rounds for run in runs),
        }
    gap = 100 * abs(mean(rows["veilsum"]["accuracy"]) - mean(rows["plain"]["accuracy"]))
    return {
        "nodes": NODES,
        "lost_a_round": 1,
        "rounds": rounds,
        "seeds": list(seeds),
        "ways": rows,
        "gap_in_points": gap,
    }


def table(compared: dict[str, Any]) -> str:
    """In Markdown, for docs/flower.md."""
    lines = ["| | accuracy, % | s a round | MB to nodes | MB from nodes |", "| --- | --- | --- | --- | --- |"]
    for way, row in compared["ways"].items():
        accuracies = ", ".join(f"{100 * one:.1f}" for one in row["accuracy"])
        traffic = [f"{row[key] / 1e6:.2f}" for key in ("bytes_to_nodes_a_round", "bytes_from_nodes_a_round")]
        lines.append(f"| {NAMES[way]} | {accuracies} | {row['seconds_a_round']:.1f} | {' | '.join(traffic)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="Secure sums inside Flower beside plain averaging and SecAgg+.")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--one", choices=WAYS, help="only this way and the first seed: prints what was counted")
    asked = parser.parse_args()
    if asked.one:
        logging.getLogger("flwr").setLevel(logging.WARNING)
        sys.stdout.write(json.dumps(simulate(asked.one, asked.seeds[0], asked.rounds)) + "\n")
        return
    compared = compare(asked.seeds, asked.rounds)
    asked.out.parent.mkdir(exist_ok=True)
    asked.out.write_text(json.dumps(compared, indent=2) + "\n")
    sys.stdout.write(json.dumps(compared) + "\n")


if __name__ == "__main__":
    main()
