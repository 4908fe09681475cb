package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// syncSample is what a trace of a server's system calls says of its 250.
type syncSample struct {
	Server   string `json:"server"`
	Clients  int    `json:"clients"`
	Messages int    `json:"messages"` // answered with 250 behind their end of data
	Covered  int    `json:"covered"`  // those of them before whose 250 a sync had ended since the 354
	Files    int    `json:"files"`    // syncs of files between the first 354 and the last 250
	Folders  int    `json:"folders"`  // syncs of folders
}

// per is how many syncs one message took.
func (s syncSample) per() float64 { return float64(s.Files+s.Folders) / float64(s.Messages) }

// Messages of a trace. It slows the server, so that they are few.
const (
	tracedAlone = 20  // by one client, of whom every sync is for one message
	tracedMany  = 200 // by all clients at once
)

// syncs traces every server while it accepts, from one client and from all.
func (b *bench) syncs(ctx context.Context) (all []syncSample, err error) {
	if _, err := exec.LookPath("strace"); err != nil {
		return nil, fmt.Errorf("%w: run ./scripts/install-test-tools", err)
	}
	for _, c := range b.order(1) {
		if c.name == oursUngreeted || c.name == oursOrdinary {
			continue
		}
		err := b.with(ctx, c, true, func(at site) error {
			for _, t := range []traffic{{messages: tracedAlone, clients: 1, size: b.o.size, kept: true}, {messages: tracedMany, clients: at.clients, size: b.o.size, kept: true}} {
				s, err := traced(ctx, at, t, filepath.Join(b.dir, "trace"))
				if err != nil {
					return err
				}
				s.Server, s.Clients = c.name, t.clients
				fmt.Fprintf(b.progress, "%-59s %-28s %.2f a message, %d of %d covered\n",
					fmt.Sprintf("syncs before the 250, %d at once", t.clients), c.name, s.per(), s.Covered,
					s.Messages)
				all = append(all, s)
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("tracing the syncs of %s: %w", c.name, err)
		}
	}
	return all, nil
}

// traced sends mail to a server that strace looks at.
func traced(ctx context.Context, at site, t traffic, file string) (s syncSample, err error) {
	// A first message has everything started and opened that a server does only once.
	if err := source(ctx, at.mx, traffic{messages: t.clients, clients: t.clients, size: t.size, kept: true}); err != nil {
		return s, err
	}
	tree, err := procfs("/proc").tree(at.roots...)
	if err != nil {
		return s, err
	}
	args := []string{
		"-f", "-y", "-s", "8", "-e", "signal=none", "-e",
		"trace=write,writev,sendto,sendmsg,fsync,fdatasync,sync_file_range,msync,syncfs,sync", "-o", file,
	}
	for _, p := range tree {
		args = append(args, "-p", strconv.Itoa(p.pid))
	}
	c, err := spawn("strace", file+".output", exec.Command("strace", args...))
	if err != nil {
		return s, err
	}
	if err := attached(ctx, c, len(tree)); err != nil {
		return s, errors.Join(err, c.stop())
	}
	err = errors.Join(source(ctx, at.mx, t), c.stop())
	if err != nil {
		return s, err
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return s, err
	}
	s = judge(string(text), isFolder)
	if s.Messages != t.messages {
		err = fmt.Errorf("the trace shows the answers to %d of %d messages", s.Messages, t.messages)
	}
	return s, err
}

// attached waits until strace looks at so many processes.
func attached(ctx context.Context, c *child, n int) error {
	for begun := time.Now(); time.Since(begun) < startTimeout; {
		out, err := os.ReadFile(c.log)
		if err != nil {
			return err
		}
		if bytes.Count(out, []byte(" attached")) >= n {
			return nil
		}
		select {
		case <-c.ended:
			return fmt.Errorf("strace ended: %w: %s", c.result, out)
		case <-time.After(pollInterval):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return errors.New("strace does not attach: " + c.tail())
}

// patterns are what a line of a trace can be: the process, then a call that ends, begins, or
// ends what it began. A reply is a call that writes to a socket octets that begin with a code.
type patterns struct{ sync, resumed, reply *regexp.Regexp }

func newPatterns() patterns {
	const calls = `(?:fsync|fdatasync|sync_file_range|msync|syncfs|sync)`
	return patterns{
		sync:    regexp.MustCompile(`^(\d+)\s+` + calls + `\((?:\d+<([^>]*)>)?[^)]*(\)\s+= 0|<unfinished)`),
		resumed: regexp.MustCompile(`^(\d+)\s+<\.\.\. ` + calls + ` resumed>.*= 0`),
		reply:   regexp.MustCompile(`^\d+\s+(?:write|writev|sendto|sendmsg)\(\d+<((?:socket|TCP|TCPv6):[^>]*)>[^"]*"(\d{3}) `),
	}
}

// judge reads a trace: each 354 opens a message on its connection, the next 250 there closes
// it, and it is covered if a sync ended between the two.
func judge(trace string, folder func(path string) bool) (s syncSample) {
	var (
		p       = newPatterns()
		ended   int                   // syncs so far
		opened  = map[string]int{}    // by connection: how many had ended at its 354
		running = map[string]string{} // by process: what its unfinished sync is of
	)
	done := func(path string) {
		ended++
		if folder(path) {
			s.Folders++
		} else {
			s.Files++
		}
	}
	for line := range strings.Lines(trace) {
		if m := p.sync.FindStringSubmatch(line); m != nil {
			if strings.HasPrefix(m[3], "<") {
				running[m[1]] = m[2]
				continue
			}
			done(m[2])
		} else if m := p.resumed.FindStringSubmatch(line); m != nil {
			done(running[m[1]])
		} else if m := p.reply.FindStringSubmatch(line); m != nil {
			at, open := opened[m[1]]
			switch {
			case m[2] == "354":
				opened[m[1]] = ended
			case open && m[2] == "250":
				s.Messages++
				if ended > at {
					s.Covered++
				}
				delete(opened, m[1])
			}
		}
	}
	return s
}

// isFolder reports whether what was synced is one; what has gone since was a file.
func isFolder(path string) bool {
	i, err := os.Stat(path)
	return err == nil && i.IsDir()
}
