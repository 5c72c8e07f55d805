"""One client's whole work in a session, from the bytes that it hears to the bytes that it says, over its primitives."""

from dataclasses import dataclass
from functools import partial
from typing import Any

from mpc import shamir
from mpc.field import M31
from mpc.keys import AgreementSecret
from mpc.randomness import SeededRandomness
from mpc.sealing import seal
from protocols.errors import SERVER, PartyId
from protocols.messages import (
    CODEC,
    AdvertiseKeys,
    DeliverShares,
    Invitation,
    Message,
    Roster,
    Survivors,
    UnmaskRequest,
)
from protocols.secagg import Client, bindings
from protocols.secagg.shares import pack_shares
from protocols.session import Variant
from veilsum.bench import floors
from veilsum.bench.measuring import Scale, Work, compare, rounded
from veilsum.bench.sessions import Setting

ME = PartyId(0)


@dataclass(slots=True)
class Hearing:
    """A client and what it hears, in order. It is seeded, so it answers the same bytes in every run."""

    setting: Setting
    heard: list[bytes]

    @classmethod
    def of(cls, parties: int, elements: int, variant: Variant) -> "Hearing":
        """Everybody stays to the end."""
        hearing = cls(Setting.of(parties, elements, variant), [])
        others = _Others(hearing.setting)
        client = hearing.client()
        own = hearing.tell(client, Invitation(hearing.setting.params))
        assert isinstance(own, AdvertiseKeys)
        hearing.tell(client, others.roster(own))
        client.set_input(hearing.setting.params.spec.field.zeros(elements))
        hearing.tell(client, others.deliver())
        hearing.tell(client, others.survivors())
        if variant is Variant.ACTIVE:
            hearing.tell(client, others.request())
        return hearing

    def client(self) -> Client:
        return Client(
            ME,
            identity=self.setting.identities[ME],
            terms=self.setting.terms,
            rand=SeededRandomness(b"client"),
        )

    def tell(self, client: Client, message: Message) -> Message:
        data = CODEC.encode(message)
        self.heard.append(data)
        (answer,) = client.receive(SERVER, CODEC.decode(data))
        said: Message = answer.message
        return said

    def work(self) -> None:
        client, spec = self.client(), self.setting.params.spec
        client.set_input(spec.field.zeros(spec.length))
        for data in self.heard:
            for answer in client.receive(SERVER, CODEC.decode(data)):
                CODEC.encode(answer.message)


class _Others:
    """The server and the other parties, as far as one client meets them."""

    def __init__(self, setting: Setting) -> None:
        self._setting, self._params = setting, setting.params
        self._active = self._params.variant is Variant.ACTIVE
        self._rand = SeededRandomness(b"others")
        self._everybody = frozenset(setting.members)
        self._channels = {peer: AgreementSecret.generate(self._rand) for peer in sorted(self._everybody - {ME})}
        self._own: AdvertiseKeys
        self._session = self._shared = b""

    def roster(self, own: AdvertiseKeys) -> Roster:
        self._own = own
        entries = (own, *(self._entry(peer, secret.public.raw) for peer, secret in self._channels.items()))
        self._session = bindings.session_digest(self._params, entries)
        return Roster(entries, self._signed(bindings.sign_roster, SERVER, self._session))

    def _entry(self, peer: PartyId, channel_key: bytes) -> AdvertiseKeys:
        mask_key = AgreementSecret.generate(self._rand).public.raw
        signature = self._signed(bindings.sign_keys, peer, self._params.digest, peer, channel_key, mask_key)
        return AdvertiseKeys(peer, channel_key, mask_key, signature)

    def deliver(self) -> DeliverShares:
        both = b"".join(pack_shares(M31.uniform(2 * shamir.LIMBS, self._rand).reshape(2, -1)))
        bundles = {peer: self._sealed(peer, secret, both) for peer, secret in self._channels.items()}
        self._shared = bindings.shared_digest(self._session, self._everybody)
        return DeliverShares(self._everybody, bundles, self._signed(bindings.sign_u2, SERVER, self._shared))

    def _sealed(self, peer: PartyId, secret: AgreementSecret, both: bytes) -> bytes:
        pair = bindings.channel(self._session, peer, secret, self._own)
        return seal(bindings.sealing_key(pair, self._session, peer, ME), both, self._session, peer, ME)

    def survivors(self) -> Survivors:
        signature = self._signed(bindings.sign_survivors, SERVER, self._shared, self._everybody)
        return Survivors(self._everybody, signature)

    def request(self) -> UnmaskRequest:
        quorum = sorted(self._everybody)[: self._params.threshold_for(len(self._everybody))]
        signatures = {
            peer: self._signed(bindings.sign_confirmation, peer, self._shared, self._everybody) for peer in quorum
        }
        return UnmaskRequest(signatures)

    def _signed(self, sign: Any, party: PartyId, *parts: Any) -> bytes:
        signature: bytes = sign(self._setting.identities[party], *parts) if self._active else b""
        return signature


def measure(scale: Scale) -> list[dict[str, Any]]:
    """1000 parties on a complete graph, 100,000 elements (quick: 100 and 20,000)."""
    parties, elements = (100, 20_000) if scale.quick else (1000, 100_000)
    return [_row(parties, elements, variant, scale) for variant in (Variant.ACTIVE, Variant.CURIOUS)]


def _row(parties: int, elements: int, variant: Variant, scale: Scale) -> dict[str, Any]:
    hearing = Hearing.of(parties, elements, variant)
    params, degree = hearing.setting.params, parties - 1
    signatures = degree + params.threshold_for(parties) if variant is Variant.ACTIVE else 0
    found = compare(hearing.work, primitives(degree, elements, signatures), scale.times)
    return {
        "n": parties,
        "m": elements,
        "degree": degree,
        "variant": variant.value,
        "seconds": rounded(found.seconds),
        "floor_seconds": rounded(found.floor_seconds),
        "ratio": rounded(found.ratio),
    }


def primitives(degree: int, elements: int, signatures: int) -> Work:
    """2 k agreements, 3 k key derivations, k + 1 masks of 4 bytes an element, and the signatures checked."""
    parts: list[Work] = [
        floors.agreements(2 * degree),
        floors.derivations(3 * degree),
        partial(floors.aes, (degree + 1) * elements * 4),
        floors.checks(signatures),
    ]

    def work() -> None:
        for part in parts:
            part()

    return work
