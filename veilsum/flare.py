"""The secure sum inside NVIDIA FLARE: one line in job.py, the training script stays as it is.

    secure(recipe, "veil")

The folder is the one of `veilsum trial`; outside a simulation it is one on each side, with that side's own files:
"{WORKSPACE}/local/veilsum" is FLARE's word for one beside a site's other settings. See docs/flare.md.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

try:
    from fl_integration.flare.jobs import secure_job
    from fl_integration.flare.server import FlareError, SumController
    from fl_integration.flare.site import OnlySums, SumExecutor
except ModuleNotFoundError as exc:
    if (exc.name or "").partition(".")[0] != "nvflare":
        raise
    raise ModuleNotFoundError("NVIDIA FLARE is missing: pip install 'veilsum[flare]'", name="nvflare") from exc

from fl_integration.asking import AskingError, Seat
from fl_integration.plan import Plan, PlanError
from net.errors import NetError
from protocols.roster import ConsortiumError
from veilsum.frameworks import Desk, open_desk, open_seat
from veilsum.trial import SERVER_FILE, node_file

__all__ = ["FlareError", "OnlySums", "SecureController", "SecureExecutor", "secure"]

T = TypeVar("T")


class SecureController(SumController):
    """A FedAvg controller whose every round is one secure sum. server_file: server.toml, or the folder that holds it.

    Raises FlareError for a controller that a mean is not enough for.
    """

    def __init__(self, inner: Any, server_file: str) -> None:
        super().__init__(inner)
        self.server_file = server_file

    def open_desk(self) -> Desk:
        file = Path(self.server_file).expanduser()
        return _opened(open_desk, file / SERVER_FILE if file.is_dir() else file)


class SecureExecutor(SumExecutor):
    """A site's training, of which only sums are seen. node_file: node.toml, or the folder that holds it.

    In a folder of `veilsum trial` the simulator's site-1 has node-0.toml, and so on.
    """

    def __init__(self, inner: Any, node_file: str, weight_key: str = "NUM_STEPS_CURRENT_ROUND") -> None:
        super().__init__(inner, weight_key)
        self.node_file = node_file

    def open_seat(self, site: str) -> tuple[Seat, Plan]:
        return _opened(open_seat, _own_file(Path(self.node_file).expanduser(), site))


def secure(job: Any, folder: str) -> None:
    """Makes a recipe or a FedJob a secure one. folder: where server.toml and the nodes' files lie.

    A relative one is taken from here, as a simulation needs it. Raises FlareError.
    """
    where = folder if folder.startswith(("{", "~")) else str(Path(folder).absolute())
    secure_job(job, lambda inner: SecureController(inner, where), lambda inner: SecureExecutor(inner, where))


def _own_file(path: Path, site: str) -> Path:
    if not path.is_dir() or (path / "node.toml").exists():
        return path / "node.toml" if path.is_dir() else path
    number = re.fullmatch(r"site-([1-9][0-9]*)", site)
    if number is None:
        raise FlareError(f"{path}: no node.toml for {site}: put it there, or name the file")
    return node_file(path, int(number[1]) - 1)


def _opened(open_: Callable[[Path], T], file: Path) -> T:
    try:
        return open_(file)
    except (NetError, ConsortiumError, PlanError, AskingError) as exc:
        raise FlareError(str(exc)) from exc
