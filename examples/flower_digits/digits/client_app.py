"""A node: the quickstart's own functions, and one line that masks what they return."""

import torch
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from digits.task import Net, load_data
from digits.task import test as test_fn
from digits.task import train as train_fn
from veilsum.flower import secure_mod

app = ClientApp(mods=[secure_mod("~/veil")])


def load(msg, context):
    torch.set_num_threads(1)  # many nodes share this machine
    torch.manual_seed(context.run_config["seed"])
    model = Net()
    model.load_state_dict(msg.content["arrays"].to_torch_state_dict())
    where = context.node_config["partition-id"], context.node_config["num-partitions"]
    return model, *load_data(*where, context.run_config["batch-size"], context.run_config["seed"])


@app.train()
def train(msg: Message, context: Context):
    model, trainloader, _ = load(msg, context)
    train_loss = train_fn(model, trainloader, context.run_config["local-epochs"], msg.content["config"]["lr"])
    metrics = {"train_loss": train_loss, "num-examples": len(trainloader.dataset)}
    content = RecordDict({"arrays": ArrayRecord(model.state_dict()), "metrics": MetricRecord(metrics)})
    return Message(content=content, reply_to=msg)


@app.evaluate()
def evaluate(msg: Message, context: Context):
    model, _, valloader = load(msg, context)
    eval_loss, eval_acc = test_fn(model, valloader)
    metrics = {"eval_loss": eval_loss, "eval_acc": eval_acc, "num-examples": len(valloader.dataset)}
    return Message(content=RecordDict({"metrics": MetricRecord(metrics)}), reply_to=msg)
