"""Each model of dropout against what its name says, with a control beside it."""

from collections import Counter
from pathlib import Path
from random import Random

import pytest

from protocols.messages import Confirm, ShareKeys
from simulations.faults import (
    ByDevice,
    ByStage,
    Delay,
    Diurnal,
    Exactly,
    Independent,
    Lose,
    Plan,
    Population,
    Regional,
    Targeted,
    Trace,
)
from simulations.network import Device

PHONE, SERVER_ROOM = Device(name="phone"), Device(name="server")
PEOPLE = Population((PHONE,) * 300 + (SERVER_ROOM,) * 100, tuple(place % 4 for place in range(400)))


def test_exactly_so_many_vanish_and_another_draw_takes_others() -> None:
    one, two = (Exactly(0.1).drawn(PEOPLE, 1, Random(seed)) for seed in (1, 2))
    assert len(one) == len(two) == 40
    assert one != two
    assert set(one.values()) == {None}


def test_independent_losses_come_at_their_rate_and_not_always_in_the_same_number() -> None:
    numbers = [len(Independent(0.2).drawn(PEOPLE, 1, Random(seed))) for seed in range(40)]
    assert 70 < sum(numbers) / len(numbers) < 90
    assert len(set(numbers)) > 5
    assert max(numbers) <= Independent(0.2).planned(400)


def test_a_region_goes_dark_as_a_whole_and_the_others_do_not() -> None:
    model = Regional(outage=0.5, within=1.0, rate=0.0)
    patterns = set()
    for seed in range(20):
        lost = Counter(PEOPLE.regions[party] for party in model.drawn(PEOPLE, 1, Random(seed)))
        assert set(lost.values()) <= {100}
        patterns.add(frozenset(lost))
    assert len(patterns) > 5


def test_losses_of_a_day_go_up_and_down_and_round_the_regions() -> None:
    model = Diurnal(rate=0.3, swing=1.0, hours=6.0)

    def lost(fl_round: int) -> Counter[int]:
        return Counter(PEOPLE.regions[party] for party in model.drawn(PEOPLE, fl_round, Random(3)))

    assert lost(2)[0] > 40 > 10 > lost(4)[0]  # a quarter of a day in, and three quarters
    assert lost(1)[1] > 40  # the next region is a quarter ahead
    assert lost(5) == lost(1)


def test_only_the_kinds_of_device_that_are_named_vanish() -> None:
    lost = ByDevice({"phone": 0.5}).drawn(PEOPLE, 1, Random(1))
    assert 100 < len(lost) < 200
    assert all(PEOPLE.devices[party].name == "phone" for party in lost)


def test_a_stage_has_its_own_rate_and_a_party_vanishes_once() -> None:
    lost = ByStage({"share": 0.1, "unmask": 0.4}).drawn(PEOPLE, 1, Random(1))
    stages = Counter(lost.values())
    assert 20 < stages["share"] < 70
    assert 100 < stages["unmask"] < 190


def test_the_neighbours_of_a_victim_are_read_off_its_own_message() -> None:
    model = Targeted(victim=7, most=2)
    dealt = ShareKeys(b"", {9: b"", 3: b"", 5: b""}, b"")  # type: ignore[dict-item]
    assert model.seen(PEOPLE, 7, dealt) == {3: None, 5: None}  # type: ignore[arg-type]
    assert model.seen(PEOPLE, 8, dealt) == {}  # type: ignore[arg-type]
    assert model.seen(PEOPLE, 7, Confirm(b"")) == {}  # type: ignore[arg-type]
    assert model.drawn(PEOPLE, 1, Random(1)) == {}


def test_a_trace_says_who_vanishes_in_which_round(tmp_path: Path) -> None:
    file = tmp_path / "losses.csv"
    file.write_text("round,party,stage\n1,3,share\n1,4,\n2,5,unmask\n")
    assert Trace(str(file)).drawn(PEOPLE, 1, Random(1)) == {3: "share", 4: None}
    assert Trace(str(file)).drawn(PEOPLE, 2, Random(1)) == {5: "unmask"}
    assert Trace(str(file)).drawn(PEOPLE, 3, Random(1)) == {}


@pytest.mark.parametrize("wrong", [lambda: Exactly(1.2), lambda: Regional(-0.1), lambda: Diurnal(0.6, 1.0)])
def test_what_is_no_share_is_refused(wrong: object) -> None:
    with pytest.raises(ValueError, match="0 to 1"):
        wrong()  # type: ignore[operator]


def test_a_plan_finds_what_happens_to_a_message_of_a_link() -> None:
    up, down = Delay(1, "share", 2.0), Lose(1, "share", down=True)
    plan = Plan({}, (up, down, Lose(2, "share")))
    assert plan.on(1, "share", down=False) == (up,)  # type: ignore[arg-type]
    assert plan.on(1, "share", down=True) == (down,)  # type: ignore[arg-type]
    assert plan.on(1, "unmask", down=False) == ()  # type: ignore[arg-type]
