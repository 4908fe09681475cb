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
	roots       []int                                     // the processes at the tops of its trees
	mx          string                                    // host:port for mail from anyone
	submission  string                                    // host:port for mail after STARTTLS and a sign-in; "": none
	submissions string                                    // host:port for mail under implicit TLS; "": none
	tls         *tls.Config                               // of a client that trusts it
	enlist      func(ctx context.Context) (sender, error) // makes who may submit mail that leaves
	relay       security                                  // how mail that leaves is brought
	inbox       string                                    // folder "new" of the Maildir of localRecipient; "": none
	queued      func(ctx context.Context) (int, error)    // messages in its queue
	stop        func() error                              // ends it and says what it complained of
	spent       func() time.Duration                      // processor time of the whole process, once it has ended
}

// security says how mail that leaves is brought to a server.
type security uint8

const (
	inClear  security = iota // to the mx door, from a network that the server trusts
	signedIn                 // to the submission door, with STARTTLS and AUTH
)

// sample is one measurement.
type sample struct {
	Round    int     `json:"round"`
	Scenario string  `json:"scenario"`
	Server   string  `json:"server"`
	Clients  int     `json:"clients"`
	Messages int     `json:"messages"`
	Seconds  float64 `json:"seconds"` // wall time until the last message was where it belongs
	CPU      float64 `json:"cpu"`     // seconds of processor time of the server's processes, until they rest
	AtOnce   float64 `json:"atonce"`  // the same, until the last message was where it belongs
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
func rest(ctx context.Context, roots ...int) (time.Duration, error) {
	const proc = procfs("/proc")
	last, err := proc.cpu(roots...)
	for begun := time.Now(); err == nil && time.Since(begun) < restTimeout; {
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(restTime):
		}
		var now time.Duration
		if now, err = proc.cpu(roots...); err == nil && now-last <= restCPU {
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
func measure(ctx context.Context, roots []int, messages int, work func(ctx context.Context) error) (sample, error) {
	const proc = procfs("/proc")
	before, err := rest(ctx, roots...)
	if err != nil {
		return sample{}, err
	}
	noise, err := proc.others(os.Getpid(), roots...)
	if err != nil {
		return sample{}, err
	}
	begun := time.Now()
	if err := work(ctx); err != nil {
		return sample{}, err
	}
	took := time.Since(begun)
	atOnce, err := proc.cpu(roots...)
	if err != nil {
		return sample{}, err
	}
	noisier, err := proc.others(os.Getpid(), roots...)
	if err != nil {
		return sample{}, err
	}
	after, err := rest(ctx, roots...)
	if err != nil {
		return sample{}, err
	}
	capacity := took.Seconds() * float64(runtime.NumCPU())
	return sample{
		Messages: messages, Seconds: took.Seconds(), CPU: (after - before).Seconds(), AtOnce: (atOnce - before).Seconds(),
		// The grain of the clock can make it a little less than nothing.
		Others: max(0, (noisier-noise).Seconds()/capacity),
	}, nil
}
