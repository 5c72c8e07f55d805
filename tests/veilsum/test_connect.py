"""The facade over the real network: programs in processes of their own, with and without an event loop."""

import gc
import json
import re
import signal
import threading
import time
import tomllib
from contextlib import suppress
from pathlib import Path

import anyio
import numpy as np
import pytest

import veilsum
from net.config import load_consortium
from veilsum.join import means_of

STEP = 2 * 1.0 / (2**16 - 1)
PAGE = Path(__file__).parents[2] / "docs/connect.md"
NAMES = ("a", "b", "c", "d", "e")
UPDATE = {"w": np.zeros((2, 3), dtype=np.float32), "n": np.array(0)}

# Party i contributes i / 10 and the count i, with weight i + 1, and says each mean on a line of its own. It is killed
# in round `fatal` before its masked input leaves. It goes on to the end, or until a sum after round 2 covers `parties`.
PARTY = """
import json, os, signal, sys
import numpy as np
import veilsum
from protocols import masking

file, place, fatal, parties = sys.argv[2], *map(int, sys.argv[3:])

def update():
    return {"n": np.array(place), "w": np.full((2, 3), place / 10, dtype=np.float32)}, place + 1, {"loss": place / 2}

def die_in(task):
    if task.fl_round == fatal:
        masking.mask = lambda *args, **kwargs: os.kill(os.getpid(), signal.SIGKILL)

def say(task, result):
    last = None if task.mean is None else sorted(task.mean.included)
    print(json.dumps({
        "round": task.fl_round, "last": last, "included": sorted(result.included), "weight": result.total_weight,
        "w": result.update["w"].tolist(), "n": int(result.update["n"]), "loss": result.metrics["loss"],
    }), flush=True)
    return parties and task.fl_round > 2 and len(result.included) == parties

def refused(exc):
    print(json.dumps({"refused": str(exc)}), flush=True)

def blocking():
    with veilsum.connect(file) as session:
        while (task := session.task()) is not None:
            die_in(task)
            tensors, weight, metrics = update()
            session.contribute(tensors, weight=weight, metrics=metrics)
            try:
                if say(task, session.result()):
                    return
            except veilsum.AggregationError as exc:
                refused(exc)

async def awaiting():
    async with veilsum.connect(file) as session:
        while (task := await session.task()) is not None:
            die_in(task)
            tensors, weight, metrics = update()
            await session.contribute(tensors, weight=weight, metrics=metrics)
            try:
                if say(task, await session.result()):
                    return
            except veilsum.AggregationError as exc:
                refused(exc)

match sys.argv[1]:
    case "blocking":
        blocking()
    case "asyncio":
        import asyncio
        asyncio.run(awaiting())
    case "trio":
        import trio
        trio.run(awaiting)
"""


@pytest.fixture
def meet(place):
    """The files of a consortium that sums what programs contribute."""

    def create(parties: int, rounds: int, **options: object):
        place.identity("e")
        place.consortium.unlink()
        table = veilsum.mean_table(UPDATE, rounds=rounds, metrics={"loss": (0.0, 5.0)})
        place.path("model.toml").write_text(table)
        said = place.create(list(NAMES[:parties]), **options)
        assert said.status == 0, said.err
        return place

    return create


def party_file(place, name: str, address: str = "127.0.0.1:1", patience: float = 60.0) -> Path:
    out = place.path(name, "party.toml")
    out.unlink(missing_ok=True)
    words = ["--consortium", place.consortium, "--identity", place.path(name), "--address", address, "--out", out]
    place.ok("party", "init", *words)
    out.write_text(out.read_text().replace("patience = 600.0", f"patience = {patience}"))
    return out


def listening(coordinator) -> str:
    """Its address, once it listens."""
    return coordinator.stdout.readline().rsplit(maxsplit=1)[1]


def lines(process) -> list[dict]:
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return [json.loads(line) for line in out.splitlines()]


def expected_w(places) -> float:
    return sum(place / 10 * (place + 1) for place in places) / sum(place + 1 for place in places)


@pytest.mark.slow
def test_programs_with_asyncio_trio_and_no_loop_get_equal_means_and_end_with_the_training(meet, start):
    place = meet(3, rounds=2, losses=0)
    coordinator = start("coordinator", place.coordinator())
    address = listening(coordinator)
    kinds = ("asyncio", "trio", "blocking")
    started = [
        start(kind, party_file(place, NAMES[seat], address), seat, 0, 0, code=PARTY) for seat, kind in enumerate(kinds)
    ]
    said = [lines(process) for process in started]
    assert said[0] == said[1] == said[2]
    assert [line["round"] for line in said[0]] == [1, 2]
    assert [line["last"] for line in said[0]] == [None, [0, 1, 2]]
    for line in said[0]:
        assert (line["included"], line["weight"], line["n"]) == ([0, 1, 2], 6, round(8 / 6))
        assert np.abs(np.array(line["w"]) - expected_w(range(3))).max() <= STEP
        assert line["loss"] == pytest.approx(sum(i / 2 * (i + 1) for i in range(3)) / 6, abs=5 * STEP)
    coordinator.communicate(timeout=60)
    assert coordinator.returncode == 0


@pytest.mark.slow
def test_a_party_that_is_killed_is_left_out_and_takes_part_again_once_it_is_back(meet, start):
    place = meet(5, rounds=1000, losses=1)
    coordinator = start("coordinator", place.coordinator(grace=0.0))
    address = listening(coordinator)
    files = [party_file(place, name, address) for name in NAMES]
    kinds = ("asyncio", "trio", "blocking", "blocking", "asyncio")
    fatal = (0, 0, 0, 2, 0)
    started = [start(kind, files[seat], seat, fatal[seat], 5, code=PARTY) for seat, kind in enumerate(kinds)]
    killed = started.pop(3)
    assert killed.wait(timeout=60) == -signal.SIGKILL
    back = start("trio", files[3], 3, 0, 5, code=PARTY)
    said = [lines(process) for process in started]
    assert all(one == said[0] for one in said)
    first, *without, last = [line["included"] for line in said[0]]
    assert first == last == [0, 1, 2, 3, 4]
    assert without == [[0, 1, 2, 4]] * len(without)
    assert np.abs(np.array(said[0][1]["w"]) - expected_w((0, 1, 2, 4))).max() <= STEP
    (returned,) = lines(back)
    assert returned == said[0][-1]
    assert returned["last"] == [0, 1, 2, 4]


@pytest.mark.slow
def test_a_party_that_is_killed_and_back_within_its_grace_is_in_the_sum_that_it_was_killed_in(meet, start):
    place = meet(4, rounds=3, losses=1)
    address = listening(start("coordinator", place.coordinator(grace=60.0)))
    files = [party_file(place, name, address) for name in NAMES[:4]]
    started = [start("blocking", files[seat], seat, 2 if seat == 3 else 0, 0, code=PARTY) for seat in range(4)]
    assert started.pop().wait(timeout=60) == -signal.SIGKILL
    back = start("trio", files[3], 3, 0, 0, code=PARTY)
    said = [lines(process) for process in started]
    assert [line["included"] for line in said[0]] == [[0, 1, 2, 3]] * 3
    assert all(one == said[0] for one in said)
    assert lines(back) == said[0][2:]


@pytest.mark.slow
def test_a_round_without_a_sum_is_asked_for_again_and_its_contributors_are_told_to_train_again(meet, start):
    place = meet(3, rounds=2, losses=0)
    address = listening(start("coordinator", place.coordinator(grace=0.0)))
    files = [party_file(place, name, address) for name in NAMES[:3]]
    survivors = [start(kind, files[seat], seat, 0, 0, code=PARTY) for seat, kind in enumerate(("blocking", "asyncio"))]
    assert start("trio", files[2], 2, 1, 0, code=PARTY).wait(timeout=60) == -signal.SIGKILL
    back = start("trio", files[2], 2, 0, 0, code=PARTY)
    refused, *means = lines(survivors[0])
    assert re.fullmatch(r"round 1: no sum \(.*\): train again and contribute again", refused["refused"])
    assert [line["round"] for line in means] == [1, 2]
    assert lines(survivors[1]) == [refused, *means]
    assert lines(back) == means


@pytest.mark.slow
def test_a_program_outlasts_its_coordinator_and_contributes_to_the_one_that_comes_back(meet, start):
    place = meet(3, rounds=1, losses=0)
    coordinator = start("coordinator", place.coordinator())
    address = listening(coordinator)
    others = [start("blocking", party_file(place, NAMES[seat], address), seat, 0, 0, code=PARTY) for seat in (1, 2)]
    with veilsum.connect(party_file(place, "a", address)) as session:
        assert (session.task().fl_round, session.latest()) == (1, None)
        coordinator.kill()
        coordinator.wait()
        again = start("coordinator", place.coordinator(listen=address))
        result = None
        while result is None:
            session.contribute(UPDATE, metrics={"loss": 0.0})
            with suppress(veilsum.AggregationError):
                result = session.result()
        assert session.task() is None
        assert (result.included, session.latest().total_weight) == ({0, 1, 2}, 6)
    means = [[line for line in lines(process) if "round" in line] for process in others]
    assert means[0] == means[1]
    assert means[0][0]["w"] == result.update["w"].tolist()
    again.communicate(timeout=60)
    assert again.returncode == 0


@pytest.mark.slow
def test_the_programs_of_the_page_run_against_the_files_of_the_page(place, start, monkeypatch, tmp_path):
    table, blocking, awaiting = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    exec(compile(table, str(PAGE), "exec"), {})
    place.path("model.toml").write_text(Path("training.toml").read_text())
    place.consortium.unlink()
    assert place.create(list(NAMES[:3]), losses=0).status == 0
    address = listening(start("coordinator", place.coordinator()))
    programs = [blocking, awaiting, awaiting.replace("asyncio.run(main())", "import trio; trio.run(main)")]
    started = [
        start(code=program, cwd=party_file(place, name, address).parent)
        for name, program in zip(NAMES, programs, strict=False)
    ]
    for process in started:
        out, err = process.communicate(timeout=60)
        assert (process.returncode, err) == (0, "")
        printed = re.findall(r"(\d) \[(.*?)\] 9", out)
        assert [int(fl_round) for fl_round, _ in printed] == [1, 2]
        assert all(float(value) == pytest.approx(-0.5, abs=STEP) for _, bias in printed for value in bias.split())


# In this process


def party_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "veilsum party"]


@pytest.fixture
def lonely(meet, start):
    """The file of a party whose coordinator waits for more parties than ever come."""
    place = meet(3, rounds=1, losses=0)
    return party_file(place, "a", listening(start("coordinator", place.coordinator(patience=3600.0))))


@pytest.mark.slow
def test_leaving_ends_the_thread_and_its_connection_at_once_while_somebody_waits(lonely):
    refused = []

    def wait(session):
        try:
            session.contribute(UPDATE)
        except veilsum.AggregationError as exc:
            refused.append(str(exc))

    with veilsum.connect(lonely) as session:
        waiting = threading.Thread(target=wait, args=[session])
        waiting.start()
        assert len(party_threads()) == 1
    waiting.join(10)
    assert refused == ["the session is closed: connect again"]
    assert party_threads() == []
    gc.collect()  # a socket that was left open would warn here, and a warning is an error


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_cancelled_caller_leaves_the_block_within_seconds_and_no_thread_behind(lonely, backend):
    async def main():
        async with veilsum.connect(lonely) as session:
            with anyio.move_on_after(0.2) as scope:
                await session.contribute(UPDATE)
            assert scope.cancelled_caught
            with anyio.move_on_after(0.2) as scope:
                await session.task()
            assert scope.cancelled_caught

    started = time.monotonic()
    anyio.run(main, backend=backend)
    assert time.monotonic() - started < 5
    assert party_threads() == []


def test_nobody_waits_for_a_coordinator_that_is_not_there(meet):
    place = meet(3, rounds=1, losses=0)
    with (
        veilsum.connect(party_file(place, "a", patience=0.1)) as session,
        pytest.raises(veilsum.AggregationError, match=r"nobody answers at 127\.0\.0\.1:1"),
    ):
        session.contribute(UPDATE)
    with pytest.raises(veilsum.AggregationError, match="opened once"), session:
        pass


def test_a_session_is_used_inside_its_block(meet):
    place = meet(3, rounds=1, losses=0)
    session = veilsum.connect(party_file(place, "a"))
    for call in (session.task, session.mean, lambda: session.contribute(UPDATE)):
        with pytest.raises(veilsum.AggregationError, match="use with veilsum"):
            call()
    assert session.latest() is None


def test_what_is_wrong_with_a_file_is_said_in_the_line_of_the_command(meet, place, tmp_path):
    with pytest.raises(veilsum.AggregationError, match=r"party\.toml: cannot be read"):
        veilsum.connect(tmp_path / "party.toml")
    with pytest.raises(veilsum.AggregationError, match=r"coordinator\.toml: cannot be read"):
        veilsum.serve(tmp_path / "coordinator.toml")
    tables = place.party("a")
    with pytest.raises(veilsum.AggregationError, match="parties train on tables here: start veilsum party"):
        veilsum.connect(tables)
    file = party_file(meet(3, rounds=1, losses=0), "a")
    place.path("a", "model.npz").write_bytes(b"damaged")
    with pytest.raises(veilsum.AggregationError, match=r"model\.npz: not a payload"):
        veilsum.connect(file)


def test_a_party_of_programs_is_not_started_by_the_command_and_its_file_names_no_table(meet, veilsum):
    place = meet(3, rounds=1, losses=0)
    file = party_file(place, "a")
    assert "programs contribute to this training" in veilsum("party", file).complaint
    words = ["--consortium", place.consortium, "--identity", place.path("a"), "--out", place.path("x.toml")]
    said = veilsum("party", "init", *words, "--data", place.path("a", "data.csv"))
    assert (said.status, "leave --data" in said.complaint) == (2, True)
    checked = veilsum("check", file)
    assert "ok     data: a program contributes" in checked.out
    assert "ok     model" in checked.out


def test_a_party_of_tables_names_its_table(place, veilsum):
    words = ["--consortium", place.consortium, "--identity", place.path("a"), "--out", place.path("x.toml")]
    said = veilsum("party", "init", *words)
    assert (said.status, "--data is missing" in said.complaint) == (2, True)


def test_the_table_of_an_update_is_what_the_consortium_agrees_on(meet):
    text = veilsum.mean_table(UPDATE, rounds=3, clip=2, bits=8, metrics={"loss": (0, 5)})
    table = tomllib.loads(text)["training"]
    assert table == {
        "kind": "mean",
        "rounds": 3,
        "run": 1,
        "clip": 2.0,
        "bits": 8,
        "metrics": {"loss": [0.0, 5.0]},
        "tensors": {"w": {"shape": [2, 3], "dtype": "f4"}, "n": {"shape": [], "dtype": "i8"}},
    }


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("rounds = 1\n", "rounds = 0\n", r"\[training\] 'rounds' is a number of 1 or more, not 0"),
        ("bits = 16", "bts = 16", r"\[training\] unknown key 'bts': did you mean 'bits'"),
        ('dtype = "f4"', 'dtype = "c8"', "the dtype of 'w' is one of"),
        ("shape = [2, 3]", "shape = [2, -3]", "the shape of 'w' is a list of sizes"),
        ("shape = [2, 3], ", "", "tensors: 'w' is {shape"),
        ('kind = "mean"', 'kind = "median"', "'kind' is 'median'"),
    ],
)
def test_a_mistake_in_the_table_is_named_before_anybody_signs_it(place, old, new, message):
    text = veilsum.mean_table(UPDATE, rounds=1)
    assert old in text
    place.path("model.toml").write_text(text.replace(old, new))
    place.consortium.unlink()
    said = place.create(["a", "b", "c"], losses=0)
    assert said.status == 1
    assert re.search(message, said.complaint), said.complaint


def test_one_table_reaches_the_coordinator_and_no_shape_is_written_by_hand(meet):
    place = meet(3, rounds=7, losses=0)
    consortium = load_consortium(place.consortium)
    means = means_of(consortium, place.consortium)
    assert means.rounds == 7
    assert [entry.name for entry in means.layout.entries] == ["n", "w"]
    assert means.load(means.initial()).facts is None
