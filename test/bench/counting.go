package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// waysOfCounting is the processor time of the same work, counted in three ways, in seconds for 1000
// messages. They differ by what a server puts off.
type waysOfCounting struct {
	Alone  float64 `json:"alone"`  // of the process, from the first connection to the last 250
	Ended  float64 `json:"ended"`  // the same, and its orderly end at once after that
	Rested float64 `json:"rested"` // until it rests: what it puts off is done, compaction too
}

// countings measures accepting over kept connections in the three ways, in every round.
func (b *bench) countings(ctx context.Context) (all []waysOfCounting, err error) {
	i := slices.IndexFunc(scenarios(), func(s scenario) bool { return s.name == acceptedKept })
	s := scenarios()[i]
	for round := 1; round <= b.o.rounds; round++ {
		var w waysOfCounting
		err := b.with(ctx, b.own(), true, func(at site) error {
			if _, err := b.once(ctx, s, at, max(warmUp, b.o.clients)); err != nil {
				return err
			}
			m, err := b.once(ctx, s, at, b.o.messages)
			w.Alone, w.Rested = m.AtOnce/float64(m.Messages)*1000, m.cost()
			return err
		})
		if err != nil {
			return nil, err
		}
		if w.Ended, err = b.untilItEnds(ctx, s); err != nil {
			return nil, err
		}
		fmt.Fprintf(b.progress,
			"round %d  %-50s CPU s per 1000: %.3f to the last 250, %.3f with the end of the process, %.3f to rest\n",
			round, s.name, w.Alone, w.Ended, w.Rested)
		all = append(all, w)
	}
	return all, nil
}

// untilItEnds measures a server that is told to end as soon as the last 250 was read.
func (b *bench) untilItEnds(ctx context.Context, s scenario) (cost float64, err error) {
	dir, err := b.folder()
	if err != nil {
		return 0, err
	}
	i, err := b.own().start(ctx, place{o: b.o, dir: dir, sink: nowhere, queueOnly: true})
	if err != nil {
		return 0, err
	}
	stopped := false
	defer func() {
		if !stopped {
			err = errors.Join(err, i.stop())
		}
	}()
	t := traffic{messages: max(warmUp, b.o.clients), clients: b.o.clients, size: b.o.size, kept: s.kept}
	if err := source(ctx, i.mx, t); err != nil {
		return 0, err
	}
	before, err := rest(ctx, i.roots...)
	if err != nil {
		return 0, err
	}
	t.messages = b.o.messages
	if err := source(ctx, i.mx, t); err != nil {
		return 0, err
	}
	stopped = true
	if err := i.stop(); err != nil {
		return 0, err
	}
	return (i.spent() - before).Seconds() / float64(t.messages) * float64(time.Second/time.Millisecond), nil
}

// own is the contender that is ours.
func (b *bench) own() contender {
	return b.contenders[slices.IndexFunc(b.contenders, func(c contender) bool { return c.name == ours })]
}
