"""Any bytes where a file should be -> what the file says, or the one error that its reader names for people."""

import io
import json
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path, PurePosixPath
from tempfile import mkdtemp
from typing import Any

import numpy as np
from fuzz_mutations import JSON, TOML, of_trees
from fuzz_target import Target, require

from fl_integration import layout
from fl_integration.feedback import ErrorFeedback
from fl_integration.layout import PayloadError, dump_payload, load_payload
from fl_integration.means import Facts, Means, MeanWorkload
from fl_integration.plan import PlanError
from fl_integration.schema import SchemaError
from fl_integration.training import TrainingConfig, TrainingError
from fl_integration.workload import TabularWorkload, initial_payload
from mpc.encoding import EncodingError
from mpc.randomness import SeededRandomness
from net import config
from net.errors import ConfigError, KeyFileError
from net.policy import Policy, RoundPolicy
from net.store import Keys, read_keys, write_keys
from net.tls import new_root
from protocols.roster import Card, Consortium
from protocols.session import Variant
from simulations.plain import ScenarioError
from simulations.scenario import Scenario
from simulations.sweep import read_sweep
from veilsum.ceremony.mean_section import load_mean_section
from veilsum.ceremony.model_section import load_model_section
from veilsum.ceremony.plan_section import load_plan_section
from veilsum.errors import Fault

_rand = SeededRandomness(b"fuzzed files")


class InMemory(PurePosixPath):
    """A path to a file whose bytes are here."""

    data: bytes = b""

    def read_bytes(self) -> bytes:
        return self.data

    @classmethod
    def of(cls, data: bytes, name: str = "/files/some.toml") -> Any:
        path = cls(name)
        path.data = data
        return path


# Files of a consortium, and of a process


def tables(data: bytes) -> None:
    """The first byte chooses the reader. A TOML file -> what it says, or the reader's own error."""
    read, _, errors = _READERS[(data[0] if data else 0) % len(_READERS)]
    try:
        read(InMemory.of(data[1:]))
    except errors as exc:
        require(str(exc).strip(), "an error that says nothing")


def _read_training(path: Any) -> None:
    """What stands under [training] in a consortium's file, by whoever runs it."""
    training = config.load_consortium(path).training
    if training.get("kind"):
        MeanWorkload(Means.from_mapping(training, max_weight=16), 5)
    else:
        TrainingConfig.from_mapping(training)


def _read_plan(path: Any) -> None:
    load_plan_section(path, max_weight=16)


_FOR_PEOPLE = (ConfigError, TrainingError, SchemaError, PlanError, EncodingError)


def keys_of(name: str) -> Keys:
    return Keys.generate(_rand.child(name))


@cache
def _card(name: str) -> Card:
    keys = keys_of(name)
    return Card.issue(name, keys.identity, new_root(name, keys.tls_root))


def training_of(**changes: Any) -> dict[str, Any]:
    schema = {"amount": {"range": [0.0, 500.0]}, "country": {"categories": ["de", "fr"]}}
    known = {"model": "linear", "rounds": 2, "epochs": 1, "learning_rate": 0.1, "clip": 2.0, "label": "fraud"}
    return {**known, "schema": schema, **changes}


def means_of() -> dict[str, Any]:
    tensors = {"w": {"shape": [2, 3], "dtype": "f4"}, "steps": {"shape": [], "dtype": "i8"}}
    return {"kind": "mean", "rounds": 2, "clip": 1.0, "bits": 16, "metrics": {"loss": [0.0, 4.0]}, "tensors": tensors}


def consortium_of(training: dict[str, Any]) -> Consortium:
    unsigned = Consortium(
        name="five", version=1, members=tuple(_card(f"bank-{place}") for place in range(5)), protocol="secagg",
        coordinator=_card("coordinator"), variant=Variant.ACTIVE, colluding=1, losses=1, max_weight=16,
        training=training,
    )  # fmt: skip
    return unsigned.signed(keys_of("bank-1").identity)


def _policy() -> Policy:
    return Policy(RoundPolicy(30.0, hoped_for=4), {"masked-input": RoundPolicy(60.0, quantile=0.9, stretch=2.0)})


def _own_files() -> dict[str, str]:
    folder, here = Path("/files"), Path("/files/some")
    terms, address = config.PartyTerms(1, cohort=4, strict=True), config.Address("127.0.0.1", 7000)
    mesh = config.MeshConfig(address, {"bank-1": address}, _policy())
    coordinated = config.PartyConfig(here, here, here, terms, address, data=here, label="fraud", positive="1")
    return {
        "coordinator": config.dump_coordinator(config.CoordinatorConfig(here, here, here, address, _policy()), folder),
        "party": config.dump_party(coordinated, folder),
        "peer": config.dump_party(config.PartyConfig(here, here, here, terms, mesh=mesh), folder),
        "node": config.dump_node(config.NodeConfig(here, here, here, terms), folder),
        "server": config.dump_server(config.ServerConfig(here, here, _policy()), folder),
    }


_SCENARIO = """\
parties = 8
seed = 3
dropout = { kind = "by-device", share = { phone = 0.1 } }
faults = [{ kind = "vanish", party = 2, stage = "confirm" }]
[network]
latency = 0.05
[[devices]]
name = "phone"
share = 2.0
[policy.default]
patience = 30.0
[sweep]
grid = { parties = [5, 6], "network.latency" = [0.1] }
"""

_MODEL = '[model]\nlabel = "a"\npositive = "1"\n[model.columns.b]\nrange = [0, 1]\n'
_MEAN = '[training]\nkind = "mean"\nrounds = 2\ntensors = { w = { shape = [2], dtype = "f4" } }\n'
_PLAN = "clip = 1.0\nbits = 8\nkeep = 0.5\nmetrics = { loss = [0, 4] }\n"


def _consortiums() -> list[str]:
    return [config.dump_consortium(consortium_of(each)) for each in (training_of(), means_of())]


Reader = tuple[Callable[[Any], Any], Callable[[], Sequence[str]], type[Exception] | tuple[type[Exception], ...]]

_READERS: tuple[Reader, ...] = (
    (config.load_card, lambda: [config.dump_card(_card("bank-1"))], ConfigError),
    (config.load_consortium, lambda: _consortiums()[:1], ConfigError),
    (_read_training, lambda: _consortiums(), _FOR_PEOPLE),
    (config.load_coordinator, lambda: [_own_files()["coordinator"]], ConfigError),
    (config.load_party, lambda: [_own_files()["party"], _own_files()["peer"]], ConfigError),
    (config.load_node, lambda: [_own_files()["node"]], ConfigError),
    (config.load_server, lambda: [_own_files()["server"]], ConfigError),
    (Scenario.load, lambda: [_SCENARIO.partition("[sweep]")[0]], ScenarioError),
    (read_sweep, lambda: [_SCENARIO], ScenarioError),
    (load_model_section, lambda: [_MODEL], Fault),
    (load_mean_section, lambda: [_MEAN], Fault),
    (_read_plan, lambda: [_PLAN], Fault),
)  # fmt: skip


def _table_seeds() -> list[bytes]:
    return [bytes([place]) + text.encode() for place, (_, texts, _) in enumerate(_READERS) for text in texts()]


# Keys


def key_files(data: bytes) -> None:
    """A key file of any bytes -> both keys, or KeyFileError. Neither text holds a byte of them."""
    path = _scratch()
    path.write_bytes(data)
    try:
        keys = read_keys(path)
    except KeyFileError as exc:
        require(not _tells(str(exc), data), "an error that shows what stands in a key file")
    else:
        require(keys.identity.raw.hex() not in repr(keys), "keys that print")


def _tells(text: str, data: bytes) -> bool:
    """Whether sixteen bytes of the file stand in the text."""
    shown = data.decode("ascii", "replace")
    return any(shown[at : at + 16] in text for at in range(len(shown) - 15) if shown[at : at + 16].isalnum())


@cache
def _scratch() -> Path:
    path = Path(mkdtemp(prefix="fuzzed-")) / "bank.key"
    write_keys(path, keys_of("bank-1"))
    return path


# Payloads: what a coordinator sends, and what lies on disk


@cache
def _means_workload() -> MeanWorkload:
    return MeanWorkload(Means.from_mapping(means_of(), max_weight=16), 5)


@cache
def _tabular_workload() -> TabularWorkload:
    return TabularWorkload(training_of(), 5, 16, None, _rand.child("workload"))


def payloads(data: bytes) -> None:
    """Bytes that a coordinator sends for a model -> the canonical payload that they are, or PayloadError; of each kind
    of training: a step of it, or ValueError, which a party takes for a payload that is none."""
    try:
        tensors, meta = load_payload(data)
    except PayloadError:
        return
    require(dump_payload(tensors, meta) == data, "a payload with a second form")
    for workload in (_means_workload(), _tabular_workload()):
        try:
            workload.fl_round(data), workload.finished(data), workload.spec(data)
        except PayloadError:
            continue
    try:
        require(ErrorFeedback.from_bytes(data).to_bytes() == data, "a residual with a second form")
    except PayloadError:
        return


@cache
def mean_payloads() -> tuple[bytes, ...]:
    """The first, one that a sum led to, and the last."""
    means = Means.from_mapping(means_of(), max_weight=16)
    first = means.load(means.initial())
    facts = Facts((0, 1, 3), 9, 0, {"loss": 0.5})
    return first.dump(), *(replace(first, fl_round=step, facts=facts).dump() for step in (2, 3))


def _payload_seeds() -> list[bytes]:
    odd = {"a": np.zeros((0, 3), "f2"), "b": np.array(True), "c": np.arange(3, dtype="u1")}
    return [
        *mean_payloads(),
        initial_payload(training_of()),
        ErrorFeedback.none(5).to_bytes(),
        dump_payload(odd, {"x": [1.5, None]}),
    ]


def metas(data: bytes) -> None:
    """The first byte chooses tensors, the rest is the JSON beside them: a step of a training, or PayloadError."""
    chosen = _payload_seeds()[(data[0] if data else 0) % 4]
    tensors, _ = load_payload(chosen)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        layout._write(archive, layout.META, np.frombuffer(data[1:], dtype=np.uint8))
        for name, tensor in tensors.items():
            layout._write(archive, name, tensor)
    payloads(buffer.getvalue())


def _meta_seeds() -> list[bytes]:
    seeds = []
    for place, payload in enumerate(_payload_seeds()[:4]):
        _, meta = load_payload(payload)
        seeds.append(bytes([place]) + json.dumps(meta, sort_keys=True, separators=(",", ":")).encode())
    return seeds


_TOML_WORDS = (
    b"0x" + b"f" * 4000, b"9" * 400, b"-1", b"0", b"nan", b"inf", b"-inf", b"1e999", b"true", b'""', b"[]", b"{}",
    b"1979-05-27", b'"\\u0000"', b"[" * 1500, b"=", b"\n[", b"]\n", b'"a"', b"[[member]]\n", b"\xff", b"'", b"\r",
)  # fmt: skip
_JSON_WORDS = (b"[" * 2000, b"9" * 400, b"-1", b"1e999", b"NaN", b"[]", b"{}", b"null", b'"\\ud800"', b"0.1", b"true")

TARGETS = (
    Target(
        "file-tables", tables, _table_seeds, 400, words=_TOML_WORDS, mutate=of_trees(_table_seeds(), TOML, behind=1)
    ),
    Target("file-keys", key_files, lambda: [_scratch().read_bytes()], 100, words=_TOML_WORDS),
    Target("file-payloads", payloads, _payload_seeds, 500),
    Target("file-metas", metas, _meta_seeds, 20, words=_JSON_WORDS, mutate=of_trees(_meta_seeds(), JSON, behind=1)),
)
