# `make demo` and `make test` set everything up on a fresh machine; they need Python 3.11 or newer and a package index.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: install demo test test-slow test-browser lint format clean

install: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[dev]"
	touch $@

# Trains the bundled network further on real photographs for a few minutes, says where everything lies, and stylises.
demo: install
	$(BIN)/python -m adain_lit.train experiment=finetune
	$(BIN)/python -m adain_lit.stylize demo --style demo --grid --overwrite --output outputs/demo.jpg \
		--checkpoint $$(ls -t outputs/finetune/*/checkpoints/best.ckpt | head -n 1)

test: install
	$(BIN)/pytest

test-slow: install
	$(BIN)/pytest -m slow

# Needs a Chromium; without one the tests are skipped and say so.
test-browser: install
	$(BIN)/pytest -m browser -rs

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
