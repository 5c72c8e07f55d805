"""A site's half: an executor that runs the site's own training and lets nothing out but packets of a secure sum."""

import logging
from abc import abstractmethod
from pathlib import Path
from typing import Any, Final

from nvflare.apis.event_type import EventType
from nvflare.apis.executor import Executor
from nvflare.apis.filter import Filter
from nvflare.apis.fl_constant import FilterKey, FLContextKey, FLMetaKey, ReturnCode
from nvflare.apis.fl_context import FLContext
from nvflare.apis.fl_exception import UnsafeJobError
from nvflare.apis.shareable import ReservedHeaderKey, Shareable, make_reply
from nvflare.apis.signal import Signal
from nvflare.apis.utils.task_utils import apply_filters, contains_lazy_download_ref, materialize_lazy_download_refs
from nvflare.app_common.logging.constants import is_log_streaming_allowed
from nvflare.app_common.logging.job_log_streamer import JobLogStreamer
from nvflare.app_common.widgets.convert_to_fed_event import ConvertToFedEvent
from nvflare.private.privacy_manager import Scope

from fl_integration.asking import Seat, answer
from fl_integration.flare.server import FlareError, leave_out_our_code
from fl_integration.flare.shareables import (
    PACKET,
    TASK,
    answer_of,
    contribution_of,
    model_of,
    packet_of,
    step_of,
    task_of,
)
from fl_integration.plan import Plan
from fl_integration.step import Step
from mpc.field import FieldVector

log = logging.getLogger("veilsum.flare")

SENDS_LOGS: Final = (ConvertToFedEvent, JobLogStreamer)
"""FLARE's components that send what a training logs to the server."""

_LOUD: Final = (
    "this site sends its errors to the server, and a training's can hold rows: "
    'set "allow_log_streaming": false in this site\'s resources.json and start the site again'
)
_UNMASKED: Final = "veilsum.unmasked"  # said of a context while a site's filters look at its own training's result


class TrainingFailed(Exception):
    """The site's own training gave no result. args: FLARE's return code."""


class SumExecutor(Executor):
    """Every task but a secure sum's is refused. inner: the executor that trains; it runs at the invitation alone.

    weight_key: where in its result's meta the training says on how much it was trained.
    """

    def __init__(self, inner: Executor, weight_key: str = FLMetaKey.NUM_STEPS_CURRENT_ROUND) -> None:
        super().__init__()
        self.inner = inner
        self.weight_key = weight_key

    @abstractmethod
    def open_seat(self, site: str) -> tuple[Seat, Plan]:
        """From the site's own files. Raises FlareError."""

    def add_to_fed_job(self, job: Any, ctx: Any, **kwargs: Any) -> None:
        leave_out_our_code(job)
        super().add_to_fed_job(job, ctx, **kwargs)

    def handle_event(self, event_type: str, fl_ctx: FLContext) -> None:
        if event_type == EventType.START_RUN:
            self._start(fl_ctx)
        elif event_type == EventType.END_RUN:
            _kept(fl_ctx).unlink(missing_ok=True)

    def _start(self, fl_ctx: FLContext) -> None:
        try:
            require_quiet(fl_ctx)
            self._seat, self._plan = self.open_seat(fl_ctx.get_identity_name())
        except FlareError as exc:
            self.system_panic(str(exc), fl_ctx)

    def requires_materialized_task_result(self, task_name: str) -> bool:
        """FLARE asks: the training's result is needed here, not only passed on."""
        return True

    def execute(self, task_name: str, shareable: Shareable, fl_ctx: FLContext, abort_signal: Signal) -> Shareable:
        if task_name != TASK:
            log.error("refused the task %s: this site gives its updates to secure sums alone", task_name)
            return make_reply(ReturnCode.TASK_UNSUPPORTED)
        try:
            return self._answer(shareable, fl_ctx, abort_signal)
        except UnsafeJobError:  # FLARE ends the job
            raise
        except TrainingFailed as exc:
            return make_reply(exc.args[0])
        except Exception as exc:  # its text can hold rows, and what is an error may be on its way to the server
            log.error("%s: this site is out of this sum, its log.txt says why", type(exc).__name__)
            log.info("%s: %s", type(exc).__name__, exc)
            return make_reply(ReturnCode.EXECUTION_EXCEPTION)

    def _answer(self, shareable: Shareable, fl_ctx: FLContext, abort_signal: Signal) -> Shareable:
        def prepare() -> tuple[Step, FieldVector]:
            return self._prepare(shareable, fl_ctx, abort_signal)

        kept = _kept(fl_ctx)
        given = answer(self._seat, packet_of(shareable), kept.read_bytes() if kept.exists() else None, prepare)
        _keep(kept, given.snapshot)
        if given.refused:
            log.error("this site has left the sum: %s", given.refused)
        return answer_of(given.packet)

    def _prepare(self, shareable: Shareable, fl_ctx: FLContext, abort_signal: Signal) -> tuple[Step, FieldVector]:
        model = _here(model_of(shareable), fl_ctx, abort_signal)
        step = step_of(model, self._plan, len(self._seat.consortium.members))
        asked = task_of(step, model)
        for key in (ReservedHeaderKey.TASK_ID, ReservedHeaderKey.PEER_PROPS):
            asked.set_header(key, shareable.get_header(key))
        result = self._train(asked, fl_ctx, abort_signal)
        return step, step.encode(contribution_of(step, result, self.weight_key), self._seat.rand)

    def _train(self, task: Shareable, fl_ctx: FLContext, abort_signal: Signal) -> Shareable:
        """The site's own training between the filters of its task. They see the update as it was, before any mask."""
        name = task.get_header(ReservedHeaderKey.TASK_NAME)
        runner = fl_ctx.get_prop(FLContextKey.RUNNER)
        before = (Scope.TASK_DATA_FILTERS_NAME, runner.task_data_filters, FilterKey.IN)
        after = (Scope.TASK_RESULT_FILTERS_NAME, runner.task_result_filters, FilterKey.OUT)
        asked = _filtered(task, name, before, fl_ctx, abort_signal)
        result = self.inner.execute(name, asked, fl_ctx, abort_signal)
        if (code := result.get_return_code()) != ReturnCode.OK:
            raise TrainingFailed(code)
        return _filtered(result, name, after, fl_ctx, abort_signal)


# --- a site's process may end between two tasks: what the next one needs is a file, sealed by the sitting ---


def _kept(fl_ctx: FLContext) -> Path:
    return Path(fl_ctx.get_prop(FLContextKey.WORKSPACE_OBJECT).get_run_dir(fl_ctx.get_job_id()), "veilsum.session")


def _keep(file: Path, snapshot: bytes) -> None:
    file.unlink(missing_ok=True)
    if snapshot:
        file.touch(mode=0o600, exist_ok=False)
        file.write_bytes(snapshot)


def _here(model: Shareable, fl_ctx: FLContext, abort_signal: Signal) -> Shareable:
    """Where a site trains in a process of its own, FLARE hands on references to tensors: here they are fetched."""
    if not contains_lazy_download_ref(model):
        return model
    return materialize_lazy_download_refs(model, fl_ctx.get_engine().get_cell(), abort_signal)


def _filtered(
    data: Shareable, name: str, chain: tuple[str, Any, str], fl_ctx: FLContext, abort_signal: Signal
) -> Shareable:
    scope, filters, direction = chain
    fl_ctx.set_prop(_UNMASKED, True, private=True, sticky=False)
    try:
        return apply_filters(scope, data, fl_ctx, filters, name, direction, abort_signal)
    finally:
        fl_ctx.set_prop(_UNMASKED, False, private=True, sticky=False)


class OnlySums(Filter):
    """For a site's own privacy.json: whatever job it is, no result leaves but packets of secure sums, and failures."""

    def process(self, shareable: Shareable, fl_ctx: FLContext) -> Shareable:
        """Raises FlareError for any other result, which FLARE then holds back."""
        failed = shareable.get_return_code() != ReturnCode.OK
        bare = make_reply(shareable.get_return_code()) if failed else answer_of(shareable.get(PACKET, []))
        if not fl_ctx.get_prop(_UNMASKED) and shareable.keys() != bare.keys():
            raise FlareError("a plain result was held back: this site gives its updates to secure sums alone")
        return shareable


def require_quiet(fl_ctx: FLContext) -> None:
    """Raises FlareError for a job or a site that would send what a training logs to the server as it is."""
    if not fl_ctx.get_prop(FLContextKey.SIMULATE_MODE, False) and is_log_streaming_allowed(fl_ctx):
        raise FlareError(_LOUD)
    for name, component in fl_ctx.get_engine().get_all_components().items():
        if isinstance(component, SENDS_LOGS):
            raise FlareError(f"component {name!r} of this job sends what a training logs to the server: take it out")
