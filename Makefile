# make demo   the main job, set-up included: CTs -> simulated X-rays -> a network -> real X-rays, with a report
# make test   set up and run the tests
# make lint   ruff, mypy, import layers
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet install --constraint constraints.txt
# One thread per OpenMP region that waits passively: two processes on two cores otherwise slow each other down.
export OMP_WAIT_POLICY := PASSIVE

.PHONY: demo test lint setup setup-dev clean
.DELETE_ON_ERROR:

setup: $(VENV)/.ready
setup-dev: $(VENV)/.ready-dev

$(VENV)/.ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "synthray needs Python 3.11 or newer; $(PYTHON) is older: make PYTHON=python3.11"; exit 1; }
	@echo "setup: virtual environment in $(VENV) (PyTorch included, about a minute)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(PIP) --editable '.[learn,data,hdf5]'
	@touch $@

$(VENV)/.ready-dev: $(VENV)/.ready
	@echo "setup: test tools"
	@$(PIP) --editable '.[dev]'
	@touch $@

demo: setup
	@$(BIN)/synthray demo --out demo-out

test: setup-dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

lint: setup-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

clean:
	rm -rf demo-out build .pytest_cache .mypy_cache .ruff_cache .hypothesis
