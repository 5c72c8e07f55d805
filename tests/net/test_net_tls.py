import ssl
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
import trio
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from mpc.randomness import SeededRandomness
from net.errors import TlsError
from net.tls import (
    CLAIMED,
    Endpoint,
    Leaf,
    Pins,
    RootSecret,
    _key_usage,
    issue_leaf,
    load_root,
    new_root,
    tls_context,
)
from protocols.roster import Card

BANK, OTHER, HUB = "bank-0", "bank-1", "hub"


@pytest.fixture
def secrets(make_keys):
    return {name: make_keys(name) for name in (BANK, OTHER, HUB)}


@pytest.fixture
def cards(make_card, secrets):
    return {name: make_card(name, keys) for name, keys in secrets.items()}


@pytest.fixture
def leaf_of(cards, secrets):
    def issue(name, *, called=None, now=None):
        return issue_leaf(cards[name].tls_root, secrets[name].tls_root, name=called or name, now=now)

    return issue


@pytest.fixture
def members(cards):
    return Pins.of([cards[BANK], cards[OTHER]])


async def handshake(server_context, client_context, client_pins=None):
    """The DER certificate that the server was shown; raises what its side of the handshake raises."""
    near, far = trio.testing.memory_stream_pair()
    server = trio.SSLStream(near, server_context, server_side=True)
    client = trio.SSLStream(far, client_context)

    async def dial():
        try:
            await client.do_handshake()
            await client.receive_some()
        except trio.BrokenResourceError:
            pass
        finally:
            await trio.aclose_forcefully(client)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(dial)
        try:
            await server.do_handshake()
            return server.getpeercert(binary_form=True)
        finally:
            await trio.aclose_forcefully(server)


async def shown(leaf, cards, leaf_of, members):
    server = tls_context(ssl.PROTOCOL_TLS_SERVER, leaf_of(HUB), members)
    client = tls_context(ssl.PROTOCOL_TLS_CLIENT, leaf, Pins.of([cards[HUB]]))
    with trio.fail_after(5):
        return await handshake(server, client)


async def refused(*arguments):
    with pytest.raises(BaseExceptionGroup) as caught:
        await shown(*arguments)
    error = caught.value.exceptions[0]
    assert isinstance(error, trio.BrokenResourceError)
    return error.__cause__


async def test_a_member_is_who_its_pin_says(cards, leaf_of, members):
    assert members.who_signed(await shown(leaf_of(BANK), cards, leaf_of, members)) == BANK


async def test_a_bank_that_issues_a_leaf_named_for_another_is_still_itself(cards, leaf_of, members):
    impostor = leaf_of(OTHER, called=BANK)
    assert members.who_signed(await shown(impostor, cards, leaf_of, members)) == OTHER


async def test_a_root_that_nobody_pinned_is_refused_whatever_its_name(cards, leaf_of, members):
    secret = RootSecret.generate(SeededRandomness(b"stranger"))
    stranger = issue_leaf(new_root(BANK, secret), secret, name=BANK)
    assert isinstance(await refused(stranger, cards, leaf_of, members), ssl.SSLCertVerificationError)


@pytest.mark.parametrize("days", [-8, 1])
async def test_a_leaf_outside_its_days_is_refused(cards, leaf_of, members, days):
    leaf = leaf_of(BANK, now=datetime.now(UTC) + timedelta(days=days))
    assert isinstance(await refused(leaf, cards, leaf_of, members), ssl.SSLCertVerificationError)


async def test_a_leaf_can_sign_no_other_leaf(cards, leaf_of, members):
    middle = leaf_of(BANK)
    middle_secret = RootSecret(middle.key.private_bytes_raw())
    builder = x509.CertificateBuilder().subject_name(middle.certificate.subject).issuer_name(middle.certificate.subject)
    now = datetime.now(UTC)
    forged = builder.public_key(middle.key.public_key()).serial_number(1).not_valid_before(now).not_valid_after(
        now + timedelta(days=1)
    )  # fmt: skip
    leaf = Leaf(forged.sign(middle_secret._key, None), middle.key)
    assert isinstance(await refused(leaf, cards, leaf_of, members), ssl.SSLCertVerificationError)


async def test_an_older_tls_is_refused(cards, leaf_of, members):
    server = tls_context(ssl.PROTOCOL_TLS_SERVER, leaf_of(HUB), members)
    client = tls_context(ssl.PROTOCOL_TLS_CLIENT, leaf_of(BANK), Pins.of([cards[HUB]]))
    client.minimum_version = ssl.TLSVersion.TLSv1_2
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(BaseExceptionGroup):
        await handshake(server, client)


def test_a_leaf_that_no_pin_signed_belongs_to_nobody(cards, leaf_of, members):
    with pytest.raises(TlsError, match="no pinned root"):
        members.who_signed(leaf_of(HUB).certificate.public_bytes(Encoding.DER))
    with pytest.raises(TlsError):
        members.who_signed(b"no certificate")


def test_a_leaf_that_names_the_root_of_another_as_its_issuer_is_nobodys(cards, secrets, members):
    forged = issue_leaf(cards[OTHER].tls_root, secrets[BANK].tls_root, name=OTHER)
    with pytest.raises(TlsError, match="no pinned root"):
        members.who_signed(forged.certificate.public_bytes(Encoding.DER))


def test_a_leaf_is_no_root(leaf_of):
    with pytest.raises(TlsError):
        load_root(leaf_of(BANK).certificate.public_bytes(Encoding.DER))
    with pytest.raises(TlsError):
        load_root(b"")


def test_an_expired_root_is_no_pin(secrets):
    old = new_root(BANK, secrets[BANK].tls_root, now=datetime.now(UTC) - timedelta(days=3651))
    with pytest.raises(TlsError, match="expired on 20"):
        load_root(old)


def test_a_root_that_may_not_sign_certificates_is_no_pin(secrets, monkeypatch):
    usage = _key_usage(signs_certificates=False)
    monkeypatch.setattr("net.tls._key_usage", lambda *, signs_certificates: usage)
    with pytest.raises(TlsError, match="may sign certificates"):
        load_root(new_root(BANK, secrets[BANK].tls_root))


def test_a_leaf_that_cannot_be_renewed_stays_in_use_and_the_log_says_so(cards, secrets, members, monkeypatch, caplog):
    endpoint = Endpoint(cards[HUB], secrets[HUB].tls_root, members, server=True)
    first = endpoint.context()
    monkeypatch.setattr(endpoint, "_renew_after", datetime.now(UTC) - timedelta(days=1))
    monkeypatch.setattr("net.tls._load_leaf", _disk_full)
    assert endpoint.context() is first
    assert "not renewed, the last one stays" in caplog.text
    with pytest.raises(TlsError, match=r"no TLS leaf can be written .* No space left"):
        Endpoint(cards[HUB], secrets[HUB].tls_root, members, server=True)


def _disk_full(*_):
    raise OSError(28, "No space left on device")


def test_pins_refuse_a_root_named_for_another_and_a_key_used_twice(cards, secrets):
    named_wrongly = Card.issue(OTHER, secrets[OTHER].identity, new_root(BANK, secrets[OTHER].tls_root))
    with pytest.raises(TlsError, match="bank-1 is named for somebody else"):
        Pins.of([named_wrongly])
    same_key = Card.issue(OTHER, secrets[OTHER].identity, new_root(OTHER, secrets[BANK].tls_root))
    with pytest.raises(TlsError, match="bank-1 has the key of another"):
        Pins.of([cards[BANK], same_key])


def test_an_endpoint_needs_the_secret_of_its_card(cards, secrets, members):
    with pytest.raises(TlsError, match="not that of the card of bank-0"):
        Endpoint(cards[BANK], secrets[OTHER].tls_root, members, server=False)


def changed(certificate, old, new, key):
    """The DER certificate with other bytes of the same length in it, signed again."""
    whole, signed = certificate.public_bytes(Encoding.DER), certificate.tbs_certificate_bytes
    assert signed.count(old) == 1
    return whole.replace(signed, signed.replace(old, new))[:-64] + key.sign(signed.replace(old, new))


VERSION_3, VERSION_4 = b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x03"


class Unparsed:
    """A certificate that only OpenSSL reads."""

    def __init__(self, der):
        self._der = der

    def public_bytes(self, encoding):
        assert encoding is Encoding.PEM
        return ssl.DER_cert_to_PEM_cert(self._der).encode()


async def test_a_leaf_of_a_version_that_there_is_not_passes_openssl_and_is_refused(cards, leaf_of, secrets, members):
    """A member that is pinned can sign anything. What it shows ends its own connection, and not this process."""
    leaf = leaf_of(BANK)
    odd = changed(leaf.certificate, VERSION_3, VERSION_4, secrets[BANK].tls_root._key)
    seen = await shown(Leaf(Unparsed(odd), leaf.key), cards, leaf_of, members)
    assert seen == odd
    with pytest.raises(TlsError, match="none that we can read"):
        members.who_signed(seen)


@pytest.mark.parametrize(
    ("old", "new"),
    [(VERSION_3, VERSION_4), (b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70", b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x7f")],
    ids=["version", "kind of key"],
)
def test_a_root_that_nobody_can_check_is_no_pin(secrets, old, new):
    secret = secrets[BANK].tls_root
    root = x509.load_der_x509_certificate(new_root(BANK, secret))
    with pytest.raises(TlsError, match="not a self-signed root"):
        load_root(changed(root, old, new, secret._key))


def test_a_root_secret_does_not_print(secrets):
    secret = secrets[BANK].tls_root
    assert secret.raw.hex() not in repr(secret)
    assert "secret" in repr(secret)
    assert secret.raw.hex() not in repr(secrets[BANK])


async def test_a_refused_connection_says_in_our_log_whose_it_claimed_to_be(cards, secrets, members):
    stranger = Endpoint(cards[HUB], secrets[HUB].tls_root, Pins.of([cards[HUB]]), server=False)
    listening = Endpoint(cards[HUB], secrets[HUB].tls_root, members, server=True)
    (near_end,) = await trio.open_tcp_listeners(0, host="127.0.0.1")

    async def dial():
        port = near_end.socket.getsockname()[1]
        stream = stranger.stream(await trio.open_tcp_stream("127.0.0.1", port))
        with suppress(trio.BrokenResourceError):
            await stream.do_handshake()
            await stream.receive_some()
        await trio.aclose_forcefully(stream)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(dial)
        with trio.fail_after(5):
            stream = listening.stream(await near_end.accept())
            with pytest.raises(trio.BrokenResourceError):
                await stream.do_handshake()
        assert CLAIMED.get() == f"it claims the identity {cards[HUB].verify_key.fingerprint}"
        await trio.aclose_forcefully(stream)
    await near_end.aclose()
