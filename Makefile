# `make run` and `make test` do all the set-up; nothing else is needed but Python 3.10 or newer.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: run docs verify verify-tools test test-slow test-frameworks lint types layers setup clean

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev,docs,sweep,search,slurm,ray,tracking,sklearn,detection,sound,text,timm,huggingface]'
	touch $(READY)

# The pages that are written from the source, then the site, into site/; a broken link is an error.
docs: $(READY)
	$(BIN)/python -m tests.docs
	$(BIN)/python -m tests.docs.site

run: $(READY)
	$(BIN)/python -m edgepipe recipe=resnet18_int8

# The main recipe, its deployed file run under a Haswell, a Cortex-A72 and A76, in Node and in Chromium.
verify: $(READY) verify-tools
	$(BIN)/python -m edgepipe targets install --missing arm64 browser_wasm
	$(BIN)/python -m edgepipe recipe=resnet18_int8 'verify=[x86_avx2,arm64,browser_wasm]' ~goal \
		require_verify=true hydra.run.dir=outputs/verify
	$(BIN)/python -m edgepipe bundle verify outputs/verify

# One at a time and only what is missing: a nodejs from elsewhere brings its own npm, and Debian's conflicts with it.
verify-tools:
	@for need in qemu-aarch64-static:qemu-user-static debootstrap:debootstrap chromium:chromium node:nodejs npm:npm; do \
		command -v $${need%%:*} > /dev/null && continue; \
		test -n "$$fresh" || apt-get update || exit 1; \
		fresh=yes; echo "installing $${need##*:}"; apt-get install -y $${need##*:} || exit 1; \
	done

# One thread a worker: two of them with two threads each on two cores wait for each other three times as long as they
# compute. In the order of the folders, so that the files of few long tests do not come last, one worker alone with each.
test: lint types layers
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder \
		--durations 30

test-slow: $(READY)
	$(BIN)/python -m pytest -m slow

# The sources and formats that need heavy extras (about 5 GB more).
test-frameworks: $(READY)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[keras,tensorflow,sklearn,openvino,tflite,pte]'
	$(BIN)/python -m pytest -m "slow or not slow" tests/sources tests/passes/test_formats.py

lint: $(READY)
	$(BIN)/ruff check edgepipe tests benchmarks
	$(BIN)/ruff format --check edgepipe tests benchmarks

types: $(READY)
	$(BIN)/mypy

layers: $(READY)
	$(BIN)/lint-imports

clean:
	rm -rf $(VENV) dist build .mypy_cache .ruff_cache .pytest_cache
