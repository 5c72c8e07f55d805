"""Where a framework's adapter meets a node's or a server's own files: a user's app needs one line on each side."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fl_integration.asking import Questioner, Seat
from fl_integration.plan import Plan, PlanError
from net.config import load_consortium, load_node, load_server
from net.errors import ConfigError
from net.ledger_file import KeyFile, LedgerFile
from net.policy import Policy
from net.store import read_keys
from protocols.roster import Consortium, ConsortiumError


@dataclass(frozen=True, slots=True)
class Desk:
    """What server.toml says: who asks, with which patience, and how updates become vectors."""

    questioner: Questioner[Any]  # by however the framework names its nodes
    policy: Policy
    plan: Plan
    clients: int


def open_seat(file: Path) -> tuple[Seat, Plan]:
    """A node's place from its node.toml. Raises ConfigError, ConsortiumError, PlanError, KeyFileError."""
    config = load_node(file)
    consortium, keys = load_consortium(config.consortium), read_keys(config.identity)
    try:
        me = consortium.party_of(keys.identity.verify_key)
    except ConsortiumError as exc:
        raise ConfigError(f"{config.consortium}: {exc}") from exc
    seat = Seat(
        me=me,
        identity=keys.identity,
        consortium=consortium,
        terms=lambda subject, spec: config.terms.accepting(subject, spec, consortium),
        keeper=LedgerFile(config.ledger),
        vault=KeyFile(config.ledger.with_suffix(".session")),
    )
    return seat, plan_of(consortium, config.consortium)


def open_desk(file: Path) -> Desk:
    """The server's half from its server.toml. Raises as `open_seat`, and AskingError."""
    config = load_server(file)
    consortium = load_consortium(config.consortium)
    questioner: Questioner[Any] = Questioner(consortium, read_keys(config.identity).identity)
    return Desk(questioner, config.policy, plan_of(consortium, config.consortium), len(consortium.members))


def plan_of(consortium: Consortium, file: Path) -> Plan:
    """Raises PlanError naming the file."""
    try:
        return Plan.from_mapping(consortium.training, max_weight=consortium.max_weight)
    except PlanError as exc:
        raise PlanError(f"{file}: [training] {exc}") from exc
