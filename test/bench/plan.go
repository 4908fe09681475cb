package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"sallyport/test/load"
)

// bench runs the plan.
type bench struct {
	o          options
	contenders []contender
	dir        string // for the data of the servers
	progress   io.Writer
	folders    int // made so far; names them
}

// scenario is one thing that servers are measured at.
type scenario struct {
	name      string
	servers   []string // who is measured at it
	queueOnly bool     // the server accepts and keeps, and does nothing else
	kept      bool     // connections
	work      func(ctx context.Context, at site, t traffic) error
	// check says, outside the measured time, whether everything was done; nil: work
	// has seen to it.
	check func(ctx context.Context, at site, t traffic) error
}

// site is a running server with the sink that it relays to, and what each held when
// the measurement began.
type site struct {
	*instance
	sink    *load.Sink
	from    sender
	clients int // at the same time
	relayed int
	inboxed int
	stored  int
	prefix  string // of the identifiers of messages
}

// The names of the scenarios.
const (
	acceptedKept  = "accepted, kept connections"
	acceptedNew   = "accepted, new connections"
	submittedNew  = "submitted with STARTTLS and AUTH, new connections"
	relayedKept   = "relayed, kept connections"
	deliveredKept = "delivered, kept connections"
	deliveredNew  = "delivered, new connections"
)

// scenarios are the parts of the table, in its order.
func scenarios() []scenario {
	both := []string{ours, theirs}
	all := []string{floor, ours, theirs, exim, opensmtpd, haraka}
	return []scenario{
		{acceptedKept, all, true, true, acceptWork, acceptCheck},
		{acceptedNew, append(all, oursUngreeted), true, false, acceptWork, acceptCheck},
		{submittedNew, both, true, false, submitWork, acceptCheck},
		{relayedKept, []string{ours, oursOrdinary, theirs, exim, opensmtpd, haraka}, false, true, relayWork, nil},
		{deliveredKept, both, false, true, deliverWork, nil},
		{deliveredNew, both, false, false, deliverWork, nil},
	}
}

func acceptWork(ctx context.Context, at site, t traffic) error { return source(ctx, at.mx, t) }

func acceptCheck(ctx context.Context, at site, t traffic) error {
	n, err := at.queued(ctx)
	if err == nil && n != at.stored+t.messages {
		err = fmt.Errorf("the queue grew from %d to %d messages by %d acknowledged ones", at.stored, n, t.messages)
	}
	return err
}

func submitWork(ctx context.Context, at site, t traffic) error { return submit(ctx, at, signedIn, t) }

func relayWork(ctx context.Context, at site, t traffic) error {
	if err := submit(ctx, at, at.relay, t); err != nil {
		return err
	}
	return arrive(ctx, at.relayed+t.messages, pollInterval/4, func() (int, error) { return at.sink.Messages(), nil })
}

func deliverWork(ctx context.Context, at site, t traffic) error {
	if err := source(ctx, at.mx, t); err != nil {
		return err
	}
	return arrive(ctx, at.inboxed+t.messages, pollInterval, func() (int, error) { return files(at.inbox) })
}

// order returns the servers in the order of a round; it alternates, so that none always has
// the machine's better half of a drift.
func (b *bench) order(round int) []contender {
	cs := slices.Clone(b.contenders)
	if round%2 == 0 {
		slices.Reverse(cs)
	}
	return cs
}

// folder makes an empty folder for a server.
func (b *bench) folder() (string, error) {
	b.folders++
	dir := filepath.Join(b.dir, fmt.Sprintf("%02d", b.folders))
	return dir, os.Mkdir(dir, 0o755)
}

// all runs every round.
func (b *bench) all(ctx context.Context) ([]sample, error) {
	var samples []sample
	for round := 1; round <= b.o.rounds; round++ {
		for _, queueOnly := range []bool{true, false} {
			for _, c := range b.order(round) {
				more, err := b.visit(ctx, round, c, queueOnly)
				if err != nil {
					return nil, fmt.Errorf("round %d, %s: %w", round, c.name, err)
				}
				samples = append(samples, more...)
			}
		}
	}
	return samples, nil
}

// of returns the scenarios of one kind at which a server is measured.
func (b *bench) of(c contender, queueOnly bool) []scenario {
	return slices.DeleteFunc(scenarios(), func(s scenario) bool {
		return s.queueOnly != queueOnly || !slices.Contains(s.servers, c.name) || !strings.Contains(s.name, b.o.only)
	})
}

// warmUp is how many messages a fresh server gets before it is measured.
const warmUp = 200

// visit starts a server, measures it at all scenarios of one kind and stops it.
func (b *bench) visit(ctx context.Context, round int, c contender, queueOnly bool) (samples []sample, err error) {
	plan := b.of(c, queueOnly)
	if len(plan) == 0 {
		return nil, nil
	}
	err = b.with(ctx, c, queueOnly, func(at site) error {
		for n, s := range plan {
			prefix := fmt.Sprintf("%d-%s-%t-%d", round, strings.ToLower(c.name[:1]), queueOnly, n)
			at.prefix = prefix + "-warm"
			if _, err := b.once(ctx, s, at, max(warmUp, b.o.clients)); err != nil {
				return fmt.Errorf("%s, warming up: %w", s.name, err)
			}
			at.prefix = prefix
			m, err := b.once(ctx, s, at, b.o.messages)
			if err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
			m.Round, m.Scenario, m.Server, m.Clients = round, s.name, c.name, at.clients
			fmt.Fprintf(b.progress, "round %d  %-50s %-28s %7.0f messages/s  %6.3f CPU s per 1000\n", round,
				s.name, c.name, m.rate(), m.cost())
			samples = append(samples, m)
		}
		return nil
	})
	return samples, err
}

// with starts a server and a sink, has somebody enlisted who may send, and ends both.
func (b *bench) with(ctx context.Context, c contender, queueOnly bool, do func(site) error) (err error) {
	sink, err := load.NewSink(load.SinkOptions{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, sink.Close()) }()
	dir, err := b.folder()
	if err != nil {
		return err
	}
	i, err := c.start(ctx, place{o: b.o, dir: dir, sink: sink.Addr(), queueOnly: queueOnly})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, i.stop()) }()
	from, err := i.enlist(ctx)
	if err != nil {
		return err
	}
	return do(site{instance: i, sink: sink, from: from, clients: c.atOnce(b.o.clients)})
}

// once measures a scenario with so many messages.
func (b *bench) once(ctx context.Context, s scenario, at site, messages int) (sample, error) {
	var err error
	at.relayed = at.sink.Messages()
	if at.inboxed, err = files(at.inbox); err != nil {
		return sample{}, err
	}
	if at.stored, err = at.queued(ctx); err != nil {
		return sample{}, err
	}
	t := traffic{messages: messages, clients: at.clients, size: b.o.size, kept: s.kept}
	m, err := measure(ctx, at.roots, messages, func(ctx context.Context) error { return s.work(ctx, at, t) })
	if err == nil && s.check != nil {
		err = s.check(ctx, at, t)
	}
	return m, err
}
