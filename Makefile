# The whole of it: `make demo` shows it, `make test` proves it. Each makes .venv on its first run.
# A smaller download on a Linux machine without a GPU:
#   make demo PIP_FLAGS="--extra-index-url https://download.pytorch.org/whl/cpu"

PYTHON    ?= python3
PIP_FLAGS ?=
BIN       := .venv/bin
READY     := .venv/ready

.PHONY: demo test lint bench weights clean

demo: $(READY)
	$(BIN)/remembrandt demo --out demo

# A file's tests stay together: they share what is dear to make.
test: $(READY)
	$(BIN)/python -m pytest -n auto --dist loadfile

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/pyright -p pyproject.toml

# Beside what is published, which needed photos and hours more.
bench: $(READY)
	mkdir -p .benchmarks
	$(BIN)/python -m benchmarks.painting -o .benchmarks/painting.json
	$(BIN)/python -m benchmarks.exam -o .benchmarks/exam.json

# Re-makes the embedded model from code, stage by stage; stopped, it goes on where it was.
weights: $(READY)
	$(BIN)/python -m remembrandt.pocket.recipe

# Written last, so that an installation that was cut off is begun again.
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Remembrandt needs Python 3.11 or newer: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_FLAGS) -c constraints.txt -e '.[dev]'
	@touch $(READY)

clean:
	rm -rf .venv demo .pytest_cache .ruff_cache .import_linter_cache
