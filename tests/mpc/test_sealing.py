import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpc.keys import ChannelKey
from mpc.randomness import SeededRandomness
from mpc.sealing import SEAL_OVERHEAD, SealBroken, open_sealed, seal

KEY = ChannelKey.generate(SeededRandomness(b"sealing"))
PARTS = (b"session", 3, 7)


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_what_was_sealed_opens_and_is_longer_by_the_tag(plaintext):
    sealed = seal(KEY, plaintext, *PARTS)
    assert len(sealed) == len(plaintext) + SEAL_OVERHEAD
    assert open_sealed(KEY, sealed, *PARTS) == plaintext


def test_sealing_again_gives_the_same_bytes():
    assert seal(KEY, b"shares", *PARTS) == seal(KEY, b"shares", *PARTS)


@pytest.mark.parametrize("parts", [(b"session", 7, 3), (b"other", 3, 7), (b"session", 3), (b"session", "3", 7), ()])
def test_another_session_sender_or_recipient_does_not_open(parts):
    with pytest.raises(SealBroken):
        open_sealed(KEY, seal(KEY, b"shares", *PARTS), *parts)


def test_another_key_does_not_open():
    other = ChannelKey.generate(SeededRandomness(b"other"))
    with pytest.raises(SealBroken):
        open_sealed(other, seal(KEY, b"shares", *PARTS), *PARTS)


def test_no_bit_may_change():
    sealed = seal(KEY, b"shares", *PARTS)
    for bit in range(8 * len(sealed)):
        changed = bytearray(sealed)
        changed[bit // 8] ^= 1 << (bit % 8)
        with pytest.raises(SealBroken):
            open_sealed(KEY, bytes(changed), *PARTS)


@settings(deadline=None)
@given(st.binary(max_size=60))
def test_any_other_bytes_are_refused_by_name(garbage):
    with pytest.raises(SealBroken):
        open_sealed(KEY, garbage, *PARTS)


def test_cut_or_extended_bytes_are_refused():
    sealed = seal(KEY, b"shares", *PARTS)
    for wrong in (sealed[:-1], sealed[1:], sealed + b"\0", b""):
        with pytest.raises(SealBroken):
            open_sealed(KEY, wrong, *PARTS)
