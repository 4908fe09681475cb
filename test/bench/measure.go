package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"os"
	"runtime"
	"time"
)

// instance is a server under measurement.
type instance struct {
	name        string
	root        int                                       // the process at the top of its tree
	mx          string                                    // host:port for mail from anyone
	submissions string                                    // host:port for mail under implicit TLS
	tls         *tls.Config                               // of a client that trusts it
	enlist      func(ctx context.Context) (sender, error) // makes who may submit mail that leaves
	inbox       string                                    // folder "new" of the Maildir of localRecipient
	queued      func(ctx context.Context) (int, error)    // messages in its queue
	stop        func() error                              // ends it and says what it complained of
}

// sample is one measurement.
type sample struct {
	Round    int     `json:"round"`
	Scenario string  `json:"scenario"`
	Server   string  `json:"server"`
	Messages int     `json:"messages"`
	Seconds  float64 `json:"seconds"` // wall time until the last message was where it belongs
	CPU      float64 `json:"cpu"`     // seconds of processor time of the server's processes
	Others   float64 `json:"others"`  // share of all processors that neither server nor clients took meanwhile
}

// rate is messages a second.
func (s sample) rate() float64 { return float64(s.Messages) / s.Seconds }

// cost is seconds of processor time for 1000 messages.
func (s sample) cost() float64 { return s.CPU / float64(s.Messages) * 1000 }

// How a server is found to be at rest: it used no more than restCPU, one tick of the
// clock, in restTime. Work that it put off is billed to the messages that caused it.
const (
	restCPU     = time.Second / clockTicks
	restTime    = 300 * time.Millisecond
	restTimeout = 30 * time.Second
)

// rest waits until the server does nothing and returns its processor time so far.
func rest(ctx context.Context, root int) (time.Duration, error) {
	const proc = procfs("/proc")
	last, err := proc.cpu(root)
	for begun := time.Now(); err == nil && time.Since(begun) < restTimeout; {
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(restTime):
		}
		var now time.Duration
		if now, err = proc.cpu(root); err == nil && now-last <= restCPU {
			return now, nil
		}
		last = now
	}
	if err != nil {
		return 0, err
	}
	return 0, fmt.Errorf("the server was still busy %s after its work was done", restTimeout)
}

// measure times work, which returns when messages messages are where they belong.
func measure(ctx context.Context, root, messages int, work func(ctx context.Context) error) (sample, error) {
	before, err := rest(ctx, root)
	if err != nil {
		return sample{}, err
	}
	noise, err := procfs("/proc").others(os.Getpid(), root)
	if err != nil {
		return sample{}, err
	}
	begun := time.Now()
	if err := work(ctx); err != nil {
		return sample{}, err
	}
	took := time.Since(begun)
	noisier, err := procfs("/proc").others(os.Getpid(), root)
	if err != nil {
		return sample{}, err
	}
	after, err := rest(ctx, root)
	if err != nil {
		return sample{}, err
	}
	capacity := took.Seconds() * float64(runtime.NumCPU())
	return sample{
		Messages: messages, Seconds: took.Seconds(), CPU: (after - before).Seconds(),
		// The grain of the clock can make it a little less than nothing.
		Others: max(0, (noisier-noise).Seconds()/capacity),
	}, nil
}
