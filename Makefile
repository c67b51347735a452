# Millrace. `make` lists the targets.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c

# Everything that is set up lives here, outside the sources.
export MILLRACE_CACHE ?= $(if $(XDG_CACHE_HOME),$(XDG_CACHE_HOME),$(HOME)/.cache)/millrace

# ARCHIVE may be relative to here; tests run elsewhere.
ifdef ARCHIVE
export ARCHIVE := $(abspath $(ARCHIVE))
endif

MODULES := . examples benchmarks internal/chaos
GOLANGCI_LINT := v2.15.0

# The libraries' place, for the linker and at run time.
ENV := eval "$$(go run ./embed/setup -env)"

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-16s %s\n", $$1, $$2}'

.PHONY: demo
demo: ## the app on an in-process broker; ARCHIVE=file, ARGS="-json", BROKERS=host:port
	@$(ENV)
	go build -o "$(MILLRACE_CACHE)/bin/tweets" ./examples/tweets
	exec "$(MILLRACE_CACHE)/bin/tweets" $(if $(ARCHIVE),-archive "$(ARCHIVE)") $(if $(BROKERS),-brokers "$(BROKERS)") $(ARGS)

.PHONY: cost
cost: ## what 1,000 questions cost on BigQuery; PRICE=6.25, dollars a TiB as the price list says; ARCHIVE=file, ARGS="-bigquery-project p"
	@$(if $(PRICE),,echo "make cost needs PRICE=dollars a TiB that queries read on demand, from BigQuery's price list" >&2; exit 1)
	$(ENV)
	exec go run ./examples/tweets cost -price $(PRICE) -sizes 10,50,150,300 $(if $(ARCHIVE),-archive "$(ARCHIVE)") $(ARGS)

.PHONY: setup
setup: ## install all that tests and examples need, once
	@go run ./embed/setup -model all-MiniLM-L6-v2,all-MiniLM-L6-v2-int8 >/dev/null
	go run ./internal/emulator/setup
	go run ./internal/pgserver/setup

.PHONY: model-768
model-768: ## install all-mpnet-base-v2, a model of 768 numbers; fetches 404 MB
	@go run ./embed/setup -model all-mpnet-base-v2 >/dev/null

.PHONY: test
test: setup ## every test of all modules, with -race, and the small chaos without; says what it skipped
	@$(ENV)
	log="$$(mktemp)"; trap 'rm -f "$$log"' EXIT
	show='^(ok|FAIL|panic|\?|scenario=)|^ *--- FAIL|DATA RACE'
	for m in $(MODULES); do
		(cd $$m && go test -race -v ./... 2>&1) | tee -a "$$log" | grep --line-buffered -E "$$show" || failed="$${failed:-} $$m"
	done
	# sarama's transactions race with themselves where one fails: those tests run without -race.
	for p in ./sink ./internal/chaos; do
		(go test -v -count=1 -timeout 15m $$p 2>&1) | tee -a "$$log" | grep --line-buffered -E "$$show" || failed="$${failed:-} $$p"
	done
	# All kernels are tried on the machine's own build; this is the build that has none.
	(go test -tags purego -v ./internal/simd ./internal/eigen ./reduce 2>&1) | tee -a "$$log" | grep --line-buffered -E "$$show" || failed="$${failed:-} purego"
	$(MAKE) --no-print-directory test-arm64 2>&1 | tee -a "$$log" || failed="$${failed:-} arm64"
	if grep -qE '^FAIL' "$$log"; then failed=yes; fi
	if [ -n "$${failed:-}" ]; then echo "make test: failed; the whole output:"; cat "$$log"; exit 1; fi
	echo "skipped: the chaos on a real Kafka (make test-kafka), and:"; grep -E '^test-arm64: skipped' "$$log" || true; grep -B1 -E '^ *--- SKIP' "$$log" || echo "  nothing"
	grep -E '^ok' "$$log"

# Of similarity's tests, those that ask all kernels.
.PHONY: test-arm64
test-arm64: ## the kernels of arm64, under qemu-user; part of make test; skipped where that is not installed
	@if ! command -v qemu-aarch64 >/dev/null; then echo "test-arm64: skipped: there is no qemu-aarch64 (Debian: apt install qemu-user)"; exit 0; fi
	dir="$$(mktemp -d)"; trap 'rm -rf "$$dir"' EXIT
	for p in internal/simd similarity; do
		GOARCH=arm64 CGO_ENABLED=0 go test -c -o "$$dir/test" ./$$p
		(cd $$p && qemu-aarch64 "$$dir/test" -test.run "$$([ $$p = similarity ] && echo 'Kernel|BoundHolds|RefinedIsExact' || echo .)") | sed "s|^PASS|ok   $$p on arm64|"
	done

SIZE := small

.PHONY: test-chaos
test-chaos: ## the chaos on an in-process broker alone, 3 minutes; SIZE=full: five times as much; CHAOS_SEED=n
	@export SIZE="$(SIZE)"
	go test -v -count=1 -timeout 60m ./internal/chaos

.PHONY: test-kafka
test-kafka: ## chaos on a real Kafka, installed by mvn: 1 broker, 4 minutes; SIZE=full: 1 and 3, and writes docs/reliability.md
	@export SIZE="$(SIZE)" CHAOS_REPORT="$(if $(filter full,$(SIZE)),$(CURDIR)/docs/reliability.md)"
	log="$$(mktemp)"; trap 'rm -f "$$log"' EXIT
	show='^(ok|FAIL|panic|Kafka |scenario=|restart=|outage=|deleted=)|^ *--- FAIL'
	go vet -tags realkafka ./internal/chaos
	if ! go test -tags realkafka -count=1 -timeout 60m -parallel 4 -v -run TestRealKafka ./internal/chaos 2>&1 | tee "$$log" | grep --line-buffered -E "$$show"; then
		echo "make test-kafka: failed; the whole output:"; cat "$$log"; exit 1
	fi

.PHONY: lint
lint: ## gofmt, vet, golangci-lint, tidy
	@out="$$(gofmt -l .)"; if [ -n "$$out" ]; then echo "not gofmt-ed: $$out"; exit 1; fi
	if ! "$(MILLRACE_CACHE)/bin/golangci-lint" version 2>/dev/null | grep -q "$(GOLANGCI_LINT:v%=%)"; then
		echo "lint: building golangci-lint $(GOLANGCI_LINT), a minute or two" >&2
		GOBIN="$(MILLRACE_CACHE)/bin" go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT)
	fi
	for m in $(MODULES); do
		(cd $$m && go vet ./... && go mod tidy -diff && "$(MILLRACE_CACHE)/bin/golangci-lint" run --config "$(CURDIR)/.golangci.yml" ./...)
	done

.PHONY: bench
bench: bench-app bench-stream bench-embed bench-pca bench-similarity ## all benchmarks, one by one

.PHONY: bench-app
bench-app: ## the app from question to answer; ARCHIVE=file, BROKERS=host:port, ARGS="-kafka 4.3.1"
	@$(ENV)
	go build -buildvcs=$(if $(wildcard .git),true,auto) -o "$(MILLRACE_CACHE)/bin/tweets" ./examples/tweets
	exec go run ./benchmarks/app $(if $(ARCHIVE),-archive "$(ARCHIVE)") $(if $(BROKERS),-brokers "$(BROKERS)") $(ARGS)

.PHONY: bench-stream
bench-stream: ## a stage beside a loop by hand with sarama, on a real Kafka; about 15 minutes; ARGS="-rounds 3"
	@go run ./benchmarks/stream $(if $(BROKERS),-brokers "$(BROKERS)") $(ARGS)

.PHONY: bench-pca
bench-pca: ## a PCA beside scikit-learn, numpy, faiss and gonum; about 3 minutes; ARGS="-rounds 3 -gonum 0"
	@go run ./benchmarks/pca $(ARGS)

.PHONY: bench-embed
bench-embed: ## embedding beside Python's, and in a stage; 15 minutes, 6 GB the first time; ARCHIVE=file, BROKERS=host:port, ARGS="-light"
	@$(ENV)
	exec go run ./benchmarks/embed $(if $(ARCHIVE),-archive "$(ARCHIVE)") $(if $(BROKERS),-brokers "$(BROKERS)") $(ARGS)

.PHONY: bench-similarity
bench-similarity: ## the indexes beside faiss, numpy, scikit-learn and usearch; 15 minutes, and some to embed the first time; ARCHIVE=file, ARGS="-only '^768 single'"
	@$(ENV)
	exec go run ./benchmarks/similarity $(if $(ARCHIVE),-archive "$(ARCHIVE)") $(ARGS)

.PHONY: figure3
figure3: setup ## the paper's Figure 3 again, as table and picture; about 5 minutes; ARCHIVE=file, ARGS="-model all-mpnet-base-v2"
	@$(ENV)
	exec go run ./benchmarks/figure3 $(if $(ARCHIVE),-archive "$(ARCHIVE)") $(ARGS)

.PHONY: vuln
vuln: ## govulncheck; needs its database from the internet
	@for m in $(MODULES); do (cd $$m && go run golang.org/x/vuln/cmd/govulncheck@latest ./...); done

.PHONY: docs
docs: ## serve the reference on http://127.0.0.1:8080
	@go run golang.org/x/pkgsite/cmd/pkgsite@latest -http 127.0.0.1:8080 .

.ONESHELL:
