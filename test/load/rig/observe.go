package rig

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"sallyport/test/load"
)

// maxListed bounds how many entries Queue returns: tests ask whether there are any.
const maxListed = "50"

// Queue returns the oldest entries of the queue as `queue ls --json` prints them.
func (s *Server) Queue(ctx context.Context) ([]json.RawMessage, error) {
	out, err := s.CLI(ctx, "", "queue", "ls", "--json", "--limit", maxListed)
	if err != nil {
		return nil, err
	}
	return Values(out)
}

// Values splits the output of a listing: one array, or one value after another.
func Values(out string) ([]json.RawMessage, error) {
	dec := json.NewDecoder(strings.NewReader(out))
	var all []json.RawMessage
	for {
		var v json.RawMessage
		err := dec.Decode(&v)
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, fmt.Errorf("rig: %w in %q", err, out)
		}
		if len(v) > 0 && v[0] == '[' {
			var list []json.RawMessage
			if err := json.Unmarshal(v, &list); err != nil {
				return nil, err
			}
			all = append(all, list...)
			continue
		}
		all = append(all, v)
	}
}

// WaitEmpty waits until the queue is empty and returns what stays in it.
func (s *Server) WaitEmpty(ctx context.Context, patience time.Duration) ([]json.RawMessage, error) {
	deadline := time.Now().Add(patience)
	for {
		entries, err := s.Queue(ctx)
		if err != nil || len(entries) == 0 || time.Now().After(deadline) {
			return entries, err
		}
		select {
		case <-ctx.Done():
			return entries, ctx.Err()
		case <-time.After(10 * pollInterval):
		}
	}
}

// Mail is one message in a mailbox.
type Mail struct {
	Domain, Local string
	Path          string
	Octets        []byte // as over the wire, with CRLF
}

// Mailboxes calls fn for every message in every mailbox.
func (s *Server) Mailboxes(fn func(Mail) error) error {
	err := filepath.WalkDir(s.MailRoot, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(s.MailRoot, path)
		if err != nil {
			return err
		}
		parts := strings.Split(rel, string(filepath.Separator))
		if len(parts) != 4 || parts[2] != "new" && parts[2] != "cur" {
			return nil
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return fn(Mail{Domain: parts[0], Local: parts[1], Path: path, Octets: load.Wire(b)})
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil // nothing was delivered yet
	}
	return err
}

// Resources are what a process holds.
type Resources struct {
	Sockets int
	Files   int // open descriptors that are no sockets
	Threads int
	RSS     int64 // octets
}

// Resources reads what the server holds now from /proc.
func (s *Server) Resources() (Resources, error) {
	pid, err := s.PID()
	if err != nil {
		return Resources{}, err
	}
	proc := filepath.Join("/proc", strconv.Itoa(pid))
	fds, err := os.ReadDir(filepath.Join(proc, "fd"))
	if err != nil {
		return Resources{}, err
	}
	var r Resources
	for _, fd := range fds {
		to, err := os.Readlink(filepath.Join(proc, "fd", fd.Name()))
		switch {
		case err != nil: // closed meanwhile
		case strings.HasPrefix(to, "socket:"):
			r.Sockets++
		default:
			r.Files++
		}
	}
	tasks, err := os.ReadDir(filepath.Join(proc, "task"))
	if err != nil {
		return Resources{}, err
	}
	r.Threads = len(tasks)
	r.RSS, err = s.RSS()
	return r, err
}

// RSS is the memory that the process has now, in octets.
func (s *Server) RSS() (int64, error) {
	pid, err := s.PID()
	if err != nil {
		return 0, err
	}
	statm, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "statm"))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(statm))
	if len(fields) < 2 {
		return 0, fmt.Errorf("rig: statm is %q", statm)
	}
	pages, err := strconv.ParseInt(fields[1], 10, 64)
	return pages * int64(os.Getpagesize()), err
}

// serverBelow finds the process of binary at pid or among its children.
func serverBelow(pid int, binary string) (int, error) {
	exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
	if err != nil {
		return 0, err
	}
	if exe == binary {
		return pid, nil
	}
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		return 0, err
	}
	for _, word := range strings.Fields(string(children)) {
		child, err := strconv.Atoi(word)
		if err != nil {
			return 0, err
		}
		if found, err := serverBelow(child, binary); err == nil {
			return found, nil
		}
	}
	return 0, fmt.Errorf("rig: %s does not run below process %d", binary, pid)
}
