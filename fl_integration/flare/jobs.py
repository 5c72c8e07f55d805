"""A whole job, made by FLARE's recipes or its job API, turned into a secure one in one call."""

import logging
from collections.abc import Callable
from typing import Final

from nvflare.apis.executor import Executor
from nvflare.apis.impl.controller import Controller
from nvflare.job_config.api import ClientApp, FedJob, ServerApp
from nvflare.recipe.spec import Recipe

from fl_integration.flare.server import FlareError, SumController, leave_out_our_code, require_only_a_mean
from fl_integration.flare.site import SENDS_LOGS, SumExecutor

log = logging.getLogger("veilsum.flare")

_LOOK: Final = 0.5  # seconds between a site's looks for its next task; FLARE's 2 would make ten a sum

Seal = Callable[[Controller], SumController]
Wrap = Callable[[Executor], SumExecutor]


def secure_job(made: FedJob | Recipe, seal: Seal, wrap: Wrap) -> None:
    """The job's one controller and each site's one executor are wrapped; all sites are asked in every round.

    What a training logs stays at its site. Raises FlareError.
    """
    job = _job(made)
    leave_out_our_code(job)
    for app in job._deploy_map.values():
        if isinstance(app, ServerApp):
            _seal(app, seal)
        elif isinstance(app, ClientApp):
            _wrap(app, wrap)


def _job(made: FedJob | Recipe) -> FedJob:
    if not isinstance(made, Recipe):
        return made
    made._ensure_client_apps_prepared()
    return made._job


def _seal(app: ServerApp, seal: Seal) -> None:
    workflows = app.app_config.workflows
    if len(workflows) != 1:
        names = ", ".join(type(each.controller).__name__ for each in workflows) or "none"
        raise FlareError(f"a secure job has one controller, this one has {names}: leave FedAvg alone in it")
    inner = workflows[0].controller
    require_only_a_mean(inner)
    inner.num_clients = None  # a recipe takes min_clients for it; a sum that may lose a site needs all that are there
    workflows[0].controller = seal(inner)
    app.add_params({"server": {"task_request_interval": _LOOK}})


def _wrap(app: ClientApp, wrap: Wrap) -> None:
    executors = app.app_config.executors
    if len(executors) != 1:
        raise FlareError(f"a site of a secure job has one executor, this one has {len(executors)}: keep the training's")
    executors[0].executor, executors[0].tasks = wrap(executors[0].executor), ["*"]
    for name, component in list(app.app_config.components.items()):
        if isinstance(component, SENDS_LOGS):
            del app.app_config.components[name]
            log.info("%s is out of the job: what a training logs stays at its site", name)
