"""A consortium for trying a framework out: all identities made at once, on one machine.

It protects nobody, since whoever runs it holds every key. Between organisations each one makes its own identity.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from fl_integration.plan import Plan, PlanError
from mpc.randomness import SystemRandomness
from net.config import (
    NodeConfig,
    PartyTerms,
    ServerConfig,
    dump_consortium,
    dump_node,
    dump_server,
)
from net.policy import Policy, RoundPolicy
from net.store import Keys, write_keys
from net.tls import new_root
from protocols.roster import Card, Consortium
from protocols.session import Variant, most_colluders
from veilsum.ceremony.agreement import MAX_WEIGHT
from veilsum.errors import Fault, WrongUsage

SERVER_FILE: Final = "server.toml"


def node_file(folder: Path, place: int) -> Path:
    return folder / f"node-{place}.toml"


def write_trial(folder: Path, *, nodes: int, losses: int, patience: float, training: Mapping[str, Any]) -> Consortium:
    """server.toml, node-0.toml, .. and what they name, in a new folder.

    losses: how many nodes a sum may do without; the rest of the room goes to colluders. Raises Fault and WrongUsage.
    """
    colluding = most_colluders(nodes, losses)
    if colluding is None:
        raise WrongUsage(f"{nodes} nodes cannot lose {losses}: a sum covers at least 3: change one of the two")
    try:
        Plan.from_mapping(training, max_weight=MAX_WEIGHT)
    except PlanError as exc:
        raise WrongUsage(str(exc)) from exc
    _make(folder)
    server = _new_member("server", folder)
    members = tuple(_new_member(f"node-{place}", folder) for place in range(nodes))
    consortium = Consortium(
        name="trial",
        version=1,
        members=members,
        coordinator=server,
        protocol="secagg",
        variant=Variant.ACTIVE,
        colluding=colluding,
        losses=losses,
        max_weight=MAX_WEIGHT,
        training=dict(training),
    )
    public = folder / "consortium.toml"
    public.write_text(dump_consortium(consortium), encoding="utf-8")
    policy = Policy(RoundPolicy(patience))
    _write(folder / SERVER_FILE, dump_server(ServerConfig(public, folder / "server.key", policy), folder))
    for place in range(nodes):
        own = NodeConfig(
            public, folder / f"node-{place}.key", folder / f"node-{place}.ledger", PartyTerms(max_colluding=colluding)
        )
        _write(node_file(folder, place), dump_node(own, folder))
    return consortium


def _make(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        taken = any(folder.iterdir())
    except OSError as exc:
        raise Fault(f"{folder}: {exc.strerror}: name a new folder") from exc
    if taken:
        raise Fault(f"{folder}: there are files in it already: name a new folder")


def _new_member(name: str, folder: Path) -> Card:
    keys = Keys.generate(SystemRandomness())
    write_keys(folder / f"{name}.key", keys)
    return Card.issue(name, keys.identity, new_root(name, keys.tls_root))


def _write(file: Path, text: str) -> None:
    file.write_text(text, encoding="utf-8")
