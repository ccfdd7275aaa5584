# make run  — .venv, install, then PRODUCT from raw images to a promoted model that inspects new ones
# make test — .venv, install, then the tests
PRODUCT ?= solar_cell
PYTHON ?= python3.11
PIP = .venv/bin/python -m pip --disable-pip-version-check
INSTALL = $(PIP) install --quiet --no-compile --constraint constraints.txt

.PHONY: run test
run: .venv/installed
	.venv/bin/zeromiss run $(PRODUCT)

test: .venv/tested
	.venv/bin/python -m pytest $(PYTEST)

.venv/bin/python:
	$(PYTHON) -m venv .venv

# --no-compile: of some 60,000 modules a run imports a few thousand, and compiles those when it does
.venv/installed: .venv/bin/python pyproject.toml constraints.txt
	@echo "installing (a few minutes, most of it torch)"
	$(INSTALL) --editable .
	@touch $@

.venv/tested: .venv/installed
	$(INSTALL) --editable '.[test]'
	@touch $@
