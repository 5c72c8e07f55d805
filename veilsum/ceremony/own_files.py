"""party.toml and coordinator.toml: a first version of each process's own file, with a comment at every line."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fl_integration.tabular import load_table
from fl_integration.training import TrainingConfig
from net.config import DEFAULT_PATIENCE, Address, load_consortium
from net.policy import GRACE, Policy
from protocols.roster import Card, Consortium, ConsortiumError
from protocols.session import SMALLEST_COHORT
from veilsum.ceremony.files import require_new, write_new
from veilsum.ceremony.identity import Identity, load_identity
from veilsum.ceremony.toml import literal, toml_key
from veilsum.errors import Fault, WrongUsage
from veilsum.join import means_of

_PARTY = """\
# This bank's own file: private, and believed before anything that the coordinator says.
# Paths are relative to this file.

consortium = {consortium}  # the public file, equal everywhere
identity = {identity}  # never leaves this machine; mode 0600
{place}
{data}
payload = {payload}  # the model: written whole after every step
patience = {patience}  # seconds to look for {others} before giving up

[terms]  # this bank's own conditions; a session outside them is refused before anything leaves
max_colluding = {colluding}  # so many members may {side} and still learn only a sum
cohort = {cohort}  # the fewest banks that this one agrees to be summed with
variant = "active"  # stands {liar} that lies; nothing else is accepted
{peers}"""

_COORDINATED = {
    "place": "address = {address}  # where the coordinator listens; this process only dials out",
    "others": "the coordinator",
    "side": "side with the coordinator",
    "liar": "a coordinator",
    "peers": "",
}

_MESH = {
    "place": "listen = {listen}  # the one open port: members after us in the consortium's file dial in",
    "others": "enough members",
    "side": "work together",
    "liar": "a member",
    "peers": """
[peers]  # where the others listen; this process dials those before it in the consortium's file
{peers}

[policy]  # how long to wait; a bank that is not there in time is left out of that sum, and may join the next
patience = {seconds}  # seconds, in each round of a session
attempts = {attempts}  # how often one training step is tried before this process gives up
""",
}

_DATA = """\
data = {data}  # this bank's rows, .csv or .csv.gz: read here, sent nowhere
label = {label}  # the column with the answer in this bank's file
positive = {positive}  # its value that counts as 1"""

_COORDINATOR = """\
# The coordinator's own file. Paths are relative to this file.

consortium = {consortium}  # the public file, equal everywhere
identity = {identity}  # never leaves this machine; mode 0600
listen = {listen}  # the one open port; banks dial in, nothing dials out
payload = {payload}  # the model: written whole after every step, and where a restart goes on

[policy]  # how long to wait; a bank that is not there in time is left out of that sum, and may join the next
patience = {patience}  # seconds, in each round of a session
grace = {grace}  # seconds of these for a bank whose connection broke to come back
attempts = {attempts}  # how often one training step is tried before this process gives up
"""


@dataclass(frozen=True, slots=True)
class Found:
    """Where processes are found, as a person said it. port: where nothing was said."""

    address: Address | None
    listen: Address | None
    peers: Sequence[tuple[str, Address]]
    port: int


def write_party(
    out: Path,
    *,
    consortium: Path,
    identity: Path,
    data: Path | None,
    found: Found,
    label: str | None,
    positive: str | None,
) -> None:
    """Raises Fault, ConfigError and DataError: files that do not belong together are found here and not at night."""
    require_new(out)
    agreed, own = load_consortium(consortium), load_identity(identity)
    _require_among(agreed.members, own, consortium)
    folder = out.absolute().parent
    text = _PARTY.format(
        consortium=_path(consortium, folder),
        identity=_path(own.key_file, folder),
        data=_source(agreed, own.card, consortium, data, label, positive, folder),
        payload=literal("model.npz"),
        patience=DEFAULT_PATIENCE,
        colluding=agreed.colluding,
        cohort=SMALLEST_COHORT,
        **(_coordinated(found) if agreed.coordinator else _among_peers(agreed, own.card, found)),
    )
    write_new(out, text)


def _coordinated(found: Found) -> dict[str, str]:
    """The lines of the file that say where the coordinator is."""
    if found.listen is not None or found.peers:
        raise WrongUsage("--listen and --peer belong to a mesh: this consortium has a coordinator, give its --address")
    address = found.address or Address("127.0.0.1", found.port)
    return {**_COORDINATED, "place": _COORDINATED["place"].format(address=literal(str(address)))}


def _among_peers(agreed: Consortium, own: Card, found: Found) -> dict[str, str]:
    """The lines that say where we listen and where the others do."""
    if found.address is not None:
        raise WrongUsage("--address is a coordinator's, and a mesh has none: give --listen and --peer NAME=HOST:PORT")
    names = [card.name for card in agreed.members]
    given = dict(found.peers)
    if unknown := [name for name in given if name not in names]:
        raise WrongUsage(f"--peer {unknown[0]}: no member of {agreed.name}, which are {', '.join(names)}")
    if missing := [name for name in names[: names.index(own.name)] if name not in given]:
        raise WrongUsage(f"--peer {missing[0]}=HOST:PORT is missing: this member dials it")
    listen, policy = found.listen or Address("0.0.0.0", found.port), Policy()  # all interfaces, as asked
    peers = "\n".join(f"{toml_key(name)} = {literal(str(given[name]))}" for name in names if name in given)
    return {
        **_MESH,
        "place": _MESH["place"].format(listen=literal(str(listen))),
        "peers": _MESH["peers"].format(peers=peers, seconds=policy.default.patience, attempts=policy.attempts),
    }


def _source(
    agreed: Consortium,
    card: Card,
    file: Path,
    data: Path | None,
    label: str | None,
    positive: str | None,
    folder: Path,
) -> str:
    """Where this party's contributions come from, as lines of its file."""
    asked = (data, label, positive) != (None, None, None)
    if card.name in agreed.aggregators:
        if asked:
            raise WrongUsage(f"{file}: {card.name} only aggregates: leave --data, --label and --positive out")
        return "# no table: this member aggregates, and contributes nothing"
    if means_of(agreed, file):
        if asked:
            raise WrongUsage(f"{file}: programs contribute to this training: leave --data, --label and --positive out")
        return "# contributions come from a program: veilsum.connect with the name of this file"
    if data is None:
        raise WrongUsage("--data is missing: name the table that this bank trains on")
    training = TrainingConfig.from_mapping(agreed.training)
    label, positive = label or training.label, positive or training.positive
    load_table(data, training.schema, label=label, positive=positive)
    return _DATA.format(data=_path(data, folder), label=literal(label), positive=literal(positive))


def write_coordinator(out: Path, *, consortium: Path, identity: Path, listen: Address) -> None:
    """Raises Fault, ConfigError."""
    require_new(out)
    agreed, own = load_consortium(consortium), load_identity(identity)
    _require_among([_head(agreed, consortium)], own, consortium)
    folder, policy = out.absolute().parent, Policy()
    text = _COORDINATOR.format(
        consortium=_path(consortium, folder),
        identity=_path(own.key_file, folder),
        listen=literal(str(listen)),
        payload=literal("model.npz"),
        patience=policy.default.patience,
        grace=GRACE,
        attempts=policy.attempts,
    )
    write_new(out, text)


def _head(agreed: Consortium, file: Path) -> Card:
    try:
        return agreed.head
    except ConsortiumError as exc:
        raise Fault(f"{file}: {exc}") from exc


def parse_address(text: str, option: str) -> Address:
    """Raises WrongUsage."""
    try:
        return Address.parse(text)
    except ValueError as exc:
        raise WrongUsage(f"{option}: {exc}") from exc


def _require_among(cards: Sequence[Card], own: Identity, file: Path) -> None:
    if own.card not in cards:
        raise Fault(
            f"{file}: {own.card.name} ({own.key_file}) is not in it as {_role(cards)}: use the identity whose card was "
            f"handed in, or ask for a consortium file with this card"
        )


def _role(cards: Sequence[Card]) -> str:
    return "a member" if len(cards) > 1 else "the coordinator"


def _path(path: Path, folder: Path) -> str:
    """As it is written in a file of this folder: relative, with forward slashes, where both are on one drive."""
    try:
        return literal(Path(os.path.relpath(path.absolute(), folder)).as_posix())
    except ValueError:
        return literal(path.absolute().as_posix())
