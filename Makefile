# Everything a fresh machine needs: Python 3.11+, pip, venv and make. `make test` is what CI runs.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
CHECKERS := $(VENV)-checkov/bin/checkov $(VENV)-parliament/bin/parliament
TEMPLATES := infra/functions.json infra/polled.json

unexport PYTHONDONTWRITEBYTECODE  # the tests start a thousand processes, which would all compile the package anew

.PHONY: run demo aws test format lint types unit unit-engine unit-aws unit-waiting unit-processes unit-commands unit-deployment unit-scenarios faults torture torture-faults torture-scenarios coverage fuzz cgroups audit lock parity bench pictures templates clean

run: $(STAMP)                   ## drop the sample data, run the reference pipeline, go on watching
	@trap : INT; $(BIN)/python -m handlers run || [ $$? -eq 130 ]  # Ctrl-C is how it ends: make calls it no error, and ends by it, too

demo: $(STAMP)                  ## the same, and end when the story is told
	@$(BIN)/python -m handlers demo

aws: $(STAMP)                   ## the pipeline on an AWS emulated here: put objects, see the model promoted (HOW=--lambda)
	@$(BIN)/python -m handlers aws $(HOW)

test: lint                      ## what CI runs: format, lint, types, tests, examples of the docs
	@$(MAKE) --no-print-directory --jobs=5 $(UNIT) types

format: $(STAMP)                ## put the code into shape
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lint: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(STAMP)                 ## of the package, and of code that uses it, by mypy and by pyright
	$(BIN)/mypy
	$(BIN)/mypy benchmarks
	CI=1 $(BIN)/python -m pytest --quiet tests/test_typing.py

unit: $(STAMP)                  ## five processes at a time: half of their time they wait, so two cores carry them
	@$(MAKE) --no-print-directory --jobs=5 $(UNIT)

PYTEST := $(BIN)/python -m pytest
UNIT := unit-engine unit-commands unit-processes unit-aws unit-waiting unit-scenarios unit-deployment  # the longest first
WAITING := $(patsubst %,tests/aws/test_%.py,faults job queue deployment_kills)
DEPLOYMENT := $(patsubst %,tests/aws/test_%.py,bundle bad_input deployment template)
COMMANDS := tests/commands tests/parity
PROCESSES := tests/crash tests/handlers tests/torture tests/test_docs.py
BESIDE := tests/aws tests/test_typing.py tests/faults $(COMMANDS) $(PROCESSES)

unit-engine: $(STAMP)
	$(PYTEST) $(addprefix --ignore=,$(BESIDE)) -o cache_dir=.pytest_cache/engine

unit-aws: $(STAMP)
	$(PYTEST) tests/aws $(addprefix --ignore=,$(WAITING) $(DEPLOYMENT)) -o cache_dir=.pytest_cache/aws

unit-waiting: $(STAMP)          # of AWS's those that wait for queues and processes
	$(PYTEST) $(WAITING) -o cache_dir=.pytest_cache/waiting

unit-processes: $(STAMP)        # those that start apps, kill them, and tell their stories
	$(PYTEST) $(PROCESSES) -o cache_dir=.pytest_cache/processes

unit-commands: $(STAMP)
	$(PYTEST) $(COMMANDS) -o cache_dir=.pytest_cache/commands

unit-scenarios: $(STAMP)        # the engine under seeded faults, on all cores
	$(PYTEST) tests/faults -o cache_dir=.pytest_cache/scenarios

unit-deployment: $(STAMP)       # of AWS's those that pack, and check templates
	$(PYTEST) $(DEPLOYMENT) -o cache_dir=.pytest_cache/deployment

coverage: $(STAMP)             ## which lines and branches of the package no test reaches, processes included
	rm -rf .coverage
	-$(MAKE) --no-print-directory --keep-going $(UNIT) PYTEST="$(BIN)/coverage run -m pytest"
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

faults: $(STAMP)                ## all 200 messages by functions over moto, of which `make unit` sends 20
	TRIGGERS_FAULTS=200 $(BIN)/python -m pytest tests/aws/test_faults.py

torture: $(STAMP)               ## every fault fifty times as often as `make unit`, and 100,000 scenarios of the engine; an hour or two
	@$(MAKE) --no-print-directory --jobs=2 torture-faults torture-scenarios

torture-faults: $(STAMP)        ## kills, power losses, disks, signals, clocks, strange files, backlogs, a soak
	TRIGGERS_TORTURE=50 $(BIN)/python -m pytest -rP tests/torture tests/crash/test_kill.py tests/crash/test_backup.py -o cache_dir=.pytest_cache/torture

torture-scenarios: $(STAMP)     ## 100,000 scenarios of the engine under seeded faults, and the planted mistakes
	TRIGGERS_SCENARIOS=100000 $(BIN)/python -m pytest tests/faults/test_engine.py

fuzz: $(STAMP)                  ## every reader of what strangers send, a minute each (SECONDS=60), guided by coverage
	$(BIN)/python -m pip install --quiet --group fuzz
	$(BIN)/python -m tests.fuzz $(SECONDS)

cgroups: $(STAMP)               ## runs that a kernel keeps to their memory, in User Mode Linux (apt-get install user-mode-linux)
	tests/cgroup/boot.sh $(abspath $(BIN)/python) tests/cgroup/kept.py

parity: $(STAMP)                ## every scenario by a dispatcher and by functions: the same comes of it
	$(BIN)/python -m triggers parity infra.scenarios

bench: $(STAMP)                 ## the README's figures, beside huey and DBOS, its table and chart; ten minutes on a quiet machine
	$(BIN)/python -m pip install --quiet --group bench
	$(BIN)/python -m benchmarks
	$(BIN)/python -m benchmarks publish

pictures: $(STAMP)              ## the pictures of the docs, from a real run
	$(BIN)/python -m infra.pictures

templates: $(STAMP) $(CHECKERS)  ## the pipeline's CloudFormation templates, and what their checkers say
	$(BIN)/python -m infra.templates
	$(BIN)/cfn-lint $(TEMPLATES)
	$(VENV)-checkov/bin/checkov --config-file infra/checkov.yaml $(TEMPLATES:%=--file %)
	$(VENV)-parliament/bin/python infra/policies.py $(TEMPLATES)

$(CHECKERS):                    # in environments of their own: they pin what we use
	$(PYTHON) -m venv $(@D)/..
	$(@D)/python -m pip install --quiet $(if $(findstring parliament,$@),"parliament>=1.6" "setuptools<81","checkov>=3.3")

clean:
	rm -rf $(VENV) $(VENV)-checkov $(VENV)-parliament .mypy_cache .ruff_cache .pytest_cache .coverage .triggers demo build dist

audit: $(STAMP)                 ## bandit, licences, and whether what is installed is what is locked
	$(BIN)/bandit --quiet --configfile pyproject.toml --recursive triggers handlers infra
	$(BIN)/python -m infra.audit

lock: $(STAMP)                  ## name the newest versions, with their hashes, of all that pyproject.toml asks for
	$(BIN)/python -m pip install --quiet "uv>=0.9"
	$(BIN)/uv pip compile pyproject.toml --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-annotate --all-extras --group dev --group types \
		--custom-compile-command "make lock" --output-file requirements.lock

$(STAMP): pyproject.toml requirements.lock
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "triggers needs Python 3.11 or newer; set PYTHON=")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --require-hashes --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@
