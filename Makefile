# make demo    set everything up and run the whole loop in a browser, with no token
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

.PHONY: demo run test test-all coverage lint bench soak clean help

help:
	@grep '^# make' Makefile | cut -c3-

.venv/.installed: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --upgrade "pip>=25"
	$(BIN)/pip install --quiet torch==2.13.0
	$(BIN)/pip install --quiet --editable ".[test]"
	@touch $@

demo: .venv/.installed
	$(BIN)/ovation demo --audience 20 --nights 3

run: .venv/.installed
	$(BIN)/ovation run

PYTEST := $(BIN)/pytest --numprocesses auto --dist loadfile --no-loadscope-reorder

test: .venv/.installed
	$(PYTEST) -m "not slow"

test-all: .venv/.installed
	$(PYTEST)

coverage: .venv/.installed
	$(PYTEST) --cov --cov-report term:skip-covered

lint: .venv/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: .venv/.installed
	$(BIN)/pip install --quiet --editable ".[test,bench]"
	$(BIN)/python -m benchmarks

soak: .venv/.installed
	$(BIN)/pip install --quiet --editable ".[test,bench]"
	$(BIN)/python -m benchmarks.soak

clean:
	rm -rf .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
