# make demo   on a fresh machine: install, derain the example images, say where they are
# make test   on a fresh machine: install, then lint, types, import contracts and every test
# make docs   on a fresh machine: install, then build the site into build/site; a dead link fails
#
# make web    with npm: build the app that derains in the browser, for `crdnet serve` and the wheel
#
# Needs Python 3.11 or newer, make and a C compiler. Everything goes into .venv and web/node_modules.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
WORKERS ?= 2

.PHONY: demo test lint types imports pytest docs web browser bench performance soak clean

demo: $(VENV)/.base
	$(BIN)/python examples/demo.py

test: lint types imports pytest

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python tools/check_commits.py

types: $(VENV)/.dev
	$(BIN)/mypy

imports: $(VENV)/.dev
	$(BIN)/lint-imports

# Two workers, one thread each: the trajectories of small networks are compared bit by bit, and two cores are not more than two.
pytest: $(VENV)/.dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses $(WORKERS)

# The documentation as a site, which works from build/site/index.html without a server or network.
docs: $(VENV)/.docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# The app in src/crdnet/server/app: plain files for any host. No package runs scripts of its own here.
web: web/node_modules/.installed
	cd web && npm run --silent check && npm run --silent build

web/node_modules/.installed: web/package-lock.json
	cd web && npm ci --silent --ignore-scripts
	touch $@

# The tests of pages, which skip themselves where there is no Chromium; this gets it where it may.
browser: $(VENV)/.dev
	@command -v chromium || command -v chromium-browser || command -v google-chrome || \
	  { apt-get update && apt-get install --yes --no-install-recommends chromium fonts-dejavu-core; } || \
	  { echo "the page's tests need Chromium; on Debian, as root: apt-get install chromium" >&2; exit 1; }
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/server/test_page.py tests/server/test_app.py tests/evaluation/test_comparison.py

# Hours of load: fine-tuning in a clean environment, files with random damage, each parser under a fuzzer for ten minutes, kills of a run
# on a clip and of workers of a cluster, machines of a cluster without power or network (as root), then a server under mixed requests.
soak: $(VENV)/.dev
	CRDNET_CLEAN_INSTALL=1 $(BIN)/python -m pytest tests/contracts/test_wheel.py
	CRDNET_MUTATED_FILES=2000 $(BIN)/python -m pytest tests/images/test_fuzz.py
	$(PIP) atheris==3.0.0
	$(BIN)/python -m tests.images.fuzz all -max_total_time=600
	CRDNET_KILLS=20 $(BIN)/python -m pytest tests/video/test_resume.py -k random
	CRDNET_CLUSTER_IMAGES=20000 $(BIN)/python -m pytest tests/batch/cluster/test_ray.py tests/batch/cluster/test_machines.py
	$(BIN)/python -m benchmarks.speed.batch kills
	$(BIN)/python -m benchmarks.speed.server fairness
	$(BIN)/python -m benchmarks.speed.server soak --minutes 30
	if command -v buildah && command -v debootstrap; then tools/check_container.sh; fi

# Is anything slower than what is committed? Ten minutes of a quiet machine make the page of figures anew.
bench: $(VENV)/.dev
	$(BIN)/python -m benchmarks.speed.performance compare

performance: $(VENV)/.dev
	$(BIN)/python -m benchmarks.speed.performance page

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.base: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) --editable .
	touch $@

# torch first and by its exact pin: any looser spelling may bring a build with gigabytes of CUDA.
# visdom's source distribution needs a setuptools that still has pkg_resources.
$(VENV)/.dev: pyproject.toml constraints.txt build-constraints.txt | $(VENV)/bin/python
	$(PIP) $(shell grep '^torch==' constraints.txt)
	PIP_CONSTRAINT=build-constraints.txt $(PIP) --editable '.[train,visdom,dev]'
	touch $@ $(VENV)/.base

$(VENV)/.docs: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) --editable '.[docs]'
	touch $@

clean:
	rm -rf $(VENV) build dist demo web/node_modules src/crdnet/server/app
