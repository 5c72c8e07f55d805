"""`veilsum check`: what would fail tonight, found out now. Nothing is sent but a handshake."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from fl_integration.training import TrainingConfig
from fl_integration.workload import State
from net.config import CoordinatorConfig, MeshConfig, PartyConfig, load_consortium, load_coordinator, load_party
from net.control import LARGEST_CLOCK_GAP
from net.membership import Membership
from net.probe import knock, knock_at_peer, try_to_listen
from net.store import read_keys, read_payload
from protocols.roster import Card
from protocols.tables import read_tables
from veilsum.errors import Fault
from veilsum.join import FOR_PEOPLE, means_of, only_aggregates, own_table


@dataclass(frozen=True, slots=True)
class Finding:
    """One check: what was looked at, whether it is well, and a line that says more."""

    what: str
    passed: bool
    text: str

    def __str__(self) -> str:
        return f"{'ok    ' if self.passed else 'FAILED'} {self.what}: {self.text}"


def check(file: Path) -> Iterator[Finding]:
    """Each finding as soon as it is known. Raises ConfigError when the file cannot be read at all."""
    if _is_coordinators(file):
        return _check_coordinator(load_coordinator(file))
    return _check_party(load_party(file))


def _check_party(config: PartyConfig) -> Iterator[Finding]:
    yield _finding("consortium", lambda: _consortium_line(config.consortium))
    yield _finding("identity", lambda: _member_line(config))
    yield _finding("data", lambda: _data_line(config))
    yield _finding("model", lambda: _model_line(config.payload, config.consortium))
    yield from _check_coordinators_place(config) if config.mesh is None else _check_mesh(config, config.mesh)


def _check_coordinators_place(config: PartyConfig) -> Iterator[Finding]:
    clock: list[float] = []

    def reach() -> str:
        clock.append(knock(config))
        return f"the coordinator at {config.address} shook hands with us"

    yield _finding("reachability", reach)
    yield _finding("clock", lambda: _clock_line(clock, "the coordinator"))


def _check_mesh(config: PartyConfig, mesh: MeshConfig) -> Iterator[Finding]:
    """Our port, and those whom we dial: they must be running for this."""

    def listen() -> str:
        try_to_listen(mesh.listen)
        return f"{mesh.listen} is free"

    yield _finding("port", listen)
    for card in _dialled(config):
        yield _finding("reachability", partial(_peer_line, config, card))


def _dialled(config: PartyConfig) -> Sequence[Card]:
    try:
        member = Membership.of(config)
    except FOR_PEOPLE:
        return ()  # found at the consortium, or at the identity
    return member.consortium.members[: member.me]


def _peer_line(config: PartyConfig, card: Card) -> str:
    return f"{card.name} shook hands with us, its clock is {_clock_line([knock_at_peer(config, card)], card.name)}"


def _check_coordinator(config: CoordinatorConfig) -> Iterator[Finding]:
    def listen() -> str:
        try_to_listen(config.listen)
        return f"{config.listen} is free"

    yield _finding("consortium", lambda: _consortium_line(config.consortium))
    yield _finding("identity", lambda: _coordinator_line(config))
    yield _finding("model", lambda: _model_line(config.payload, config.consortium))
    yield _finding("port", listen)


def _finding(what: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(what, True, look())
    except (Fault, *FOR_PEOPLE) as exc:
        return Finding(what, False, " ".join(str(exc).split()))


def _consortium_line(file: Path) -> str:
    consortium = load_consortium(file)
    if means_of(consortium, file) is None:
        TrainingConfig.from_mapping(consortium.training)
    members, signed = len(consortium.members), len(consortium.signatures)
    return f"{consortium.name}, version {consortium.version}, {members} members, {signed} signed it"


def _member_line(config: PartyConfig) -> str:
    consortium, keys = load_consortium(config.consortium), read_keys(config.identity)
    card = consortium.members[consortium.party_of(keys.identity.verify_key)]
    return _owned(card, keys.tls_root.belongs_to(card.tls_root), config.identity)


def _coordinator_line(config: CoordinatorConfig) -> str:
    card, keys = load_consortium(config.consortium).head, read_keys(config.identity)
    if keys.identity.verify_key != card.verify_key:
        raise Fault(f"{config.identity} is not the identity of the coordinator in {config.consortium}")
    return _owned(card, keys.tls_root.belongs_to(card.tls_root), config.identity)


def _owned(card: Card, has_root: bool, key_file: Path) -> str:
    if not has_root:
        raise Fault(f"{key_file} has another TLS root than the card of {card.name}: put back the key made with it")
    return f"{key_file} is {card.name}"


def _data_line(config: PartyConfig) -> str:
    consortium = load_consortium(config.consortium)
    if only_aggregates(config, consortium):
        return "this member only aggregates"
    if means_of(consortium, config.consortium):
        return "a program contributes"
    table = own_table(config, consortium)
    return (
        f"{config.data}: {len(table)} rows, {int(table.labels.sum())} positive, {table.missing} values missing, "
        f"{table.unknown} of categories that the schema does not name"
    )


def _model_line(path: Path, consortium: Path) -> str:
    payload = read_payload(path)
    if payload is None:
        return f"{path} is not there yet: training starts from the beginning"
    if means := means_of(load_consortium(consortium), consortium):
        return f"{path} is after round {means.load(payload).fl_round - 1} of {means.rounds}"
    state = State.load(payload)
    return f"{path} is after round {state.fl_round - 1} of {state.rounds}"


def _clock_line(clock: list[float], whose: str) -> str:
    if not clock:
        raise Fault(f"not known before {whose} can be reached")
    gap = round(clock[0])
    if abs(gap) > LARGEST_CLOCK_GAP:
        side = "ahead of" if gap > 0 else "behind"
        raise Fault(f"our clock is {abs(gap)} s {side} {whose}'s: set both")
    return f"within {LARGEST_CLOCK_GAP // 60} minutes of {whose}'s"


def _is_coordinators(file: Path) -> bool:
    """By the keys that its file has; a file that cannot be read is left to the loader to complain about."""
    try:
        keys = read_tables(file.read_bytes()).keys()
    except (OSError, ValueError):
        return False
    return bool({"listen", "policy"} & keys) and not {"terms", "peers"} & keys
