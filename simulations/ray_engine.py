"""A sweep on a Ray cluster: the same cells, the same table. Everything that needs Ray."""

import logging
from collections.abc import Iterator
from warnings import catch_warnings, simplefilter

import ray

from simulations.scenario import Scenario
from simulations.sweep import Engine, Row, run_cell


def on_ray(address: str | None = None) -> Engine:
    """address: of a cluster ("auto" for the one that runs here); None starts one in this process, for this sweep.

    Each of the cluster's machines has this package installed, in the same version.
    """

    def run(scenarios: list[Scenario]) -> Iterator[tuple[int, list[Row]]]:
        with catch_warnings():
            simplefilter("ignore", FutureWarning)  # about accelerators, of which a sweep uses none
            ray.init(address=address, include_dashboard=False, log_to_driver=False, logging_level=logging.WARNING)
        try:
            yield from _run(scenarios)
        finally:
            ray.shutdown()

    return run


def _run(scenarios: list[Scenario]) -> Iterator[tuple[int, list[Row]]]:
    task = ray.remote(run_cell)
    places = {task.remote(scenario): place for place, scenario in enumerate(scenarios)}
    pending = list(places)
    while pending:
        (done,), pending = ray.wait(pending, num_returns=1)
        yield places[done], ray.get(done)
