"""Secrets do not print: no class shows one of its fields that may hold one, and what holds one redacts itself.

Every class of the five packages is looked at. A dataclass is filled with marks and asked for its `repr`: a field that
may hold a secret, by its name and its type, must not come back. Of each class that writes its own text there is a real
one here, with what it must not show. What whole sessions tell is in `test_secrets_told.py`.
"""

import base64
import pkgutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from enum import Enum
from functools import cache
from importlib import import_module
from inspect import isabstract, isclass
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import numpy as np
import pandas as pd
import pytest
from secret_forms import forms

from fl_integration.schema import Table
from mpc import keys
from mpc.field import M31
from mpc.prg import Seed
from mpc.randomness import SeededRandomness, SystemRandomness
from mpc.shamir import Corrected, Decoded
from net.config import Address
from net.tls import Leaf, RootSecret, issue_leaf, new_root
from protocols.ledger import SmallChange, SummedAgain
from veilsum.ceremony.checks import Finding

pytestmark = pytest.mark.slow  # some modules import whole frameworks

PACKAGES = ("mpc", "protocols", "net", "fl_integration", "veilsum")
OPTIONAL = frozenset({"torch", "flwr", "nvflare"})
"""What some modules are for. Where one is not installed they cannot be looked at."""

SECRET_WORDS = frozenset(
    word
    for line in (
        "seed secret private key share mask masked vector input snapshot state message piece bundle residual update",
        "tensor row label sum value answer total weight metric nonce word frame table feature held",
    )
    for word in line.split(" ")
)
PRINTS_ITSELF = (bytes, int, float, np.ndarray, pd.DataFrame)
"""Whatever else a field holds has a `repr` of its own, and is looked at as well."""

SHOWN: Mapping[str, frozenset[str]] = {
    reason: frozenset(names.split())
    for reason, names in {
        "public halves of keys": """
            committee.messages.AdvertiseKey.channel_key committee.messages.Contribution.ephemeral_key
            committee.messages.Delivery.ephemeral_key epoch.epochs.MemberKeys.channel_key
            epoch.epochs.MemberKeys.mask_keys epoch.epochs.PeerKeys.mask_keys epoch.messages.AdvertiseKeys.channel_key
            epoch.messages.AdvertiseKeys.mask_keys lightsecagg.messages.AdvertiseKey.channel_key
            mesh.messages.Hello.channel_key protocols.messages.AdvertiseKeys.channel_key
            protocols.messages.AdvertiseKeys.mask_key
        """,
        "digests: a ledger's name for a step, the hash of what is sealed": """
            ledger.RevealedSum.key standing.Standing.key mesh.snapshots.PeerRecord.key secagg.proofs.Opening.bundle
            secagg.vouching.Dealing.bundles
        """,
        "sealed": """
            protocols.messages.ShareKeys.bundles protocols.messages.DeliverShares.bundles
            epoch.messages.ShareKeys.bundles
        """,
        "what the sum says, for all who were in it": """
            aggregation.Mean.metrics aggregation.Mean.total_weight aggregation.Mean.update means.Facts.metrics
            means.Facts.total_weight rounds.RoundReport.metrics rounds.RoundReport.total_weight step.Summed.metrics
            step.Summed.total_weight parts.Decoded.metrics parts.Decoded.total_weight
        """,
        "the model that all train": "workload.State.tensors",
        "agreed on, in a configuration or an invitation": """
            plan.Plan.max_weight plan.Plan.metrics plan.Plan.rows_per_unit rounds.SecureMean.max_weight
            rounds.SecureMean.metrics torch_models.Descent.weight_decay training.TrainingConfig.rows_per_unit
            training.TrainingConfig.seed plain.Encoding.max_weight randk.RandK.seed rotation.Rotation.seed
            sketch.CountSketch.rows sketch.CountSketch.seed roster.Consortium.max_weight session.SessionParams.nonce
            packed.Packing.shares options.Options.seed
        """,
        "of classes that redact themselves": """
            hall.Said.message machine.Envelope.message kept.KeptClient.state
        """,
        "counts": """
            field._Layout.words events.PartyEvent.total bench.epochs.Cost.messages result.Scored.rows
        """,
    }.items()
}
"""Fields that have the word and no secret, and why."""


@cache
def classes() -> tuple[type, ...]:
    found = {
        one
        for package in PACKAGES
        for module in modules_of(package)
        for one in vars(module).values()
        if isclass(one) and one.__module__ == module.__name__
    }
    return tuple(sorted(found, key=name_of))


def modules_of(package: str) -> Iterator[Any]:
    top = import_module(package)
    yield top
    for found in pkgutil.walk_packages(top.__path__, f"{package}."):
        try:
            yield import_module(found.name)
        except ModuleNotFoundError as exc:
            if (exc.name or "").partition(".")[0] not in OPTIONAL:
                raise


def name_of(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def writes_its_own(cls: type) -> bool:
    """Whether its text is made by hand, by itself or by a class of ours that it comes from."""
    ours = [one for one in cls.__mro__ if one.__module__.partition(".")[0] in PACKAGES]
    made = [vars(one)[name] for one in ours for name in ("__repr__", "__str__") if name in vars(one)]
    return not issubclass(cls, Enum) and any(not hasattr(one, "__wrapped__") for one in made)


# By their fields


class Mark:
    """Stands in a field, and prints as its name."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return f"<mark {self._name}>"


def shown(cls: Any) -> set[str]:
    """The fields of a dataclass that its `repr` shows."""
    marked = object.__new__(cls)
    for one in fields(cls):
        object.__setattr__(marked, one.name, Mark(one.name))
    text = repr(marked)
    return {one.name for one in fields(cls) if f"<mark {one.name}>" in text}


def prints_itself(annotation: Any) -> bool:
    """Whether something of this type, or in it, does."""
    if annotation is Any:
        return True
    plain = annotation.__origin__ if get_origin(annotation) is Annotated else annotation
    container = get_origin(plain)
    if container in (Union, UnionType) or (isclass(container) and issubclass(container, Mapping | tuple | list | set)):
        return any(prints_itself(part) for part in get_args(plain))
    return isclass(container or plain) and issubclass(container or plain, PRINTS_ITSELF)


def words(name: str) -> set[str]:
    parts = set(name.split("_"))
    return parts | {part.removesuffix("s") for part in parts}


def leaks(cls: Any) -> set[str]:
    types = {one.name: one.type for one in fields(cls)}
    return {name for name in shown(cls) if words(name) & SECRET_WORDS and prints_itself(types[name])}


def printed_by_their_fields() -> list[Any]:
    return [cls for cls in classes() if is_dataclass(cls) and not writes_its_own(cls) and not isabstract(cls)]


def reason_for(leak: str) -> str | None:
    return next((reason for reason, names in SHOWN.items() for name in names if f".{leak}".endswith(f".{name}")), None)


def test_no_dataclass_shows_a_field_that_may_hold_a_secret() -> None:
    looked_at = printed_by_their_fields()
    found = {f"{name_of(cls)}.{name}" for cls in looked_at for name in leaks(cls)}
    assert len(looked_at) > 300
    assert {leak for leak in found if reason_for(leak) is None} == set()
    listed = {name for names in SHOWN.values() for name in names}  # and nothing is listed that is not shown
    assert {name for name in listed if not any(f".{leak}".endswith(f".{name}") for leak in found)} == set()


@dataclass(frozen=True, slots=True)
class Leaking:
    """What the test above is there to find."""

    mask_share: bytes
    inputs: Mapping[int, tuple[np.ndarray, ...]]
    snapshot: Annotated[bytes, "of 32"] | None
    hidden_key: bytes = field(repr=False)
    seed: Seed
    members: frozenset[int]


def test_a_class_that_leaks_is_found_by_each_field_that_does() -> None:
    assert leaks(Leaking) == {"mask_share", "inputs", "snapshot"}


# By their own hand

RAW = bytes(range(0x61, 0x81))  # 32 bytes of which most are letters: as they stand they would be read at once


def leaf_of(secret: RootSecret) -> Leaf:
    return issue_leaf(new_root("bank", secret), secret, name="bank")


def examples() -> Iterator[tuple[object, set[bytes]]]:
    """An object of each class that writes its own text, and the secrets in it."""
    for kind in (keys._Secret, keys.AgreementSecret, keys.SigningKey, keys.ChannelKey, keys.StorageKey):
        yield kind(RAW), {RAW}
    yield Seed(RAW), {RAW}
    yield RootSecret(RAW), {RAW}
    leaf = leaf_of(RootSecret(RAW))
    yield leaf, {RAW, leaf.key.private_bytes_raw()}
    seeded = SeededRandomness(RAW)
    yield seeded, {RAW, seeded._key, SeededRandomness(RAW).bytes(32)}
    limbs = np.frombuffer(RAW, dtype=np.uint32) % M31.modulus
    secrets = {RAW, limbs.tobytes()}
    yield Corrected(limbs, frozenset({3})), secrets
    yield Decoded((1, 2), limbs[None], np.zeros((2, len(limbs)), dtype=bool), np.zeros(len(limbs), dtype=bool)), secrets
    cells = np.frombuffer(RAW, dtype=np.float32)[None]
    yield Table(cells, np.array([1], dtype=np.uint8)), {RAW}


PUBLIC = frozenset({keys.AgreementKey, keys.VerifyKey, SystemRandomness, Address, SmallChange, SummedAgain, Finding})
"""Classes that write their own text and hold no secret."""


def all_forms(secret: bytes) -> set[str]:
    """All that a secret may look like in a text, also as a part of an array."""
    arrays = [np.frombuffer(secret[: len(secret) // 4 * 4], dtype=kind) for kind in (np.uint32, np.float32)]
    elements = {repr(one.tolist()[:4])[1:-1] for one in arrays} | {str(one[0]) for one in arrays}
    others = {secret.hex(" "), secret.decode("latin-1"), base64.urlsafe_b64encode(secret).decode().rstrip("=")}
    return forms(secret) | elements | others


def test_every_class_that_writes_its_own_text_has_an_example() -> None:
    assert {cls for cls in classes() if writes_its_own(cls)} == {type(one) for one, _ in examples()} | PUBLIC


@pytest.mark.parametrize("at", range(len(list(examples()))))
def test_what_holds_a_secret_redacts_itself(at: int) -> None:
    example, secrets = list(examples())[at]
    for text in (repr(example), str(example), f"{example}", repr([example]), repr({"of": example})):
        for secret in secrets:
            assert not any(form in text for form in all_forms(secret)), text
            assert secret[:8].hex() not in text
            assert repr(secret[:8])[2:-1] not in text
    assert type(example).__name__ in repr(example)


@pytest.mark.parametrize(
    "told",
    [
        RAW, bytearray(RAW), RAW.hex(), RAW.hex().upper(), base64.b64encode(RAW), list(RAW), int.from_bytes(RAW, "big"),
        np.frombuffer(RAW, dtype=np.uint32), np.frombuffer(RAW, dtype=np.float32),
    ],
    ids=str,
)  # fmt: skip
def test_a_text_that_shows_a_secret_in_some_form_is_seen(told: object) -> None:
    assert any(form in repr({"key": told}) for form in all_forms(RAW))


def test_what_a_field_of_a_class_that_redacts_itself_holds_stays_out_of_the_whole() -> None:
    leaking = Leaking(b"", {}, None, RAW, Seed(RAW), frozenset({1}))
    assert "secret bytes" in repr(leaking)
    assert not any(form in repr(leaking) for form in all_forms(RAW))
