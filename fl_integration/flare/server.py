"""The server's half: a controller that runs a FedAvg controller and answers it with the sites' mean, in their stead."""

import logging
import time
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, Final

from nvflare.apis.client import Client
from nvflare.apis.controller_spec import ClientTask, SendOrder, Task
from nvflare.apis.fl_constant import FLContextKey, FLMetaKey, ReservedKey, ReturnCode
from nvflare.apis.fl_context import FLContext
from nvflare.apis.impl.controller import Controller
from nvflare.apis.shareable import Shareable
from nvflare.apis.signal import Signal
from nvflare.app_common.abstract.fl_model import FLModel
from nvflare.app_common.workflows.base_fedavg import BaseFedAvg
from nvflare.app_common.workflows.scaffold import Scaffold

from fl_integration.asking import AskingError, Held, Packet, why_aborted
from fl_integration.desk import Desk
from fl_integration.flare.shareables import RUN, TASK, in_own_types, mean_of, packet_of, question, step_of
from fl_integration.layout import LayoutError
from fl_integration.step import Step, Summed
from mpc.encoding import EncodingError
from mpc.randomness import SystemRandomness
from protocols.machine import Aborted
from protocols.messages import Round

log = logging.getLogger("veilsum.flare")

TRAINING_PATIENCE: Final = 3600.0  # seconds for a site's training where neither server.toml nor the controller says any
_LOOK: Final = 0.5  # seconds between two looks at whether the job was aborted
_RUN_BYTES: Final = 16
_LONGEST: Final = 200  # characters of a site's own in a line of the server's log
_MEAN: Final = "secure-sum"  # whose answer the inner controller believes to get

Callback = Callable[[FLModel], Any]
Answers = SimpleQueue[tuple[str, Packet | None]]


class FlareError(ValueError):
    """Files or a controller that no secure sum can be held with. One line: which, and the remedy."""


class SumFailed(RuntimeError):
    """A round without a sum. One line: why. The model stays as it was, and FLARE ends the job."""


class NoSum(Exception):
    """One attempt at a round has none. One line: why."""


class SumController(Controller):
    """Runs `inner`, a FedAvg controller; each model that it sends out comes back as one answer: the sites' mean.

    Raises FlareError for a controller that needs each site's own update.
    """

    def __init__(self, inner: BaseFedAvg) -> None:
        super().__init__()
        require_only_a_mean(inner)
        self.inner = inner
        self._types: dict[str, Any] = {}  # of each tensor, as it was when it was first sent
        self._run = ""

    @abstractmethod
    def open_desk(self) -> Desk[str]:
        """From the server's own files. Raises FlareError."""

    # --- FLARE's side ---

    def add_to_fed_job(self, job: Any, ctx: Any, **kwargs: Any) -> None:
        leave_out_our_code(job)
        super().add_to_fed_job(job, ctx, **kwargs)

    def start_controller(self, fl_ctx: FLContext) -> None:
        try:
            self._desk = self.open_desk()
        except FlareError as exc:
            self.system_panic(str(exc), fl_ctx)
            return
        self._run = SystemRandomness().bytes(_RUN_BYTES).hex()
        self.inner.communicator = self.communicator
        self.inner.send_model = self._send_model
        self.inner.send_model_and_wait = self._send_model_and_wait
        self.inner.initialize(fl_ctx)

    def control_flow(self, abort_signal: Signal, fl_ctx: FLContext) -> None:
        self._abort_signal = abort_signal
        self.inner.control_flow(abort_signal, fl_ctx)

    def stop_controller(self, fl_ctx: FLContext) -> None:
        self.inner.stop_controller(fl_ctx)

    def process_result_of_unknown_task(
        self, client: Client, task_name: str, client_task_id: str, result: Shareable, fl_ctx: FLContext
    ) -> None:
        log.warning("an answer of %s came too late and is not used", client.name)

    # --- the inner controller's side: what ModelController offers, with its defaults ---

    def _send_model(
        self,
        task_name: str = "train",
        data: FLModel = None,
        targets: list[str] | None = None,
        min_responses: int | None = None,  # the consortium says how many a sum needs
        timeout: int = 0,
        callback: Callback | None = None,
    ) -> None:
        self._hold_round(task_name, data, targets, timeout, callback)

    def _send_model_and_wait(
        self,
        task_name: str = "train",
        data: FLModel = None,
        targets: list[str] | None = None,
        min_responses: int | None = None,
        timeout: int = 0,
    ) -> list[FLModel]:
        results: list[FLModel] = []
        self._hold_round(task_name, data, targets, timeout, results.append)
        return results

    def _hold_round(
        self, task_name: str, data: FLModel, targets: list[str] | None, timeout: int, callback: Callback | None
    ) -> None:
        inner = self.inner
        for name, value in data.params.items():
            self._types.setdefault(name, value.dtype)
        data.params = in_own_types(data.params, self._types)
        inner.set_fl_context(data)
        own = inner._prepare_task(data=data, task_name=task_name, timeout=timeout, callback=callback)
        with self._engine.new_context() as fl_ctx:
            own.before_task_sent_cb(ClientTask(Client(_MEAN, ""), own), fl_ctx)
        own.data.set_header(RUN, self._run)
        step = step_of(own.data, self._desk.plan, self._desk.clients)
        summed = self._sum(step, own.data, targets or inner.sample_clients(), timeout)
        self._give(own, mean_of(summed, data, FLMetaKey.NUM_STEPS_CURRENT_ROUND))

    def _give(self, own: Task, mean: Shareable) -> None:
        """The mean takes the way of a site's answer, so that FLARE's own components see one: they pick the best
        model, write metrics, keep the round's number."""
        mean.set_cookie_jar(own.data.get_cookie_jar())
        peer = FLContext()
        peer.set_prop(ReservedKey.IDENTITY_NAME, _MEAN, private=False, sticky=False)
        peer.set_prop(FLContextKey.SHAREABLE, mean, private=True, sticky=False)
        answered = ClientTask(Client(_MEAN, ""), own)
        answered.result = mean
        outer = self.inner.fl_ctx
        with self._engine.new_context() as fl_ctx:
            fl_ctx.set_peer_context(peer)
            own.result_received_cb(answered, fl_ctx)
        self.inner.fl_ctx = outer

    # --- the sum ---

    def _sum(self, step: Step, model: Shareable, sites: list[str], timeout: int) -> Summed:
        """Raises SumFailed."""
        why = ""
        for _ in range(self._desk.policy.attempts):
            held = self._desk.questioner.hold_session(step, sites, partial(self._ask, model, timeout))
            for site, round_ in sorted(held.lost.items()):
                log.warning("%s is out of this sum: its answer to %s never came", site, round_.value)
            try:
                summed = _summed(step, held)
                log.info("secure sum over %d of %d sites", len(held.included), len(sites))
                return summed
            except (NoSum, EncodingError, LayoutError) as exc:
                why = str(exc)
            if self._abort_signal.triggered:
                break
            log.warning("no sum: %s", why)
        raise SumFailed(f"no secure sum, the model stays as it was: {why}")

    def _ask(
        self, model: Shareable, timeout: int, round_: Round, packets: Mapping[str, Packet]
    ) -> Iterator[tuple[str, Packet]]:
        """One task a site; yields the answers as they come, until all are there or the patience is over."""
        answers: Answers = SimpleQueue()
        beside = model if round_ is Round.ADVERTISE else None
        tasks = {site: self._post(site, question(packet, beside), answers) for site, packet in packets.items()}
        try:
            yield from self._answers(answers, tasks, round_, timeout)
        finally:
            for task in tasks.values():
                if task.completion_status is None:
                    self.cancel_task(task)

    def _post(self, site: str, asked: Shareable, answers: Answers) -> Task:
        def answered(client_task: ClientTask, fl_ctx: FLContext) -> None:
            result, client_task.result = client_task.result, None
            answers.put((site, _packet(site, result)))

        def over(task: Task, fl_ctx: FLContext) -> None:  # answered, or FLARE gave the site up
            answers.put((site, None))

        task = Task(name=TASK, data=asked, result_received_cb=answered, task_done_cb=over)
        with self._engine.new_context() as fl_ctx:
            self.send(task, fl_ctx, targets=[site], send_order=SendOrder.ANY)
        return task

    def _answers(
        self, answers: Answers, tasks: Mapping[str, Task], round_: Round, timeout: int
    ) -> Iterator[tuple[str, Packet]]:
        policy, began = self._desk.policy.of(round_.value), time.monotonic()
        waiting, answered = set(tasks), 0
        while waiting and not policy.enough(answered) and not self._abort_signal.triggered:
            try:
                site, packet = answers.get(timeout=_LOOK)
            except Empty:
                waited = time.monotonic() - began
                waiting = {site for site in waiting if waited < self._patience(round_, timeout, tasks[site])}
                continue
            if site in waiting and packet is not None:
                answered += 1
                yield site, packet
            waiting.discard(site)

    def _patience(self, round_: Round, timeout: int, task: Task) -> float:
        """A site trains before it answers the invitation. That takes its own time, once it has taken the task up."""
        policy = self._desk.policy
        if round_ is Round.ADVERTISE and round_.value not in policy.rounds and task.client_tasks:
            return timeout or TRAINING_PATIENCE
        return policy.of(round_.value).patience


def _summed(step: Step, held: Held[str]) -> Summed:
    """Raises NoSum; EncodingError or LayoutError where one site's input was none of a training."""
    if isinstance(held.outcome, Aborted):
        raise NoSum(why_aborted(held.outcome))
    return step.decode(held.outcome.aggregate.vector)


def _packet(site: str, result: Shareable) -> Packet | None:
    """None for a site that has failed."""
    if (code := result.get_return_code()) != ReturnCode.OK:
        log.warning("%s has failed: %s", site, one_line(code))
        return None
    try:
        return packet_of(result)
    except AskingError as exc:
        log.warning("%s: %s", site, exc)
        return None


def one_line(said: Any) -> str:
    """What a site said, for the log: it neither fills it nor writes lines of its own."""
    text = said if isinstance(said, str) else f"a {type(said).__name__}"
    return "".join(letter if letter.isprintable() else "?" for letter in text[:_LONGEST])


def leave_out_our_code(job: Any) -> None:
    """FLARE copies the code of a job's components into the job: ours is installed on each side, by that side."""
    job.set_app_packages([*job.job.app_packages, "veilsum", "fl_integration", "net", "protocols", "mpc"])


def require_only_a_mean(inner: Controller) -> None:
    """Raises FlareError for a controller that a mean is not enough for."""
    name = type(inner).__name__
    if not isinstance(inner, BaseFedAvg) or isinstance(inner, Scaffold):
        raise FlareError(f"{name} needs more than the mean of the sites' models: use FedAvg, or one that extends it")
    if getattr(inner, "aggregator", None) is not None:
        raise FlareError(f"{name}'s aggregator needs each site's own update: take it out")
    if getattr(inner, "aggregation_weights", None):
        raise FlareError(f"{name}'s aggregation_weights need each site's own update: let the sites say their weights")
