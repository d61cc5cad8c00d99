# Every target sets up .venv first, once; remove the folder to start afresh.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# The versions that README's figures were made with. `make test VENV=.venv-latest CONSTRAINTS=` takes the newest.
CONSTRAINTS ?= constraints.txt
PYTEST_FLAGS ?=
# `make test-minimum` leaves those out that need newer packages than we do.
EXTRAS ?= test,lint,labels,onnx,dask,docs,notebooks
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check $(CONSTRAINTS:%=-c %)

# For `make wheels`: the Python of a node without a network, its `pip freeze`, and its glibc (`ldd --version`).
PYTHON_VERSION ?= 3.12
PRESENT ?=
GLIBC ?= 2.28

.PHONY: quickstart check test test-fast test-minimum test-spawn lint format types build docs docs-serve bench encoders \
  notebooks wheels gpu docker constraints clean
.DELETE_ON_ERROR:

quickstart: $(VENV)/installed
	$(BIN)/crosspoint quickstart

check: lint types test-fast

# The tests' tensors are small: two processes of one thread bring more than one process of two threads.
PROCESSES ?= 2

test: $(VENV)/installed-dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(PROCESSES) --dist loadfile $(PYTEST_FLAGS)

test-fast: $(VENV)/installed-dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(PROCESSES) --dist loadfile -m 'not slow' $(PYTEST_FLAGS)

# As processes start on Windows and macOS.
test-spawn: $(VENV)/installed-dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(PROCESSES) --dist loadfile --start-method spawn $(PYTEST_FLAGS)

# Warnings are no errors here: old libraries warn of each other.
test-minimum:
	$(MAKE) test VENV=.venv-minimum CONSTRAINTS=constraints-minimum.txt EXTRAS=test,lint PYTEST_FLAGS='-W default $(PYTEST_FLAGS)'

lint: $(VENV)/installed-dev
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m ruff check .

format: $(VENV)/installed-dev
	$(BIN)/python -m ruff check --fix .
	$(BIN)/python -m ruff format .

# mypy cannot follow an editable install of folders that lie elsewhere, so it reads a copy as it is installed.
types: $(VENV)/installed-dev
	rm -rf build  # setuptools would keep modules there that have gone
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --upgrade --target build/installed .
	$(BIN)/python -m mypy

build: $(VENV)/installed
	rm -rf build dist *.egg-info  # lists of an earlier build would put files into the wheel
	$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir dist .
	$(BIN)/python -m tools.try_wheel dist/*.whl

# The site in site/; no network is used, and a warning is an error. `make docs-serve` shows it while pages are written.
docs: $(VENV)/installed-dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

docs-serve: $(VENV)/installed-dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs serve

# Where there is no Docker, the same steps in folders and a fresh environment.
docker: $(VENV)/installed
	if docker info >/dev/null 2>&1; then docker build --target cpu --tag crosspoint:cpu .; \
	else $(BIN)/python -m tools.docker_steps cpu; fi

bench: $(VENV)/installed-dev
	$(BIN)/python -m benchmarks

# The encoders that the wheel ships, trained again and compared with it; with one thread the sums have one order.
encoders: $(VENV)/installed
	OMP_NUM_THREADS=1 $(BIN)/python -m tools.shipped_encoders dgcnn-shapes
	OMP_NUM_THREADS=1 $(BIN)/python -m tools.shipped_encoders minkunet-streets

wheels: $(VENV)/installed
	$(BIN)/python -m tools.wheels --python $(PYTHON_VERSION) --glibc $(GLIBC) $(PRESENT:%=--present %)

# On a node without a network, where PYTHON is the Python that has torch: see docs/gpu_nodes.md.
gpu:
	$(PYTHON) -m tools.gpu_node .venv-gpu wheels
	.venv-gpu/bin/python -m tools.gpu_checks

constraints: $(VENV)/installed-dev
	$(BIN)/python -m tools.constraints > constraints.new
	mv constraints.new constraints.txt

notebooks: $(VENV)/installed-dev
	$(BIN)/python -m tools.notebooks

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: pyproject.toml $(CONSTRAINTS) | $(VENV)/bin/python
	$(INSTALL) -e .
	touch $@

$(VENV)/installed-dev: pyproject.toml $(CONSTRAINTS) | $(VENV)/bin/python
	$(INSTALL) -e '.[$(EXTRAS)]'
	touch $(VENV)/installed $@

clean:
	rm -rf .venv .venv-* build dist site wheels *.egg-info .pytest_cache .ruff_cache .mypy_cache
