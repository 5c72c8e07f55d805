"""Every attack wins against the textbook and loses against the machines that ship, by the check that is named."""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest

from mpc import prg
from mpc.encoding import Encoding
from mpc.keys import AgreementSecret
from mpc.randomness import SeededRandomness
from protocols import ledger, masking, session
from protocols.committee.view import View
from protocols.errors import AbortReason, DropReason, PartyId
from protocols.machine import Aborted, Aggregate, Finished
from protocols.secagg import bindings
from simulations.attacks.gallery.attack import Attack, Shown, show
from simulations.attacks.gallery.catalogue import ATTACKS
from simulations.attacks.scripted import Refusal
from simulations.attacks.unstopped.catalogue import DEMONSTRATIONS
from simulations.attacks.verdicts import Ending, Goal, Guess, NothingHappened, Run, reading, summing, tried

Patch = pytest.MonkeyPatch

BY_NAME = {attack.name: attack for attack in ATTACKS}
SLOW = {"captured-neighbourhood"}
SEED = b"0"

REFUSED, EXACT = Ending.REFUSED, Ending.EXACT
LOSES: dict[str, tuple[Ending, str]] = {
    "split-view": (REFUSED, "no-quorum: 3 confirmations, 4 are needed"),
    "double-reveal": (REFUSED, "wrong-set: a fallback for others than U2 without U3"),
    "shrunken-survivors": (REFUSED, "wrong-set: U3 has 2 parties, 4 are needed"),
    "late-input": (Ending.INDEPENDENT, "the self mask stays"),
    "key-substitution": (REFUSED, "bad-key: the keys of party 0: not a signature of this key"),
    "copied-key": (REFUSED, "bad-key: a key appears twice"),
    "sybil-cohort": (REFUSED, "outside-terms: party 5 is not in our consortium"),
    "threshold-downgrade": (REFUSED, "outside-terms: it plans for 0 colluding parties, our terms ask for 1"),
    "replayed-keys": (REFUSED, "bad-key: the keys of party 0: not a signature of this key"),
    "replayed-round": (REFUSED, "second-answer: round 2 of an epoch in which we stand before round 3"),
    "reflected-share": (REFUSED, "bad-bundle: what party 2 dealt does not open"),
    "zero-index": (REFUSED, "malformed: not a message of this version: not a party"),
    "duplicate-index": (EXACT, "bad-key: keys in another's name"),
    "model-inconsistency": (REFUSED, "bad-key: the keys of party 0: not a signature of this key"),
    "differencing": (REFUSED, "summed-before: our shares for a sum of this step over other members have left"),
    "restored-snapshot": (REFUSED, "rollback: this snapshot is of step 2 of its session and the ledger says 3"),
    "overflow": (REFUSED, "need 25 bits, the field has 20"),
    "wrong-seed": (EXACT, "a canary was not zero; shares of the key gave the right seeds; dropped for theirs: party 4"),
    "framed-holder": (EXACT, "dispute between dealer 4 and holder 2, nobody is dropped"),
    "two-lists": (REFUSED, "second-answer: two lists of one proposer"),
    "captured-neighbourhood": (REFUSED, " parties, 8 are needed"),
    "two-sums-of-pieces": (REFUSED, "no-quorum: 3 confirmations, 4 are needed"),
    "chosen-challenge": (REFUSED, "no-quorum: 3 signatures, 4 are needed"),
}


@cache
def shown(name: str, seed: bytes = SEED) -> Shown:
    return show(BY_NAME[name], seed)


def each_attack(names: Any = tuple(LOSES)) -> Any:
    marked = [pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else []) for name in names]
    return pytest.mark.parametrize("name", marked)


def test_all_attacks_are_here_and_each_says_what_it_is() -> None:
    assert [attack.name for attack in ATTACKS] == list(LOSES)
    for attack in ATTACKS:
        assert attack.title
        assert attack.paper
        assert attack.about.count("\n\n") >= 2, "what it is, how it goes, what stops it"


@each_attack()
def test_it_wins_against_the_textbook(name: str) -> None:
    """A read attack has the victim's vector, every value of it."""
    naive = shown(name).naive
    assert naive.ending is Ending.WON
    if BY_NAME[name].goal is Goal.READ:
        assert naive.guess is not None
        assert naive.guess.exact


@each_attack()
def test_and_loses_here_by_the_check_that_is_named(name: str) -> None:
    ours = shown(name).ours
    ending, by = LOSES[name]
    assert (ours.ending, by in ours.said) == (ending, True), ours
    assert shown(name).as_claimed


@each_attack(name for name in LOSES if BY_NAME[name].goal is Goal.READ)
def test_what_it_holds_then_says_nothing_of_the_vector(name: str) -> None:
    """None: nothing that depends on the vector had left."""
    guess = shown(name).ours.guess
    assert guess is None or (abs(guess.correlation) < 0.16 and abs(guess.error - 1) < 0.16 and guess.same < 3)


LEFT = {"split-view", "double-reveal", "shrunken-survivors", "late-input", "threshold-downgrade", "replayed-round",
        "restored-snapshot", "two-lists", "two-sums-of-pieces"}  # fmt: skip


@each_attack(name for name in LOSES if BY_NAME[name].goal is Goal.READ)
def test_of_the_others_nothing_had_left(name: str) -> None:
    assert (shown(name).ours.guess is not None) == (name in LEFT)


ALSO = {
    "double-reveal": ["second-answer: another set of survivors", "unexpected: Survivors while Revealed"],
    "shrunken-survivors": ["wrong-set: U2 has 2 parties"],
    "late-input": ["unexpected: Survivors while AwaitingResult"],
    "threshold-downgrade": ["t stays 4 of 5", "its variant is not the one"],
    "replayed-keys": ["bad-bundle: what party 0 dealt does not open"],
    "reflected-share": ["bad-bundle: what party 2 dealt does not open"],
    "zero-index": ["wrong-set: a roster that is not in order"],
    "restored-snapshot": ["unexpected: DeliverShares while AwaitingSurvivors"],
    "overflow": ["outside-terms: its vector is not the one that we hold"],
    "two-lists": ["the next proposer's sum, over 5", "nobody opens a column, and then: no sum (too-few)"],
    "two-sums-of-pieces": ["unexpected: Survivors while AwaitingResult"],
}


@each_attack(ALSO)
def test_what_else_it_tries_is_refused_as_well(name: str) -> None:
    also = shown(name).ours.also
    assert len(also) == len(ALSO[name])
    assert all(by in line for by, line in zip(ALSO[name], also, strict=True)), also


@each_attack(["split-view", "key-substitution", "framed-holder"])
def test_the_same_seed_gives_the_same_run_and_another_seed_another(name: str) -> None:
    again, other = show(BY_NAME[name], SEED), show(BY_NAME[name], b"1")
    assert (again.naive.said, again.ours.said, again.ours.also) == (
        shown(name).naive.said, shown(name).ours.said, shown(name).ours.also,
    )  # fmt: skip
    assert other.as_claimed
    if again.naive.guess:
        assert shown(name).naive.guess is not None
        assert np.array_equal(again.naive.guess.recovered, shown(name).naive.guess.recovered)
        assert not np.array_equal(again.naive.guess.recovered, other.naive.guess.recovered)


@pytest.mark.slow
def test_the_whole_gallery_is_the_same_again() -> None:
    for name in LOSES:
        first, again = shown(name), show(BY_NAME[name], SEED)
        for one, other in ((first.naive, again.naive), (first.ours, again.ours)):
            assert (one.ending, one.said, one.also) == (other.ending, other.said, other.also)
            if one.guess is not None:
                assert other.guess is not None
                assert np.array_equal(one.guess.recovered, other.guess.recovered)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [b"2", b"22"])
def test_all_come_out_so_whatever_the_seed(seed: bytes) -> None:
    assert all(show(attack, seed).as_claimed for attack in ATTACKS)
    assert all(one.show(seed).succeeded for one in DEMONSTRATIONS)


# The check taken out of the real machines: then the attack wins here too


def majority(patch: Patch) -> None:
    """t is that of the textbook, so that 2t <= n + c."""
    patch.setattr(session, "smallest_threshold", lambda variant, clients, colluding: 3)


def any_threshold(patch: Patch) -> None:
    patch.setattr(session, "smallest_threshold", lambda variant, clients, colluding: 1)


def no_signed_keys(patch: Patch) -> None:
    patch.setattr(bindings, "verify_keys", lambda *anything: None)


def no_self_mask(patch: Patch) -> None:
    def mask(vector: Any, field: Any, *, me: Any, self_seed: Any, leaf_seeds: Any) -> None:
        plus, minus = masking._by_sign(me, leaf_seeds)
        prg.accumulate(vector, field, masking.PAIRWISE_MASK, plus=plus, minus=minus)

    patch.setattr(masking, "mask", mask)


def no_memory_of_sums(patch: Patch) -> None:
    patch.setattr(ledger.Ledger, "check_survivors", lambda *anything: ())


def any_snapshot(patch: Patch) -> None:
    patch.setattr(ledger.Ledger, "require_last", lambda *anything: None)


def no_canaries(patch: Patch) -> None:
    patch.setattr(session, "CANARY_BITS", 0)


def no_headroom(patch: Patch) -> None:
    patch.setattr(Encoding, "_require_headroom", lambda self: None)


def no_vows(patch: Patch) -> None:
    patch.setattr(View, "check_quorum", lambda *anything: None)


LOAD_BEARING: dict[str, Callable[[Patch], None]] = {
    "split-view": majority,
    "late-input": no_self_mask,
    "key-substitution": no_signed_keys,
    "threshold-downgrade": any_threshold,
    "differencing": no_memory_of_sums,
    "restored-snapshot": any_snapshot,
    "overflow": no_headroom,
    "wrong-seed": no_canaries,
    "two-sums-of-pieces": majority,
    "chosen-challenge": no_vows,
}


@pytest.mark.parametrize("name", LOAD_BEARING)
def test_without_its_check_the_attack_wins_here_too(name: str, monkeypatch: Patch) -> None:
    LOAD_BEARING[name](monkeypatch)
    run = BY_NAME[name].ours(SEED)
    assert run.ending is Ending.WON, run
    if BY_NAME[name].goal is Goal.READ and name != "chosen-challenge":  # of which it has equations, not the vector
        assert run.guess is not None
        assert run.guess.exact


@pytest.mark.parametrize(
    ("name", "by"),
    [
        ("model-inconsistency", "split-view: no bundle opens"),
        ("replayed-keys", "bad-bundle: what party 0 dealt does not open"),
    ],
)
def test_behind_the_signatures_no_bundle_opens(name: str, by: str, monkeypatch: Patch) -> None:
    no_signed_keys(monkeypatch)
    run = BY_NAME[name].ours(SEED)
    assert (run.ending, by in run.said) == (REFUSED, True), run


def test_behind_the_roster_a_copied_key_gives_another_mask() -> None:
    """Of party 1 with 0 and with 2, which have one key: the ids tell the two seeds apart."""
    rand = SeededRandomness(SEED)
    mine, theirs = AgreementSecret.generate(rand), AgreementSecret.generate(rand).public
    seeds = {
        peer: bindings.leaf_seed(bytes(32), PartyId(1), mine, mine.public.raw, PartyId(peer), theirs) for peer in (0, 2)
    }
    assert seeds[0] != seeds[2]


# What no check stops


@pytest.mark.parametrize("demonstration", DEMONSTRATIONS, ids=lambda one: one.name)
def test_what_no_check_stops_succeeds_and_says_what_would_help(demonstration: Any) -> None:
    seen = demonstration.show(SEED)
    assert seen.succeeded, seen
    assert demonstration.layer
    assert demonstration.about.count("\n\n") >= 1


def test_strict_terms_refuse_what_is_otherwise_warned_of() -> None:
    (one,) = (one for one in DEMONSTRATIONS if one.name == "differencing-across-models")
    warned, strict = one.show(SEED).also
    assert "since the last sum party 1 left" in warned
    assert "small-change" in strict


# How it is decided

RAND = np.random.default_rng(7)
TRUE, OTHER = RAND.uniform(-1, 1, 1000), RAND.uniform(-16000, 16000, 1000)
SPAN = 2.0**15
REFUSAL = Refusal("party 0", "no-quorum", "3 of 4")


@pytest.mark.parametrize(
    ("recovered", "independent"),
    [
        (TRUE, False),
        (-TRUE, False),
        (TRUE + 3, False),
        (TRUE + RAND.normal(0, 3, 1000), False),  # noise that hides it from nobody
        (TRUE + SPAN, False),  # the same in the field
        (np.where(np.arange(1000) % 4, OTHER, TRUE), False),  # a quarter of it
        (OTHER, True),
        (np.zeros(1000), True),
        (RAND.uniform(-1, 1, 1000), True),
    ],
)
def test_a_vector_that_says_something_is_told_from_one_that_does_not(recovered: Any, independent: bool) -> None:
    guess = Guess(TRUE, recovered, SPAN)
    assert guess.independent == independent, str(guess)
    assert reading(guess, [REFUSAL]).ending is (REFUSED if independent else Ending.WON)


def test_an_attack_that_shows_nothing_is_not_called_stopped() -> None:
    with pytest.raises(NothingHappened):
        reading(None)
    with pytest.raises(NothingHappened):
        reading(Guess(TRUE, OTHER, SPAN))
    with pytest.raises(NothingHappened, match="another way: nobody refused it"):
        tried("another way", [])
    assert reading(Guess(TRUE, OTHER, SPAN), stays="a mask").ending is Ending.INDEPENDENT
    assert reading(None, [REFUSAL]).said == "party 0: no-quorum: 3 of 4"


def test_it_then_counts_as_lost_against_the_textbook_and_as_won_here() -> None:
    def nothing(seed: bytes) -> Run:
        raise NothingHappened("nothing")

    one = show(Attack("none", Goal.READ, "", "", "", nothing, nothing), SEED)
    assert (one.naive.ending, one.ours.ending, one.as_claimed) == (Ending.LOST, Ending.WON, False)


def test_a_sum_is_right_or_the_attack_has_won() -> None:
    vector = np.array([1, 2], dtype=np.uint32)
    finished = Finished(Aggregate(vector, frozenset({PartyId(0)})))
    assert summing(finished, lambda one: bool(one[0] == 1), "seen").ending is EXACT
    assert summing(finished, lambda one: bool(one[0] == 2), "seen").ending is Ending.WON
    assert summing(Aborted(AbortReason.TOO_FEW, DropReason.TOO_SLOW), lambda one: True, "seen").ending is Ending.WON
