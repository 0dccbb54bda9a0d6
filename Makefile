# realtime.kvm: commands for developers and newcomers. `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.NOTPARALLEL:
.DEFAULT_GOAL := help

# The first Python on this machine that is new enough for the control node; PYTHON=... chooses another.
PYTHON ?= $(shell tests/tools/packages.sh find-python)
VENV ?= .venv
# What .venv is made of: ranges for people, .ci/requirements.lock (exact releases and their digests) for CI.
REQUIREMENTS ?= requirements-dev.txt
# Whether packages that this machine lacks are installed: yes, or no, which names them.
export DEMO_INSTALL ?= yes
# The nodes of the lab that demo and lab start, separated by commas.
NODES ?= node1
# The files below plugins/module_utils that mutation changes; empty: all that tests/tools/mutation.py names.
FILES ?=
# The nodes of test-site.
SITE_NODES ?= node1,node2,node3
INVENTORY ?= inventories/lab/hosts.yml

# Every tool comes from the venv and uses this tree as realtime.kvm, never an installed copy.
export PATH := $(abspath $(VENV))/bin:$(PATH)
export ANSIBLE_CONFIG := $(CURDIR)/ansible.cfg
export ANSIBLE_COLLECTIONS_PATH := $(CURDIR)/collections

# The number of processes for the tests: two more than CPUs, since some tests wait; 0 runs them in one, for a debugger.
WORKERS ?= $(shell echo $$(($$(nproc) + 2)))

SUITES = $(wildcard tests/unit tests/property tests/conformance)
# .venv for the tests; demo and try need only a part of it, so they make a smaller one unless it exists.
STAMP = $(VENV)/.complete
ANSIBLE = $(if $(wildcard $(STAMP)),$(STAMP),$(VENV)/.ansible)
say = @printf '\n== %s\n'

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))
	@printf '\n  %s\n' 'NODES=$(NODES)  the nodes of lab and demo     PYTHON=$(PYTHON)' \
	    'DEMO_INSTALL=no  names the packages that this machine lacks, and installs none'

# See it work

.PHONY: try
try: ## plan captured real servers, without a virtual machine: a minute
	@command -v python3 >/dev/null || tests/tools/packages.sh install python
	@python3 -m demo.run try

.PHONY: demo
demo: ## a stock Debian in QEMU becomes a real-time node with guests
	@command -v python3 >/dev/null || tests/tools/packages.sh install python
	@python3 -m demo.run demo '$(NODES)'

# Tools

.PHONY: venv
venv: $(STAMP) ## create .venv with everything that the other targets need

$(STAMP): $(REQUIREMENTS) requirements.txt requirements-run.txt
	$(say) "venv: $(VENV), about half a minute"
	$(new-venv)
	@$(VENV)/bin/python -m pip install -qq --disable-pip-version-check --no-input -r $(REQUIREMENTS)
	@touch $@

.PHONY: ansible
ansible: $(ANSIBLE) # the part of .venv that demo and try need

$(VENV)/.ansible: requirements.txt requirements-run.txt
	$(new-venv)
	@$(VENV)/bin/python -m pip install -qq --disable-pip-version-check --no-input -r requirements-run.txt
	@touch $@

define new-venv
@tests/tools/packages.sh install python
@python=$$(PYTHON='$(PYTHON)' tests/tools/packages.sh find-python); test -n "$$python" || { \
    echo 'No Python 3.11 or newer found. Install one, or name it: make venv PYTHON=/path/to/python3.12' >&2; exit 1; }; \
"$$python" -m venv --clear $(VENV)
endef

.PHONY: lock
lock: $(STAMP) ## write .ci/requirements.lock again, with the newest allowed releases
	@$(VENV)/bin/python -m pip install -qq --disable-pip-version-check --no-input 'uv>=0.9,<1'
	@{ head -n 1 .ci/requirements.lock; $(VENV)/bin/uv pip compile -q --universal --python-version 3.11 --generate-hashes \
	    --no-emit-index-url --no-header --upgrade requirements-dev.txt; } >.ci/requirements.new && mv .ci/requirements.new .ci/requirements.lock

# Tests without a virtual machine

.PHONY: unit
unit: $(STAMP) ## pytest: unit, property and conformance tests
	$(say) "unit: pytest $(SUITES)"
	@python -m pytest -q -n $(WORKERS) --dist worksteal $(SUITES)

.PHONY: lint
lint: $(STAMP) ## ruff, mypy, ansible-lint with yamllint, changelog and docs lint
	$(say) "lint: ruff"
	@ruff check --quiet --output-format concise
	@ruff format --check --quiet --output-format concise || { echo 'Not formatted: run `make format`.'; exit 1; }
	$(say) "lint: mypy"
	@if compgen -G 'plugins/*/*.py' >/dev/null; then mypy; else echo 'no plugins yet'; fi
	$(say) "lint: ansible-lint"
	@# a separate home, so that no collection in another home is tested instead of this tree
	@ANSIBLE_HOME=$(CURDIR)/.cache/ansible-home ansible-lint --offline -q --nocolor --format pep8
	$(say) "lint: antsibull-changelog"
	@antsibull-changelog lint
	$(say) "lint: antsibull-docs"
	@cd collections/ansible_collections/realtime/kvm && antsibull-docs lint-collection-docs --plugin-docs --validate-collection-refs self .

.PHONY: format
format: $(STAMP) ## let ruff format the Python files and apply its safe fixes
	@ruff check --fix --quiet || true
	@ruff format

.PHONY: sanity
sanity: $(STAMP) ## ansible-test sanity on a copy of the working tree
	$(say) "sanity: ansible-test sanity"
	@tests/tools/sanity.sh

.PHONY: mutation
mutation: $(VENV)/.mutation ## which changes of the logic do its tests miss? (an hour; FILES=...)
	$(say) "mutation: mutmut"
	@python tests/tools/mutation.py $(FILES)

$(VENV)/.mutation: requirements-mutation.txt $(STAMP)
	@$(VENV)/bin/python -m pip install -qq --disable-pip-version-check --no-input -r requirements-mutation.txt
	@touch $@

.PHONY: test
test: ## unit, lint and sanity at the same time: about six minutes on two idle cores
	@tests/tools/packages.sh install python test
	$(say) "test: unit, lint and sanity; $(if $(wildcard .cache/test-took),$$(cat .cache/test-took) the last time,about six minutes on two idle cores)"
	@$(MAKE) --no-print-directory $(STAMP)
	@# each part runs, even if another one failed; what lint and sanity print appears when unit is done
	@# these two go first, since one process each is their slowest part; unit fills what they leave, and all end together
	@mkdir -p .cache; \
	for part in lint sanity; do \
	    { $(MAKE) --no-print-directory $$part && echo passed || echo failed; } >.cache/$$part.log 2>&1 & \
	done; \
	started=$$SECONDS failed=; nice -n 5 $(MAKE) --no-print-directory unit || failed+=" unit"; wait; \
	for part in lint sanity; do \
	    sed '$$d' .cache/$$part.log; tail -n 1 .cache/$$part.log | grep -qx passed || failed+=" $$part"; \
	done; \
	took=$$((SECONDS - started)); \
	test -z "$$failed" || { printf '\n== failed:%s\n' "$$failed" >&2; exit 1; }; \
	echo "$$(((took + 59) / 60)) minutes" >.cache/test-took
	$(say) "passed: unit, lint, sanity.  Next: make test-playbooks (stand-ins), make test-lab (virtual nodes), make demo"

.PHONY: test-playbooks
test-playbooks: $(STAMP) .cache/collections/.complete ## playbooks on stand-ins for modules, BMCs and clouds: three minutes
	$(say) "test-playbooks: pytest tests/playbooks"
	@python -m pytest -q -n $(WORKERS) --dist worksteal tests/playbooks

# whose modules the tests of openstack_cloud and awx run
.cache/collections/.complete: .ci/ansible-wheel.lock $(STAMP)
	@rm -rf $(@D) && python tests/tools/wheel_collections.py $(@D) openstack.cloud awx.awx && touch $@

.PHONY: patterns
patterns: $(STAMP) ## write extensions/patterns again, from extensions/awx/templates.yml
	@python tests/tools/patterns.py

.PHONY: monitoring
monitoring: $(STAMP) ## write what is made of extensions/monitoring/alerts.yml and panels.yml: rules, dashboard, pages
	@PYTHONPATH=collections:tests python tests/tools/monitoring.py

# The lab: virtual nodes on this machine

.PHONY: test-lab
test-lab: $(STAMP) ## every role on the lab: molecule, one scenario per role
	@LAB_NODES=node1 tests/tools/test_lab.sh

.PHONY: test-site
test-site: $(STAMP) ## site.yml, interruptions and undo on three nodes: an hour if emulated
	@trap 'ansible-playbook -i $(INVENTORY) molecule/lab/destroy.yml >/dev/null' EXIT; \
	ansible-playbook -i $(INVENTORY) molecule/lab/create.yml -e lab_nodes=$(SITE_NODES); \
	printf '\n== %s\n' "test-site: tests/integration on $(SITE_NODES)"; \
	LAB_NODES=$(SITE_NODES) python -m pytest -v --durations=10 tests/integration

.PHONY: test-openstack
test-openstack: $(STAMP) ## a real OpenStack control plane with invented hosts: five minutes
	@tests/tools/packages.sh install openstack
	@tests/tools/test_openstack.sh

.PHONY: lab
lab: $(STAMP) ## start the lab's nodes (NODES=node1,node2)
	@tests/tools/packages.sh install lab
	$(say) "lab: $(NODES)"
	@ansible-playbook -i $(INVENTORY) molecule/lab/create.yml -e 'lab_nodes=$(NODES)'

.PHONY: lab-destroy
lab-destroy: $(ANSIBLE) ## delete the lab's nodes; PURGE=yes deletes their images too
	$(say) "lab-destroy"
	@ansible-playbook -i $(INVENTORY) molecule/lab/destroy.yml$(if $(filter yes,$(PURGE)), -e lab_purge=true)
	@test ! -d .lab || echo "$$(du -sh .lab | cut -f1) of images stay in .lab for the next time. Delete them too: make lab-destroy PURGE=yes"

.PHONY: bench
bench: lab ## what a run costs: payloads, remote executions, seconds
	$(say) "bench: $(NODES)"
	@LAB_NODES='$(NODES)' tests/bench/run.sh

# The collection

.PHONY: build
build: $(STAMP) ## build the collection as a tarball
	$(say) "build"
	@ansible-galaxy collection build --force
	@echo "holds: $$(tar -tzf realtime-kvm-*.tar.gz | cut -d/ -f1 | sort -u | paste -sd' ')"

.PHONY: clean
clean: ## delete .venv, caches and tarballs (not the lab: make lab-destroy)
	@rm -rf $(VENV) .cache .ansible .hypothesis tests/output realtime-kvm-*.tar.gz
	@find plugins tests -name __pycache__ -type d -prune -exec rm -rf {} +
