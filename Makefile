# Every target is safe to run again. `make help` lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help
NODES ?=
IMAGE ?=
URL ?=
export PATH := $(CURDIR)/node_modules/.bin:$(PATH)

.PHONY: help setup demo test build lint unit e2e image bench manifests plugin cluster cluster-down load install uninstall

help: ## This list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

setup: ## Install what is needed: apt packages, npm packages
	@sh hack/setup.sh

build: setup ## Bundle controller, agent, CLI and the CNI plugin into dist/
	@node hack/build.ts
	@node hack/cni.ts

lint: setup ## Types, eslint (with the pure-core rule), formatting, go vet, CRDs, manifests, reference docs
	tsc --noEmit
	eslint --cache --cache-location node_modules/.cache/eslint/ .
	prettier --check --log-level warn .
	@node hack/manifests.ts > /dev/null
	node hack/dashboard.ts --check
	node hack/chart.ts --check
	node hack/docs.ts --check
	node hack/cni.ts --lint

unit: setup ## Unit, golden and property tests
	mocha
	node hack/cni.ts --test

manifests: setup ## Write what users apply: dist/podsplit.yaml and dist/chart [IMAGE=...]; deploy/chart from its source
	@mkdir -p dist
	@node hack/dashboard.ts
	@node hack/chart.ts
	node hack/manifests.ts $(if $(IMAGE),--image $(IMAGE)) > dist/podsplit.yaml
	node hack/chart.ts --out dist/chart $(if $(IMAGE),--image $(IMAGE))

plugin: setup ## Pack kubectl podsplit for krew: archive and manifest in dist/ [URL=where the archive will be]
	node hack/krew.ts $(if $(URL),--url $(URL))

image: setup ## Build the images (no Docker needed)
	node hack/images/build.ts

cluster: setup ## Boot the embedded cluster [NODES=2]; kubeconfig at .cluster/kubeconfig
	node hack/cluster/up.ts $(NODES)

cluster-down: setup ## Stop it and leave nothing behind
	node hack/cluster/down.ts

load: setup ## Put an image archive onto every node: IMAGE=x.tar
	@test -n "$(IMAGE)" || { echo 'load: which archive? make load IMAGE=x.tar' >&2; exit 2; }
	node hack/cluster/load.ts $(IMAGE)

install: setup ## Apply podsplit to the current cluster (KUBECONFIG, else the embedded one)
	node hack/install.ts $(if $(IMAGE),--image $(IMAGE))

uninstall: setup ## Make every Pod whole again and take podsplit off the cluster
	node hack/uninstall.ts

demo: setup ## From nothing to a split Deployment, narrated; leaves it up
	node hack/demo.ts

e2e: setup ## Tests on the embedded cluster
	node hack/test.ts e2e

bench: setup ## Ratios, side by side in one run
	node hack/bench.ts

test: setup ## Everything: lint, unit, golden, e2e; what CI runs
	node hack/test.ts all
