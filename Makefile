# Two commands on a fresh machine with Python 3.11+ and make: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
WORKDIR ?= runs/demo
PRODUCT ?= winter_melon
# A process a core, each of which wants 1 to 2 GB; the tests of a file stay together, for what they share.
WORKERS ?= -n auto --maxprocesses=4 --dist loadfile
export JAX_PLATFORMS ?=
export TF_CPP_MIN_LOG_LEVEL ?= 2

.PHONY: venv demo station test test-slow lint clean
venv: $(VENV)/.ready

# The stamp is written last, so an interrupted install is repeated rather than trusted.
$(VENV)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("ddad_jax needs Python 3.11 or newer, this is " + sys.version) if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: venv
	$(PY) -m experiments.sweep --config=experiments/configs/demo.py --workdir=$(WORKDIR)

# The paper's data set on the simulated station, then as the demo: PRODUCT=coffee or lemon_soda for another product.
station: venv
	$(PY) -m experiments.station --product=$(PRODUCT) --out=runs/station
	$(PY) -m experiments.sweep --config=experiments/configs/station.py:$(PRODUCT) --workdir=runs/station/$(PRODUCT)

lint: venv
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

test: lint
	$(PY) -m pytest $(WORKERS)

test-slow: venv
	$(PY) -m pytest $(WORKERS) -m slow

clean:
	rm -rf $(VENV) build *.egg-info runs
