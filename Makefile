# Two commands on a fresh machine with Python 3.11+ and make: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
WORKDIR ?= runs/demo
PRODUCT ?= winter_melon
# One process more than cores, since some tests wait for processes of their own, and four at most: each wants 1 to 2 GB.
# The tests of a file stay together, for what they share, and files go in the order of tests/conftest.py: the long ones
# first.
PROCESSES := $(shell $(PYTHON) -c 'import os; print(min(4, (os.cpu_count() or 1) + 1))')
WORKERS ?= -n $(PROCESSES) --dist loadfile --no-loadscope-reorder
# Many processes import the same modules: their bytecode is kept, even where the environment says otherwise.
KEPT := env -u PYTHONDONTWRITEBYTECODE
export JAX_PLATFORMS ?=
export TF_CPP_MIN_LOG_LEVEL ?= 2

# pip would compile all that it installs on one core before anything else begins; here that waits for what needs it.
INSTALL := -m pip install --quiet --disable-pip-version-check --no-compile --constraint

.PHONY: venv bytecode demo station test test-slow test-min lint docs wheel clean
venv: $(VENV)/.ready

# What the programs need; tests and documentation need .ready, which is several times as much.
# A stamp is written last, so an interrupted install is repeated rather than trusted.
$(VENV)/.programs: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("ddad_jax needs Python 3.11 or newer, this is " + sys.version) if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	$(PY) $(INSTALL) constraints.txt --editable '.[experiments]'
	touch $@

$(VENV)/.ready: $(VENV)/.programs
	$(PY) $(INSTALL) constraints.txt --editable '.[dev]'
	touch $@

# On all cores. A package may have a file that does not compile: it is named and passed over.
bytecode: $(VENV)/.bytecode
$(VENV)/.bytecode: $(VENV)/.ready
	-$(PY) -m compileall -q -j 0 $(VENV)/lib
	touch $@

demo: $(VENV)/.programs
	$(KEPT) $(PY) -m experiments.sweep --config=experiments/configs/demo.py --workdir=$(WORKDIR)

# The paper's data set on the simulated station, then as the demo: PRODUCT=coffee or lemon_soda for another product.
station: $(VENV)/.programs
	$(KEPT) $(PY) -m experiments.station --product=$(PRODUCT) --out=runs/station
	$(KEPT) $(PY) -m experiments.sweep --config=experiments/configs/station.py:$(PRODUCT) --workdir=runs/station/$(PRODUCT)

lint: venv
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

# The type checker takes one core as long as the compiler of bytecode takes the others.
test:
	$(MAKE) --jobs=2 lint bytecode
	$(KEPT) $(PY) -m pytest $(WORKERS)

test-slow: bytecode
	$(KEPT) $(PY) -m pytest $(WORKERS) -m slow

# The library with the lowest versions that pyproject.toml allows, on Python 3.11, in an environment of its own.
test-min:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11) and "constraints-min.txt is for Python 3.11, this is " + sys.version)'
	$(PYTHON) -m venv .venv-min
	.venv-min/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints-min.txt \
		--editable '.[datasets,experiments,test]'
	.venv-min/bin/python -m pytest $(WORKERS) tests/test_*.py tests/backbones tests/data tests/metrics tests/vision \
		--ignore=tests/test_docs.py --ignore=tests/test_packaging.py

# docs/_build/html/index.html; nothing is fetched. All pages anew (-E): what is generated rests on every source.
docs: venv
	$(PY) -m sphinx -E -W --keep-going -n -q -b html docs docs/_build/html

# dist/*.whl and *.tar.gz, of the library and its engine.
wheel: venv
	$(PY) -m build --no-isolation

clean:
	rm -rf $(VENV) .venv-min build dist docs/_build *.egg-info runs
