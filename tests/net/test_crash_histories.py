"""No two different masked inputs share a mask: whatever the order of crashes, of journals put back and of lies."""

import os
from collections import Counter
from itertools import product

import pytest
import trio
from crashing import Crash
from histories import ONCE, Bank, Life, Script, different
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from protocols.messages import MaskedInput

pytestmark = pytest.mark.slow

CRASHES = [None, *(Crash(*at) for at in product(range(2), (False, True)))]  # of a step: the journal, the ledger
POSTS = [None, *(Crash(*at) for at in product(range(4), (False, True)))]


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """A bank that waits for U2, its files as they are then, and all that it can be told."""
    patch, folder, kept = pytest.MonkeyPatch(), tmp_path_factory.mktemp("bank"), tmp_path_factory.mktemp("kept")
    with patch.context() as patched:
        patched.setattr(os, "fsync", lambda descriptor: None)  # no power is cut here
        bank = Bank(folder, patched.setattr)
        script = Script(bank)
        trio.run(script.set_up)
        bank.save(kept)
        yield bank, script, kept, list(bank.older)


def told(scene, history):
    """How many different things of each kind left in all these lives."""
    bank, script, kept, older = scene
    bank.restart_from(kept, older)

    async def lives():
        for life in history:
            await bank.lead(life, script.messages)

    trio.run(lives)
    return different(bank.said)


def test_what_the_bank_can_be_told(scene):
    _, script, _, older = scene
    assert script.labels == [
        "U2 01234",
        "U3 01234 of 01234", "confirmed 01234 of 01234",
        "U3 0124 of 01234", "confirmed 0124 of 01234",
        "U3 0123 of 01234", "confirmed 0123 of 01234",
        "U2 0124", "U3 0124 of 0124", "confirmed 0124 of 0124",
        "U2 0123", "U3 0123 of 0123", "confirmed 0123 of 0123",
    ]  # fmt: skip
    assert len(older) == 3


WAYS = [(0, 1, 2), (0, 3, 4), (0, 5, 6), (7, 8, 9), (10, 11, 12)]


@pytest.mark.parametrize("way", WAYS)
def test_with_a_crash_at_each_write_or_none_one_of_each_leaves(scene, way):
    everything = dict.fromkeys(ONCE, 1)
    assert told(scene, [Life(shown) for shown in way]).items() >= everything.items()
    for at, crash in product(range(3), CRASHES[1:]):
        history = [Life(shown, write=crash if place == at else None) for place, shown in enumerate(way)]
        was_taken = crash == Crash(1, after=True)  # the ledger leads to the step: it is said when the bank is back
        again = Life() if was_taken else Life(way[at])
        history.insert(at + 1, again)
        assert told(scene, history).items() >= everything.items(), history


def test_the_same_is_said_again_and_nothing_else(scene):
    bank, *_ = scene
    told(scene, [Life(0), Life(1), Life(2)])
    counted = Counter(bank.said)
    assert set(counted.values()) > {1}
    assert len(counted) == 5


@pytest.mark.parametrize("first", CRASHES)
@pytest.mark.parametrize("put_back", range(6))
def test_a_journal_that_is_put_back_lets_no_second_input_or_answer_leave(scene, first, put_back):
    """The step that was not confirmed, then another one in its place; and then the first one's journal."""
    for before, one, other in (((), 7, 10), ((), 0, 7), ((0,), 3, 5), ((0, 3), 4, 4)):
        counted = told(
            scene, [*map(Life, before), Life(one, write=first), Life(other), Life(one, put_back=put_back), Life(other)]
        )
        assert all(counted[kind] <= 1 for kind in ONCE), (before, one, other)
        assert counted[MaskedInput] == 1


def lives():
    return st.builds(
        Life,
        shown=st.none() | st.integers(0, 12),
        write=st.sampled_from(CRASHES),
        post=st.sampled_from(POSTS),
        put_back=st.none() | st.integers(0, 9),
    )


@settings(
    max_examples=150 * int(os.environ.get("VEILSUM_EXAMPLES", "1")),
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(history=st.lists(lives(), min_size=2, max_size=6))
def test_in_any_history_one_masked_input_one_confirmed_set_and_one_answer_leave_at_most(scene, history):
    counted = told(scene, history)
    assert all(counted[kind] <= 1 for kind in ONCE), counted
