import pytest
from Crypto.Hash import TupleHash256
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given, settings
from hypothesis import strategies as st

from mpc.hashing import digest, encode_parts, expand_key, kdf, quick_digest

PARTS = st.one_of(st.binary(max_size=9), st.text("ab1\0é", max_size=9), st.integers(0, 2**64 - 1))
SECRET = bytes(range(32))
DIGEST = "811a18f8fc59524d89bfdb44ddcafeb2e849bb02e8fe9335f9510143a5cfb97e"
QUICK = "d073699f1df5bf54fb173b797b45b4ce112a5fd3e70cee50866a088a72f42c04"
KDF = "1601ad1f4139255e55325bf423a8ab409a0363309a62a45f6d5d2b6d20a6fe2f"


def test_digest_and_kdf_never_change():
    # every session digest, signature and key hangs on these bytes; a change is a new wire version
    assert digest("label", b"1", "1", 1).hex() == DIGEST
    assert quick_digest("label", b"1", "1", 1).hex() == QUICK
    assert kdf(SECRET, "label", b"1", "1", 1).hex() == KDF


def test_encoding_is_each_part_behind_its_length_and_type():
    assert encode_parts("a", 1, b"") == (
        b"\x08\0\0\0\0\0\0\0sveilsum"
        + b"\x02\0\0\0\0\0\0\0sa"
        + b"\x09\0\0\0\0\0\0\0i\x01\0\0\0\0\0\0\0"
        + b"\x01\0\0\0\0\0\0\0b"
    )


@settings(deadline=None, max_examples=60)
@given(st.lists(PARTS, max_size=4), st.lists(PARTS, max_size=4))
def test_two_different_tuples_never_share_an_encoding(one, other):
    same = [(type(part), part) for part in one] == [(type(part), part) for part in other]
    assert (encode_parts("x", *one) == encode_parts("x", *other)) == same
    assert (digest("x", *one) == digest("x", *other)) == same
    assert (quick_digest("x", *one) == quick_digest("x", *other)) == same


@pytest.mark.parametrize("function", [digest, quick_digest, lambda *parts: kdf(SECRET, *parts)])
def test_types_borders_and_labels_tell_values_apart(function):
    tuples = [
        ("l",),
        ("l", ""),
        ("l", b""),
        ("l", 0),
        ("l", 1),
        ("l", "1"),
        ("l", b"1"),
        ("l", "ab"),
        ("l", "a", "b"),
        ("la", "b"),
        ("l", b"ab"),
        ("l", "", "ab"),
        ("l", (1).to_bytes(8, "little")),
    ]
    assert len({function(*parts) for parts in tuples}) == len(tuples)


def test_secret_and_length_decide_the_derived_key():
    assert len(kdf(SECRET, "l", length=16)) == 16
    assert kdf(SECRET, "l") != kdf(SECRET[::-1], "l")
    assert len(digest("l")) == 32


@pytest.mark.parametrize("number", [-1, 2**64])
def test_integer_out_of_range_is_refused(number):
    for function in (digest, quick_digest):
        with pytest.raises(ValueError, match=r"0\.\.2\^64-1"):
            function("l", number)


@pytest.mark.parametrize("part", [True, None, 1.0, bytearray(b"1"), ["1"]])
def test_part_of_another_type_is_refused(part):
    with pytest.raises(TypeError, match="a part is"):
        digest("l", part)
    with pytest.raises(TypeError, match="a part is"):
        quick_digest("l", part)
    with pytest.raises(TypeError, match="a part is"):
        kdf(SECRET, "l", part)


@pytest.mark.parametrize("length", [1, 16, 31, 32, 33, 64])
def test_a_derived_key_is_that_of_the_library_whether_it_is_one_block_or_more(length):
    info = encode_parts("l", length, b"context", 7)
    expected = HKDF(algorithm=SHA256(), length=length, salt=None, info=info).derive(SECRET)
    assert kdf(SECRET, "l", b"context", 7, length=length) == expand_key(SECRET, info, length) == expected


@pytest.mark.parametrize("size", [0, 1, 30, 31, 32, 8190, 8191, 2**21])
def test_a_digest_is_the_librarys_tuple_hash_whatever_the_length_of_a_part(size):
    theirs = TupleHash256.new(digest_bytes=32, custom=b"veilsum")
    theirs.update(b"slabel", b"b" + bytes(size), b"s1", b"i" + bytes([5] + 7 * [0]))
    assert digest("label", bytes(size), "1", 5) == theirs.digest()
