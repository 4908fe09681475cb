package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"sallyport/test/load"
)

// bench runs the plan.
type bench struct {
	o        options
	dir      string // for the data of the servers
	progress io.Writer
	folders  int // made so far; names them
}

// scenario is one thing that both servers are measured at.
type scenario struct {
	name      string
	queueOnly bool // the server accepts and keeps, and does nothing else
	kept      bool // connections
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
	relayed int
	inboxed int
	stored  int
	prefix  string // of the identifiers of messages
}

// scenarios are the rows of the table, in its order.
func scenarios() []scenario {
	var all []scenario
	for _, kept := range []bool{true, false} {
		all = append(all, scenario{"accepted, " + connections(kept), true, kept, acceptWork, acceptCheck})
	}
	for _, kept := range []bool{true, false} {
		all = append(all, scenario{"relayed, " + connections(kept), false, kept, relayWork, nil})
	}
	for _, kept := range []bool{true, false} {
		all = append(all, scenario{"delivered, " + connections(kept), false, kept, deliverWork, nil})
	}
	return all
}

func connections(kept bool) string {
	if kept {
		return "kept connections"
	}
	return "new connections"
}

func acceptWork(ctx context.Context, at site, t traffic) error { return source(ctx, at.mx, t) }

func acceptCheck(ctx context.Context, at site, t traffic) error {
	n, err := at.queued(ctx)
	if err == nil && n != at.stored+t.messages {
		err = fmt.Errorf("the queue grew from %d to %d messages by %d acknowledged ones", at.stored, n, t.messages)
	}
	return err
}

func relayWork(ctx context.Context, at site, t traffic) error {
	if err := submit(ctx, at.submissions, at.tls, at.from, t, at.prefix); err != nil {
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

// servers starts one of the servers; their order alternates from round to round, so
// that neither always has the machine's better half of a drift.
func (b *bench) servers(round int) []string {
	names := []string{ours, theirs}
	if round%2 == 0 {
		slices.Reverse(names)
	}
	return names
}

// folder makes an empty folder for a server.
func (b *bench) folder() (string, error) {
	b.folders++
	dir := filepath.Join(b.dir, fmt.Sprintf("%02d", b.folders))
	return dir, os.Mkdir(dir, 0o755)
}

// start starts a server on the data in dir.
func (b *bench) start(ctx context.Context, name, dir, sink string, queueOnly bool) (*instance, error) {
	if name == theirs {
		return startPostfix(ctx, dir, sink, queueOnly)
	}
	return startSallyport(ctx, b.o.server, dir, sink, queueOnly)
}

// all runs every round, then measures the memory of idle connections.
func (b *bench) all(ctx context.Context) ([]sample, []idleSample, error) {
	var samples []sample
	for round := 1; round <= b.o.rounds; round++ {
		for _, queueOnly := range []bool{true, false} {
			for _, name := range b.servers(round) {
				more, err := b.visit(ctx, round, name, queueOnly)
				if err != nil {
					return nil, nil, fmt.Errorf("round %d, %s: %w", round, name, err)
				}
				samples = append(samples, more...)
			}
		}
	}
	idle, err := b.idle(ctx)
	return samples, idle, err
}

// warmUp is how many messages a fresh server gets before it is measured.
const warmUp = 200

// visit starts a server, measures it at all scenarios of one kind and stops it.
func (b *bench) visit(ctx context.Context, round int, name string, queueOnly bool) (samples []sample, err error) {
	sink, err := load.NewSink(load.SinkOptions{})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, sink.Close()) }()
	dir, err := b.folder()
	if err != nil {
		return nil, err
	}
	i, err := b.start(ctx, name, dir, sink.Addr(), queueOnly)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, i.stop()) }()
	from, err := i.enlist(ctx)
	if err != nil {
		return nil, err
	}
	for n, s := range scenarios() {
		if s.queueOnly != queueOnly {
			continue
		}
		prefix := fmt.Sprintf("%d-%s-%d", round, name, n)
		if _, err := b.once(ctx, s, site{instance: i, sink: sink, from: from, prefix: prefix + "-warm"}, max(warmUp, b.o.clients)); err != nil {
			return nil, fmt.Errorf("%s, warming up: %w", s.name, err)
		}
		m, err := b.once(ctx, s, site{instance: i, sink: sink, from: from, prefix: prefix}, b.o.messages)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.name, err)
		}
		m.Round, m.Scenario, m.Server = round, s.name, name
		fmt.Fprintf(b.progress, "round %d  %-28s %-10s %7.0f messages/s  %6.3f CPU s per 1000\n", round, s.name, name, m.rate(), m.cost())
		samples = append(samples, m)
	}
	return samples, nil
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
	t := traffic{messages: messages, clients: b.o.clients, size: b.o.size, kept: s.kept}
	m, err := measure(ctx, at.root, messages, func(ctx context.Context) error { return s.work(ctx, at, t) })
	if err == nil && s.check != nil {
		err = s.check(ctx, at, t)
	}
	return m, err
}

// idleSample is the memory of idle connections of one server.
type idleSample struct {
	Kind        string `json:"kind"`
	Server      string `json:"server"`
	Connections int    `json:"connections"`
	Before      int64  `json:"before"` // octets of the fresh server, without a connection
	After       int64  `json:"after"`  // octets with all of them
}

// each is octets for one connection.
func (s idleSample) each() float64 { return float64(s.After-s.Before) / float64(s.Connections) }

// idle measures each kind of idle connection in a fresh process.
func (b *bench) idle(ctx context.Context) ([]idleSample, error) {
	var all []idleSample
	for _, secured := range []bool{false, true} {
		for _, name := range b.servers(1) {
			s, err := b.idleOnce(ctx, name, secured)
			if err != nil {
				return nil, fmt.Errorf("idle connections to %s: %w", name, err)
			}
			fmt.Fprintf(b.progress, "%-37s %-10s %7.1f KiB each\n", s.Kind, name, s.each()/1024)
			all = append(all, s)
		}
	}
	return all, nil
}

// nowhere is where mail for remote.test would go when none is sent.
const nowhere = "127.0.0.1:9"

// idleOnce measures in a process that has done nothing before: the one that made the
// accounts, and left the memory of hashing their passwords behind, is ended first.
func (b *bench) idleOnce(ctx context.Context, name string, secured bool) (s idleSample, err error) {
	dir, err := b.folder()
	if err != nil {
		return s, err
	}
	i, err := b.start(ctx, name, dir, nowhere, false)
	if err != nil {
		return s, err
	}
	if err := i.stop(); err != nil {
		return s, err
	}
	if i, err = b.start(ctx, name, dir, nowhere, false); err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, i.stop()) }()
	s = idleSample{Kind: "idle, in clear after EHLO", Server: name, Connections: b.o.plain}
	if secured {
		s.Kind, s.Connections = "idle, under TLS after EHLO", b.o.secured
		err = s.fill(ctx, i.root, i.submissions, i.tls)
		return s, err
	}
	err = s.fill(ctx, i.root, i.mx, nil)
	return s, err
}

// fill measures the memory of the server with and without the connections.
func (s *idleSample) fill(ctx context.Context, root int, addr string, cfg *tls.Config) (err error) {
	if s.Before, err = memoryAtRest(ctx, root); err != nil {
		return err
	}
	open, err := openIdle(ctx, addr, cfg, s.Connections)
	if err != nil {
		return err
	}
	defer open.close()
	s.After, err = memoryAtRest(ctx, root)
	return err
}

// settleTime is given to a server at rest before its memory is read.
const settleTime = time.Second

func memoryAtRest(ctx context.Context, root int) (int64, error) {
	if _, err := rest(ctx, root); err != nil {
		return 0, err
	}
	select {
	case <-ctx.Done():
		return 0, ctx.Err()
	case <-time.After(settleTime):
	}
	return procfs("/proc").pss(root)
}
