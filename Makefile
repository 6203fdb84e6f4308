# Every target runs in .venv, which scripts/setup.py makes first (and mends, or makes again when
# pyproject.toml changes). Nothing but make and a Python 3.11 or newer is needed.

bin := .venv/$(if $(filter Windows_NT,$(OS)),Scripts,bin)

# Ctrl-C ends a command with status 130, and make with it, which need not call that an error.
quietly := trap : INT;
interrupted := || test $$? -eq 130

# Tests run in as many processes as there are cores, but four at most: each takes a gigabyte.
workers := -n auto --maxprocesses 4 --dist worksteal

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help train studio test check parity bench docs studio-test screenshots readme readme-check clean
.PHONY: setup-base setup-dev setup-docs setup-parity setup-bench setup-studio
unexport PYTHONHOME PYTHONPATH

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' Makefile
	@echo
	@echo '  ARGS="..." is handed on:       make train ARGS="--epochs 3"   make test ARGS="-k conv"'
	@echo '  PYTHON=... chooses the Python: make test PYTHON=python3.13'

train: setup-base  ## train LeNet on the handwritten digits that come with Chainrule
	@$(quietly) $(bin)/chainrule train lenet $(ARGS) $(interrupted)

studio: setup-studio  ## show the runs in the browser
	@$(quietly) $(bin)/python scripts/studio_pages.py build && \
	    $(bin)/chainrule studio $(ARGS) $(interrupted)

test: setup-dev  ## run the test suite
	@$(bin)/python -m pytest $(workers) -m "not parity and not browser" $(ARGS)

check: setup-dev  ## check format, lint and types
	@$(bin)/ruff format --check .
	@$(bin)/ruff check .
	@$(bin)/pyright

parity: setup-parity  ## compare with PyTorch 2.13 (a large download, once)
	@$(bin)/python -m pytest $(workers) -m parity $(ARGS)

bench: setup-bench  ## run side by side with PyTorch, JAX and TensorFlow, for half an hour
	@$(quietly) $(bin)/chainrule bench $(or $(ARGS),--growth --write benchmarks) $(interrupted)

studio-test: setup-studio  ## test the studio: its sources, and its pages in Chromium
	@$(bin)/python scripts/studio_pages.py test
	@$(bin)/python scripts/studio_pages.py build
	@$(bin)/python scripts/studio_browser.py
	@$(bin)/python -m pytest $(workers) --dist loadfile -m browser tests/studio $(ARGS)

screenshots: setup-studio  ## take the studio's pictures for the documentation again
	@$(bin)/python scripts/studio_pages.py build
	@$(bin)/python scripts/studio_browser.py
	@$(bin)/python scripts/studio_screenshots.py

docs: setup-docs  ## build the documentation; a warning is an error
	@$(bin)/python -m sphinx -E -W --keep-going -q -d build/doctrees docs build/docs
	@echo 'the documentation is in build/docs/index.html'

readme: setup-dev  ## write the README's figures and outputs again
	@$(bin)/python scripts/readme.py

readme-check: setup-dev  ## fail if the README says what is no longer true
	@$(bin)/python scripts/readme.py --check

clean:  ## remove .venv, caches and what was built (runs/ stays)
	@rm -rf .venv build dist studio/node_modules src/chainrule/studio/assets .pytest_cache .ruff_cache .hypothesis
	@find src tests scripts -name __pycache__ -type d -prune -exec rm -rf {} +

setup-base setup-dev setup-docs setup-parity setup-bench setup-studio:
	@$(quietly) python=$$(sh scripts/find-python "$(PYTHON)") && \
	    "$$python" -S scripts/setup.py $(@:setup-%=%) $(interrupted)
