"""The demo's consortium on disk: fresh identities, the public file of all, each process's own file and table."""

import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import pandas as pd

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
from net.policy import Policy, RoundPolicy
from net.store import Keys, write_keys
from net.tls import new_root
from protocols.roster import Card, Consortium
from veilsum.demo.plan import Plan
from veilsum.errors import WrongUsage

MAX_WEIGHT = 16
PATIENCE = 60.0  # seconds: for machines that are busy with it all
GRACE = 1.0  # seconds that a round waits for a bank that is killed: it might come back
COORDINATOR = "coordinator"
LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Workplace:
    """Where everything of one demo lies."""

    folder: Path

    @property
    def consortium(self) -> Path:
        return self.folder / "consortium.toml"

    @property
    def coordinator(self) -> Path:
        return self.folder / "coordinator.toml"

    @property
    def held_out(self) -> Path:
        return self.folder / "held-out.csv"

    def party(self, bank: str) -> Path:
        return self.folder / bank / "party.toml"

    def table(self, bank: str) -> Path:
        return self.folder / bank / "data.csv"

    def log(self, name: str) -> Path:
        return self.folder / f"{name}.log" if name == COORDINATOR else self.folder / name / f"{name}.log"


def open_workplace(folder: Path) -> Workplace:
    """Raises WrongUsage unless the folder can be made or is empty: nobody's files are written over."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        taken = any(folder.iterdir())
    except OSError as exc:
        raise WrongUsage(f"--out {folder}: {exc.strerror}: name a new folder") from exc
    if taken:
        raise WrongUsage(f"--out {folder}: there are files in it already: name a new folder")
    return Workplace(folder)


def write_tables(place: Workplace, plan: Plan, tables: Sequence[pd.DataFrame], held_out: pd.DataFrame) -> None:
    for bank, table in zip(plan.banks, tables, strict=True):
        place.party(bank).parent.mkdir(mode=0o700)
        table.to_csv(place.table(bank), index=False)
    held_out.to_csv(place.held_out, index=False)


def write_consortium(place: Workplace, plan: Plan, training: Mapping[str, Any]) -> None:
    """The key files and consortium.toml."""
    coordinator = _new_member(COORDINATOR, place.folder / "coordinator.key") if plan.has_coordinator else None
    members = tuple(_new_member(bank, place.party(bank).with_name("identity.key")) for bank in plan.banks)
    consortium = Consortium(
        name="demo",
        version=1,
        members=members,
        coordinator=coordinator,
        protocol=plan.family.name,
        variant=plan.variant,
        colluding=plan.colluding,
        losses=plan.losses,
        max_weight=MAX_WEIGHT,
        training=training,
        rounds_per_epoch=plan.options.rounds_per_epoch,
    )
    place.consortium.write_text(dump_consortium(consortium), encoding="utf-8")


def write_coordinator(place: Workplace, listen: Address) -> None:
    """coordinator.toml. First with port 0; again with the port that the system chose, for whoever runs it by hand."""
    config = CoordinatorConfig(
        consortium=place.consortium,
        identity=place.folder / "coordinator.key",
        payload=place.folder / "model.npz",
        listen=listen,
        policy=Policy(RoundPolicy(PATIENCE), grace=GRACE),
    )
    place.coordinator.write_text(dump_coordinator(config, place.folder), encoding="utf-8")


def write_party(place: Workplace, plan: Plan, bank: str, where: Address | MeshConfig, label: str) -> None:
    """bank's party.toml, once it is known where the coordinator listens, or each of the banks."""
    folder = place.party(bank).parent
    config = PartyConfig(
        consortium=place.consortium,
        identity=folder / "identity.key",
        payload=folder / "model.npz",
        address=where if isinstance(where, Address) else None,
        mesh=where if isinstance(where, MeshConfig) else None,
        data=place.table(bank),
        label=label,
        terms=PartyTerms(max_colluding=plan.colluding, variant=plan.variant),
        patience=PATIENCE,
    )
    place.party(bank).write_text(dump_party(config, folder), encoding="utf-8")


def mesh_places(banks: Sequence[str]) -> Mapping[str, MeshConfig]:
    """Where each bank of a mesh listens, and finds the others."""
    addresses = dict(zip(banks, free_addresses(len(banks)), strict=True))
    return {
        bank: MeshConfig(
            addresses[bank],
            {other: address for other, address in addresses.items() if other != bank},
            Policy(RoundPolicy(PATIENCE)),
        )
        for bank in banks
    }


def free_addresses(count: int) -> list[Address]:
    """Where nobody listens now: below the ports that the system gives to outgoing connections, from one on that is
    another in each process."""
    first, span = 10_000, 20_000
    candidates = (first + (os.getpid() * 64 + offset) % span for offset in range(span))
    return list(islice((Address(LOOPBACK, port) for port in candidates if _is_free(port)), count))


def _is_free(port: int) -> bool:
    try:
        with socket.create_server((LOOPBACK, port)):
            return True
    except OSError:
        return False


def _new_member(name: str, path: Path) -> Card:
    """A fresh identity and TLS root, kept in `path`."""
    keys = Keys.generate(SystemRandomness())
    write_keys(path, keys)
    return Card.issue(name, keys.identity, new_root(name, keys.tls_root))
