package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// readings measures sallyport beside Dovecot on one Maildir.
type readings struct {
	o        options
	m        mailboxes
	servers  []*reading
	progress io.Writer
	found    []readSample
}

// readSample is one task, done by one server in one round.
type readSample struct {
	Task    string  `json:"task"`
	Server  string  `json:"server"`
	Round   int     `json:"round"`
	Times   int     `json:"times"`   // how often it was done
	Seconds float64 `json:"seconds"` // of all
	CPU     float64 `json:"cpu"`     // seconds of the server's processes
}

func (s readSample) wall() float64 { return s.Seconds / float64(s.Times) * 1000 }
func (s readSample) cost() float64 { return s.CPU / float64(s.Times) * 1000 }

// task is one thing that both servers are measured at.
type task struct {
	name   string
	folder string
	cold   bool // without an index, made anew before each time
	first  bool // in the first round alone
	times  int
	// begin is given before the measured time.
	begin []string
	// do is given each time.
	do []string
	// clients add messages at once, where there are any.
	clients int
}

const (
	tenThousand = ".Ten"
	thousand    = ".Whole"
	huge        = ".Huge"
	idleFolder  = ".Idle"
	appended    = ".Appended"
	envelopes   = "FETCH 1:* (UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE)"
)

// tasks are the rows of the table.
func tasks(o options) []task {
	all := []task{
		{name: "SELECT of 10,000 messages", folder: tenThousand, times: 20, do: []string{"SELECT Ten"}},
		{name: "SELECT and 10,000 envelopes, no index", folder: tenThousand, times: 1, cold: true, do: []string{"SELECT Ten", envelopes}},
		{name: "SELECT and 10,000 envelopes, index", folder: tenThousand, times: 3, do: []string{"SELECT Ten", envelopes}},
		{name: "10,000 flags", folder: tenThousand, times: 10, begin: []string{"SELECT Ten"}, do: []string{"FETCH 1:* (UID FLAGS)"}},
		{name: "1,000 messages of 10 KB whole", folder: thousand, times: 3, begin: []string{"SELECT Whole"}, do: []string{"UID FETCH 1:* (BODY.PEEK[])"}},
		{name: "search for a subject among 10,000", folder: tenThousand, times: 5, begin: []string{"SELECT Ten"}, do: []string{"SEARCH SUBJECT \"water sound\""}},
		{name: "search for X-Mailer among 10,000", folder: tenThousand, times: 1, begin: []string{"SELECT Ten"}, do: []string{"SEARCH HEADER X-Mailer \"Program 3\""}},
		{name: "search in 1,000 bodies of 10 KB", folder: thousand, times: 2, begin: []string{"SELECT Whole"}, do: []string{"SEARCH BODY \"a needle in\""}},
		{name: "APPEND of 10 KB, one client", folder: appended, times: 200, clients: 1},
		{name: "APPEND of 10 KB, 20 clients", folder: appended, times: 600, clients: 20},
	}
	if o.huge > 0 {
		n := fmt.Sprint(o.huge)
		all = append(all,
			task{
				name: "SELECT of " + n + " messages, no index", folder: huge, times: 1, cold: true,
				first: true, do: []string{"SELECT Huge"},
			},
			task{name: "SELECT of " + n + " messages, index", folder: huge, times: 1, do: []string{"SELECT Huge"}},
			task{name: n + " flags", folder: huge, times: 1, begin: []string{"SELECT Huge"}, do: []string{"FETCH 1:* (UID FLAGS)"}})
	}
	return all
}

// cpuTime returns the processor time of the living processes of a tree, from their own clocks,
// which have no grain. clock_getcpuclockid(3): the id is made of that of the process.
func cpuTime(root int) (map[int]time.Duration, error) {
	tree, err := procfs("/proc").tree(root)
	if err != nil {
		return nil, err
	}
	out := map[int]time.Duration{}
	for _, p := range tree {
		var at unix.Timespec
		if err := unix.ClockGettime(int32(^p.pid<<3|2), &at); err == nil { // else it has ended
			out[p.pid] = time.Duration(at.Nano())
		}
	}
	return out, nil
}

// spent is what the processes of a tree took between two moments; what ended meanwhile had next to
// nothing to do with what was measured, and is left out.
func spent(before, after map[int]time.Duration) (sum time.Duration) {
	for pid, at := range after {
		sum += at - before[pid]
	}
	return sum
}

// measured runs what is measured.
func (r *reading) measured(work func() error) (took, cpu time.Duration, err error) {
	time.Sleep(restTime)
	before, err := cpuTime(r.root)
	if err != nil {
		return 0, 0, err
	}
	begun := time.Now()
	if err := work(); err != nil {
		return 0, 0, err
	}
	took = time.Since(begun)
	after, err := cpuTime(r.root)
	return took, spent(before, after), err
}

// clients connects so many.
func (s *readings) clients(ctx context.Context, r *reading, n int) (all []*reader, err error) {
	for range max(n, 1) {
		c, err := dialReader(ctx, r.imaps, r.tls, readerAddress, readerPassword, 64<<10)
		if err != nil {
			return all, err
		}
		all = append(all, c)
	}
	return all, nil
}

// once does a task with one server.
func (s *readings) once(ctx context.Context, t task, r *reading, round int) error {
	if t.cold {
		if err := r.forget(filepath.Join(s.m.maildir, t.folder)); err != nil {
			return err
		}
	}
	clients, err := s.clients(ctx, r, t.clients)
	defer func() {
		for _, c := range clients {
			c.close()
		}
	}()
	if err != nil {
		return err
	}
	for _, command := range t.begin {
		if err := clients[0].ask(command); err != nil {
			return fmt.Errorf("%s: %w", command, err)
		}
	}
	took, cpu, err := r.measured(func() error {
		if t.clients > 0 {
			return s.appendAll(clients, t.times)
		}
		for range t.times {
			for _, command := range t.do {
				if err := clients[0].ask(command); err != nil {
					return fmt.Errorf("%s: %w", command, err)
				}
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	found := readSample{t.name, r.name, round, t.times, took.Seconds(), cpu.Seconds()}
	fmt.Fprintf(s.progress, "round %d  %-42s %-10s %9.2f ms  %9.2f ms CPU\n", round, t.name, r.name, found.wall(), found.cost())
	s.found = append(s.found, found)
	return nil
}

// appendAll shares out messages over connections.
func (s *readings) appendAll(clients []*reader, times int) error {
	message := []byte(strings.ReplaceAll(string(example(1, 10240)), "\n", "\r\n"))
	errs := make([]error, len(clients))
	var wg sync.WaitGroup
	for i, c := range clients {
		wg.Go(func() {
			for range times / len(clients) {
				if errs[i] = c.append("Appended", message); errs[i] != nil {
					return
				}
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// measureReading runs all of it.
func measureReading(ctx context.Context, o options, dir string, out, progress io.Writer) (err error) {
	if _, err := exec.LookPath(dovecotCommand); err != nil {
		return fmt.Errorf("%w: run ./scripts/install-test-tools", err)
	}
	ourDir, theirDir := filepath.Join(dir, "ours"), filepath.Join(dir, "theirs")
	m, err := newMailboxes(filepath.Join(ourDir, "data", "mail", "local.test", "alice"))
	if err != nil {
		return err
	}
	if err := errors.Join(os.MkdirAll(m.maildir, 0o755), os.MkdirAll(theirDir, 0o755)); err != nil {
		return err
	}
	s := &readings{o: o, m: m, progress: progress}
	for _, f := range []struct {
		name             string
		messages, octets int
		shared           bool
	}{{"", 0, 0, false}, {tenThousand, 10_000, 2000, false}, {thousand, 1000, 10_000, false}, {idleFolder, 5000, 2000, true}, {appended, 0, 0, false}, {huge, o.huge, 2000, true}} {
		if err := m.fill(f.name, f.messages, f.octets, f.shared); err != nil {
			return err
		}
	}
	our, err := startReading(ctx, o.server, ourDir, m)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, our.stop()) }()
	their, err := startDovecot(ctx, theirDir, m)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, their.stop()) }()
	s.servers = []*reading{our, their}
	if err := s.rounds(ctx); err != nil {
		return err
	}
	rest, err := s.waiting(ctx)
	if err != nil {
		return err
	}
	_, err = io.WriteString(out, s.markdown(rest))
	return err
}

func (s *readings) rounds(ctx context.Context) error {
	for round := 1; round <= s.o.rounds; round++ {
		for _, t := range tasks(s.o) {
			if s.o.only != "" && !strings.Contains(t.name, s.o.only) || t.first && round > 1 {
				continue
			}
			order := slices.Clone(s.servers)
			if round%2 == 0 {
				slices.Reverse(order)
			}
			for _, r := range order {
				if err := s.once(ctx, t, r, round); err != nil {
					return fmt.Errorf("%s, %s: %w", t.name, r.name, err)
				}
			}
		}
	}
	return nil
}
