import pytest

from mpc.spreading import one_after_another, spread, spreading


def slices(length: int, *, smallest: int) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    spread(lambda part: found.append((part.start, part.stop)), length, smallest=smallest)
    return found


def test_by_itself_all_work_is_one_slice():
    assert slices(100, smallest=1) == [(0, 100)]


@pytest.mark.parametrize(
    ("length", "smallest", "expected"),
    [
        (10, 1, [(0, 4), (4, 8), (8, 10)]),
        (10, 6, [(0, 6), (6, 10)]),
        (5, 6, [(0, 5)]),
        (0, 6, []),
    ],
)
def test_slices_make_up_the_whole_and_are_not_too_small(length, smallest, expected):
    with spreading(one_after_another, cores=3):
        assert slices(length, smallest=smallest) == expected
    assert slices(length, smallest=smallest) == ([(0, length)] if length else [])


def test_the_driver_runs_the_tasks_and_hears_what_they_raise():
    order = []
    with spreading(lambda tasks: [order.append(len(tasks)), one_after_another(tasks)], cores=2):
        assert slices(4, smallest=1) == [(0, 2), (2, 4)]
        with pytest.raises(ZeroDivisionError):
            spread(lambda part: 1 / 0, 4, smallest=1)
    assert order == [2, 2]


def test_no_core_does_no_work():
    with pytest.raises(ValueError, match="not 0"), spreading(one_after_another, cores=0):
        pass
