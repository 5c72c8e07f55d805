"""The secure sum inside Flower: one line in client_app.py, one in server_app.py.

    app = ClientApp(mods=[secure_mod("~/veil")])
    strategy = secure(FedAvg(), "~/veil")

The folder is the one of `veilsum trial`; between organisations each side has its own file. See docs/flower.md.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

try:
    from fl_integration.flower.client import Context, Mod, NodeRefused
    from fl_integration.flower.client import secure_mod as _secure_mod
    from fl_integration.flower.records import FlowerError
    from fl_integration.flower.server import Secure, Strategy
except ModuleNotFoundError as exc:
    if exc.name != "flwr":
        raise
    raise ModuleNotFoundError("Flower is missing: pip install 'veilsum[flower]'", name="flwr") from exc

from fl_integration.asking import AskingError
from fl_integration.plan import PlanError
from net.errors import NetError
from protocols.roster import ConsortiumError
from veilsum.frameworks import open_desk, open_seat
from veilsum.trial import SERVER_FILE, node_file

__all__ = ["FlowerError", "NodeRefused", "secure", "secure_mod"]

NODE_KEY = "veilsum"
"""In a SuperNode's own `--node-config`: which node.toml is this node's."""
PARTITION_KEY = "partition-id"

T = TypeVar("T")


def secure(strategy: Strategy, server_file: str | Path) -> Strategy:
    """`strategy`, of which only sums are seen. server_file: server.toml, or the folder that holds it.

    Raises FlowerError for a strategy that needs each node's update, and for files that are not in order.
    """
    file = Path(server_file).expanduser().absolute()
    return Secure(strategy, _opened(open_desk, file / SERVER_FILE if file.is_dir() else file))


def secure_mod(path: str | Path | None = None, weighted_by: str = "num-examples") -> Mod:
    """A mod for ClientApp, the first of its `mods`: what the app's functions return leaves masked, or not at all.

    path: the node's node.toml, or a folder of `veilsum trial`, in which the node with `partition-id` 0 has node-0.toml.
    None, or where the SuperNode's own `--node-config` says veilsum="FILE": that file. weighted_by: the metric that says
    how many examples a result is from, as the strategy's `weighted_by_key` names it.
    """
    return _secure_mod(lambda context: _opened(open_seat, _own_file(path, context)), weighted_by)


def _own_file(path: str | Path | None, context: Context) -> Path:
    chosen = context.node_config.get(NODE_KEY, path)
    if chosen is None:
        raise FlowerError("which file is this node's? start the SuperNode with --node-config 'veilsum=\"node.toml\"'")
    file = Path(str(chosen)).expanduser().absolute()
    if not file.is_dir() or (file / "node.toml").exists():
        return file / "node.toml" if file.is_dir() else file
    place = context.node_config.get(PARTITION_KEY)
    if not isinstance(place, int):
        raise FlowerError(f"{file}: no node.toml, and this node has no partition-id: name its file")
    return node_file(file, place)


def _opened(open_: Callable[[Path], T], file: Path) -> T:
    try:
        return open_(file)
    except (NetError, ConsortiumError, PlanError, AskingError) as exc:
        raise FlowerError(str(exc)) from exc
