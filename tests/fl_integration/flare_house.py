"""NVIDIA FLARE in one process: a real controller and real executors, every Shareable through FLARE's own bytes."""

import json
from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np
from nvflare.apis.client import Client
from nvflare.apis.controller_spec import ClientTask, TaskCompletionStatus
from nvflare.apis.event_type import EventType
from nvflare.apis.executor import Executor
from nvflare.apis.fl_constant import FilterKey, FLContextKey
from nvflare.apis.fl_context import FLContextManager
from nvflare.apis.shareable import Shareable
from nvflare.apis.signal import Signal
from nvflare.apis.utils.task_utils import apply_filters
from nvflare.apis.wf_comm_spec import WFCommSpec
from nvflare.apis.workspace import Workspace
from nvflare.app_common.abstract.fl_model import FLModel, ParamsType
from nvflare.app_common.decomposers import common_decomposers
from nvflare.app_common.utils.fl_model_utils import FLModelUtils
from nvflare.app_common.workflows.fedavg import FedAvg
from nvflare.fuel.utils import fobs
from nvflare.private.privacy_manager import Scope

from protocols.messages import CODEC, Abort, Round
from veilsum.flare import SecureController, SecureExecutor
from veilsum.trial import write_trial

common_decomposers.register()

SECRET = "a remark that must stay at its site"
STEPS = [10, 25, 47, 83, 7]  # one unit is 10 steps, and weights are powers of two
WEIGHTS = [1, 2, 4, 8, 1]
ACCURACY = [0.5, 0.25, 0.75, 1.0, 0.125]

TRAINING = {"clip": 1.0, "bits": 16, "rows_per_unit": 10, "metrics": {"accuracy": [0.0, 1.0]}, "evaluation": {}}
MODEL = {
    "weight": np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3),
    "bias": np.float32(0.25).reshape(()),
    "nothing": np.zeros((0, 3), dtype=np.float32),
    "half": np.ones(2, dtype=np.float16),
    "batches": np.int64(7).reshape(()),
}


def trained(start, place):
    """What the site of this place makes of a model: another multiple of 0.1 on each, whole numbers by tens."""
    return {name: tensor + np.asarray(_moved(tensor, place)).astype(tensor.dtype) for name, tensor in start.items()}


def _moved(tensor, place):
    return 10 * (place + 1) if tensor.dtype.kind == "i" else 0.1 * (place + 1)


class Training(Executor):
    """A site's own: what FLARE's Client API hands back, and more than it should."""

    def __init__(self, place, answer=None):
        super().__init__()
        self.place = place
        self.answer = answer
        self.asked = []
        self.seen = []

    def execute(self, task_name, shareable, fl_ctx, abort_signal):
        self.asked.append(task_name)
        self.seen.append(fobs.loads(fobs.dumps(shareable)))
        start = FLModelUtils.from_shareable(shareable)
        model = FLModel(
            params_type=ParamsType.FULL,
            params=trained(start.params, self.place),
            metrics={"accuracy": ACCURACY[self.place]},
            meta={"NUM_STEPS_CURRENT_ROUND": STEPS[self.place], "remark": SECRET},
        )
        if self.answer:
            model = self.answer(start, model)
        result = model if isinstance(model, Shareable) else FLModelUtils.to_shareable(model)
        result.set_header("remark", SECRET)
        return result


class Engine:
    """What components ask an engine for."""

    def __init__(self, name, workspace, clients=(), job="a-job"):
        kept = {FLContextKey.WORKSPACE_ROOT: workspace.root_dir, FLContextKey.WORKSPACE_OBJECT: workspace}
        self.contexts = FLContextManager(self, name, job, private_stickers=kept)
        self.clients = [Client(each, "") for each in clients]
        self.events = []
        self.components = {}
        self.scope = Scope()  # what the site's own privacy.json says
        self.runner = SimpleNamespace(task_data_filters={}, task_result_filters={})

    def new_context(self):
        context = self.contexts.new_context()
        context.set_prop(FLContextKey.RUNNER, self.runner, private=True, sticky=False)
        context.set_prop(FLContextKey.SCOPE_OBJECT, self.scope, private=True, sticky=False)
        return context

    def get_clients(self):
        return self.clients

    def get_component(self, name):
        return self.components.get(name)

    def get_all_components(self):
        return self.components

    def fire_event(self, event, fl_ctx):
        self.events.append((event, fl_ctx.get_prop(FLContextKey.EVENT_DATA)))


class KeptFedAvg(FedAvg):
    """Keeps in memory what it would save."""

    def __init__(self, **said):
        super().__init__(persistor_id="", save_filename="", **said)
        self.saved = []

    def save_model(self, model):
        self.saved.append(FLModel(params=dict(model.params), metrics=model.metrics, meta=dict(model.meta)))


@dataclass
class House(WFCommSpec):
    """A server and its sites. lose: (site, protocol round): FLARE finds its process gone before it answers; it is back
    with the next invitation. late: the same, but nobody tells the server. sent: every request as its site got it, with
    its bytes; answered: every reply as it left, with its bytes. The files of a run lie beside `folder`, in `flare`.
    """

    folder: object
    sites: dict
    job: str = "a-job"
    lose: set = field(default_factory=set)
    late: set = field(default_factory=set)
    sent: list = field(default_factory=list)
    answered: list = field(default_factory=list)

    def __post_init__(self):
        self.engines = {name: Engine(name, self._workspace(name), job=self.job) for name in self.sites}
        self.executors = {name: SecureExecutor(inner, str(self.folder)) for name, inner in self.sites.items()}
        self.server = Engine("server", self._workspace("server"), self.sites, self.job)
        self.abort_signal = Signal()
        self.cancelled = []
        self._gone = set()

    def _workspace(self, name):
        """As provisioned, with the one change that the docs ask for."""
        root = self.folder.parent / "flare" / name
        for part in ("startup", "local", self.job):
            (root / part).mkdir(parents=True, exist_ok=True)
        (root / "local" / "resources.json").write_text(json.dumps({"allow_log_streaming": False}))
        return Workspace(str(root), name)

    def resources_of(self, site):
        return self.folder.parent / "flare" / site / "local" / "resources.json"

    def run_files(self, site):
        return sorted((self.folder.parent / "flare" / site / self.job).iterdir())

    def start_sites(self):
        for name in self.sites:
            self.start(name)

    def start(self, site):
        self.executors[site].handle_event(EventType.START_RUN, self.engines[site].new_context())

    def start_again(self, site):
        """In a new process: nothing but its files is left."""
        self.executors[site] = SecureExecutor(self.sites[site], str(self.folder))
        self.start(site)

    def end_sites(self):
        for name, executor in self.executors.items():
            executor.handle_event(EventType.END_RUN, self.engines[name].new_context())

    def run(self, inner):
        """One job. Returns the inner controller."""
        self.start_sites()
        controller = self.controller = SecureController(inner, str(self.folder))
        controller.set_communicator(self)
        fl_ctx = self.server.new_context()
        controller.initialize(fl_ctx)
        if not self.panics():
            controller.control_flow(self.abort_signal, fl_ctx)
            controller.stop_controller(fl_ctx)
        return inner

    def panics(self):
        return [said for event, said in self.server.events if event == EventType.FATAL_SYSTEM_ERROR]

    # what the controller asks of its communicator

    def send(self, task, fl_ctx, targets=None, send_order=None, task_assignment_timeout=0):
        (site,) = targets
        asked, size = through_bytes(task.data)
        stage = opened_round(asked)
        self.sent.append((site, stage, asked, size))
        task.client_tasks.append(ClientTask(Client(site, ""), task))
        if stage is Round.ADVERTISE:
            self._gone.discard(site)
        if (site, stage) in self.lose | self.late:
            self._gone.add(site)
        if site not in self._gone:
            self._answer(site, task, asked)
        elif (site, stage) not in self.late:
            self._done(task, TaskCompletionStatus.CLIENT_DEAD)

    def _answer(self, site, task, asked):
        executor, fl_ctx = self.executors[site], self.engines[site].new_context()
        reply = executor.execute(task.name, asked, fl_ctx, Signal())
        reply = apply_filters("task_result_filters", reply, fl_ctx, {}, task.name, FilterKey.OUT)
        reply, size = through_bytes(reply)
        self.answered.append((site, reply, size))
        client_task = task.client_tasks[0]
        client_task.result = reply
        task.result_received_cb(client_task=client_task, fl_ctx=self.server.new_context())
        self._done(task, TaskCompletionStatus.OK)

    def _done(self, task, status):
        task.completion_status = status
        task.task_done_cb(task=task, fl_ctx=self.server.new_context())

    def cancel_task(self, task, completion_status=TaskCompletionStatus.CANCELLED, fl_ctx=None):
        task.completion_status = completion_status
        self.cancelled.append(task)

    def get_num_standing_tasks(self):
        return 0

    def broadcast(self, *args, **kwargs):
        raise AssertionError("a plain task")

    broadcast_and_wait = broadcast_forever = send_and_wait = relay = relay_and_wait = broadcast


def through_bytes(shareable):
    """As another process gets it, and the bytes on the way."""
    data = fobs.dumps(shareable)
    return fobs.loads(data), data


def wire_messages(shareable):
    return [CODEC.decode(part) for part in shareable.get("veilsum.packet", [])]


def opened_round(shareable):
    """The protocol round that a request opens."""
    return [one.round for one in wire_messages(shareable) if not isinstance(one, Abort)][-1]


def house(folder, nodes=5, losses=1, patience=60.0, training=TRAINING):
    write_trial(folder / "veil", nodes=nodes, losses=losses, patience=patience, training=training)
    return House(folder / "veil", {f"site-{place + 1}": Training(place) for place in range(nodes)})


def fedavg(rounds=1, **said):
    return KeptFedAvg(num_clients=None, num_rounds=rounds, model=MODEL, **said)
