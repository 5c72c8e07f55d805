"""Real processes behind proxies: a bounded soak, and that it notices what it must. The long run is `make soak`."""

import os
import shutil
import signal
from functools import partial

import pytest

from benchmarks.reliability import crew, soak
from benchmarks.reliability.drawing import draw
from benchmarks.reliability.faults import FaultPlan
from benchmarks.reliability.files import Folder
from benchmarks.reliability.judge import Verdict, judge
from benchmarks.reliability.soak import complaints, faults_in, run_one, table

pytestmark = pytest.mark.slow

SEED = 2024
STEPS = 12


async def trained(text, folder):
    plan = FaultPlan.parse(text)
    story = await crew.train(plan, Folder(folder))
    return story, judge(plan, story)


def explained(result):
    if not result.verdict.clean:
        pytest.fail("\n".join(complaints(result)))
    return result


async def test_forty_sessions_under_faults_by_lot_end_with_the_exact_sum_or_an_explained_abort(monkeypatch):
    monkeypatch.setattr(soak, "draw", partial(draw, steps=STEPS))
    counts = await soak.soak(SEED, 30, 90.0, explained)
    total = counts.total
    print(f"{table(counts)}\n{faults_in(counts)}")  # noqa: T201
    assert total.sessions >= 40
    assert total.touched >= 30
    assert total.exact > total.touched / 2
    assert (total.wrong, total.hangs, total.unexplained) == (0, 0, 0)
    assert sum(counts.faults.values()) >= 20


async def test_what_a_client_said_is_of_no_use_to_whoever_says_it_again(tmp_path):
    """The handshake, a masked input, the last bytes: said again beside the party, they cost it nothing."""
    story, verdict = await trained(
        "secagg active 5 1 1 1 3: 0 up@1100 replay; 1 up@3000 replay; 2 up@5000 replay", tmp_path
    )
    assert len(story.strikes) == 3
    assert verdict.clean
    assert story.models[None] == [[0, 1, 2, 3, 4]] * 3


async def test_a_connection_may_break_between_any_two_records_of_the_greeting(tmp_path):
    """Each bank is broken off four times before it is welcome; down: inside the welcome too (831 to 864)."""
    breaks = [("down", at) for at in (0, 127, 300, 640, 735, 805, 831, 840, 850, 863)]
    breaks += [("up", at) for at in (0, 517, 600, 700, 920, 1015, 1050, 1086, 1112, 1150)]
    places = [(place % 5, place // 5 + 1) for place in range(len(breaks))]
    faults = [f"{bank}#{nth} {way}@{at} truncate" for (bank, nth), (way, at) in zip(places, breaks, strict=True)]
    story, verdict = await trained(f"secagg active 5 1 1 1 8: {'; '.join(faults)}", tmp_path)
    assert len(story.strikes) == len(breaks)
    assert verdict.clean, verdict.odd
    assert story.models[None][-1] == [0, 1, 2, 3, 4]


async def test_two_uploads_that_stand_still_cost_the_others_nothing(tmp_path):
    """Found with this proxy: both places to upload were taken for longer than the round's patience."""
    story, verdict = await trained("secagg active 7 0 2 1 2: 0 up@2300 stall 8; 1 up@2300 stall 8", tmp_path)
    assert len(story.strikes) == 2
    assert verdict.clean, verdict.odd
    assert story.models[None] == [[2, 3, 4, 5, 6], [0, 1, 2, 3, 4, 5, 6]]


class Stopped(crew.Crew):
    """The first fault stops the coordinator's process, which then does nothing, and does not end."""

    def _strike(self, struck):
        os.kill(self._processes[None].pid, signal.SIGSTOP)


async def test_a_coordinator_that_does_nothing_any_more_is_a_hang(tmp_path, monkeypatch):
    monkeypatch.setattr(crew, "deadline", lambda setting: 2.0)
    monkeypatch.setattr(crew, "LAST_WORDS", 0.5)
    plan = FaultPlan.parse("secagg active 5 1 1 1 50: 0 up@3000 replay")
    story = await Stopped(plan, Folder(tmp_path)).run()
    assert story.hangs
    assert story.hangs[0] == "the coordinator: no session ended within 2 s"
    assert judge(plan, story).hangs == story.hangs


async def test_a_plan_is_run_again_from_its_line_and_its_logs_are_kept_only_where_something_is_odd(monkeypatch):
    calm = await run_one(FaultPlan.parse("secagg active 3 0 0 1 2:"))
    assert (calm.verdict.clean, calm.kept) == (True, None)
    monkeypatch.setattr(soak, "judge", lambda plan, story: Verdict(odd=["something"]))
    odd = await run_one(FaultPlan.parse("secagg active 3 0 0 1 1:"))
    assert odd.kept is not None
    assert (odd.kept / "coordinator.log").exists()
    assert f"--plan '{odd.plan}'" in list(complaints(odd))[-1]
    shutil.rmtree(odd.kept)
