"""The server: the quickstart's own, and one line that makes its strategy a secure one."""

import torch
from flwr.app import ArrayRecord, ConfigRecord, Context, MetricRecord
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg
from torch.utils.data import DataLoader, TensorDataset

from digits.task import Net, load_images
from digits.task import test as test_fn
from veilsum.flower import secure

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    run = context.run_config
    torch.manual_seed(run["seed"])
    _, held_out = load_images(run["seed"])

    def global_evaluate(server_round: int, arrays: ArrayRecord) -> MetricRecord:
        model = Net()
        model.load_state_dict(arrays.to_torch_state_dict())
        loss, accuracy = test_fn(model, DataLoader(TensorDataset(*held_out), batch_size=128))
        return MetricRecord({"loss": loss, "accuracy": accuracy})

    strategy = secure(FedAvg(fraction_evaluate=run["fraction-evaluate"]), "~/veil")
    result = strategy.start(
        grid=grid,
        initial_arrays=ArrayRecord(Net().state_dict()),
        train_config=ConfigRecord({"lr": run["learning-rate"]}),
        num_rounds=run["num-server-rounds"],
        evaluate_fn=global_evaluate,
    )
    print("accuracy:", result.evaluate_metrics_serverapp[run["num-server-rounds"]]["accuracy"])
