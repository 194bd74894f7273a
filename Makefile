# Every target makes the environment that it needs; nothing else has to be installed.
#   make demo    the main job: a suite with its ladder, table, report and figures in demo/
#   make test    the tests
#   make check   all that CI runs on the core: format, lint, types, tests, doctests, wheel

PYTHON ?= python3
VENV := .venv
INTEGRATIONS := .venv-integrations
PIP_FLAGS := --quiet --disable-pip-version-check -c constraints.txt
export GROUNDTRUTH_CACHE ?= $(CURDIR)/.cache

.PHONY: demo test test-integrations check lint types doctest wheel benchmarks clean

demo: $(VENV)/.demo
	$(VENV)/bin/groundtruth run demo --out demo

# One thread for each worker: with more, workers wait for one another three times as long.
test: $(VENV)/.dev
	OMP_NUM_THREADS=1 $(VENV)/bin/python -m pytest -n 2 -m "not integration"

test-integrations: $(INTEGRATIONS)/.installed
	OMP_NUM_THREADS=1 $(INTEGRATIONS)/bin/python -m pytest tests/integrations -m integration

check: lint types test doctest wheel

lint: $(VENV)/.dev
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .

types: $(VENV)/.dev
	$(VENV)/bin/pyright --pythonpath $(VENV)/bin/python

doctest: $(VENV)/.dev
	$(VENV)/bin/python -m pytest --doctest-modules groundtruth -q -p no:cacheprovider

wheel: $(VENV)/.dev
	PYTHON=$(CURDIR)/$(VENV)/bin/python sh tests/wheel.sh

benchmarks: $(INTEGRATIONS)/.installed
	for script in import_time sampling scoring training transformer circuits; do $(INTEGRATIONS)/bin/python -m benchmarks.$$script || exit 1; done

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: $(VENV)/bin/python pyproject.toml constraints.txt
	$(VENV)/bin/python -m pip install $(PIP_FLAGS) -e .
	touch $@

$(VENV)/.dev: $(VENV)/bin/python pyproject.toml constraints.txt
	$(VENV)/bin/python -m pip install $(PIP_FLAGS) -e ".[dev]"
	touch $@

$(INTEGRATIONS)/.installed: pyproject.toml constraints.txt
	test -x $(INTEGRATIONS)/bin/python || $(PYTHON) -m venv $(INTEGRATIONS)
	# torch first: what is installed later then finds it there and pulls in no other build.
	$(INTEGRATIONS)/bin/python -m pip install $(PIP_FLAGS) torch
	$(INTEGRATIONS)/bin/python -m pip install $(PIP_FLAGS) -e ".[testing,peers]"
	# Without what they require: nnsight 0.3, timm, torchvision, OpenCV, which do not live together
	# with the rest and which their autoencoders do not use.
	$(INTEGRATIONS)/bin/python -m pip install $(PIP_FLAGS) --no-deps dictionary-learning overcomplete
	touch $@

clean:
	rm -rf $(VENV) $(INTEGRATIONS) .cache build *.egg-info
