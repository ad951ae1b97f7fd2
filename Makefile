# Each target does its own set-up, in a virtual environment. `make help` lists them.
# Another Python: make test PYTHON=python3.12. Arguments: make test PYTEST_ARGS="-x tests/kernels".

PYTHON ?= python3
VENV ?= .venv
TORCH := torch==2.13.0
# By a path, not by setuptools' finder: the finder is asked too late for `import minirnn` to work in
# the folder above a clone, where the clone itself looks like a package of that name.
EDITABLE := --config-settings editable_mode=compat --editable

BIN := $(VENV)/bin
# The environment is set up again only when the dependencies may have changed.
DEMO_READY := $(VENV)/ready-demo
TEST_READY := $(VENV)/ready-test
TORCH_READY := $(VENV)/ready-torch
ORACLES_READY := $(VENV)/ready-oracles
DOCS_READY := $(VENV)/ready-docs
BENCH_READY := $(VENV)/ready-bench
GPU_READY := $(VENV)/ready-gpu
# What the GPU's driver can run, as nvidia-smi tells it: 12 or 13.
CUDA = $(or $(shell nvidia-smi 2> /dev/null | sed -n 's/.*CUDA Version: *\([0-9]*\).*/\1/p'),13)

.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help demo test oracle lint format package cuda-report gpu-check warmup bench evaluate cases docs clean

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1	/p' Makefile | expand -t 14

# Two tests at a time, and then those that measure time, one by one. Of a part of the tests there may
# be but one kind: of the other pytest says by 5 that there is none, which is no failure.
define run_tests
$(BIN)/pytest $(1) -n 2 --dist loadfile -m 'not alone' $(PYTEST_ARGS) || [ $$? -eq 5 ]
$(BIN)/pytest $(1) -m alone $(PYTEST_ARGS) || [ $$? -eq 5 ]
endef

demo: $(DEMO_READY)  ## three networks on the CO2 record: failing, flattening, cured
	$(BIN)/minirnn demo $(DEMO_ARGS)

test: $(TEST_READY)  ## the tests; those that compare with PyTorch are skipped without it
	$(call run_tests)

oracle: export KERAS_BACKEND = torch
oracle: $(ORACLES_READY)  ## the tests that compare with PyTorch, Keras and ONNX, installed for them
	$(call run_tests,--oracles)

lint: $(TEST_READY)  ## style and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

format: $(TEST_READY)  ## rewrite the sources in the project's style
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

package: $(TEST_READY)  ## build and install from every kind of tree, and run the tests there
	$(BIN)/python tools/check_package.py

cuda-report: $(TEST_READY)  ## compile the CUDA kernels for every kind of GPU; registers and spills
	$(BIN)/python tools/cuda_report.py $(REPORT_ARGS)

# On a machine without the network: make gpu-check OFFLINE=1 PYTHON=python3, whose packages are used.
gpu-check: $(if $(OFFLINE),,$(GPU_READY))  ## with an NVIDIA GPU: check the CUDA kernels, and time them
	$(if $(OFFLINE),$(PYTHON),$(BIN)/python) tools/gpu_check.py $(GPU_CHECK_ARGS)

warmup: $(DEMO_READY)  ## compile the kernels now, so that the first run does not wait
	$(BIN)/minirnn warmup

# The page is of whole runs into the day's file; another file is read by python -m bench.report FILE.
bench: $(BENCH_READY)  ## minirnn beside PyTorch, some 20 minutes; writes docs/performance.md
	$(BIN)/pytest bench --benchmark-columns=median,iqr,rounds $(BENCH_ARGS)
	$(if $(filter --quick --results%,$(BENCH_ARGS)),,$(BIN)/python -m bench.report)

# Part of it: make evaluate EVALUATE_ARGS="--part tuning --symptoms outliers --count 5"
evaluate: $(TORCH_READY)  ## how often the doctor is right, half an hour; writes docs/diagnosis.md
	$(BIN)/python -m bench.corpus.evaluate $(EVALUATE_ARGS)

cases: $(TORCH_READY)  ## what users are told, tried with ten seeds; writes docs/cases.md
	$(BIN)/python -m bench.case_seeds --seeds 10 --write docs/cases.md $(CASES_ARGS)

docs: $(DOCS_READY)  ## draw the pictures of the docs again
	$(BIN)/python docs/draw_inside.py

clean:  ## remove the virtual environment and everything that was built
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find kernels minirnn tests tools -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/activate:
	@command -v "$(PYTHON)" > /dev/null || \
	    { echo "minirnn: no $(PYTHON) here. Name yours: make PYTHON=python3.12" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "minirnn: Python 3.11 or newer is needed; $(PYTHON) is" \
	           "$$("$(PYTHON)" --version 2>&1 | head -n 1). Name another: make PYTHON=python3.12" >&2; exit 1; }
	@"$(PYTHON)" -c 'import ensurepip, venv' 2> /dev/null || \
	    { echo "minirnn: $(PYTHON) cannot make virtual environments: its venv module is missing" \
	           "(Debian, Ubuntu: apt install python3-venv)" >&2; exit 1; }
	@echo "Setting up $(VENV) (once; a minute or two)"
	@"$(PYTHON)" -m venv "$(VENV)" || { rm -rf "$(VENV)"; exit 1; }

$(DEMO_READY): pyproject.toml | $(BIN)/activate
	@$(BIN)/python -m pip install --quiet $(EDITABLE) '.[report]'
	@touch $@

# The emulated GPU needs a C++ compiler: where the machine has none, one comes from PyPI (411 MB).
$(TEST_READY): pyproject.toml | $(BIN)/activate
	@$(BIN)/python -m pip install --quiet $(EDITABLE) '.[report,test]'
	@{ command -v "$${CXX:-c++}" || command -v g++ || command -v clang++; } > /dev/null || \
	    $(BIN)/python -m pip install --quiet ziglang
	@touch $@

$(DOCS_READY): pyproject.toml | $(BIN)/activate
	@$(BIN)/python -m pip install --quiet $(EDITABLE) '.[docs]'
	@touch $@

$(TORCH_READY): $(TEST_READY)
	@$(BIN)/python -m pip install --quiet '$(TORCH)'
	@touch $@

# After PyTorch, so that what Keras runs on is the one named above.
$(ORACLES_READY): $(TORCH_READY)
	@$(BIN)/python -m pip install --quiet $(EDITABLE) '.[report,test,oracles]'
	@touch $@

$(BENCH_READY): $(TORCH_READY)
	@$(BIN)/python -m pip install --quiet $(EDITABLE) '.[report,test,bench,docs]'
	@touch $@

# Not the extra `test`, whose CuPy is for CUDA 13.
$(GPU_READY): pyproject.toml | $(BIN)/activate
	@$(BIN)/python -m pip uninstall --quiet --yes $(if $(filter 12,$(CUDA)),cupy-cuda13x,cupy-cuda12x)
	@$(BIN)/python -m pip install --quiet $(EDITABLE) '.[report,cuda$(CUDA)]' \
	    'pytest>=8' 'hypothesis>=6.100' pytest-xdist '$(TORCH)'
	@touch $@
