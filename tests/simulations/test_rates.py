"""Links and rates: what a message and a call cost."""

import math
from pathlib import Path
from random import Random

import pytest

from mpc.work import Work
from simulations.events import Agenda
from simulations.network import Pipe, varied
from simulations.rates import Rates, default_rates
from veilsum.bench.rates import main

LINES = [f"{name} = 1.0" for name in Rates.__dataclass_fields__]


def written(folder: Path, lines: list[str]) -> Path:
    file = folder / "rates.toml"
    file.write_text("\n".join(lines))
    return file


def test_every_piece_of_work_has_its_price() -> None:
    prices = Rates(*(float(10**place) for place in range(10)))
    work = Work(1, 1, 1, 1, 1, 1, 1, 1)
    assert prices.seconds(work, messages=1, size=1) == 1111111111.0
    assert prices.seconds(Work(), 0, 0) == 0


def test_the_rates_of_the_package_are_of_this_kind_of_machine() -> None:
    rates = default_rates()
    assert 1e-5 < rates.agreement < 1e-3
    assert 1e-10 < rates.stream_byte < 1e-8


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (LINES[1:], "'agreement' is missing or unknown"),
        ([*LINES, "other = 1.0"], "'other' is missing or unknown"),
        (["agreement = -1.0", *LINES[1:]], "'agreement' is no number of seconds"),
        (['agreement = "fast"', *LINES[1:]], "'agreement' is no number of seconds"),
    ],
)
def test_a_file_without_all_rates_is_refused(tmp_path: Path, lines: list[str], message: str) -> None:
    assert Rates.load(written(tmp_path, LINES)).check == 1.0
    with pytest.raises(ValueError, match=message):
        Rates.load(written(tmp_path, lines))


@pytest.mark.slow
def test_the_bench_prints_a_file_of_rates(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main()
    rates = Rates.load(written(tmp_path, capsys.readouterr().out.splitlines()))
    assert 0 < rates.agreement < 0.1


def test_a_message_waits_for_the_one_before_it_on_its_link() -> None:
    pipe = Pipe(mbps=8.0)  # a MB a second
    assert pipe.through(1.0, 500_000) == pytest.approx(1.5)
    assert pipe.through(1.1, 1_000_000) == pytest.approx(2.5)
    assert pipe.through(9.0, 0) == 9.0
    assert Pipe(math.inf).through(3.0, 10**12) == 3.0


def test_a_spread_of_none_is_the_mean_and_any_other_has_it_for_its_median() -> None:
    assert varied(2.0, 0.0, Random(1)) == 2.0
    drawn = sorted(varied(2.0, 0.5, Random(seed)) for seed in range(999))
    assert drawn[499] == pytest.approx(2.0, rel=0.1)
    assert drawn[0] < 1 < 4 < drawn[-1]


def test_events_of_one_second_happen_in_the_order_in_which_they_were_made() -> None:
    agenda, seen = Agenda(), []
    for name, second in (("late", 2.0), ("first", 1.0), ("second", 1.0)):
        agenda.at(second, lambda name=name: seen.append((name, agenda.now)))  # type: ignore[misc]
    agenda.at(0.5, lambda: agenda.at(0.1, lambda: seen.append(("never earlier", agenda.now))))
    agenda.run()
    assert seen == [("never earlier", 0.5), ("first", 1.0), ("second", 1.0), ("late", 2.0)]
