# make test   every module: tests with -race, vet, staticcheck, formatting; what `go test ./...` can't tell
# make test-long  the same, with the brokers' and the fleet's tests in full
# make lint   the same without the tests
# make bench  signpost beside what one would write or pick instead: some twenty-five minutes; rewrites bench/RESULTS.md, docs and README's figures
# make fuzz   every fuzz target for FUZZTIME (default 30s) each
# make soak  the dispatcher for FOR (default 10m) among 500 hosts of which many misbehave
# make api    accept a changed public surface: rewrites api/*.txt

GO          ?= go
STATICCHECK ?= honnef.co/go/tools/cmd/staticcheck@v0.8.2
FUZZTIME    ?= 30s
FOR         ?= 10m
TIMEOUT     ?= 10m

# The modules of the workspace, as folders.
MODULES := $(shell $(GO) list -m -f '{{.Dir}}')

.PHONY: test test-long lint bench fuzz soak api tools
.DEFAULT_GOAL := test

# The tag servers is for tests in the root module that start servers of others, which "go test ./..." there must do without.
# A skipped test is printed with its reason; with CI=true it fails the run.
test: lint tools
	@log=$$(mktemp); trap 'rm -f "$$log"' EXIT; skipped=0; \
	for dir in $(MODULES); do \
		echo "== test $$dir"; \
		(cd $$dir && $(GO) test -tags servers -race -timeout $(TIMEOUT) -v ./...) >"$$log" 2>&1; status=$$?; \
		grep -E '^(ok|FAIL|panic:|\?|\|)' "$$log"; \
		if [ $$status -ne 0 ]; then cat "$$log"; exit 1; fi; \
		grep -B 2 -E '^ *--- SKIP' "$$log" && skipped=1; \
	done; \
	if [ $$skipped -eq 0 ]; then echo "skipped: nothing"; elif [ "$$CI" = true ]; then echo "with CI=true nothing may be skipped"; exit 1; fi

test-long: export SIGNPOST_LONG = 1
test-long: TIMEOUT = 60m
test-long: test

lint:
	@unformatted=$$(gofmt -l .); \
	if [ -n "$$unformatted" ]; then echo "gofmt differs in:"; echo "$$unformatted"; exit 1; fi
	@for dir in $(MODULES); do \
		echo "== lint $$dir"; \
		(cd $$dir && $(GO) vet -tags servers ./... && GOWORK=off $(GO) build -o /dev/null ./... && $(GO) run $(STATICCHECK) -tags servers ./...) || exit 1; \
	done

bench: tools
	cd bench && $(GO) run .

# What tests and benchmarks need beside Go: one of the senders that signpost is compared with needs Redis, a disk that is slow
# or fails is strace's doing, interop sends through nginx and HAProxy, and queue/rabbitmq starts RabbitMQ servers. Where they can't
# be installed, what needs them is skipped. The languages of interop's receivers must be there; their libraries are installed by
# its tests, as is Kafka, by Maven. A program that has another name than its package is given as program=package.
tools:
	@missing=; \
	for need in redis-server strace nginx haproxy rabbitmq-server java=openjdk-17-jdk-headless mvn=maven; do \
		command -v $${need%%=*} >/dev/null || missing="$$missing $${need##*=}"; \
	done; \
	[ -z "$$missing" ] || { \
		echo "== install$$missing"; \
		command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ] && \
		apt-get update -qq && RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing >/dev/null || \
		echo "missing:$$missing. Install them, with 'apt-get install$$missing', say"; \
	}

# As many targets at a time as there are processors, each with one worker; what a target says is printed when it has ended. A
# target is ended by SIGINT instead of -fuzztime, whose deadline go test before 1.27 takes for a failure now and then
# (https://go.dev/issue/75804); only the coordinator may get it, hence --foreground.
fuzz:
	@out=$$(mktemp -d); trap 'rm -rf "$$out"' EXIT; \
	for dir in $(MODULES); do \
		for folder in $$(cd $$dir && $(GO) list -f '{{.Dir}}' ./...); do \
			cd $$folder && grep -q -s '^func Fuzz' *_test.go || continue; \
			bin=$$(mktemp -p "$$out") && $(GO) test -c -fuzz . -o "$$bin" . || exit 1; \
			for target in $$(cat *_test.go | sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p'); do \
				echo "$$PWD $$bin $$target $$($(GO) env GOCACHE)/fuzz/$$($(GO) list .)" >>"$$out/targets"; \
			done; \
		done; \
	done; \
	xargs -P $$(getconf _NPROCESSORS_ONLN) -L 1 sh -c 'cd "$$1" && timeout --foreground --preserve-status -s INT $(FUZZTIME) \
		"$$2" -test.run "^$$" -test.fuzz "^$$3$$" -test.parallel 1 -test.fuzzcachedir "$$4" >"$$2.$$3" 2>&1; status=$$?; \
		echo "== fuzz $$3 in $$1"; tail -n 3 "$$2.$$3"; [ $$status -eq 0 ] || { cat "$$2.$$3"; exit 1; }' fuzz <"$$out/targets"

# The dispatcher among 500 hosts of every kind for FOR (default 10m), restarted every minute; ends with the ledger.
soak:
	$(GO) run ./internal/soak -for $(FOR)

api:
	$(GO) test -run TestPublicSurface . -update
