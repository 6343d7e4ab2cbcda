# The project's remote control. Every target that needs .venv sets it up first, once; a set-up that was interrupted is repeated.
# Another Python than the first suitable one: PYTHON=python3.12 make ...

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PIP := $(BIN)/python -m pip --disable-pip-version-check
CANDIDATES := $(or $(PYTHON),python3 python3.14 python3.13 python3.12 python3.11 python)
# a worker of one thread more than cores: some always wait, for a kernel, a browser or a training in another worker;
# one that dies, or hangs (pyproject.toml), ends the run, and the test it was in is named
PYTEST = OMP_NUM_THREADS=1 GLIBC_TUNABLES=$(KEEP) $(BIN)/python -m pytest \
	-n $$(($$($(BIN)/python -c 'import os; print(os.cpu_count())') + 1)) --max-worker-restart 0 \
	--dist loadfile --no-loadscope-reorder --durations=10
# glibc keeps large blocks, in large pages: a tenth to a fifth less processor time for a small training
KEEP := glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold=4294967296:glibc.malloc.trim_threshold=17179869184
SUITABLE := import sys, venv; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))

# where bytecode is not kept, each process compiles PyTorch and the rest anew: 10 to 20 s for every notebook's kernel
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo check test lab notebooks refresh site slides bench gpu lint lock clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(READY)  ## run notebook 00 on generated images, and say where the result is
	@$(BIN)/medattn run 00
	@echo "Open the page above in a browser, or go on in JupyterLab: make lab"

test: lint  ## lint, types, all tests, and every notebook compared with its committed outputs
	$(PYTEST) tests
	@folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && \
	echo "Every notebook, compared with its committed outputs" && \
	MEDATTN_RUNS=$$folder/runs MEDATTN_DATA=$$folder/data IPYTHONDIR=$$folder/ipython \
	$(PYTEST) -p no:cacheprovider --nbval --nbval-current-env --nbval-cell-timeout 500 notebooks

check: lint  ## lint, types and the fast tests, in a minute and a half
	$(PYTEST) -m "not slow" tests

lab: $(READY)  ## open JupyterLab on the notebooks: on this machine only, with a token
	@$(BIN)/medattn lab

notebooks: $(READY)  ## execute all notebooks to out/
	@$(BIN)/medattn run --all

refresh: $(READY)  ## execute the committed notebooks anew, normalise them, and draw the diagrams
	$(BIN)/ruff format notebooks
	@$(BIN)/medattn refresh
	$(BIN)/python docs/diagrams/draw.py
	$(BIN)/python docs/diagrams/hero.py

site: $(READY)  ## write notebooks and recorded results as a static site to out/site
	@folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && \
	$(BIN)/python -m sphinx --quiet --fail-on-warning -c docs -d "$$folder/doctrees" . "$$folder/site" && \
	mkdir -p out && rm -rf out/site && mv "$$folder/site" out && \
	echo "Open $(CURDIR)/out/site/index.html in a browser"

slides: $(READY)  ## write the figures and captions of the notebooks, or of N=05, as slides to out/slides
	@$(BIN)/python docs/slides.py $(N)

bench: $(READY)  ## measure, side by side on this machine, what the modules and the training cost
	$(BIN)/python tests/benchmarks/speed.py

gpu: $(READY)  ## use one GPU for at most eight minutes: its tests, speed, and recorded runs, to out/gpu
	$(BIN)/python tests/benchmarks/gpu.py

lint: $(READY)  ## check the style of code and notebooks, and the types of the package
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

lock: $(READY)  ## renew requirements.lock from pyproject.toml
	$(BIN)/uv lock --quiet --fork-strategy fewest
	@new=$$($(BIN)/uv export --frozen --all-extras --no-hashes --no-emit-project --no-annotate --no-header) && \
	{ head -1 requirements.lock; echo "$$new"; } > uv.lock && mv uv.lock requirements.lock

clean:  ## remove what the runs of notebooks and tests left; not .venv, not data/
	rm -rf out build .pytest_cache .ruff_cache .hypothesis
	find medattn tests notebooks docs \( -name __pycache__ -o -name .ipynb_checkpoints \) -prune -exec rm -rf {} +

$(READY): pyproject.toml requirements.lock
	@$(BIN)/python -c 'import pip; $(SUITABLE)' 2>/dev/null || { \
	for python in $(CANDIDATES); do "$$python" -c '$(SUITABLE)' 2>/dev/null && break; python=; done; \
	if [ -z "$$python" ]; then \
	echo "medattn needs Python 3.11 to 3.14 with venv; not so: $(CANDIDATES). Another one: PYTHON=path make ..." >&2; \
	exit 1; fi; \
	echo "Setting up $(VENV) with $$("$$python" --version); 6 GB with PyTorch, a few minutes"; \
	"$$python" -m venv --clear $(VENV); }
	@# uv installs in a fifth of pip's time, but knows nothing of a package index set in pip's configuration
	{ $(PIP) install --quiet -c requirements.lock uv && \
	$(BIN)/uv pip install --python $(BIN)/python -c requirements.lock -e '.[dev]'; } || \
	$(PIP) install --no-compile -c requirements.lock -e '.[dev]'
	@# for one check of jsonschema's, optional and unused here, each of Jupyter's programs would start 4 s later
	$(PIP) uninstall --quiet --yes rfc3987-syntax
	@touch $@
