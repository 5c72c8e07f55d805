"""Flower in one process: real ClientApps and a real FedAvg, each message through Flower's own bytes."""

import numpy as np
from flower_grid import FakeGrid
from flwr.app import Array, ArrayRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp.strategy import FedAvg
from scenes import LOSSES, PARTIES, Outcome

from veilsum.flower import secure, secure_mod
from veilsum.trial import write_trial


def record(tensors):
    return ArrayRecord({name: Array(np.asarray(tensor)) for name, tensor in tensors.items()})


def tensors_of(arrays):
    return {name: array.numpy() for name, array in arrays.items()}


def trained_reply(scene, place, message):
    """What an app's own function returns."""
    new = scene.trained(tensors_of(message.content["arrays"]), place)
    metrics = MetricRecord({"loss": scene.losses[place], "num-examples": scene.rows[place]})
    return Message(RecordDict({"arrays": record(new), "metrics": metrics}), reply_to=message)


class Watched(FedAvg):
    """Before each round the grid is told who is lost in it; after it is kept what Flower saw."""

    def __init__(self, grid, lose):
        super().__init__(fraction_evaluate=0.0)
        self.grid, self.lose = grid, lose
        self.failures, self.summed = [], 0

    def configure_train(self, server_round, arrays, config, grid):
        lost = self.lose[server_round - 1] if server_round <= len(self.lose) else {}
        self.grid.lose = {(100 + place, stage) for place, stage in lost.items()}
        return super().configure_train(server_round, arrays, config, grid)

    def aggregate_train(self, server_round, replies):
        replies = list(replies)
        arrays, metrics = super().aggregate_train(server_round, replies)
        if arrays is None:
            errors = [reply.error.reason for reply in replies if reply.has_error()]
            self.failures.append(f"{len(errors)} errors in {len(replies)} replies: {'; '.join(sorted(set(errors)))}")
        else:
            self.summed += 1
        return arrays, metrics


class Flower:
    def __init__(self, folder, scene, **compression):
        self.scene, self.folder = scene, folder / "veil"
        training = scene.training(**compression)
        write_trial(self.folder, nodes=PARTIES, losses=LOSSES, patience=60.0, training=training)
        self.carried, self.wire, self.names = [], [], set()

    def run(self, rounds=1, lose=()):
        grid = FakeGrid({100 + place: self._app(place, [secure_mod(self.folder)]) for place in range(PARTIES)})
        strategy = Watched(grid, lose)
        result = secure(strategy, self.folder).start(grid, record(self.scene.model), num_rounds=rounds, timeout=5)
        self._keep(grid)
        metrics = result.train_metrics_clientapp.get(rounds, {})
        return Outcome(
            tensors_of(result.arrays) or self.scene.model,  # Flower keeps no copy of the model that it began with
            {name: value for name, value in metrics.items() if name != "num-examples"},
            (self.scene,) * strategy.summed,
            tuple(strategy.failures),
        )

    def plain(self):
        grid = FakeGrid({100 + place: self._app(place, []) for place in range(PARTIES)})
        FedAvg(fraction_evaluate=0.0).start(grid, record(self.scene.model), num_rounds=1, timeout=5)
        return [data for _, _, data in grid.answers]

    def _app(self, place, mods):
        app = ClientApp(mods=mods)
        app.train()(lambda message, context: trained_reply(self.scene, place, message))
        return app

    def _keep(self, grid):
        for _, reply, data in grid.answers:
            self.carried.append(data.encode() if isinstance(data, str) else data)
            if reply.has_error():
                continue
            for name, held in reply.content.items():
                fields = {f"{array.dtype} {array.stype}" for array in held.values()}
                self.names |= {f"{type(held).__name__} {name}", *(f"Array {one}" for one in fields)}
                self.wire += [array.data for array in held.values()]
                assert [*held] == [str(place) for place in range(len(held))]
