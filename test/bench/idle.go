package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"time"
)

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

// idle measures each kind of idle connection in a fresh process of every server that takes it.
func (b *bench) idle(ctx context.Context) ([]idleSample, error) {
	var all []idleSample
	for _, secured := range []bool{false, true} {
		for _, c := range b.order(1) {
			if c.name == oursUngreeted || c.name == oursOrdinary || secured && c.name != ours && c.name != theirs {
				continue
			}
			s, err := b.idleOnce(ctx, c, secured)
			if err != nil {
				return nil, fmt.Errorf("idle connections to %s: %w", c.name, err)
			}
			fmt.Fprintf(b.progress, "%-59s %-28s %7.1f KiB each\n", s.Kind, c.name, s.each()/1024)
			all = append(all, s)
		}
	}
	return all, nil
}

// nowhere is where mail for remote.test would go when none is sent.
const nowhere = "127.0.0.1:9"

// idleOnce measures in a process that has done nothing before: the one that made the
// accounts, and left the memory of hashing their passwords behind, is ended first.
func (b *bench) idleOnce(ctx context.Context, c contender, secured bool) (s idleSample, err error) {
	dir, err := b.folder()
	if err != nil {
		return s, err
	}
	at := place{o: b.o, dir: dir, sink: nowhere}
	i, err := c.start(ctx, at)
	if err != nil {
		return s, err
	}
	if err := i.stop(); err != nil {
		return s, err
	}
	if i, err = c.start(ctx, at); err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, i.stop()) }()
	s = idleSample{Kind: "idle, in clear after EHLO", Server: c.name, Connections: b.o.plain}
	if secured {
		s.Kind, s.Connections = "idle, under TLS after EHLO", b.o.secured
		err = s.fill(ctx, i.roots, i.submissions, i.tls)
		return s, err
	}
	err = s.fill(ctx, i.roots, i.mx, nil)
	return s, err
}

// fill measures the memory of the server with and without the connections.
func (s *idleSample) fill(ctx context.Context, roots []int, addr string, cfg *tls.Config) (err error) {
	if s.Before, err = memoryAtRest(ctx, roots...); err != nil {
		return err
	}
	open, err := openIdle(ctx, addr, cfg, s.Connections)
	if err != nil {
		return err
	}
	defer open.close()
	s.After, err = memoryAtRest(ctx, roots...)
	return err
}

// settleTime is given to a server at rest before its memory is read.
const settleTime = time.Second

func memoryAtRest(ctx context.Context, roots ...int) (int64, error) {
	if _, err := rest(ctx, roots...); err != nil {
		return 0, err
	}
	select {
	case <-ctx.Done():
		return 0, ctx.Err()
	case <-time.After(settleTime):
	}
	return procfs("/proc").pss(roots...)
}
