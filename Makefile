# Every target makes its own virtual environment in .venv first.

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

.PHONY: demo test check slow docs clean

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[check]'
	touch $@

## Fit the bundled digits, and show the numbers, figures and report.
demo: $(READY)
	rm -rf runs/demo
	$(BIN)/vaekit fit digits --run runs/demo

test: $(READY)
	$(BIN)/python -m pytest -n 2

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest --doctest-modules src -m 'not slow'

## The longer checks: reproduced published numbers, memory limits, several processes.
slow: $(READY)
	$(BIN)/python -m pytest -m slow

clean:
	rm -rf .venv build dist src/*.egg-info
