"""A path shows one place of a list, and nothing else shows anything."""

import pytest

from mpc.merkle import BadPath, MerkleTree, leaf, root_from

SIZES = [1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 16, 17, 100]


def tree_of(count: int) -> tuple[list[bytes], MerkleTree]:
    leaves = [leaf("test", place) for place in range(count)]
    return leaves, MerkleTree(leaves)


@pytest.mark.parametrize("count", SIZES)
def test_every_place_of_a_tree_is_shown_by_its_path(count: int) -> None:
    leaves, tree = tree_of(count)
    for place, hashed in enumerate(leaves):
        path = tree.path(place)
        assert root_from(hashed, place, count, path) == tree.root
        assert len(path) <= 32 * (count - 1).bit_length()


@pytest.mark.parametrize("count", SIZES[1:])
def test_another_leaf_or_place_or_count_does_not_lead_to_the_root(count: int) -> None:
    leaves, tree = tree_of(count)
    for place, hashed in enumerate(leaves):
        path = tree.path(place)
        assert root_from(leaf("other"), place, count, path) != tree.root
        for wrong in set(range(count)) - {place}:
            with_wrong_place = _root_or_none(hashed, wrong, count, path)
            assert with_wrong_place != tree.root


def _root_or_none(hashed: bytes, place: int, count: int, path: bytes) -> bytes | None:
    try:
        return root_from(hashed, place, count, path)
    except BadPath:
        return None


@pytest.mark.parametrize("spoil", [lambda path: path[:-1], lambda path: path[32:], lambda path: path + bytes(32)])
def test_a_path_of_another_length_is_none(spoil) -> None:
    leaves, tree = tree_of(7)
    with pytest.raises(BadPath):
        root_from(leaves[2], 2, 7, spoil(tree.path(2)))


@pytest.mark.parametrize("place", [-1, 7, 8])
def test_a_place_outside_the_tree_is_none(place: int) -> None:
    leaves, tree = tree_of(7)
    with pytest.raises(BadPath):
        root_from(leaves[0], place, 7, tree.path(0))


def test_a_node_cannot_be_shown_as_a_leaf_of_the_same_tree() -> None:
    _, tree = tree_of(4)
    upper = tree.path(2)[32:]  # the node over the first two
    assert root_from(upper, 0, 2, tree.path(0)[32:]) == tree.root  # as a tree of two leaves it would pass ..
    assert _root_or_none(upper, 0, 4, tree.path(0)[32:]) is None  # .. so the count is a part of what is shown


def test_lists_that_differ_in_one_leaf_in_order_or_in_length_have_different_roots() -> None:
    leaves, tree = tree_of(5)
    others = [leaves[:4], [*leaves, leaves[4]], leaves[::-1], [*leaves[:4], leaf("other")]]
    assert tree.root not in {MerkleTree(other).root for other in others}
    assert len({MerkleTree(other).root for other in others}) == len(others)
