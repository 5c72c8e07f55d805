"""NVIDIA FLARE in one process: a real FedAvg and real executors, each Shareable through FLARE's own bytes."""

import numpy as np
from flare_house import House, KeptFedAvg, through_bytes
from nvflare.apis.client import Client
from nvflare.apis.controller_spec import ClientTask
from nvflare.apis.executor import Executor
from nvflare.apis.signal import Signal
from nvflare.app_common.abstract.fl_model import FLModel, ParamsType
from nvflare.app_common.utils.fl_model_utils import FLModelUtils
from scenes import LOSSES, PARTIES, Outcome

from veilsum.trial import write_trial


class Telling(Executor):
    """A site's own training: what FLARE's Client API hands back."""

    def __init__(self, scene, place):
        super().__init__()
        self.scene, self.place = scene, place

    def execute(self, task_name, shareable, fl_ctx, abort_signal):
        start = FLModelUtils.from_shareable(shareable).params
        return FLModelUtils.to_shareable(
            FLModel(
                params_type=ParamsType.FULL,
                params=self.scene.trained(start, self.place),
                metrics={"loss": self.scene.losses[self.place]},
                meta={"NUM_STEPS_CURRENT_ROUND": self.scene.rows[self.place]},
            )
        )


class Losing(KeptFedAvg):
    """After each round the house is told who is lost in the next."""

    def __init__(self, house, lose, **said):
        super().__init__(**said)
        self.house, self.lose = house, lose
        self._tell()

    def save_model(self, model):
        super().save_model(model)
        self._tell()

    def _tell(self):
        done = len(self.saved)
        lost = self.lose[done] if done < len(self.lose) else {}
        self.house.lose = {(f"site-{place + 1}", stage) for place, stage in lost.items()}


class PlainHouse(House):
    """FLARE's own way with a plain FedAvg: one task to all sites, whose answers come back as they are."""

    def broadcast(self, task, fl_ctx, *said):
        for name, executor in self.sites.items():
            asked, _ = through_bytes(task.data)
            reply, size = through_bytes(executor.execute(task.name, asked, fl_ctx, Signal()))
            self.answered.append((name, reply, size))
            answered = ClientTask(Client(name, ""), task)
            answered.result = reply
            task.result_received_cb(client_task=answered, fl_ctx=fl_ctx)

    def run(self, inner):
        inner.set_communicator(self)
        fl_ctx = self.server.new_context()
        inner.initialize(fl_ctx)
        inner.control_flow(self.abort_signal, fl_ctx)
        return inner


class Flare:
    def __init__(self, folder, scene, **compression):
        self.scene, self.folder = scene, folder / "veil"
        training = scene.training(**compression)
        write_trial(self.folder, nodes=PARTIES, losses=LOSSES, patience=60.0, training=training)
        self.carried, self.wire, self.names = [], [], set()

    def run(self, rounds=1, lose=()):
        house = House(self.folder, self._sites())
        inner = house.run(Losing(house, lose, num_clients=None, num_rounds=rounds, model=self.scene.model))
        self._keep(house)
        failures = [f"the job ended: {reason}" for reason in house.panics()]
        if not inner.saved:
            return Outcome(self.scene.model, failures=tuple(failures))
        last = inner.saved[-1]
        self.saved = last.params
        return Outcome(self._in_own_types(last.params), last.metrics, (self.scene,) * len(inner.saved), tuple(failures))

    def plain(self):
        house = PlainHouse(self.folder, self._sites())
        inner = house.run(KeptFedAvg(num_clients=None, num_rounds=1, model=self.scene.model))
        self.saved_plainly = inner.saved[-1].params
        return [data for _, _, data in house.answered]

    def _sites(self):
        return {f"site-{place + 1}": Telling(self.scene, place) for place in range(PARTIES)}

    def _in_own_types(self, params):
        """FLARE's own averaging makes floats of whole numbers and saves them so, with us as without. What it saves must
        be whole; sites get the model in its own types."""
        types = {name: tensor.dtype for name, tensor in self.scene.model.items()}
        whole = [name for name, dtype in types.items() if dtype.kind in "iub"]
        assert all(np.array_equal(params[name], np.rint(params[name].astype(float))) for name in whole)
        return {name: np.asarray(value).astype(types[name]) if name in whole else value
                for name, value in params.items()}  # fmt: skip

    def _keep(self, house):
        for _, reply, data in house.answered:
            self.carried.append(data)
            self.wire += reply["veilsum.packet"]
            self.names |= {*reply.keys(), *(f"header {name}" for name in reply["__headers__"])}
