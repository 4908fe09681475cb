# sallyport: two commands do all set-up on a fresh Debian 12 with Go.
#   make run    build the server and start it on loopback, with two accounts to try
#   make test   install what the tests need and run every test
# The rest: build, again, race, mutate, fuzz, bench, bench-imap, bench-parsers, authors, crash, disk, model, soak, trouble, spray, timing, migrate, guides, proxies, networks, changes, freeze, flood, longqueue, sessions, slow, charts, configs, walks, pkcs12, clients, thunderbird, moving, lint, vuln.

export CGO_ENABLED = 0
FUZZTIME ?= 30s
SOAK     ?= 20m
AUTHORS  ?= 100000
REST     ?= 11m
SEED     ?= 1
ROOMS    ?= gate sched callout spool dispatch intake
LEAST    ?= 85
SAMPLE   ?= 1
OFFSET   ?= 0
# Rooms in which much happens at once, and whose tests are quick.
QUICK    := certificate expiry hijack/watch kit/listen kit/workers kit/allowance kit/shortage nexthop/pool nexthop/named local/socket local/door budget/ledger keyring

.PHONY: run build test again quick-rooms unit race race-quick mutate fuzz bench bench-imap bench-parsers authors crash disk model rot trouble soak migrate lint vuln clean install package test-package systemd walks pkcs12 spray timing clients guides proxies screen networks changes freeze flood longqueue sessions slow charts rollout hijack drill audit moving thunderbird

# The commit is the version, where git can be asked for it; else "development".
VCS := $(shell git rev-parse --verify -q HEAD >/dev/null 2>&1 && echo auto || echo false)

build:
	go build -buildvcs=$(VCS) -trimpath -o bin/sallyport ./cmd/sallyport

run: build
	./bin/sallyport quickstart --dir quickstart-data $(ARGS)

# Lint has vetted everything that the two vet by themselves.
test: lint
	./scripts/install-test-tools
	$(MAKE) race-quick
	go test -vet=off -timeout 14m ./...

# The race detector (it needs cgo, and a C compiler to link with) over all packages, one at
# a time; and over the few that are quick. Tests of callouts are not among these: with the
# clock of testing/synctest and some ten thousand goroutines, the run time of Go 1.26 itself
# falls over under the detector about once in ten runs.
race:
	./scripts/install-test-tools
	CGO_ENABLED=1 go test -race -p 1 -timeout 60m ./...

# Where they lie.
quick-rooms:
	@echo $(addprefix internal/,$(QUICK)) internal/intake

# The whole suite RUNS times in a row, the race detector over QUICK with it, and nothing out of a cache: BESIDE
# packages at once, three to four minutes a run. Prints what was red.
RUNS   ?= 20
BESIDE ?= 8
again: lint
	./scripts/install-test-tools
	./scripts/again $(RUNS) $(BESIDE)

race-quick:
	CGO_ENABLED=1 go test -vet=off -race -timeout 5m $(addprefix ./internal/,$(QUICK))
	CGO_ENABLED=1 go test -vet=off -race -timeout 5m -run 'Inspect' ./internal/intake

# Only what needs no Debian package.
unit:
	go test ./internal/... ./cmd/...

lint:
	@unformatted="$$(gofmt -l cmd internal test)"; if [ -n "$$unformatted" ]; then echo "gofmt would change:"; echo "$$unformatted"; exit 1; fi
	go vet ./...

# What is known of the code that we call. VULNDB=DIR reads a copy of the database.
vuln:
	VULNDB='$(VULNDB)' ./scripts/vuln

# One thing changed at a time in each of ROOMS: prints what their own tests don't notice,
# and fails where they notice less than LEAST percent. Takes about an hour a large room; SAMPLE=10
# tries a tenth, and tells of what it finds at once; OFFSET=1 to 9 another tenth.
mutate:
	nice -n 10 go run ./test/mutate -sample $(SAMPLE) -offset $(OFFSET) -least $(LEAST) $(addprefix ./internal/,$(ROOMS))

# Every fuzz target in turn, FUZZTIME each.
fuzz:
	./scripts/fuzz $(FUZZTIME)

# Against Postfix, Exim and OpenSMTPD from Debian, Haraka from npm and a floor of our own, in the same
# run; prints what docs/benchmarks.md keeps; about ten minutes.
bench: build
	./scripts/install-test-tools
	./scripts/install-audit-peers
	./scripts/bench

# Mailboxes beside Dovecot from Debian, on the same Maildir in the same run; about ten minutes.
bench-imap: build
	./scripts/install-test-tools
	./scripts/bench -imap

# Every reader of others' octets against every hostile shape, one line for each pair of
# the costliest; about ten minutes.
bench-parsers:
	SALLYPORT_BENCH=1 go test -timeout 0 -count 1 -run Table -v ./test/parsers

# The author fields that we let out, read by the mail libraries of six languages.
authors:
	./scripts/install-test-tools
	./scripts/install-author-readers
	AUTHORS_ALL=1 AUTHORS=$(AUTHORS) SEED=$(SEED) go test -timeout 0 -count 1 -v ./test/authors

# Moving in from Postfix held against a real one, and the guides followed word by word.
migrate:
	./scripts/install-test-tools
	SALLYPORT_MIGRATE=1 go test -timeout 30m -count 1 -v ./test/migrate

# The guides that need a domain controller (Debian's Samba), and Debian's Rspamd with all of its modules. As root.
guides:
	./scripts/install-test-tools
	./scripts/install-domain-controller
	SALLYPORT_GUIDES=1 go test -timeout 30m -count 1 -run TestGuide -v ./test/walk

# docs/guides/balancer.md word by word: Debian's HAProxy and nginx before the running server.
proxies:
	./scripts/install-test-tools
	./scripts/install-balancers
	SALLYPORT_PROXIES=1 go test -timeout 30m -count 1 -v ./test/proxies

# Lists of others served by Debian's rbldnsd behind its unbound, reverse names by its NSD, with
# delegations of less than an octet, and a file of countries from the npm registry.
screen:
	./scripts/install-test-tools
	SALLYPORT_SCREEN=1 go test -timeout 30m -count 1 -run 'TestReal' -v ./test/keys

# A masquerading gateway before the server and before a Postfix, in namespaces of the kernel. Needs root.
# docs/guides/networks.md is followed there too; make test does that already.
networks:
	./scripts/install-test-tools
	SALLYPORT_NETWORKS=1 go test -timeout 30m -count 1 -v ./test/networks

# A hundred closed configurations and a hundred with a hole that was planted: what check says of each, and what an attacker gets.
configs:
	SALLYPORT_CONFIGS=100 go test -timeout 30m -count 1 ./test/configs

# What one change of a directory of 100,000 aliases takes, each kind TIMES times: its check apart, which must stay below 50 ms
# of a processor, with changes that touch thousands of names; and all of it at the operator's socket. Some ten minutes.
TIMES ?= 10
changes:
	SALLYPORT_CHANGES=$(TIMES) go test -timeout 60m -count 1 -run TestTheCheckApart -v ./internal/directory/book
	SALLYPORT_CHANGES=$(TIMES) go test -timeout 60m -count 1 -run TestOneChange -v ./test/changes

# An account that is frozen while FREEZE messages of it leave.
FREEZE ?= 10000
freeze:
	SALLYPORT_FREEZE=$(FREEZE) go test -timeout 10m -count 1 -run TestAFreezeAmongThousands -v ./test/site

# A stranger who offers one mailbox FLOOD MiB and more, as large messages, for 28 s: what is taken of it, and what the disk holds.
FLOOD ?= 2900
flood:
	SALLYPORT_FLOOD=$(FLOOD) go test -timeout 5m -count 1 -run TestFloodOfOctets -v ./test/keys

# QUEUE messages of 700 octets accepted and left in the queue: the rate of each tenth, starts with them after an end and
# after a kill, memory, the mail of one account held and released; and half as many for a destination that is dead, beside
# others. Ten million take an hour and 40 GB below SALLYPORT_QUEUE_DIR (a temporary folder).
QUEUE ?= 10000000
longqueue:
	SALLYPORT_QUEUE=$(QUEUE) go test -timeout 0 -count 1 -v ./test/longqueue

# SESSIONS idle under TLS, and how long who comes then waits for the greeting; what a session takes before DATA and during
# messages of 1 KB to 50 MB, 200 at once, which need 10 GB below SALLYPORT_SESSIONS_DIR (a temporary folder). Wants
# a limit of SESSIONS open files and some hundred more (ulimit -n).
SESSIONS ?= 15000
sessions:
	SALLYPORT_SESSIONS=$(SESSIONS) go test -timeout 30m -count 1 -v ./test/sessions

# Ten thousand senders that let an octet drip every ten seconds, with limits raised and as they come; more connections than the server has descriptors for; and a
# load beyond its memory, in a control group. As root, on a machine with nothing else to do; about a quarter of an hour. SIEGE=NoMemoryLeft makes some of it.
SIEGE ?= .
slow:
	./scripts/install-test-tools
	SALLYPORT_SLOW=1 go test -timeout 40m -count 1 -v -run '$(SIEGE)' ./test/slow

# The drawings of docs/benchmarks.md, how cost grows with clients, sizes, queue, recipients and mailboxes, and its tables, for a
# machine with nothing else to do; about half an hour. CHARTS="-only clients,size -most 1000" makes some of it.
CHARTS ?=
charts:
	go run ./test/charts $(CHARTS)

# README.md, docs/operations.md and some of docs/guides word by word, the program built as the README says; make test
# takes it as built, and a sample of what a token can lack.
walks:
	./scripts/install-test-tools
	SALLYPORT_WALKS=1 go test -timeout 30m -count 1 -v ./test/walk

# Stolen passwords at full speed by every door that sends, counted at the next hop, with the incidents printed.
hijack:
	./scripts/install-test-tools
	SHOW=1 go test -timeout 30m -count 1 -v ./test/hijack

# All of the rehearsal on the quickstart's configuration, and a small one with each of the
# planted breaks; about half an hour.
drill:
	./scripts/install-test-tools
	SALLYPORT_DRILL=1 go test -timeout 90m -count 1 -v ./internal/drill ./test/drill

# `sallyport audit` held against Postfix, Exim, Sendmail, OpenSMTPD and Haraka, each open and
# closed, unpacked apart. As root: they want to become users of their own.
audit:
	./scripts/install-test-tools
	./scripts/install-audit-peers
	SALLYPORT_AUDIT=1 go test -timeout 30m -count 1 -v ./test/audit

# Every mail program of docs/clients.md by every mechanism at both doors, and the block of docs/guides/oidc.md
# with a provider of others.
clients:
	./scripts/install-test-tools
	./scripts/install-clients
	SALLYPORT_CLIENTS=1 go test -count 1 -v ./test/clients

# A day with Debian's Thunderbird on a display of its own, in namespaces of the kernel: about a minute and
# a half, as root. PICTURES is where it leaves a picture of each step, to be looked at.
PICTURES ?= $(CURDIR)/bin/thunderbird
thunderbird:
	./scripts/install-test-tools
	./scripts/install-thunderbird
	SALLYPORT_THUNDERBIRD='$(abspath $(PICTURES))' go test -timeout 12m -count 1 -v ./test/thunderbird

# A hundred thousand messages from Debian's Dovecot, with the importing process killed ten times; out
# again, read by Dovecot and mutt; what damage costs, and a file system that is full or read-only. As root.
MOVING ?= 100000
moving:
	./scripts/install-test-tools
	MOVING=$(MOVING) go test -timeout 90m -count 1 -v ./test/moving

# What make test takes a sample of, in full: the power cut at every operation of the disk, with every kind of loss; ten thousand
# messages in each test that kills the server, and a thousand kills (docs/durability.md); and a hundred thousand random sequences of commands against the model, and half a
# million on a mailbox that several clients have open. SEED is where the seeds of the cuts begin.
CRASH     ?= 10000
KILLS     ?= 1000
SEQUENCES ?= 100000
MAILBOXES ?= 500000
CHANGES   ?= 5000
STRESS    ?= 5m
crash:
	./scripts/install-test-tools
	SALLYPORT_CUTS=1 SALLYPORT_CUTS_SEED=$(SEED) go test -timeout 60m -count 1 -v ./test/cuts
	SALLYPORT_CRASH=$(CRASH) SALLYPORT_KILLS=$(KILLS) SALLYPORT_CUTS_SEED=$(SEED) go test -timeout 60m -count 1 -v ./test/crash

# The whole data folder on a small ext4, which the kernel fails in the middle of mail: full of octets, full of inodes,
# read-only, EIO and ENOSPC from fsync, an ext4 that met an error. Some three minutes, as root.
disk:
	./scripts/install-test-tools
	SALLYPORT_DISK=1 go test -timeout 15m -count 1 -v ./test/disk

# Bits that flip, at many places of each file of a store.
ROT ?= 400
rot:
	SALLYPORT_ROT=$(ROT) go test -timeout 30m -count 1 -v -run 'ABitFlips|ASectorOfTheLogIsGone' ./internal/store/pebble

# An hour in which the DNS is silent, fails, refuses or is slow (docs/durability.md); about two minutes, nearly all of it waiting.
trouble:
	SALLYPORT_TROUBLE=1 go test -timeout 30m -count 1 -v ./test/trouble

model:
	SALLYPORT_SEQUENCES=$(SEQUENCES) go test -timeout 30m -count 1 -v ./test/sequence
	SALLYPORT_SEQUENCES=$(MAILBOXES) go test -timeout 60m -count 1 -run TestModel -v ./internal/imap/server
	SALLYPORT_STRESS=$(STRESS) go test -timeout 60m -count 1 -run TestStress -v ./internal/imap/server
	go test -timeout 60m -count 1 -run TestAChangeIsProvenAsTheWhole -v ./internal/directory/proof -rapid.checks=$(CHANGES)

# Passwords for PEOPLE people by the scripts that the guide prints; make test has a few.
PEOPLE ?= 100
rollout:
	SALLYPORT_PEOPLE=$(PEOPLE) go test -timeout 30m -count 1 -v ./test/rollout

# The files of `cert issue` read by OpenSSL, GnuTLS, NSS, Java 17 and readers of
# property lists.
pkcs12:
	./scripts/install-certificate-readers
	SALLYPORT_PKCS12=1 go test -count 1 -v ./test/pkcs12

# Ten thousand guesses over 500 networks and 200 accounts, after a rest (REST) in which the rates
# of a server that began just now become full; and what they do to honest mail. Before it, as many at one
# account from 1,000 addresses.
spray:
	SALLYPORT_SPRAY=$(REST) go test -timeout 60m -count 1 -run 'OneAccount|LargeSpray' -v ./test/spray

# Whether the time of a refusal tells what it must not; a planted 5 % must be found. On a machine
# with nothing else to do, about five minutes.
timing:
	SALLYPORT_TIMING=1 go test -timeout 60m -count 1 -v ./test/timing

# The long forms of the crash, command-sequence and load tests.
soak: build
	./scripts/install-test-tools
	SALLYPORT_SOAK=$(SOAK) go test -timeout 0 -count 1 ./test/... ./internal/spool ./internal/smtp/server

clean:
	rm -rf bin

# The program, its units and its user, man pages and completion, below DESTDIR. /usr is where the units look.
PREFIX  ?= /usr
DESTDIR ?=
install:
	test -x bin/sallyport || $(MAKE) build
	install -D -m 755 bin/sallyport $(DESTDIR)$(PREFIX)/bin/sallyport
	install -d $(DESTDIR)$(PREFIX)/lib/systemd/system
	install -m 644 packaging/systemd/sallyport.service packaging/systemd/sallyport-*.socket $(DESTDIR)$(PREFIX)/lib/systemd/system/
	install -D -m 644 packaging/systemd/sallyport.sysusers $(DESTDIR)$(PREFIX)/lib/sysusers.d/sallyport.conf
	bin/sallyport manual $(DESTDIR)$(PREFIX)/share/man/man1
	install -d $(DESTDIR)$(PREFIX)/share/bash-completion/completions $(DESTDIR)$(PREFIX)/share/zsh/site-functions $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d
	bin/sallyport completion bash > $(DESTDIR)$(PREFIX)/share/bash-completion/completions/sallyport
	bin/sallyport completion zsh > $(DESTDIR)$(PREFIX)/share/zsh/site-functions/_sallyport
	bin/sallyport completion fish > $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/sallyport.fish
	install -d $(DESTDIR)$(PREFIX)/share/doc/sallyport
	find docs packaging/grafana packaging/prometheus -type f -exec install -D -m 644 '{}' '$(DESTDIR)$(PREFIX)/share/doc/sallyport/{}' ';'
	install -m 644 README.md CHANGELOG.md $(DESTDIR)$(PREFIX)/share/doc/sallyport/
	install -m 644 LICENSE $(DESTDIR)$(PREFIX)/share/doc/sallyport/copyright

# A Debian package and an OCI image, in dist/.
package:
	./scripts/package

# docs/lifecycle.md, and moving to another machine, word by word under a booted systemd.
systemd:
	./scripts/install-test-tools
	./scripts/test-systemd

# Both, installed, upgraded, removed, unpacked and started, in a namespace of their own.
test-package:
	./scripts/test-package
