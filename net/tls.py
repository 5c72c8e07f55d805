"""Mutual TLS 1.3 between pinned roots; after the handshake, who the other side is. [PROTOCOLS rule 15]

Python's ssl has no verify callback, so a certificate that the peer does not hold yet cannot be accepted by looking at
it. Therefore the pin is a root (CA:TRUE, path length 0, years) that stands in a card which the identity signed. At each
start a process issues itself a leaf with a fresh key, for days. The trust store holds the pins and nothing else, and a
peer is *the pin whose key signed its leaf*: what the leaf says about itself is never read.
"""

import hmac
import logging
import re
import ssl
from collections.abc import Mapping, Sequence
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import trio
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from mpc.keys import VerifyKey
from mpc.randomness import Randomness, SystemRandomness
from net.errors import TlsError
from protocols.roster import Card

ROOT_LIFE: Final = timedelta(days=3650)
LEAF_LIFE: Final = timedelta(days=7)
LEAF_RENEWAL: Final = timedelta(minutes=10)  # so often that the start of a leaf tells what its owner's clock says
SKEW: Final = timedelta(hours=1)  # clocks further apart than this are refused at the hello as well
SECRET_BYTES: Final = 32

# what cryptography raises for a certificate that it cannot read, or whose signature it cannot check or finds wrong
_UNUSABLE: Final = (
    ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm, x509.InvalidVersion, x509.DuplicateExtension,
    x509.ExtensionNotFound, x509.UnsupportedGeneralNameType,
)  # fmt: skip

log = logging.getLogger("veilsum.tls")


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class RootSecret:
    """The Ed25519 key of a TLS root: 32 secret bytes. It signs leaves and nothing else."""

    raw: bytes
    _key: Ed25519PrivateKey = field(init=False)

    def __post_init__(self) -> None:
        if len(self.raw) != SECRET_BYTES:
            raise TlsError(f"the key of a TLS root is {SECRET_BYTES} bytes")
        object.__setattr__(self, "_key", Ed25519PrivateKey.from_private_bytes(self.raw))

    def __repr__(self) -> str:
        return f"RootSecret(<{SECRET_BYTES} secret bytes>)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RootSecret) and hmac.compare_digest(self.raw, other.raw)

    @classmethod
    def generate(cls, rand: Randomness) -> "RootSecret":
        return cls(rand.bytes(SECRET_BYTES))

    def belongs_to(self, root: bytes) -> bool:
        return load_root(root).public_key() == self._key.public_key()


def new_root(name: str, secret: RootSecret, *, now: datetime | None = None) -> bytes:
    """The DER certificate of a root named `name`: what the card carries and the others pin."""
    subject = _common_name(name)
    public = secret._key.public_key()
    builder = (
        _dated(x509.CertificateBuilder(), ROOT_LIFE, now)
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(public)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )
    return builder.sign(secret._key, None).public_bytes(Encoding.DER)


@dataclass(frozen=True, slots=True, repr=False)
class Leaf:
    """A certificate for one run of a process, and its key."""

    certificate: x509.Certificate
    key: Ed25519PrivateKey

    def __repr__(self) -> str:
        return f"Leaf({self.certificate.subject.rfc4514_string()}, <secret key>)"


def issue_leaf(root: bytes, secret: RootSecret, *, name: str, now: datetime | None = None) -> Leaf:
    """A leaf with a fresh key. `name` is there for people who look at a connection; no peer believes it."""
    issuer, key = load_root(root), Ed25519PrivateKey.generate()
    builder = (
        _dated(x509.CertificateBuilder(), LEAF_LIFE, now)
        .subject_name(_common_name(name))
        .issuer_name(issuer.subject)
        .public_key(key.public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(secret._key.public_key()), critical=False)
    )
    return Leaf(builder.sign(secret._key, None), key)


def load_root(der: bytes) -> x509.Certificate:
    """Raises TlsError unless these bytes are a certificate that may be a pin: a self-signed Ed25519 root that has not
    expired and vouches for leaves only."""
    try:
        root = x509.load_der_x509_certificate(der)
        root.verify_directly_issued_by(root)
        limits = root.extensions.get_extension_for_class(x509.BasicConstraints).value
        usage = root.extensions.get_extension_for_class(x509.KeyUsage).value
        key, _ = root.public_key(), root.subject
        end = root.not_valid_after_utc
    except _UNUSABLE as exc:
        raise TlsError("not a self-signed root certificate") from exc
    if not limits.ca or limits.path_length != 0 or not isinstance(key, Ed25519PublicKey):
        raise TlsError("a TLS root is an Ed25519 authority of path length 0")
    if not usage.key_cert_sign:
        raise TlsError("a TLS root may sign certificates, and this one may not")
    if end < datetime.now(UTC):
        raise TlsError(f"expired on {end:%Y-%m-%d}: a new card is needed, or the clock is wrong")
    return root


@dataclass(frozen=True, slots=True)
class Pins:
    """The roots that are trusted, by the name of the card that each stands in."""

    roots: Mapping[str, x509.Certificate]

    @classmethod
    def of(cls, cards: Sequence[Card]) -> "Pins":
        """Raises TlsError, naming the card: a root that cannot be a pin, named for somebody else, or with the key of
        another (then the key that signed a leaf would not say who made it)."""
        roots: dict[str, x509.Certificate] = {}
        for card in cards:
            try:
                root = load_root(card.tls_root)
            except TlsError as exc:
                raise TlsError(f"the TLS root of {card.name}: {exc}") from exc
            if root.subject != _common_name(card.name):
                raise TlsError(f"the TLS root of {card.name} is named for somebody else: ask {card.name} for its card")
            if any(root.public_key() == other.public_key() for other in roots.values()):
                raise TlsError(f"the TLS root of {card.name} has the key of another: ask {card.name} for its card")
            roots[card.name] = root
        return cls(roots)

    def who_signed(self, leaf_der: bytes) -> str:
        """The name of the card whose root signed this leaf. Raises TlsError when none did."""
        try:
            leaf = x509.load_der_x509_certificate(leaf_der)
            issuers = leaf.issuer.get_attributes_for_oid(NameOID.COMMON_NAME)
        except _UNUSABLE as exc:
            raise TlsError("the certificate of this peer is none that we can read") from exc
        for claimed in issuers:  # says whose key to try, no more
            name = str(claimed.value)
            with suppress(KeyError, *_UNUSABLE):
                leaf.verify_directly_issued_by(self.roots[name])
                return name
        raise TlsError("no pinned root signed the certificate of this peer")


class Endpoint:
    """One side of connections: its root, whom it pins, and a leaf that is renewed every few minutes.

    server: which side of the handshake. Raises TlsError when the secret is not that of the card's root, or no first
    leaf can be written.
    """

    def __init__(self, card: Card, secret: RootSecret, pins: Pins, *, server: bool) -> None:
        if not secret.belongs_to(card.tls_root):
            raise TlsError(f"the key file is not that of the card of {card.name}: its TLS root has another key")
        self._card = card
        self._secret = secret
        self._pins = pins
        self._side = ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT
        self._renew_after = datetime.now(UTC) + LEAF_RENEWAL
        try:
            self._context = self._new_context()
        except OSError as exc:
            raise TlsError(f"no TLS leaf can be written to the folder for temporary files: {exc.strerror}") from exc

    def context(self) -> ssl.SSLContext:
        """With a leaf of the last minutes; an older one, good for days, while no other can be had."""
        if (now := datetime.now(UTC)) > self._renew_after:
            self._renew_after = now + LEAF_RENEWAL
            try:
                self._context = self._new_context()
            except (OSError, TlsError) as exc:
                log.warning("the TLS leaf is not renewed, the last one stays: %s", exc)
        return self._context

    def _new_context(self) -> ssl.SSLContext:
        leaf = issue_leaf(self._card.tls_root, self._secret, name=self._card.name)
        return tls_context(self._side, leaf, self._pins)

    def stream(self, transport: trio.SocketStream) -> trio.SSLStream[trio.SocketStream]:
        """This side of a connection that is about to shake hands. A client says whose it claims to be."""
        if self._side == ssl.PROTOCOL_TLS_SERVER:
            return trio.SSLStream(transport, self.context(), server_side=True)
        return trio.SSLStream(transport, self.context(), server_hostname=_claim(self._card.verify_key))

    def who_signed(self, leaf_der: bytes) -> str:
        return self._pins.who_signed(leaf_der)


# A handshake that fails shows no certificate to Python, so nobody could say who was refused. Therefore a client puts
# the fingerprint of its identity where TLS has room for a server's name. It is for a line in a log, believed nowhere.

CLAIMED: Final[ContextVar[str]] = ContextVar("claimed", default="it named no identity")
"""In the task that shakes hands: the fingerprint that the other side claims."""


def _claim(identity: VerifyKey) -> str:
    digits = identity.fingerprint.replace(" ", "")
    return f"{digits[:32]}.{digits[32:]}"


def _note_claim(_connection: object, server_name: str | None, _context: ssl.SSLContext) -> None:
    digits = (server_name or "").replace(".", "")
    if re.fullmatch("[0-9a-f]{64}", digits):
        CLAIMED.set("it claims the identity " + " ".join(digits[at : at + 4] for at in range(0, 64, 4)))


def tls_context(side: int, leaf: Leaf, pins: Pins) -> ssl.SSLContext:
    """Mutual TLS 1.3 against the pins alone. No host name is checked: the pin decides, and a coordinator may move."""
    context = ssl.SSLContext(side)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_3
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    if side == ssl.PROTOCOL_TLS_SERVER:
        context.num_tickets = 0  # every connection shows its certificate again
        context.sni_callback = _note_claim
    context.load_verify_locations(cadata=b"".join(root.public_bytes(Encoding.DER) for root in pins.roots.values()))
    _load_leaf(context, leaf)
    return context


def _load_leaf(context: ssl.SSLContext, leaf: Leaf) -> None:
    """Python's ssl reads a key from a file only: it gets one encrypted under a password that nobody keeps."""
    password = SystemRandomness().bytes(SECRET_BYTES).hex()
    key = leaf.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(password.encode()))
    with TemporaryDirectory() as folder:
        path = Path(folder) / "leaf.pem"
        path.write_bytes(leaf.certificate.public_bytes(Encoding.PEM) + key)
        context.load_cert_chain(path, password=password)


def _common_name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _dated(builder: x509.CertificateBuilder, life: timedelta, now: datetime | None) -> x509.CertificateBuilder:
    start = now or datetime.now(UTC)
    return (
        builder.serial_number(x509.random_serial_number()).not_valid_before(start - SKEW).not_valid_after(start + life)
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
