# python3.11 (or newer) and make are all it takes: each target makes the virtual environment that it needs.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test check lint quick slow exhaustive fuzz fuzz-long soak load

demo: .venv/demo.stamp  ## five banks train a fraud model on this machine, and one of them is lost on the way
	$(BIN)/veilsum demo

test: quick slow  ## every test, the quick ones first; of the searches a case of each kind

check: lint quick  ## what to run before every commit, under a minute

lint: .venv/dev.stamp
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

quick: .venv/dev.stamp
	$(BIN)/pytest -m "not slow" -n 2

slow: .venv/dev.stamp
	$(BIN)/pytest -m "slow and not exhaustive" -n 2 --dist loadgroup

exhaustive: .venv/dev.stamp  ## searches, crashes and processes in all their cases, and five times what `slow` draws
	VEILSUM_EXAMPLES=5 $(BIN)/pytest -m slow -n 2 tests/mpc tests/protocols tests/conformance tests/net
	$(BIN)/pytest -m exhaustive -n 2 --dist loadgroup --ignore tests/mpc --ignore tests/protocols \
		--ignore tests/conformance --ignore tests/net

fuzz: .venv/dev.stamp  ## a minute of fuzzing, all targets in turn; findings stay in .fuzz
	$(BIN)/python tests/fuzz --seconds 60

INPUTS ?= 50000000
fuzz-long: .venv/fuzz.stamp  ## hours of it, guided by coverage, and a table at the end
	$(BIN)/python tests/fuzz --guided --inputs $(INPUTS)

RELIABILITY := $(BIN)/python -m benchmarks.reliability

soak: .venv/dev.stamp  ## a thousand sessions of real processes under faults; writes their counts into docs/reliability.md
	$(RELIABILITY) soak --sessions 1000 --out docs/reliability.md

load: .venv/dev.stamp  ## a thousand parties at one coordinator, then each attack on one; writes both tables
	$(RELIABILITY) load --out docs/reliability.md
	$(RELIABILITY) abuse --out docs/reliability.md

# A stamp is written last: an environment whose making was interrupted does not count and is made again.
.venv/demo.stamp: pyproject.toml constraints.txt setup.py mpc/native/loops.c mpc/native/put.h
	$(PYTHON) -m venv --clear .venv
	$(INSTALL) --editable .
	touch $@

# torch first and by itself: it is the largest, and whatever else asks for it then finds it there.
.venv/dev.stamp: .venv/demo.stamp
	rm -f .venv/demo.stamp
	$(INSTALL) torch
	$(INSTALL) --editable '.[torch,flower,flare,dev]'
	touch .venv/demo.stamp $@

.venv/fuzz.stamp: .venv/dev.stamp
	$(INSTALL) --editable '.[fuzz]'
	touch $@
