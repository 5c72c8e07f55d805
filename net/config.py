"""The files of a process (TOML) <-> frozen values. Strict: what is misspelt, missing or of another type is named.

consortium.toml is public and equal everywhere; coordinator.toml and party.toml are one process's own; NAME.card is what
a bank hands in to be put into the consortium. Paths in a file are relative to it.
"""

import math
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from ssl import DER_cert_to_PEM_cert, PEM_cert_to_DER_cert
from typing import Any, Final, TypeVar

import tomlkit
from tomlkit.items import Table as TomlTable

from net.errors import ConfigError
from net.policy import ASSEMBLE, Policy, RoundPolicy
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
    "signatures", "aggregators", "rounds_per_epoch",
)  # fmt: skip
_GUARD_KEYS: Final = ("smallest_change", "strict", "retries_after_reveal")
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
        )


@dataclass(frozen=True, slots=True)
class PartyConfig:
    """address: the coordinator's. patience: seconds that the party looks for it.

    data, label, positive: for the workload; data None: a program contributes; label and positive None: as the
    consortium's file says.
    """

    consortium: Path
    identity: Path
    payload: Path
    address: Address
    terms: PartyTerms
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


class _Table:
    """One table of a file, read key by key. Unknown keys are refused first: a misspelt one is then not "missing"."""

    def __init__(self, raw: Mapping[str, Any], file: Path, keys: tuple[str, ...], where: str = "") -> None:
        self._raw = raw
        self.file = file
        self.where = where
        for key in raw:
            if key not in keys:
                near = get_close_matches(key, keys, n=1)
                remedy = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(keys)}"
                raise self.error(f"unknown key {key!r}: {remedy}")

    def error(self, text: str) -> ConfigError:
        return ConfigError(f"{self.file}: {f'[{self.where}] ' if self.where else ''}{text}")

    def need(self, key: str, kind: type[T]) -> T:
        if key not in self._raw:
            raise self.error(f"{key!r} is missing: add it ({_KIND_NAMES[kind]})")
        value = self._raw[key]
        if kind is float and type(value) is int:
            value = float(value)
        if type(value) is not kind:
            raise self.error(f"{key!r} must be {_KIND_NAMES[kind]}, not {value!r}")
        return value

    def get(self, key: str, kind: type[T], default: T) -> T:
        return self.need(key, kind) if key in self._raw else default

    def optional(self, key: str) -> str | None:
        return self.need(key, str) if key in self._raw else None

    def path(self, key: str) -> Path:
        return self.file.parent / self.need(key, str)

    def texts(self, key: str) -> tuple[str, ...]:
        entries = self.get(key, list, [])
        if not all(isinstance(entry, str) for entry in entries):
            raise self.error(f"{key!r} must be a list of texts in quotes")
        return tuple(entries)

    def table(self, key: str, keys: tuple[str, ...]) -> "_Table":
        where = f"{self.where}.{key}" if self.where else key
        return _Table(self.need(key, dict), self.file, keys, where)

    def tables(self, key: str, keys: tuple[str, ...]) -> "list[_Table]":
        entries = self.need(key, list)
        if not all(isinstance(entry, dict) for entry in entries):
            raise self.error(f"{key!r} must be tables: write [[{key}]] above each")
        return [_Table(entry, self.file, keys, f"{key} {place}") for place, entry in enumerate(entries, 1)]

    def at_least(self, smallest: int, key: str, value: int) -> int:
        if value < smallest:
            raise self.error(f"{key!r} must be {smallest} or more, not {value}")
        return value

    def seconds(self, key: str, default: float) -> float:
        value = self.get(key, float, default)
        if not (value > 0 and math.isfinite(value)):
            raise self.error(f"{key!r} must be a number of seconds above 0, not {value:g}")
        return value

    def variant(self, key: str) -> Variant:
        try:
            return Variant(self.get(key, str, Variant.ACTIVE.value))
        except ValueError as exc:
            raise self.error(f"{key!r} must be one of {', '.join(Variant)}") from exc

    def address(self, key: str) -> Address:
        try:
            return Address.parse(self.need(key, str))
        except ValueError as exc:
            raise self.error(f"{key!r}: {exc}") from exc

    def hexadecimal(self, key: str) -> bytes:
        try:
            return bytes.fromhex(self.need(key, str))
        except ValueError as exc:
            raise self.error(f"{key!r} must be hexadecimal digits") from exc


_KIND_NAMES: Final[Mapping[type, str]] = {
    str: "text in quotes", bool: "true or false", int: "a whole number", float: "a number", dict: "a table",
    list: "a list",
}  # fmt: skip


def _read(path: Path, keys: tuple[str, ...]) -> _Table:
    try:
        with path.open("rb") as file:
            raw = tomllib.load(file)
    except OSError as exc:
        raise ConfigError(f"{path}: cannot be read: {exc.strerror}") from exc
    except ValueError as exc:  # TOML or UTF-8
        raise ConfigError(f"{path}: not TOML: {exc}") from exc
    except RecursionError as exc:
        raise ConfigError(f"{path}: not TOML that can be read: its tables or lists are nested too deeply") from exc
    return _Table(raw, path, keys)


# Cards and the consortium


def load_card(path: Path) -> Card:
    """Raises ConfigError."""
    return _card(_read(path, _CARD_KEYS))


def dump_card(card: Card) -> str:
    return tomlkit.dumps(_card_table(card))


def load_consortium(path: Path) -> Consortium:
    """Raises ConfigError, also for what `Consortium` refuses."""
    table = _read(path, _CONSORTIUM_KEYS)
    signatures = table.get("signatures", dict, {})
    signed = _Table(signatures, path, tuple(signatures), "signatures")
    try:
        return Consortium(
            name=table.need("name", str),
            version=table.need("version", int),
            members=tuple(_card(member) for member in table.tables("member", _CARD_KEYS)),
            coordinator=_card(table.table("coordinator", _CARD_KEYS)),
            protocol=table.need("protocol", str),
            variant=table.variant("variant"),
            colluding=table.need("colluding", int),
            losses=table.need("losses", int),
            max_weight=table.need("max_weight", int),
            training=table.need("training", dict),
            signatures={name: signed.hexadecimal(name) for name in signatures},
            aggregators=table.texts("aggregators"),
            rounds_per_epoch=table.get("rounds_per_epoch", int, 1),
        )
    except ConsortiumError as exc:
        raise table.error(str(exc)) from exc


def load_family(consortium: Consortium, path: Path) -> Family:
    """The protocol that the file of this path agrees on. Raises ConfigError where this version does not run it."""
    if consortium.protocol not in FAMILIES:
        raise ConfigError(
            f"{path}: this version does not run the protocol {consortium.protocol!r}: use one of {', '.join(FAMILIES)}"
        )
    family = family_of(consortium.protocol)
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
    document.add("training", tomlkit.item(dict(consortium.training)))
    document.add("coordinator", _card_table(consortium.coordinator))
    members = tomlkit.aot()
    for card in consortium.members:
        members.append(_card_table(card))
    document.add("member", members)
    if consortium.signatures:
        document.add("signatures", tomlkit.item({name: sig.hex() for name, sig in consortium.signatures.items()}))
    return tomlkit.dumps(document)


def _card(table: _Table) -> Card:
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
    table = _read(path, ("consortium", "identity", "payload", "listen", "policy"))
    return CoordinatorConfig(
        consortium=table.path("consortium"),
        identity=table.path("identity"),
        payload=table.path("payload"),
        listen=table.address("listen"),
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
    table = _read(
        path, ("consortium", "identity", "payload", "address", "data", "label", "positive", "patience", "terms")
    )
    return PartyConfig(
        consortium=table.path("consortium"),
        identity=table.path("identity"),
        payload=table.path("payload"),
        address=table.address("address"),
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
    document.add("address", str(config.address))
    for key in ("label", "positive"):
        if (value := getattr(config, key)) is not None:
            document.add(key, value)
    document.add("patience", config.patience)
    document.add("terms", _terms_table(config.terms))
    return tomlkit.dumps(document)


# The files of a process that another framework runs


def load_node(path: Path) -> NodeConfig:
    """Raises ConfigError."""
    table = _read(path, ("consortium", "identity", "ledger", "terms"))
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
    table = _read(path, ("consortium", "identity", "policy"))
    return ServerConfig(table.path("consortium"), table.path("identity"), _policies(table, path))


def dump_server(config: ServerConfig, folder: Path) -> str:
    """The text of a file in `folder`."""
    document = tomlkit.document()
    for key in ("consortium", "identity"):
        document.add(key, _relative(getattr(config, key), folder))
    document.add("policy", _policies_table(config.policy))
    return tomlkit.dumps(document)


def _terms(table: _Table) -> PartyTerms:
    terms = table.table("terms", ("max_colluding", "cohort", "variant", *_GUARD_KEYS))
    return PartyTerms(
        max_colluding=terms.at_least(0, "max_colluding", terms.need("max_colluding", int)),
        cohort=terms.at_least(1, "cohort", terms.get("cohort", int, SMALLEST_COHORT)),
        variant=terms.variant("variant"),
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


def _policies(table: _Table, path: Path) -> Policy:
    given = table.get("policy", dict, {})
    return _policy(_Table(given, path, (*_WAITING, "attempts", *_ROUND_NAMES), "policy"))


def _policies_table(policy: Policy) -> TomlTable:
    table = _round_table(policy.default)
    table.add("attempts", policy.attempts)
    for name, round_policy in policy.rounds.items():
        table.add(name, _round_table(round_policy))
    return table


def _policy(table: _Table) -> Policy:
    default = _round_policy(table, Policy().default)
    rounds = {name: _round_policy(table.table(name, _WAITING), default) for name in _ROUND_NAMES if name in table._raw}
    try:
        return Policy(default, rounds, attempts=table.get("attempts", int, Policy().attempts))
    except ValueError as exc:
        raise table.error(str(exc)) from exc


def _round_policy(table: _Table, default: RoundPolicy) -> RoundPolicy:
    patience = table.get("patience", float, default.patience)
    hoped_for = table.need("hoped_for", int) if "hoped_for" in table._raw else default.hoped_for
    quantile = table.need("quantile", float) if "quantile" in table._raw else default.quantile
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
