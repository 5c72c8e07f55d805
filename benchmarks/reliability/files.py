"""The files of one consortium in a folder: fresh identities, the public file, each process's own."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.reliability.faults import Setting
from mpc.randomness import SystemRandomness
from net.config import (
    Address,
    CoordinatorConfig,
    MeshConfig,
    PartyConfig,
    PartyTerms,
    dump_consortium,
    dump_coordinator,
    dump_party,
)
from net.policy import ASSEMBLE, Policy, RoundPolicy
from net.store import Keys, write_keys
from net.tls import new_root
from protocols.families import family_of
from protocols.roster import Card, Consortium

LOOPBACK: Final = "127.0.0.1"
COORDINATOR: Final = "coordinator"
ASSEMBLING: Final = 2.0  # times the patience of a round: for all to come at the start, and to be ready
GRACE: Final = 1.0  # seconds in which a party may come back after its connection broke
ATTEMPTS: Final = 4
SEEKING: Final = 60.0  # seconds that a party looks for its coordinator, or for enough peers
SLACK: Final = 20.0  # seconds that a machine which is busy with other sessions may add to any deadline


def soak_policy(setting: Setting) -> Policy:
    """A mesh has no grace."""
    patience = setting.patience
    rounds = {ASSEMBLE: RoundPolicy(ASSEMBLING * patience)}
    return Policy(RoundPolicy(patience), rounds, attempts=ATTEMPTS, grace=0.0 if setting.is_mesh else GRACE)


def deadline(setting: Setting) -> float:
    """Seconds within which a coordinator says how a session ended, or ends itself: the waiting for those who are not
    lost and for their answers, of each attempt; then every round at its longest. A mesh may wait three times in each.
    """
    rounds = len(family_of(setting.protocol, setting.rounds_per_epoch).rounds)
    waits = 3 * rounds if setting.is_mesh else rounds
    return (2 * ATTEMPTS * ASSEMBLING + waits) * setting.patience + SLACK


@dataclass(frozen=True, slots=True)
class Folder:
    """place None: the coordinator."""

    path: Path

    def file(self, place: int | None) -> Path:
        return self.path / f"{card_name(place)}.toml"

    def payload(self, place: int | None) -> Path:
        return self.path / f"{card_name(place)}.model"

    def log(self, place: int | None) -> Path:
        return self.path / f"{card_name(place)}.log"

    def key(self, place: int | None) -> Path:
        return self.path / f"{card_name(place)}.key"

    @property
    def consortium(self) -> Path:
        return self.path / "consortium.toml"


def write_consortium(folder: Folder, setting: Setting) -> None:
    """The key files and consortium.toml."""
    consortium = Consortium(
        name="reliability",
        version=1,
        members=tuple(_new_member(folder, place) for place in range(setting.banks)),
        coordinator=None if setting.is_mesh else _new_member(folder, None),
        protocol=setting.protocol,
        variant=setting.variant,
        colluding=setting.colluding,
        losses=setting.losses,
        max_weight=1,
        training={"model": "naming"},
        rounds_per_epoch=setting.rounds_per_epoch,
    )
    folder.consortium.write_text(dump_consortium(consortium), encoding="utf-8")


def write_coordinator(folder: Folder, policy: Policy) -> None:
    config = CoordinatorConfig(folder.consortium, folder.key(None), folder.payload(None), policy=policy)
    folder.file(None).write_text(dump_coordinator(config, folder.path), encoding="utf-8")


def party_config(
    folder: Folder, setting: Setting, place: int, where: Address | MeshConfig, patience: float = SEEKING
) -> PartyConfig:
    """patience: seconds for which it looks for the others."""
    return PartyConfig(
        consortium=folder.consortium,
        identity=folder.key(place),
        payload=folder.payload(place),
        address=where if isinstance(where, Address) else None,
        mesh=where if isinstance(where, MeshConfig) else None,
        terms=PartyTerms(max_colluding=setting.colluding, variant=setting.variant),
        patience=patience,
    )


def write_party(folder: Folder, setting: Setting, place: int, where: Address | MeshConfig) -> None:
    config = party_config(folder, setting, place, where)
    folder.file(place).write_text(dump_party(config, folder.path), encoding="utf-8")


def mesh_place(setting: Setting, own: Address, peers: Mapping[int, Address]) -> MeshConfig:
    """peers: where this member calls those before it."""
    return MeshConfig(own, {card_name(place): address for place, address in peers.items()}, soak_policy(setting))


def card_name(place: int | None) -> str:
    return COORDINATOR if place is None else f"bank-{place}"


def _new_member(folder: Folder, place: int | None) -> Card:
    keys = Keys.generate(SystemRandomness())
    write_keys(folder.key(place), keys)
    return Card.issue(card_name(place), keys.identity, new_root(card_name(place), keys.tls_root))
