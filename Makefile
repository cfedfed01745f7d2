# Everything that a person does here; `make` alone lists it.

# The first Python that is new enough; some machines have an old python3 beside a new python3.12.
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
DATA ?= ../shared/data
VENV := .venv/bin
export PYTHONDONTWRITEBYTECODE

.PHONY: help
help: ## list these targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 22

.PHONY: python
python:
	@if [ -z "$(PYTHON)" ] || ! $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
		echo "Copydesk needs Python 3.11 or newer, and $(or $(PYTHON),python3) is older or not there; install one, or name it: make PYTHON=/path/to/python3.12 ..." >&2; \
		exit 1; fi

.PHONY: install
install: python
	@$(PYTHON) deploy/bootstrap.py requirements.txt

.PHONY: install-dev
install-dev: python
	@$(PYTHON) deploy/bootstrap.py requirements.txt requirements-dev.txt

.PHONY: run
run: install ## run everything here: demo, desk, API, worker, Valkey, SQLite (PORT=8000)
	@$(VENV)/python -m service run

.PHONY: test
test: install-dev ## run the whole test suite; DATABASE_URL and REDIS_URL name other servers than the embedded ones
	@$(VENV)/python -m pytest $(PYTEST_ARGS)

.PHONY: lint
lint: install-dev ## check style, imports and the Dockerfile
	@$(VENV)/ruff check .
	@$(VENV)/lint-imports --no-cache
	@$(VENV)/hadolint Dockerfile

.PHONY: sure
sure: lint test ## lint and test, before a commit

.PHONY: replay
replay: install ## post 5,000 real comments of DATA to the running service, and count what became of them
	@$(VENV)/python -m flask replay --limit 5000 $(DATA)/train/*.jsonl.gz

.PHONY: bench-pipeline
bench-pipeline: install ## comments a second and latency, against one RQ job per comment
	@$(VENV)/python -m benchmarks.pipeline $(BENCH_ARGS)

.PHONY: default-model
default-model: install ## rebuild the shipped model from DATA
	@$(VENV)/python -m training default-model --data $(DATA)
	@$(VENV)/python -m training figures

.PHONY: lock
lock: install-dev ## pin requirements.in and requirements-dev.in anew, with hashes
	@$(VENV)/python -m pip install --quiet uv
	@for f in requirements requirements-dev; do \
		$(VENV)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
			--no-emit-index-url --no-emit-find-links --no-header -o $$f.txt $$f.in; done
