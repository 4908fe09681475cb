# sallyport: two commands do all set-up on a fresh Debian 12 with Go.
#   make run    build the server and start it on loopback, with two accounts to try
#   make test   install what the tests need and run every test
#   make help   list all targets
#
# A variable in capitals is set on the command line: make fuzz FUZZTIME=5m.

export CGO_ENABLED = 0

# The commit is the version, where git can be asked for it; else "development".
VCS := $(shell git rev-parse --verify -q HEAD >/dev/null 2>&1 && echo auto || echo false)

# Packages with much concurrency and quick tests, which make test runs under the race detector.
QUICK := certificate expiry hijack/watch kit/listen kit/workers kit/allowance kit/shortage \
	nexthop/pool nexthop/named local/socket local/door budget/ledger keyring

.DEFAULT_GOAL := build

.PHONY: help
help: ## list all targets
	@awk -F ':.*## ' '/^##@/ { print "\n" substr($$0, 5) } /^[a-z0-9-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

##@ Build and run
.PHONY: build run clean

build: ## build bin/sallyport
	go build -buildvcs=$(VCS) -trimpath -o bin/sallyport ./cmd/sallyport

run: build ## build, then start a complete server on loopback
	./bin/sallyport quickstart --dir quickstart-data $(ARGS)

clean: ## remove bin
	rm -rf bin

##@ Test every change
.PHONY: test unit lint race race-quick quick-rooms again

# Lint has vetted everything that the two vet by themselves.
test: lint ## install what the tests need, then run them all
	./scripts/install-test-tools
	$(MAKE) race-quick
	go test -vet=off -timeout 14m ./...

unit: ## only what needs no Debian package
	go test ./internal/... ./cmd/...

lint: ## formatting and vet
	@unformatted="$$(gofmt -l cmd internal test)"; if [ -n "$$unformatted" ]; then echo "gofmt would change:"; echo "$$unformatted"; exit 1; fi
	go vet ./...

# The race detector needs cgo, and a C compiler to link with. Tests of callouts are not among the
# quick ones: with the clock of testing/synctest and some ten thousand goroutines, the run time of
# Go 1.26 itself falls over under the detector about once in ten runs.
race: ## the race detector over all packages, one at a time
	./scripts/install-test-tools
	CGO_ENABLED=1 go test -race -p 1 -timeout 60m ./...

race-quick: ## the race detector over the packages of QUICK
	CGO_ENABLED=1 go test -vet=off -race -timeout 5m $(addprefix ./internal/,$(QUICK))
	CGO_ENABLED=1 go test -vet=off -race -timeout 5m -run 'Inspect' ./internal/intake

# For scripts/again: where the packages of race-quick lie.
quick-rooms:
	@echo $(addprefix internal/,$(QUICK)) internal/intake

# With race-quick, and nothing out of a cache: BESIDE packages at once, three to four minutes a
# run. Prints what was red.
RUNS   ?= 20
BESIDE ?= 8
again: lint ## the whole suite RUNS times in a row
	./scripts/install-test-tools
	./scripts/again $(RUNS) $(BESIDE)

##@ Test the tests and the dependencies
.PHONY: mutate wires fuzz vuln

# One thing is changed at a time in each of ROOMS: prints what their own tests don't notice, and
# fails where they notice less than LEAST percent. Takes about an hour for a large package;
# SAMPLE=10 tries a tenth and tells of what it finds at once, OFFSET=1 to 9 another tenth.
ROOMS  ?= gate sched callout spool dispatch intake
LEAST  ?= 85
SAMPLE ?= 1
OFFSET ?= 0
mutate: ## mutation testing of ROOMS
	nice -n 10 go run ./test/mutate -sample $(SAMPLE) -offset $(OFFSET) -least $(LEAST) $(addprefix ./internal/,$(ROOMS))

# Whatever a room hands to the rooms that it builds is left out, one at a time.
WIRED ?= node/datafolder node/datafolder/amounts node/doors node/identity node/letters node/outflow node/inspection node/watching node/reporting node/metering
wires: ## mutation testing of what WIRED hand to other rooms
	nice -n 10 go run ./test/mutate -wires $(addprefix ./internal/,$(WIRED))

FUZZTIME ?= 30s
fuzz: ## every fuzz target in turn, FUZZTIME each
	./scripts/fuzz $(FUZZTIME)

# VULNDB=DIR reads a copy of the database.
vuln: ## known vulnerabilities in the code that we call
	VULNDB='$(VULNDB)' ./scripts/vuln

##@ Measure
.PHONY: bench bench-imap bench-parsers charts changes freeze flood longqueue sessions timing spray

# In the same run; prints what docs/benchmarks.md keeps.
bench: build ## beside Postfix, Exim, OpenSMTPD, Haraka and a floor of our own; ten minutes
	./scripts/install-test-tools
	./scripts/install-audit-peers
	./scripts/bench

bench-imap: build ## beside Debian's Dovecot, on the same Maildir; ten minutes
	./scripts/install-test-tools
	./scripts/bench -imap

# One line for each pair of the costliest.
bench-parsers: ## every parser of foreign octets against every hostile shape; ten minutes
	SALLYPORT_BENCH=1 go test -timeout 0 -count 1 -run Table -v ./test/parsers

# How cost grows with clients, sizes, queue, recipients and mailboxes, with tables. On a machine
# with nothing else to do. CHARTS="-only clients,size -most 1000" makes some of it.
CHARTS ?=
charts: ## the drawings of docs/benchmarks.md; half an hour
	go run ./test/charts $(CHARTS)

# Each kind of change TIMES times: its check apart, which must stay below 50 ms of a processor,
# with changes that touch thousands of names; and all of it at the operator's socket.
TIMES ?= 10
changes: ## what one change of a directory of 100,000 aliases takes; ten minutes
	SALLYPORT_CHANGES=$(TIMES) go test -timeout 60m -count 1 -run TestTheCheckApart -v ./internal/directory/book
	SALLYPORT_CHANGES=$(TIMES) go test -timeout 60m -count 1 -run TestOneChange -v ./test/changes

FREEZE ?= 10000
freeze: ## an account that is frozen while FREEZE messages of it leave
	SALLYPORT_FREEZE=$(FREEZE) go test -timeout 10m -count 1 -run TestAFreezeAmongThousands -v ./test/site

# A stranger offers large messages for 28 s: what is taken of it, and what the disk holds.
FLOOD ?= 2900
flood: ## one mailbox that is offered FLOOD MiB and more
	SALLYPORT_FLOOD=$(FLOOD) go test -timeout 5m -count 1 -run TestFloodOfOctets -v ./test/keys

# Messages of 700 octets: the rate of each tenth, starts with them after an end and after a kill,
# memory, the mail of one account held and released; and half as many for a destination that is
# dead, beside others. Ten million take twenty minutes and 12 GB below SALLYPORT_QUEUE_DIR (a temporary
# folder).
QUEUE ?= 10000000
longqueue: ## QUEUE messages accepted and left in the queue
	SALLYPORT_QUEUE=$(QUEUE) go test -timeout 0 -count 1 -v ./test/longqueue

# How long a new connection waits for the greeting then; and what a session takes before DATA and
# during messages of 1 KB to 50 MB, 200 at once, which need 10 GB below SALLYPORT_SESSIONS_DIR (a
# temporary folder). Wants a limit of SESSIONS open files and some hundred more (ulimit -n).
SESSIONS ?= 15000
sessions: ## SESSIONS connections idle under TLS
	SALLYPORT_SESSIONS=$(SESSIONS) go test -timeout 30m -count 1 -v ./test/sessions

# A planted 5 % must be found. On a machine with nothing else to do.
timing: ## whether the time of a refusal tells what it must not; five minutes
	SALLYPORT_TIMING=1 go test -timeout 60m -count 1 -v ./test/timing

# After a rest (REST) in which the rates of a server that began just now become full; and what
# the guesses do to honest mail. Before it, as many at one account from 1,000 addresses.
REST ?= 11m
spray: ## ten thousand guesses over 500 networks and 200 accounts
	SALLYPORT_SPRAY=$(REST) go test -timeout 60m -count 1 -run 'OneAccount|LargeSpray' -v ./test/spray

##@ Attack
.PHONY: hijack drill audit configs slow authors

hijack: ## stolen passwords at full speed by every listener that sends, counted at the next hop
	./scripts/install-test-tools
	SHOW=1 go test -timeout 30m -count 1 -v ./test/hijack

# On the quickstart's configuration, and a small one with each of the planted breaks.
drill: ## all of the rehearsal; half an hour
	./scripts/install-test-tools
	SALLYPORT_DRILL=1 go test -timeout 90m -count 1 -v ./internal/drill ./test/drill

# Each open and closed, unpacked apart. As root: they want to become users of their own.
audit: ## sallyport audit against Postfix, Exim, Sendmail, OpenSMTPD and Haraka
	./scripts/install-test-tools
	./scripts/install-audit-peers
	SALLYPORT_AUDIT=1 go test -timeout 60m -count 1 -v ./test/audit

# What check says of each, and what an attacker gets.
configs: ## a hundred closed configurations, and a hundred with a planted hole
	SALLYPORT_CONFIGS=100 go test -timeout 30m -count 1 ./test/configs

# Ten thousand senders that let an octet drip every ten seconds, with limits raised and as they
# come; more connections than the server has descriptors for; and a load beyond its memory, in a
# control group. As root, on a machine with nothing else to do. SIEGE=NoMemoryLeft makes some of it.
SIEGE ?= .
slow: ## slow senders, too few descriptors, too little memory; a quarter of an hour
	./scripts/install-test-tools
	SALLYPORT_SLOW=1 go test -timeout 40m -count 1 -v -run '$(SIEGE)' ./test/slow

AUTHORS ?= 100000
SEED    ?= 1
authors: ## AUTHORS author fields that we let out, read by the mail libraries of six languages
	./scripts/install-test-tools
	./scripts/install-author-readers
	AUTHORS_ALL=1 AUTHORS=$(AUTHORS) SEED=$(SEED) go test -timeout 0 -count 1 -v ./test/authors

##@ Break the machine
.PHONY: crash disk rot trouble model soak

# What make test takes a sample of, in full: the power cut at every operation of the disk, with
# every kind of loss; CRASH messages in each test that kills the server, and KILLS kills
# (docs/durability.md). SEED is where the seeds of the cuts begin.
CRASH ?= 10000
KILLS ?= 1000
crash: ## power cuts at every disk operation, and kills
	./scripts/install-test-tools
	SALLYPORT_CUTS=1 SALLYPORT_CUTS_SEED=$(SEED) go test -timeout 60m -count 1 -v ./test/cuts
	SALLYPORT_CRASH=$(CRASH) SALLYPORT_KILLS=$(KILLS) SALLYPORT_CUTS_SEED=$(SEED) go test -timeout 60m -count 1 -v ./test/crash

# The whole data folder, in the middle of mail: full of octets, full of inodes, read-only, EIO and
# ENOSPC from fsync, an ext4 that met an error. As root.
disk: ## a small ext4 that the kernel fails; three minutes
	./scripts/install-test-tools
	SALLYPORT_DISK=1 go test -timeout 15m -count 1 -v ./test/disk

ROT ?= 400
rot: ## bits that flip, at ROT places of each file of a store
	SALLYPORT_ROT=$(ROT) go test -timeout 30m -count 1 -v -run 'ABitFlips|ASectorOfTheLogIsGone' ./internal/store/pebble

# Nearly all of it is waiting (docs/durability.md).
trouble: ## an hour in which the DNS is silent, fails, refuses or is slow; two minutes
	SALLYPORT_TROUBLE=1 go test -timeout 30m -count 1 -v ./test/trouble

# SEQUENCES random sequences of commands, MAILBOXES on a mailbox that several clients have open,
# CHANGES changed directories, and STRESS of clients that do whatever they may.
SEQUENCES ?= 100000
MAILBOXES ?= 500000
CHANGES   ?= 5000
STRESS    ?= 5m
model: ## random sequences of commands against the models
	SALLYPORT_SEQUENCES=$(SEQUENCES) go test -timeout 30m -count 1 -v ./test/sequence
	SALLYPORT_SEQUENCES=$(MAILBOXES) go test -timeout 60m -count 1 -run TestModel -v ./internal/imap/server
	SALLYPORT_STRESS=$(STRESS) go test -timeout 60m -count 1 -run TestStress -v ./internal/imap/server
	go test -timeout 60m -count 1 -run TestAChangeIsProvenAsTheWhole -v ./internal/directory/proof -rapid.checks=$(CHANGES)

# First everything at once for SOAK and a fifth of it before, whose end is the base: memory,
# goroutines and descriptors return to it. Then the long forms of three tests.
SOAK ?= 30m
soak: ## SOAK of mixed load and faults; then long forms of other tests
	./scripts/install-test-tools
	SALLYPORT_SOAK=$(SOAK) go test -timeout 0 -count 1 -v ./test/soak
	SALLYPORT_SOAK=$(SOAK) go test -timeout 0 -count 1 ./test/crowd ./test/site ./internal/smtp/server

##@ With the programs of others
.PHONY: walks guides migrate moving clients thunderbird pkcs12 proxies screen networks rollout

# README.md, docs/operations.md and some of docs/guides word by word, the program built as the
# README says; make test takes it as built, and a sample of what a token can lack.
walks: ## the documents followed word by word
	./scripts/install-test-tools
	SALLYPORT_WALKS=1 go test -timeout 30m -count 1 -v ./test/walk

# A domain controller (Debian's Samba), and Debian's Rspamd with all of its modules. As root.
guides: ## the guides that need a domain controller or a whole Rspamd
	./scripts/install-test-tools
	./scripts/install-domain-controller
	SALLYPORT_GUIDES=1 go test -timeout 30m -count 1 -run TestGuide -v ./test/walk

migrate: ## moving in from a real Postfix, and its guides word by word
	./scripts/install-test-tools
	SALLYPORT_MIGRATE=1 go test -timeout 30m -count 1 -v ./test/migrate

# The importing process is killed ten times; out again, read by Dovecot and mutt; what damage
# costs, and a file system that is full or read-only. As root.
MOVING ?= 100000
moving: ## MOVING messages from Debian's Dovecot
	./scripts/install-test-tools
	MOVING=$(MOVING) go test -timeout 90m -count 1 -v ./test/moving

# By every mechanism, to send and to read, and the block of docs/guides/oidc.md with a provider of
# others.
clients: ## every mail program of docs/clients.md
	./scripts/install-test-tools
	./scripts/install-clients
	SALLYPORT_CLIENTS=1 go test -count 1 -v ./test/clients

# On a display of its own, in namespaces of the kernel, as root. PICTURES is where it leaves a
# picture of each step, to be looked at.
PICTURES ?= $(CURDIR)/bin/thunderbird
thunderbird: ## a day with Debian's Thunderbird; a minute and a half
	./scripts/install-test-tools
	./scripts/install-thunderbird
	SALLYPORT_THUNDERBIRD='$(abspath $(PICTURES))' go test -timeout 12m -count 1 -v ./test/thunderbird

pkcs12: ## the files of cert issue, read by OpenSSL, GnuTLS, NSS, Java 17 and readers of property lists
	./scripts/install-certificate-readers
	SALLYPORT_PKCS12=1 go test -count 1 -v ./test/pkcs12

proxies: ## docs/guides/balancer.md with Debian's HAProxy and nginx
	./scripts/install-test-tools
	./scripts/install-balancers
	SALLYPORT_PROXIES=1 go test -timeout 30m -count 1 -v ./test/proxies

# Reverse names by NSD, with delegations of less than an octet, and a file of countries from the
# npm registry.
screen: ## DNS blocklists served by Debian's rbldnsd behind its unbound
	./scripts/install-test-tools
	SALLYPORT_SCREEN=1 go test -timeout 30m -count 1 -run 'TestReal' -v ./test/keys

# Before the server and before a Postfix, in namespaces of the kernel, as root; with
# docs/guides/networks.md, which make test follows already.
networks: ## a masquerading gateway in front
	./scripts/install-test-tools
	SALLYPORT_NETWORKS=1 go test -timeout 30m -count 1 -v ./test/networks

PEOPLE ?= 100
rollout: ## passwords for PEOPLE people by the scripts that the guide prints
	SALLYPORT_PEOPLE=$(PEOPLE) go test -timeout 30m -count 1 -v ./test/rollout

##@ Install and package
.PHONY: install package test-package systemd

# Below DESTDIR; /usr is where the units look.
PREFIX  ?= /usr
DESTDIR ?=
SHARE    = $(DESTDIR)$(PREFIX)/share
install: ## the program, its units and its user, man pages, completion and documents
	test -x bin/sallyport || $(MAKE) build
	install -D -m 755 bin/sallyport $(DESTDIR)$(PREFIX)/bin/sallyport
	install -d $(DESTDIR)$(PREFIX)/lib/systemd/system
	install -m 644 packaging/systemd/sallyport.service packaging/systemd/sallyport-*.socket $(DESTDIR)$(PREFIX)/lib/systemd/system/
	install -D -m 644 packaging/systemd/sallyport.sysusers $(DESTDIR)$(PREFIX)/lib/sysusers.d/sallyport.conf
	bin/sallyport manual $(SHARE)/man/man1
	install -d $(SHARE)/bash-completion/completions $(SHARE)/zsh/site-functions $(SHARE)/fish/vendor_completions.d
	bin/sallyport completion bash > $(SHARE)/bash-completion/completions/sallyport
	bin/sallyport completion zsh > $(SHARE)/zsh/site-functions/_sallyport
	bin/sallyport completion fish > $(SHARE)/fish/vendor_completions.d/sallyport.fish
	install -d $(SHARE)/doc/sallyport
	find docs packaging/grafana packaging/prometheus -type f -exec install -D -m 644 '{}' '$(SHARE)/doc/sallyport/{}' ';'
	install -m 644 README.md CHANGELOG.md $(SHARE)/doc/sallyport/
	install -m 644 LICENSE $(SHARE)/doc/sallyport/copyright

package: ## a Debian package and an OCI image, in dist/
	./scripts/package

# Each in a namespace of its own.
test-package: ## both, installed, upgraded, removed, unpacked and started
	./scripts/test-package

# And moving to another machine, as docs/operations.md says.
systemd: ## docs/lifecycle.md word by word under a booted systemd
	./scripts/install-test-tools
	./scripts/test-systemd
