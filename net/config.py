"""The files of a process (TOML) <-> frozen values. Strict: what is misspelt, missing or of another type is named.

consortium.toml is public and equal everywhere; coordinator.toml and party.toml are one process's own; NAME.card is what
a bank hands in to be put into the consortium. Paths in a file are relative to it.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from ssl import DER_cert_to_PEM_cert, PEM_cert_to_DER_cert
from typing import Final, TypeVar

import tomlkit
from tomlkit.items import Table as TomlTable

from net.errors import ConfigError
from net.policy import ASSEMBLE, Policy, RoundPolicy
from net.reading import Table, read
from protocols.families import FAMILIES, ROUND_NAMES, family_of
from protocols.family import Family
from protocols.roster import Card, Consortium, ConsortiumError
from protocols.session import (
    RETRIES_AFTER_REVEAL,
    SMALLEST_CHANGE,
    SMALLEST_COHORT,
    Subject,
    Terms,
    Variant,
    VectorSpec,
)

DEFAULT_PATIENCE: Final = 600.0  # seconds that a party looks for its coordinator

_CARD_KEYS: Final = ("name", "identity", "tls_root", "signature")
_CONSORTIUM_KEYS: Final = (
    "name", "version", "protocol", "variant", "colluding", "losses", "max_weight", "training", "member", "coordinator",
    "signatures", "aggregators", "rounds_per_epoch", "accountable",
)  # fmt: skip
_GUARD_KEYS: Final = ("smallest_change", "strict", "retries_after_reveal")
_MESH: Final = ("listen", "peers", "policy")
_ROUND_NAMES: Final = (ASSEMBLE, *ROUND_NAMES)
_WAITING: Final = ("patience", "hoped_for", "quantile", "stretch")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Address:
    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"

    @classmethod
    def parse(cls, text: str) -> "Address":
        """`host:port`; raises ValueError."""
        host, _, port = text.rpartition(":")
        if not host or not port.isdecimal() or int(port) > 65535:
            raise ValueError(f"{text!r} is no address: write it as host:port")
        return cls(host, int(port))


@dataclass(frozen=True, slots=True)
class CoordinatorConfig:
    """consortium, identity, payload: paths. listen: port 0 lets the system choose."""

    consortium: Path
    identity: Path
    payload: Path
    listen: Address = field(default_factory=lambda: Address("127.0.0.1", 0))
    policy: Policy = field(default_factory=Policy)


@dataclass(frozen=True, slots=True)
class PartyTerms:
    """A party's own policy (see `protocols.session.Terms`)."""

    max_colluding: int
    cohort: int = SMALLEST_COHORT
    variant: Variant = Variant.ACTIVE
    smallest_change: int = SMALLEST_CHANGE
    strict: bool = False
    retries_after_reveal: int = RETRIES_AFTER_REVEAL

    def accepting(self, subject: Subject, spec: VectorSpec, consortium: Consortium) -> Terms:
        """The terms of one session: this policy, what was agreed on, and what the party computed itself of what is
        summed."""
        return Terms(
            subject=subject,
            members=consortium.members_by_id,
            spec=spec,
            max_colluding=self.max_colluding,
            cohort=self.cohort,
            variant=self.variant,
            smallest_change=self.smallest_change,
            strict=self.strict,
            retries_after_reveal=self.retries_after_reveal,
            protocol=consortium.protocol,
            aggregators=consortium.committee,
            rounds_per_epoch=consortium.rounds_per_epoch,
            accountable=consortium.accountable,
        )


@dataclass(frozen=True, slots=True)
class MeshConfig:
    """A member's place among its peers. listen: where those after it in the consortium's file come to. peers: the
    addresses of the others, by name; those before it are dialled.
    """

    listen: Address
    peers: Mapping[str, Address]
    policy: Policy = field(default_factory=Policy)


@dataclass(frozen=True, slots=True)
class PartyConfig:
    """address: the coordinator's, or mesh: where there is none. patience: seconds that the party looks for it, or for
    enough peers.

    data, label, positive: for the workload; data None: a program contributes; label and positive None: as the
    consortium's file says.
    """

    consortium: Path
    identity: Path
    payload: Path
    terms: PartyTerms
    address: Address | None = None
    mesh: MeshConfig | None = None
    data: Path | None = None
    label: str | None = None
    positive: str | None = None
    patience: float = DEFAULT_PATIENCE


@dataclass(frozen=True, slots=True)
class NodeConfig:
    """node.toml: a party inside another framework, which carries its messages. ledger: the file that it keeps."""

    consortium: Path
    identity: Path
    ledger: Path
    terms: PartyTerms


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """server.toml: the coordinator's half inside another framework."""

    consortium: Path
    identity: Path
    policy: Policy = field(default_factory=Policy)


def _variant(table: Table) -> Variant:
    try:
        return Variant(table.get("variant", str, Variant.ACTIVE.value))
    except ValueError as exc:
        raise table.error(f"'variant' must be one of {', '.join(Variant)}") from exc


def _address(table: Table, key: str) -> Address:
    try:
        return Address.parse(table.need(key, str))
    except ValueError as exc:
        raise table.error(f"{key!r}: {exc}") from exc


# Cards and the consortium


def load_card(path: Path) -> Card:
    """Raises ConfigError."""
    return _card(read(path, _CARD_KEYS))


def dump_card(card: Card) -> str:
    return tomlkit.dumps(_card_table(card))


def load_consortium(path: Path) -> Consortium:
    """Raises ConfigError, also for what `Consortium` refuses."""
    table = read(path, _CONSORTIUM_KEYS)
    signatures = table.get("signatures", dict, {})
    signed = Table(signatures, path, tuple(signatures), "signatures")
    try:
        return Consortium(
            name=table.need("name", str),
            version=table.need("version", int),
            members=tuple(_card(member) for member in table.tables("member", _CARD_KEYS)),
            coordinator=_card(table.table("coordinator", _CARD_KEYS)) if "coordinator" in table else None,
            protocol=table.need("protocol", str),
            variant=_variant(table),
            colluding=table.need("colluding", int),
            losses=table.need("losses", int),
            max_weight=table.need("max_weight", int),
            training=table.need("training", dict),
            signatures={name: signed.hexadecimal(name) for name in signatures},
            aggregators=table.texts("aggregators"),
            rounds_per_epoch=table.get("rounds_per_epoch", int, 1),
            accountable=table.get("accountable", bool, False),
        )
    except ConsortiumError as exc:
        raise table.error(str(exc)) from exc


def load_family(consortium: Consortium, path: Path) -> Family:
    """The protocol that the file of this path agrees on. Raises ConfigError where this version does not run it."""
    if consortium.protocol not in FAMILIES:
        raise ConfigError(
            f"{path}: this version does not run the protocol {consortium.protocol!r}: use one of {', '.join(FAMILIES)}"
        )
    try:
        family = family_of(consortium.protocol, consortium.rounds_per_epoch)
    except KeyError as exc:
        raise ConfigError(f"{path}: {consortium.protocol} has no epochs: leave rounds_per_epoch out") from exc
    if consortium.variant not in family.variants:
        raise ConfigError(f"{path}: {family.name} has no {consortium.variant.value} variant: agree on another one")
    return family


def dump_consortium(consortium: Consortium) -> str:
    document = tomlkit.document()
    for key in ("name", "version", "protocol", "colluding", "losses", "max_weight"):
        document.add(key, getattr(consortium, key))
    document.add("variant", consortium.variant.value)
    if consortium.aggregators:
        document.add("aggregators", list(consortium.aggregators))
    if consortium.rounds_per_epoch > 1:
        document.add("rounds_per_epoch", consortium.rounds_per_epoch)
    if consortium.accountable:
        document.add("accountable", True)
    document.add("training", tomlkit.item(dict(consortium.training)))
    if consortium.coordinator is not None:
        document.add("coordinator", _card_table(consortium.coordinator))
    members = tomlkit.aot()
    for card in consortium.members:
        members.append(_card_table(card))
    document.add("member", members)
    if consortium.signatures:
        document.add("signatures", tomlkit.item({name: sig.hex() for name, sig in consortium.signatures.items()}))
    return tomlkit.dumps(document)


def _card(table: Table) -> Card:
    try:
        root = PEM_cert_to_DER_cert(table.need("tls_root", str).strip())
    except ValueError as exc:
        raise table.error("'tls_root' must be a PEM certificate") from exc
    try:
        return Card.from_hex(
            name=table.need("name", str),
            identity=table.hexadecimal("identity").hex(),
            tls_root=root.hex(),
            signature=table.hexadecimal("signature").hex(),
        )
    except ConsortiumError as exc:
        raise table.error(str(exc)) from exc


def _card_table(card: Card) -> TomlTable:
    table = tomlkit.table()
    table.add("name", card.name)
    table.add("identity", card.verify_key.raw.hex())
    table.add("tls_root", tomlkit.string(DER_cert_to_PEM_cert(card.tls_root), multiline=True))
    table.add("signature", card.signature.hex())
    return table


# One process's own files


def load_coordinator(path: Path) -> CoordinatorConfig:
    """Raises ConfigError."""
    table = read(path, ("consortium", "identity", "payload", "listen", "policy"))
    return CoordinatorConfig(
        consortium=table.path("consortium"),
        identity=table.path("identity"),
        payload=table.path("payload"),
        listen=_address(table, "listen"),
        policy=_policies(table, path),
    )


def dump_coordinator(config: CoordinatorConfig, folder: Path) -> str:
    """The text of a file in `folder`."""
    document = tomlkit.document()
    for key in ("consortium", "identity", "payload"):
        document.add(key, _relative(getattr(config, key), folder))
    document.add("listen", str(config.listen))
    document.add("policy", _policies_table(config.policy))
    return tomlkit.dumps(document)


def load_party(path: Path) -> PartyConfig:
    """Raises ConfigError."""
    table = read(
        path, ("consortium", "identity", "payload", "address", "data", "label", "positive", "patience", "terms", *_MESH)
    )
    if ("address" in table) is any(key in table for key in _MESH):
        raise table.error("write 'address', where the coordinator listens, or in a mesh 'listen' and [peers]")
    return PartyConfig(
        consortium=table.path("consortium"),
        identity=table.path("identity"),
        payload=table.path("payload"),
        address=_address(table, "address") if "address" in table else None,
        mesh=None if "address" in table else _mesh(table, path),
        data=None if table.optional("data") is None else table.path("data"),
        label=table.optional("label"),
        positive=table.optional("positive"),
        patience=table.seconds("patience", DEFAULT_PATIENCE),
        terms=_terms(table),
    )


def dump_party(config: PartyConfig, folder: Path) -> str:
    """The text of a file in `folder`."""
    document = tomlkit.document()
    for key in ("consortium", "identity", "payload", "data"):
        if (path := getattr(config, key)) is not None:
            document.add(key, _relative(path, folder))
    if config.address is not None:
        document.add("address", str(config.address))
    if config.mesh is not None:
        document.add("listen", str(config.mesh.listen))
    for key in ("label", "positive"):
        if (value := getattr(config, key)) is not None:
            document.add(key, value)
    document.add("patience", config.patience)
    document.add("terms", _terms_table(config.terms))
    if config.mesh is not None:
        document.add("peers", tomlkit.item({name: str(address) for name, address in config.mesh.peers.items()}))
        document.add("policy", _policies_table(config.mesh.policy))
    return tomlkit.dumps(document)


# The files of a process that another framework runs


def load_node(path: Path) -> NodeConfig:
    """Raises ConfigError."""
    table = read(path, ("consortium", "identity", "ledger", "terms"))
    return NodeConfig(table.path("consortium"), table.path("identity"), table.path("ledger"), _terms(table))


def dump_node(config: NodeConfig, folder: Path) -> str:
    """The text of a file in `folder`."""
    document = tomlkit.document()
    for key in ("consortium", "identity", "ledger"):
        document.add(key, _relative(getattr(config, key), folder))
    document.add("terms", _terms_table(config.terms))
    return tomlkit.dumps(document)


def load_server(path: Path) -> ServerConfig:
    """Raises ConfigError."""
    table = read(path, ("consortium", "identity", "policy"))
    return ServerConfig(table.path("consortium"), table.path("identity"), _policies(table, path))


def dump_server(config: ServerConfig, folder: Path) -> str:
    """The text of a file in `folder`."""
    document = tomlkit.document()
    for key in ("consortium", "identity"):
        document.add(key, _relative(getattr(config, key), folder))
    document.add("policy", _policies_table(config.policy))
    return tomlkit.dumps(document)


def _mesh(table: Table, path: Path) -> MeshConfig:
    listed = table.need("peers", dict)
    peers = Table(listed, path, tuple(listed), "peers")
    return MeshConfig(
        listen=_address(table, "listen"),
        peers={name: _address(peers, name) for name in listed},
        policy=_policies(table, path),
    )


def _terms(table: Table) -> PartyTerms:
    terms = table.table("terms", ("max_colluding", "cohort", "variant", *_GUARD_KEYS))
    return PartyTerms(
        max_colluding=terms.at_least(0, "max_colluding", terms.need("max_colluding", int)),
        cohort=terms.at_least(1, "cohort", terms.get("cohort", int, SMALLEST_COHORT)),
        variant=_variant(terms),
        smallest_change=terms.at_least(0, "smallest_change", terms.get("smallest_change", int, SMALLEST_CHANGE)),
        strict=terms.get("strict", bool, False),
        retries_after_reveal=terms.at_least(
            0, "retries_after_reveal", terms.get("retries_after_reveal", int, RETRIES_AFTER_REVEAL)
        ),
    )


def _terms_table(own: PartyTerms) -> TomlTable:
    terms = tomlkit.table()
    terms.update({"max_colluding": own.max_colluding, "cohort": own.cohort})
    terms.add("variant", own.variant.value)
    for key in _GUARD_KEYS:
        terms.add(key, getattr(own, key))
    return terms


def _policies(table: Table, path: Path) -> Policy:
    given = table.get("policy", dict, {})
    return _policy(Table(given, path, (*_WAITING, "attempts", *_ROUND_NAMES), "policy"))


def _policies_table(policy: Policy) -> TomlTable:
    table = _round_table(policy.default)
    table.add("attempts", policy.attempts)
    for name, round_policy in policy.rounds.items():
        table.add(name, _round_table(round_policy))
    return table


def _policy(table: Table) -> Policy:
    default = _round_policy(table, Policy().default)
    rounds = {name: _round_policy(table.table(name, _WAITING), default) for name in _ROUND_NAMES if name in table}
    try:
        return Policy(default, rounds, attempts=table.get("attempts", int, Policy().attempts))
    except ValueError as exc:
        raise table.error(str(exc)) from exc


def _round_policy(table: Table, default: RoundPolicy) -> RoundPolicy:
    patience = table.get("patience", float, default.patience)
    hoped_for = table.need("hoped_for", int) if "hoped_for" in table else default.hoped_for
    quantile = table.need("quantile", float) if "quantile" in table else default.quantile
    try:
        return RoundPolicy(patience, hoped_for, quantile, table.get("stretch", float, default.stretch))
    except ValueError as exc:
        raise table.error(str(exc)) from exc


def _round_table(policy: RoundPolicy) -> TomlTable:
    table = tomlkit.table()
    table.add("patience", policy.patience)
    if policy.hoped_for is not None:
        table.add("hoped_for", policy.hoped_for)
    if policy.quantile is not None:
        table.update({"quantile": policy.quantile, "stretch": policy.stretch})
    return table


def _relative(path: Path, folder: Path) -> str:
    absolute, base = path.absolute(), folder.absolute()
    if absolute.is_relative_to(base.parent):
        return Path(os.path.relpath(absolute, base)).as_posix()
    return absolute.as_posix()
