# What there is to run. Every target sets up .venv first where that is needed; nothing else has to be installed by hand.
# Another interpreter than python3: make PYTHON=python3.12 test

PYTHON ?= python3
ROOMS := .:runtime:train:export:bench

.PHONY: help demo docs test test-cuda pythons fuzz gpu-check public-networks first-hour setup
.DEFAULT_GOAL := help

help:
	@echo "make demo        scenes, training, export, prediction, bench, report: the whole chain on this machine"
	@echo "make test        lint, types, import contract, tests; ARGS='-k contract' goes to pytest"
	@echo "make docs        the documentation site in out/docs/site, its links checked; EXTERNAL=1 asks other sites too"
	@echo "make test-cuda   the CUDA layer over a stand-in of the driver, with cuda-bindings 12.8 to 13 and pycuda, which is"
	@echo "                 compiled for minutes; ONLY=cuda-bindings==13.5.0 for one"
	@echo "make pythons     lint and the tests that need no torch on every Python found here, one at a time; ALL=1 for"
	@echo "                 everything, ONLY=3.12 for one"
	@echo "make fuzz        mutants of sound files for every reader; MINUTES=10, SEED=0, ONLY=bundle"
	@echo "make gpu-check   the tests and the bench that need an NVIDIA GPU; ONLY=tests|bench|bundle|train|robustness for a"
	@echo "                 part, PLAN=1 for what it would do, REHEARSE=1 for the same path on a CPU; see lab/README.md"
	@echo "make public-networks  small networks of every public family against their publishers' pipelines: a table"
	@echo "make first-hour  what newcomers do first, from a fresh environment: a table; MINUTES=4 of each training, ONLY=..."
	@echo "make setup       .venv alone"

setup:
	@$(PYTHON) scripts/environment.py

demo: setup
	@.venv/bin/python scripts/demo.py

test: setup
	@.venv/bin/python scripts/check.py $(ARGS)

docs: setup
	@PYTHONPATH=$(ROOMS) .venv/bin/python -m scripts.docsite $(if $(EXTERNAL),--external)

test-cuda: setup
	@.venv/bin/python scripts/stand_in.py $(ONLY)

pythons:
	@$(PYTHON) scripts/pythons.py $(if $(ALL),--all) $(ONLY)

fuzz: setup
	@PYTHONPATH=$(ROOMS) .venv/bin/python -m lab.fuzz $(if $(MINUTES),--minutes $(MINUTES)) $(if $(SEED),--seed $(SEED)) \
		$(if $(ONLY),--only $(ONLY))

public-networks: setup
	@PYTHONPATH=$(ROOMS) .venv/bin/python -m lab.public_networks small --out $(or $(OUT),public-networks.jsonl)
	@PYTHONPATH=$(ROOMS) .venv/bin/python -m lab.public_networks table $(or $(OUT),public-networks.jsonl)

first-hour: setup
	@PYTHONPATH=$(ROOMS) .venv/bin/python -m lab.first_hour $(if $(MINUTES),--minutes $(MINUTES)) \
		$(if $(ONLY),--only $(ONLY)) $(if $(OUT),--out "$(OUT)")

# Runs on what the machine has (a Jetson's TensorRT belongs to its system Python), so it sets nothing up.
gpu-check:
	@PYTHONPATH=$(ROOMS) $(if $(wildcard .venv/bin/python),.venv/bin/python,$(PYTHON)) -m lab.gpu_check \
		$(if $(ONLY),--only $(ONLY)) $(if $(MINUTES),--minutes $(MINUTES)) $(if $(JOBS),--jobs $(JOBS)) \
		$(if $(DATA),--data "$(DATA)") $(if $(MODELS),--models "$(MODELS)") $(if $(BUNDLE),--bundle "$(BUNDLE)") \
		$(if $(WHEELS),--wheels "$(WHEELS)") $(if $(OUT),--out "$(OUT)") \
		$(if $(PLAN),--plan) $(if $(REHEARSE),--rehearse)
