# `make demo` and `make test` set everything up on a fresh machine; they need Python 3.11 or newer and a package index.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
PARALLEL := --numprocesses auto --maxprocesses 4 --dist loadfile

.PHONY: install demo test test-slow test-browser test-promises reliability fuzz test-suites coverage docs lint format clean

install: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[dev]"
	touch $@

# Trains the bundled network further on real photographs for a few minutes, says where everything lies, measures it before and
# after on images that were held out, and stylises.
demo: install
	$(BIN)/python -m adain_lit.train experiment=finetune
	$(BIN)/python -m adain_lit.evaluate ckpt_path=$$(ls -t outputs/finetune/*/checkpoints/best.ckpt | head -n 1)
	$(BIN)/python -m adain_lit.stylize demo --style demo --grid --overwrite --output outputs/demo.jpg \
		--checkpoint $$(ls -t outputs/finetune/*/checkpoints/best.ckpt | head -n 1)

# Several tests at a time: one for each core, at most four, since each process takes a gigabyte.
test: install
	$(BIN)/pytest $(PARALLEL)

test-slow: install
	$(BIN)/pytest -m slow

# The slow tests of what is promised (equal weights in several processes, killed and resumed runs, sweeps, the commands of the
# README and the guides, the notebooks), and the tests of tools/, which made what the package ships.
PROMISES := tests/distributed tests/sweeps tests/documents tests/evidence tests/tasks \
	tests/test_contributing.py tests/test_notebooks.py tests/test_resume.py
test-promises: install
	$(BIN)/pytest tools
	$(BIN)/pytest $(PARALLEL) -m slow $(PROMISES)

# Breaks things on purpose, as users and machines do, and writes what happened into docs/reliability.md.
reliability: FILES ?= tests/reliability
reliability: install
	RELIABILITY_PAGE=docs/reliability.md $(BIN)/pytest -m "not gpu and not network" $(FILES)

# Looks for inputs that break something, other ones each time.
fuzz: install
	$(BIN)/pytest -m fuzz tests/fuzz

# Reads and stylises every image of a folder, and compares the pixels with those of torchvision's decoders.
test-suites: install
	SUITE_FOLDER=$(FOLDER) $(BIN)/pytest -rs tests/suites

# Needs a Chromium; without one the tests are skipped and say so.
test-browser: install
	$(BIN)/pytest -m browser -rs

# Which lines and branches the tests of `make test` run, those of the processes that they start too.
coverage: install
	$(BIN)/pytest $(PARALLEL) --cov --cov-report=term --cov-report=html:coverage

# The site, in site/; a broken link or a docstring that cannot be read ends it. Needs no network.
docs: install
	$(BIN)/zensical build --clean --strict

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) build dist site coverage .cache .coverage* .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
