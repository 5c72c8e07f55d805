import pytest

from mpc.randomness import Randomness, SeededRandomness, SystemRandomness


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others():
    assert SeededRandomness(b"a").bytes(64) == SeededRandomness(b"a").bytes(64)
    assert SeededRandomness(b"a").bytes(64) != SeededRandomness(b"b").bytes(64)


def test_a_seeded_stream_does_not_depend_on_how_it_is_cut():
    whole = SeededRandomness(b"cut").bytes(100)
    rand = SeededRandomness(b"cut")
    assert b"".join(rand.bytes(count) for count in (1, 0, 16, 33, 50)) == whole


def test_a_child_does_not_depend_on_what_was_read_of_its_parent():
    fresh, used = SeededRandomness(b"p"), SeededRandomness(b"p")
    used.bytes(1000)
    assert fresh.child("x").bytes(32) == used.child("x").bytes(32)


def test_children_parents_and_grandchildren_are_all_different_streams():
    root = SeededRandomness(b"root")
    streams = [root, root.child("a"), root.child("b"), root.child("a").child("a"), root.child("")]
    assert len({stream.bytes(32) for stream in streams}) == len(streams)


def test_system_randomness_does_not_repeat():
    rand = SystemRandomness()
    assert len({rand.bytes(16) for _ in range(100)}) == 100


@pytest.mark.parametrize(("rand", "seeded"), [(SystemRandomness(), False), (SeededRandomness(b""), True)])
def test_a_source_says_whether_it_is_seeded_and_gives_as_many_bytes_as_asked(rand: Randomness, seeded: bool):
    assert rand.seeded is seeded
    assert [len(rand.bytes(count)) for count in (0, 1, 17)] == [0, 1, 17]


def test_the_seed_does_not_print():
    rand = SeededRandomness(b"topsecret")
    assert repr(rand) == "SeededRandomness(<secret seed>)"
    assert repr(SystemRandomness()) == "SystemRandomness()"
