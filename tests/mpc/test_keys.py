import dataclasses

import pytest
from Crypto.Signature import eddsa
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from mpc import keys
from mpc.hashing import digest, kdf
from mpc.keys import (
    AgreementKey,
    AgreementSecret,
    BadSignature,
    ChannelKey,
    KeyRefused,
    SigningKey,
    VerifyKey,
    agree_both_ways,
    agree_channel,
    agree_seed,
    good_signatures_remembered,
)
from mpc.randomness import SeededRandomness

P = 2**255 - 19
ORDER_8_U = (
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
)
ORDER_8_Y = (
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
)


@pytest.fixture
def rand():
    return SeededRandomness(b"keys")


def little(value: int) -> bytes:
    return value.to_bytes(32, "little")


def with_top_bit(raw: bytes) -> bytes:
    return raw[:31] + bytes([raw[31] | 0x80])


def test_both_sides_of_a_pair_agree_on_seed_and_channel(rand):
    a, b = AgreementSecret.generate(rand), AgreementSecret.generate(rand)
    context = (b"digest", 3, 7)
    assert agree_seed(a, b.public, purpose="pair", context=context) == agree_seed(
        b, a.public, purpose="pair", context=context
    )
    assert agree_channel(a, b.public, purpose="seal", context=context) == agree_channel(
        b, a.public, purpose="seal", context=context
    )


def test_a_pair_has_one_sealing_key_each_way(rand):
    a, b = AgreementSecret.generate(rand), AgreementSecret.generate(rand)
    of_a = agree_both_ways(a, b.public, purpose="seal", context=(b"digest", 3, 7), first=True)
    of_b = agree_both_ways(b, a.public, purpose="seal", context=(b"digest", 3, 7), first=False)
    assert (of_a.sending, of_a.receiving) == (of_b.receiving, of_b.sending)
    agreed = a._key.exchange(X25519PublicKey.from_public_bytes(b.public.raw))
    assert of_a.sending.raw + of_a.receiving.raw == kdf(agreed, "seal", b"digest", 3, 7, length=64)
    one_way = agree_channel(a, b.public, purpose="seal", context=(b"digest", 3, 7))
    assert len({of_a.sending.raw, of_a.receiving.raw, one_way.raw}) == 3
    assert of_a.sending.raw.hex() not in repr(of_a)


def test_purpose_context_and_peer_each_give_another_key(rand):
    a, b, c = (AgreementSecret.generate(rand) for _ in range(3))
    derived = {
        agree_seed(a, b.public, purpose="pair", context=(1,)).raw,
        agree_seed(a, b.public, purpose="pair", context=(2,)).raw,
        agree_seed(a, b.public, purpose="seal", context=(1,)).raw,
        agree_seed(a, c.public, purpose="pair", context=(1,)).raw,
    }
    assert len(derived) == 4


@pytest.mark.parametrize("u", [0, 1, P - 1])
def test_agreement_key_of_small_order_is_refused(u):
    with pytest.raises(KeyRefused, match="low order"):
        AgreementKey(little(u))


@pytest.mark.parametrize("raw", ORDER_8_U)
def test_agreement_key_of_order_eight_is_refused(raw):
    with pytest.raises(KeyRefused, match="low order"):
        AgreementKey(bytes.fromhex(raw))


@pytest.mark.parametrize("u", [P, P + 1, P + 9, 2**255 - 1, 2**255, 2 * P - 1, 2 * P, 2 * P + 1, 2**255 + 9])
def test_agreement_key_that_is_not_canonical_is_refused(u):
    with pytest.raises(KeyRefused, match="not canonical"):
        AgreementKey(little(u))


def test_every_agreement_with_a_refused_point_would_be_zero(rand):
    secret = X25519PrivateKey.from_private_bytes(rand.bytes(32))
    for u in keys._LOW_ORDER_U:
        with pytest.raises(ValueError):
            secret.exchange(keys.X25519PublicKey.from_public_bytes(little(u)))


def test_zero_agreement_is_refused_even_past_the_constructor(rand):
    forged = object.__new__(AgreementKey)
    object.__setattr__(forged, "raw", little(1))
    with pytest.raises(KeyRefused, match="agreement is zero"):
        agree_seed(AgreementSecret.generate(rand), forged, purpose="pair", context=())


@pytest.mark.parametrize("length", [0, 31, 33, 64])
@pytest.mark.parametrize("kind", [AgreementKey, AgreementSecret, VerifyKey, SigningKey, ChannelKey])
def test_key_of_another_length_is_refused(kind, length):
    with pytest.raises(KeyRefused, match="32 bytes"):
        kind(b"\x09" * length)


def test_key_that_is_not_bytes_is_refused():
    with pytest.raises(KeyRefused, match="32 bytes"):
        AgreementKey(bytearray(b"\x09" * 32))


def test_public_keys_are_values(rand):
    secret, signing = AgreementSecret.generate(rand), SigningKey.generate(rand)
    assert secret.public == AgreementKey(secret.public.raw)
    assert {secret.public: 1}[AgreementSecret.from_bytes(secret.raw).public] == 1
    assert {signing.verify_key: 1}[VerifyKey(signing.verify_key.raw)] == 1
    assert secret.public.raw.hex() in repr(secret.public)
    assert signing.verify_key.raw.hex() in repr(signing.verify_key)


def test_the_same_seed_gives_the_same_keys():
    one, other = SeededRandomness(b"same"), SeededRandomness(b"same")
    assert AgreementSecret.generate(one).public == AgreementSecret.generate(other).public
    assert SigningKey.generate(one).sign("l", 1) == SigningKey.generate(other).sign("l", 1)


@pytest.mark.parametrize("kind", [AgreementSecret, SigningKey, ChannelKey])
def test_secrets_do_not_print_and_are_no_dict_keys(kind, rand):
    secret = kind.generate(rand)
    assert repr(secret) == str(secret) == f"{kind.__name__}(<32 secret bytes>)"
    assert secret == kind.from_bytes(secret.raw)
    assert secret != kind.generate(rand)
    with pytest.raises(TypeError):
        hash(secret)
    with pytest.raises(dataclasses.FrozenInstanceError):
        secret.raw = bytes(32)


def test_secrets_of_two_kinds_are_never_equal(rand):
    raw = rand.bytes(32)
    assert SigningKey(raw) != AgreementSecret(raw)


def test_signature_verifies_over_its_own_label_and_parts_only(rand):
    signing = SigningKey.generate(rand)
    signature, verify_key = signing.sign("adv", b"digest", 3), signing.verify_key
    verify_key.verify(signature, "adv", b"digest", 3)
    for label, parts in [("adv", (b"digest", 4)), ("confirm", (b"digest", 3)), ("adv", (b"digest",)), ("adv", ())]:
        with pytest.raises(BadSignature):
            verify_key.verify(signature, label, *parts)


def test_changed_cut_or_foreign_signature_is_refused(rand):
    signing, stranger = SigningKey.generate(rand), SigningKey.generate(rand)
    good = signing.sign("adv")
    changed = bytes([good[0] ^ 1]) + good[1:]
    for signature in (changed, good[:-1], good + b"\0", b"", stranger.sign("adv")):
        with pytest.raises(BadSignature):
            signing.verify_key.verify(signature, "adv")


@pytest.mark.parametrize("raw", [little(0), little(1), little(P - 1), *map(bytes.fromhex, ORDER_8_Y)])
def test_identity_of_small_order_is_refused_with_either_sign(raw):
    for point in (raw, with_top_bit(raw)):
        with pytest.raises(KeyRefused, match="low order"):
            VerifyKey(point)


@pytest.mark.parametrize("raw", ORDER_8_Y)
def test_the_refused_points_have_order_eight(raw):
    point = eddsa.import_public_key(bytes.fromhex(raw)).pointQ
    assert (point * 8).xy == (0, 1)  # the neutral element
    assert (point * 4).xy == (0, P - 1)


@pytest.mark.parametrize("y", [P, P + 1, 2**255 - 1])
def test_identity_that_is_not_canonical_is_refused(y):
    for raw in (little(y), with_top_bit(little(y))):
        with pytest.raises(KeyRefused, match="not canonical"):
            VerifyKey(raw)


def test_fingerprint_is_the_digest_in_groups_of_four(rand):
    key = SigningKey.generate(rand).verify_key
    groups = key.fingerprint.split(" ")
    assert [len(group) for group in groups] == [4] * 16
    assert "".join(groups) == digest("identity", key.raw).hex()


def test_a_good_signature_is_remembered_for_its_key_label_and_parts_and_a_bad_one_never(rand):
    signer, other = SigningKey.generate(rand), SigningKey.generate(rand)
    signature = signer.sign("label", b"part", 1)
    with good_signatures_remembered():
        for _ in range(2):
            signer.verify_key.verify(signature, "label", b"part", 1)
            for key, text, label, parts in (
                (other.verify_key, signature, "label", (b"part", 1)),
                (signer.verify_key, bytes(64), "label", (b"part", 1)),
                (signer.verify_key, signature, "other", (b"part", 1)),
                (signer.verify_key, signature, "label", (b"part", 2)),
                (signer.verify_key, signature, "label", ("part", 1)),
                (signer.verify_key, signature, "label", (b"part", "1")),
            ):
                with pytest.raises(BadSignature):
                    key.verify(text, label, *parts)
