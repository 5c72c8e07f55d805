"""Whatever is wrong, a person gets one line that names it and says what to do, and the last model stays on disk."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from fl_integration.workload import TabularWorkload
from net.config import load_consortium

DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def models(place):
    """Each has the model that was completed last; afterwards those that are in here have it still."""
    kept = {name: place.store_model(name) for name in ("a", "b", "c", "d", "hub")}
    yield kept
    for name, model in kept.items():
        assert place.path(name, "model.npz").read_bytes() == model


def edit(path: Path, old: str, new: str) -> Path:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    return path


# --- tables ---


@pytest.mark.parametrize(
    ("text", "culprit", "remedy"),
    [
        ("amount,kind\n1.5,cash\n2.5,card\n", "the label column 'late' is missing", "add it"),
        ("amount,kind,late\n", "column names and no rows", ""),
        ("amount,kind,late\n1.5,cash,1\nlots,card,0\n", "column 'amount' has text where numbers should be", "(row 2)"),
        ("amount,kind,late\n1.5,cash,0\n2.5,card,0\n", "no row has '1' in the label column", "both classes are needed"),
        ("amount,kind,late\n1,cash,1\n2,cash,0\n3,card,2\n", "'late' has 3 values", "keep the rows of the two"),
        ("amount,late\n1.5,0\n2.5,1\n", "the column 'kind' is missing", "correct the schema"),
    ],
)
def test_a_table_that_cannot_be_trained_on(place, veilsum, text, culprit, remedy):
    file = place.party("a")
    place.path("a", "data.csv").write_text(text)
    said = veilsum("party", file)
    assert said.status == 1
    assert str(place.path("a", "data.csv")) in said.complaint
    assert culprit in said.complaint
    assert remedy in said.complaint


# --- files ---


@pytest.mark.parametrize("command", ["party", "check"])
def test_a_misspelt_key_is_named_with_the_nearest_right_one(place, veilsum, command):
    file = edit(place.party("a"), "patience =", "patiense =")
    said = veilsum(command, file)
    assert (said.status, "unknown key 'patiense': did you mean 'patience'?" in said.complaint) == (1, True)


def test_a_misspelt_training_key_is_named_too(place, veilsum):
    file = place.party("a")
    edit(place.consortium, "learning_rate =", "learning_rat =")
    said = veilsum("party", file)
    assert (said.status, "did you mean learning_rate?" in said.complaint) == (1, True)
    assert "consortium.toml" in said.complaint


def test_an_identity_that_is_not_in_the_consortium(place, veilsum):
    file = place.party("a")
    place.identity("stranger")
    edit(file, '"a.key"', '"../stranger/stranger.key"')
    said = veilsum("party", file)
    assert (said.status, "has the identity" in said.complaint) == (1, True)
    assert "newest file?" in said.complaint


@pytest.mark.parametrize("command", ["party", "coordinator"])
def test_a_model_of_another_training(place, veilsum, models, command):
    file, name = (place.party("a"), "a") if command == "party" else (place.coordinator(), "hub")
    edit(place.consortium, "rounds = 1", "rounds = 2")
    said = veilsum(command, file)
    assert (said.status, "another model, number of rounds or schema" in said.complaint) == (1, True)
    assert str(place.path(name, "model.npz")) in said.complaint
    assert "move it away to start anew" in said.complaint


# --- the network ---


def impatient(file):
    """This party.toml, of a party that does not try for long."""
    return edit(file, "patience = 600.0", "patience = 0.5")


def test_a_coordinator_that_is_not_there(place, veilsum):
    file = edit(place.party("a"), "patience = 600.0", "patience = 0.3")
    said = veilsum("party", file)
    assert (said.status, "nobody answers at 127.0.0.1:1 for 0.3 s" in said.complaint) == (1, True)
    assert "is the coordinator running" in said.complaint


def test_fewer_parties_than_a_session_needs(place, veilsum):
    said = veilsum("coordinator", place.coordinator(patience=0.1, attempts=1))
    assert (said.status, "0 parties are ready and a session needs 3" in said.complaint) == (1, True)
    assert "must be started" in said.complaint


@pytest.mark.slow
def test_a_port_in_use(place, veilsum, waiting_coordinator):
    said = veilsum("coordinator", place.coordinator(listen=waiting_coordinator))
    assert (said.status, f"cannot listen on {waiting_coordinator}" in said.complaint) == (1, True)
    assert "use another address" in said.complaint


@pytest.mark.slow
def test_another_consortium_file(place, veilsum, waiting_coordinator):
    file = place.party("a", address=waiting_coordinator)
    edit(place.consortium, "losses = 1", "losses = 0")
    said = veilsum("party", file)
    assert (said.status, "the consortium files differ" in said.complaint) == (1, True), said
    assert "use the same one" in said.complaint


@pytest.mark.slow
def test_another_wire_version(place, veilsum, waiting_coordinator, monkeypatch):
    monkeypatch.setattr("net.party.WIRE", "veilsum/0")
    said = veilsum("party", place.party("a", address=waiting_coordinator))
    assert (said.status, "install the same version on both sides" in said.complaint) == (1, True)


@pytest.mark.slow
@pytest.mark.parametrize("gap", [DAY, -DAY])
def test_clocks_a_day_apart_at_the_hello(place, veilsum, waiting_coordinator, monkeypatch, gap):
    now = datetime.now(UTC) + gap
    monkeypatch.setattr("net.party.time.time", now.timestamp)
    said = veilsum("party", place.party("a", address=waiting_coordinator))
    side = "ahead of" if gap > timedelta(0) else "behind"
    assert (said.status, f"{side} the coordinator's: set both" in said.complaint) == (1, True)


class Shifted(datetime):
    """A clock that is wrong from now on."""

    gap = DAY

    @classmethod
    def now(cls, tz=None):
        return datetime.now(tz) + cls.gap


@pytest.mark.slow
@pytest.mark.parametrize("gap", [DAY, -30 * DAY])
def test_a_certificate_that_is_not_valid_yet_or_has_expired(place, veilsum, waiting_coordinator, monkeypatch, gap):
    monkeypatch.setattr(Shifted, "gap", gap)
    monkeypatch.setattr("net.tls.datetime", Shifted)
    said = veilsum("party", impatient(place.party("a", address=waiting_coordinator)))
    assert (said.status, "closed the connection at once" in said.complaint) == (1, True)
    assert "the clock of one side is wrong" in said.complaint


@pytest.mark.slow
def test_a_certificate_of_nobody_that_the_coordinator_knows(place, veilsum, waiting_coordinator):
    """The party's file holds a card that the coordinator's does not."""
    place.identity("stranger")
    place.path("stranger", "data.csv").write_bytes(place.path("a", "data.csv").read_bytes())
    place.consortium.rename(place.path("old.toml"))
    assert place.create(["a", "b", "c", "d", "stranger"]).status == 0
    said = veilsum("party", impatient(place.party("stranger", address=waiting_coordinator)))
    assert (said.status, "does not hold our card" in said.complaint) == (1, True)
    identity = load_consortium(place.consortium).find("stranger").verify_key
    assert identity.fingerprint in said.complaint


@pytest.mark.slow
def test_a_certificate_of_somebody_else_than_our_coordinator(place, veilsum, waiting_coordinator):
    place.identity("impostor")
    place.consortium.rename(place.path("old.toml"))
    assert place.create(["a", "b", "c", "d"], coordinator="impostor").status == 0
    said = veilsum("party", impatient(place.party("a", address=waiting_coordinator)))
    assert "trying again" in said.out
    assert (said.status, "is not the coordinator of" in said.complaint) == (1, True)
    assert "check the address" in said.complaint


# --- what a bank would contribute ---


@pytest.fixture
def against_three(place, veilsum, coordinator, bank):
    """Runs `veilsum party` for bank a in a session with three others."""

    def run():
        for name in ("b", "c", "d"):
            bank(place.party(name, address=coordinator))
        return veilsum("party", place.party("a", address=coordinator))

    return run


@pytest.mark.slow
def test_a_vector_of_another_length(models, against_three, monkeypatch):
    class Short(TabularWorkload):
        def contribute(self, payload):
            return super().contribute(payload)[:-1]

    monkeypatch.setattr("veilsum.join.TabularWorkload", Short)
    for name in ("b", "c", "d", "hub"):
        del models[name]  # they go on without it
    said = against_three()
    assert (said.status, "cannot be summed with the others'" in said.complaint) == (1, True)
    assert "install the same version on all sides" in said.complaint


@pytest.fixture
def _diverging(place, models):
    """A learning rate of which every bank's update becomes NaN."""
    edit(place.consortium, "learning_rate = 0.01", "learning_rate = 1e300")
    edit(place.consortium, "statistics = true", "statistics = false")
    for name in models:
        models[name] = place.store_model(name)


@pytest.mark.slow
@pytest.mark.usefixtures("_diverging")
def test_nan_in_an_update(request):
    said = request.getfixturevalue("against_three")()
    assert (said.status, "round 1: this bank's update is no finite vector" in said.complaint) == (1, True)
    assert "lower training.learning_rate" in said.complaint
