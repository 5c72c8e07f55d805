"""Every set that a lying server of secagg+ can show to every honest client, on the real machines, over small graphs.

PROTOCOLS 3B claims of each sum that is learnt: each honest input in it has at least t - c_v honest holders in it too,
c_v of its holders colluding. From that follows, by counting the graphs that would allow a small such set, how many
honest inputs a sum has. Searched: all combinations of views for n = 5; for n = 6 all pairs of stories (U2, U3), each
client told one of them. With a check taken out the search must find a set that breaks the claim; and it finds one too
for the leaf seeds that 3B lets clients reveal, which is why they are not revealed here (docs/decisions/0012).

A sum's floor forbids small sets by itself; it is taken away, so that what is tested is the graph.
"""

from collections.abc import Callable
from dataclasses import replace

import pytest
from plus_lying import Holders, Playbook, fix_graph
from plus_search import Finding, Search

from protocols import session
from protocols.errors import PartyId
from protocols.secagg import client as secagg_client
from protocols.secagg_plus import Client

Patch = pytest.MonkeyPatch

# Two that hold of each other, and four that make two further circles: room for two stories at n = 6
SIX: Holders = {
    0: frozenset({1, 2, 3}), 1: frozenset({0, 2, 4}), 2: frozenset({0, 4, 5}),
    3: frozenset({0, 4, 5}), 4: frozenset({1, 3, 5}), 5: frozenset({2, 3, 4}),
}  # fmt: skip


def circle(n: int, *steps: int) -> Holders:
    return {place: frozenset((place + step) % n for step in steps) for place in range(n)}


@pytest.fixture(autouse=True)
def _no_floor(monkeypatch: Patch) -> None:
    monkeypatch.setattr(session, "smallest_cohort", lambda colluding, cohort=1: 1)


def search(monkeypatch: Patch, holders: Holders, threshold: int, colluding: int = 0) -> Search:
    """The last parties collude."""
    fix_graph(monkeypatch, holders, threshold)
    book = Playbook(holders, colluding)
    views = {one: list(book.shown(PartyId(one))) for one in range(len(holders) - colluding)}
    return Search(holders, views, threshold)


@pytest.mark.slow
@pytest.mark.parametrize(("holders", "threshold", "colluding"), [
    (circle(4, 1, 2, 3), 2, 0), (circle(5, 1, 2, 3, 4), 3, 1), (circle(5, 1, 2, 3), 3, 1), (circle(5, 1, 2), 2, 0),
    pytest.param(circle(5, 1, 2, 3), 2, 0, marks=pytest.mark.exhaustive),
])  # fmt: skip
def test_no_set_breaks_the_claim_in_any_combination_of_views(
    holders: Holders, threshold: int, colluding: int, monkeypatch: Patch
) -> None:
    searched = search(monkeypatch, holders, threshold, colluding)
    assert searched.first(searched.every_row()) is None
    assert searched.first(searched.every_row(), smallest=len(searched.views)) is not None  # something is learnt


@pytest.mark.slow
def test_no_set_breaks_the_claim_in_any_two_stories_to_six(monkeypatch: Patch) -> None:
    searched = search(monkeypatch, SIX, 2)
    assert searched.first(searched.two_stories()) is None
    assert searched.rows_tried > 900_000
    smallest = searched.first(searched.two_stories(), smallest=3)
    assert smallest is not None  # t + 1, a party and t holders
    assert searched.first(searched.two_stories(), smallest=2) is None


# Each load-bearing check taken out by itself


def without_signed_inputs(monkeypatch: Patch) -> None:
    """The client takes peers into its U3 whatever U2 they masked under."""
    monkeypatch.setattr(Client, "_check_inputs", lambda self, state, message: None)


def without_count(monkeypatch: Patch) -> None:
    """The client reveals for any number of valid confirmations."""
    real = Client._check_quorum
    monkeypatch.setattr(
        Client, "_check_quorum", lambda self, state, message: real(self, replace(state, threshold=0), message)
    )


def with_leaf_seeds(monkeypatch: Patch) -> None:
    """The client reveals the leaf seeds of who dropped, and their shares when asked again, as PROTOCOLS 3B says."""
    monkeypatch.setattr(Client, "_reveal", secagg_client.Client._reveal)
    monkeypatch.setattr(Client, "_leaves_to_keep", secagg_client.Client._leaves_to_keep)


# what is taken out -> the smallest set that the search then comes across
LOAD_BEARING: dict[str, tuple[Callable[[Patch], None], int]] = {
    "signed inputs": (without_signed_inputs, 2),
    "count": (without_count, 4),
    "leaf seeds": (with_leaf_seeds, 2),
}


@pytest.mark.slow
@pytest.mark.parametrize("check", LOAD_BEARING)
def test_without_a_load_bearing_check_a_set_is_learnt_that_breaks_the_claim(check: str, monkeypatch: Patch) -> None:
    take_out, size = LOAD_BEARING[check]
    take_out(monkeypatch)
    searched = search(monkeypatch, SIX, 2)
    finding = searched.first(searched.two_stories())
    assert isinstance(finding, Finding)
    assert finding.size == size


@pytest.mark.slow
@pytest.mark.parametrize(
    ("holders", "threshold", "colluding"), [(circle(4, 1, 2, 3), 1, 0), (circle(5, 1, 2, 3), 2, 1)]
)
def test_where_2t_minus_k_does_not_exceed_c_a_set_is_learnt_that_breaks_the_claim(
    holders: Holders, threshold: int, colluding: int, monkeypatch: Patch
) -> None:
    assert 2 * threshold - len(holders[0]) <= colluding
    searched = search(monkeypatch, holders, threshold, colluding)
    assert searched.first(searched.every_row() if len(holders) == 4 else searched.two_stories()) is not None
