package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"time"

	"sallyport/internal/accounts"
	"sallyport/internal/config"
	"sallyport/internal/mail"
	"sallyport/internal/store/pebble"
	"sallyport/test/load"
	"sallyport/test/load/rig"
)

// world is a server that accepts and queues.
type world struct {
	server   *rig.Server
	messages int // of one measurement, where they are small
	sent     int
	boxes    int // u0@local.test, u1@local.test, ...
	runs     int
}

const limits = `
[limits]
connections = 4000
recipients = 2000
queue_messages = 100000000
queue_messages_per_account = 100000000
queue_size = "100TiB"
`

// begin starts a server, and has it do once what it is measured at.
func begin(ctx context.Context, binary, dir string) (*world, error) {
	s, err := rig.Prepare(ctx, rig.Options{Binary: binary, Dir: dir, Remote: "127.0.0.1:9", Extra: limits, Patience: 5 * time.Minute})
	if err != nil {
		return nil, err
	}
	s.Flags = []string{"--paused"}
	w := &world{server: s}
	return w, w.start(ctx)
}

func (w *world) start(ctx context.Context) error {
	if err := w.server.Start(ctx); err != nil {
		return err
	}
	_, err := w.measure(ctx, 0, 1, load.Options{Messages: 500, Connections: 20, Size: 10_000})
	return err
}

// populate adds mailboxes, while the server does not run. What is queued goes before: a server that
// starts reads all of it through for rot, which would be counted with what is measured next.
func (w *world) populate(ctx context.Context, boxes int) (err error) {
	if _, err := w.server.CLI(ctx, "", "queue", "rm", "--all", "--reason", "measured"); err != nil {
		return err
	}
	if err := w.server.Stop(); err != nil {
		return err
	}
	cfg, err := config.Load(w.server.Config)
	if err != nil {
		return err
	}
	st, err := pebble.Open(pebble.Options{Dir: cfg.StoreDir()})
	if err != nil {
		return err
	}
	l := accounts.DefaultLimits()
	l.HashMemory, l.HashPasses, l.HashLanes, l.ScramRounds = 8, 1, 1, 4096 // nobody signs in to them
	all, err := accounts.Open(ctx, st, accounts.Options{Limits: l, Now: time.Now, Logger: slog.New(slog.DiscardHandler), Rand: rand.Reader})
	for ; err == nil && w.boxes < boxes; w.boxes++ {
		var a mail.Address
		if a, err = mail.ParseAddress(box(w.boxes), mail.ASCII); err == nil {
			_, err = all.Add(ctx, a, "correct horse battery", accounts.Sending{Role: accounts.RolePerson}, nil)
		}
	}
	if cerr := st.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	return w.start(ctx)
}

func box(i int) string { return fmt.Sprintf("u%d@local.test", i) }

// spread names n of the mailboxes, from the first to the last.
func (w *world) spread(n int) []string {
	to := make([]string, min(n, w.boxes))
	for i := range to {
		to[i] = box(i * w.boxes / len(to))
	}
	return to
}

// measure sends messages to bob, where o names nobody else, and demands that all are taken.
// units is how much one message is.
func (w *world) measure(ctx context.Context, value int, units float64, o load.Options) (sample, error) {
	w.runs++
	o.Addr, o.From, o.Prefix = func() string { return w.server.Listen.MX[0] }, "somebody@far.test", fmt.Sprintf("c%d", w.runs)
	o.Pipelining, o.Patience = true, time.Minute
	if o.To == nil {
		o.To = []string{"bob@local.test"}
	}
	before, err := w.processor()
	if err != nil {
		return sample{}, err
	}
	r, err := load.Run(ctx, o)
	if err == nil && (r.Acknowledged != o.Messages || r.Deferred+r.Broken > 0) {
		err = fmt.Errorf("not all were taken: %+v", r)
	}
	if err != nil {
		return sample{}, fmt.Errorf("%w\n%s", err, w.server.LogTail())
	}
	w.sent += o.Messages
	after, err := w.rest(ctx)
	return sample{value: value, units: units * float64(o.Messages), seconds: r.Seconds, p99: time.Duration(r.P99 * float64(time.Millisecond)), processor: after - before}, err
}

// fill queues messages until so many were sent.
func (w *world) fill(ctx context.Context, length int) error {
	for w.sent < length {
		if _, err := w.measure(ctx, 0, 1, load.Options{Messages: min(length-w.sent, 100_000), Connections: 50, Size: 700}); err != nil {
			return err
		}
	}
	return nil
}

// clockTicks is USER_HZ, the unit of the times in /proc/PID/stat. proc(5).
const clockTicks = 100

// processor is the processor time of the server so far.
func (w *world) processor() (time.Duration, error) {
	pid, err := w.server.PID()
	if err != nil {
		return 0, err
	}
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	return parseProcessor(string(b))
}

// parseProcessor adds user and system time of /proc/PID/stat, whose second field may hold anything.
func parseProcessor(stat string) (time.Duration, error) {
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	if len(fields) < 13 {
		return 0, fmt.Errorf("stat is %q", stat)
	}
	user, err := strconv.Atoi(fields[11])
	if err != nil {
		return 0, err
	}
	system, err := strconv.Atoi(fields[12])
	return time.Duration(user+system) * time.Second / clockTicks, err
}

// The server rests when it took less than a twentieth of a processor for a while.
const (
	restFor  = 500 * time.Millisecond
	restTick = 20 * time.Millisecond
	restMost = 30 * time.Second
)

// rest waits until what was put off is done, and returns the processor time by then.
func (w *world) rest(ctx context.Context) (time.Duration, error) {
	last, err := w.processor()
	for began := time.Now(); err == nil && time.Since(began) < restMost; {
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(restFor):
		}
		var now time.Duration
		if now, err = w.processor(); now-last <= restTick {
			return now, err
		}
		last = now
	}
	return last, err
}
