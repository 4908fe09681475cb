# sallyport: two commands do all set-up on a fresh Debian 12 with Go.
#   make run    build the server and start it on loopback, with two accounts to try
#   make test   install what the tests need and run every test
# The rest: build, fuzz, bench, soak, lint.

export CGO_ENABLED = 0
FUZZTIME ?= 30s
SOAK     ?= 20m

.PHONY: run build test unit fuzz bench soak lint clean

build:
	go build -trimpath -o bin/sallyport ./cmd/sallyport

run: build
	./bin/sallyport quickstart --dir quickstart-data $(ARGS)

test: lint
	./scripts/install-test-tools
	go test -timeout 14m ./...

# Only what needs no Debian package.
unit:
	go test ./internal/... ./cmd/...

lint:
	@unformatted="$$(gofmt -l cmd internal test)"; if [ -n "$$unformatted" ]; then echo "gofmt would change:"; echo "$$unformatted"; exit 1; fi
	go vet ./...

# Every fuzz target in turn, FUZZTIME each.
fuzz:
	./scripts/fuzz $(FUZZTIME)

# Against Postfix from Debian, in the same run; prints what docs/benchmarks.md keeps.
bench: build
	./scripts/install-test-tools
	./scripts/bench

# The long forms of the crash, command-sequence and load tests.
soak: build
	./scripts/install-test-tools
	SALLYPORT_SOAK=$(SOAK) go test -timeout 0 -count 1 ./test/... ./internal/spool ./internal/smtpd ./internal/node

clean:
	rm -rf bin
