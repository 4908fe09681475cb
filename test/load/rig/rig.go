// Package rig builds the real server, starts it as a process of its own with a
// configuration for tests, kills it, and looks into its data folder and its
// process from outside. Nothing of the server is linked into the caller.
package rig

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"sallyport/test/port"
)

// Account is a mailbox of the server with its password.
type Account struct {
	Address  string `json:"address"`
	Password string `json:"password"`
	Maildir  string `json:"maildir"`
}

// Info is the line that `sallyport quickstart --json` prints.
type Info struct {
	Hostname string    `json:"hostname"`
	Domain   string    `json:"domain"`
	Config   string    `json:"config"`
	Data     string    `json:"data"`
	CA       string    `json:"ca"`
	Listen   Doors     `json:"listen"`
	Accounts []Account `json:"accounts"`
}

// Doors are the listening addresses of each kind.
type Doors struct {
	MX          []string `json:"mx"`
	Submission  []string `json:"submission"`
	Submissions []string `json:"submissions"`
	IMAP        []string `json:"imap"`
	IMAPS       []string `json:"imaps"`
	POP3        []string `json:"pop3"`
	POP3S       []string `json:"pop3s"`
}

// Options say how the server of a test is set up.
type Options struct {
	Binary string // from Build
	Dir    string // data folder and configuration
	Remote string // host:port that mail for remote.test goes to
	IPv6   bool   // listen on ::1 too, beside 127.0.0.1
	Extra  string // further lines of the configuration
	// Sendmail opens a door for the programs of this host.
	Sendmail bool
	// Reading opens the doors of mailboxes.
	Reading bool
	// Patience is how long a start may take; 0: a minute.
	Patience time.Duration
}

// Server is a server that can be started, stopped, killed and started again with
// the same addresses and the same data.
type Server struct {
	Info              // the doors are those of Start, one address per family
	Config   string   // the configuration that Start uses
	MailRoot string   // folder of the mailboxes: domain, then local-part
	Flags    []string // further ones of the command that Start runs

	binary   string
	dir      string
	patience time.Duration

	mu   sync.Mutex
	cmd  *exec.Cmd
	done chan struct{} // closed when cmd has ended
}

// Time limits of what the rig waits for.
const (
	startTimeout = 60 * time.Second
	stopTimeout  = 30 * time.Second
	pollInterval = 20 * time.Millisecond
)

// Prepare makes a data folder with `quickstart`, then a configuration of its own
// beside it: the domains local.test and other.test, the accounts alice, bob and
// carol at the first and dave at the second, the alias list@local.test, and a
// route for remote.test. The server is not running when it returns.
func Prepare(ctx context.Context, o Options) (*Server, error) {
	s := &Server{binary: o.Binary, dir: o.Dir, patience: max(o.Patience, startTimeout)}
	if err := s.quickstart(ctx, o); err != nil {
		return nil, err
	}
	if err := s.chooseDoors(o); err != nil {
		return nil, err
	}
	if len(s.Accounts) < 2 {
		return nil, fmt.Errorf("rig: quickstart made %d accounts", len(s.Accounts))
	}
	s.MailRoot = filepath.Dir(filepath.Dir(s.Accounts[0].Maildir))
	s.Config = filepath.Join(filepath.Dir(s.Info.Config), "rig.toml")
	if err := os.WriteFile(s.Config, []byte(s.configuration(o)), 0o600); err != nil {
		return nil, err
	}
	for _, address := range []string{"carol@local.test", "dave@other.test"} {
		a := Account{Address: address, Password: "rig-password-of-" + address}
		if _, err := s.CLI(ctx, a.Password+"\n", "account", "add", address, "--password-stdin"); err != nil {
			return nil, err
		}
		s.Accounts = append(s.Accounts, a)
	}
	return s, nil
}

// cheapPasswords is the table of the least that a password may cost, for whom that is not
// what is tried.
const cheapPasswords = "[auth]\nargon_memory = \"8MiB\"\nargon_rounds = 1\nscram_rounds = 4096\n"

// quickstart runs the command until it has printed its line, and stops it. What it runs on is
// made by hand, so that the passwords that it makes are cheap, too.
func (s *Server) quickstart(ctx context.Context, o Options) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return err
	}
	text := "hostname = \"mx.local.test\"\ndata = \"data\"\n" +
		"[listen]\nmx = [\"127.0.0.1:0\"]\nsubmission = [\"127.0.0.1:0\"]\nsubmissions = [\"127.0.0.1:0\"]\n" +
		"[tls]\ncert = \"data/tls/server.pem\"\nkey = \"data/tls/server.key\"\n[domain.\"local.test\"]\ndeliver = \"maildir\"\n" + cheapPasswords
	if err := os.WriteFile(filepath.Join(o.Dir, "sallyport.toml"), []byte(text), 0o600); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, o.Binary, "quickstart", "--json", "--dir", o.Dir)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &s.Info)
	}
	if err == nil {
		err = greeted(s.Listen.MX)
	}
	_ = cmd.Process.Signal(syscall.SIGTERM)
	go io.Copy(io.Discard, out)
	waitErr := cmd.Wait()
	if err != nil || waitErr != nil {
		return fmt.Errorf("rig: quickstart: %w\n%s", errors.Join(err, waitErr), errs.String())
	}
	return nil
}

// greeted waits for the banner of the first of addrs: the server then serves.
func greeted(addrs []string) error {
	if len(addrs) == 0 {
		return errors.New("rig: the server names no door")
	}
	c, err := net.DialTimeout("tcp", addrs[0], startTimeout)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SetReadDeadline(time.Now().Add(startTimeout)); err != nil {
		return err
	}
	_, err = bufio.NewReader(c).ReadString('\n')
	return err
}

// chooseDoors replaces the doors by reserved ports, which stay the same over restarts.
func (s *Server) chooseDoors(o Options) error {
	hosts := []string{"127.0.0.1"}
	if o.IPv6 {
		hosts = append(hosts, "::1")
	}
	s.Listen = Doors{}
	for _, host := range hosts {
		doors := []*[]string{&s.Listen.MX, &s.Listen.Submission, &s.Listen.Submissions}
		if o.Reading {
			doors = append(doors, &s.Listen.IMAP, &s.Listen.IMAPS, &s.Listen.POP3, &s.Listen.POP3S)
		}
		for _, door := range doors {
			r, err := port.Reserve(host) // for as long as the process runs
			if err != nil {
				return err
			}
			*door = append(*door, net.JoinHostPort(host, strconv.Itoa(r.Number)))
		}
	}
	return nil
}

func (s *Server) configuration(o Options) string {
	list := func(addrs []string) string { return `["` + strings.Join(addrs, `", "`) + `"]` }
	extra := o.Extra
	if !strings.Contains(extra, "[authentication]") {
		extra += "\n[authentication]\ncheck = \"off\"\n" // there is no DNS to ask
	}
	if !strings.Contains(extra, "[hijack]") {
		// A load is what a thief makes.
		extra += "\n[hijack]\nmode = \"off\"\n"
	}
	if !strings.Contains(extra, "[budget]") {
		// One account stands for many people.
		extra += "\n[budget]\nperson_hour = 10000000\nperson_day = 10000000\n"
	}
	if !strings.Contains(extra, "[inflow]") {
		// One mailbox stands for many, and this host for the world.
		extra += "\n[inflow]\nshare_messages = 1000000000\nmailbox_messages = 1000000000\nmailbox_replies = 1000000000\nshare_size = \"100TiB\"\nmailbox_size = \"100TiB\"\n"
	}
	switch {
	case strings.Contains(extra, "argon_memory"): // that is what is tried
	case strings.Contains(extra, "[auth]\n"):
		extra = strings.Replace(extra, "[auth]\n", cheapPasswords, 1)
	default:
		extra += "\n" + cheapPasswords
	}
	sendmail := "" // and what else is listened to
	if o.Sendmail {
		sendmail = fmt.Sprintf("sendmail    = %q\n", s.Sendmail())
	}
	if o.Reading {
		sendmail += fmt.Sprintf("imap = %s\nimaps = %s\npop3 = %s\npop3s = %s\n", list(s.Listen.IMAP),
			list(s.Listen.IMAPS), list(s.Listen.POP3), list(s.Listen.POP3S))
	}
	return fmt.Sprintf(`hostname = %q
data     = %q

[listen]
mx          = %s
submission  = %s
submissions = %s
%s
[tls]
cert = %q
key  = %q

[domain."local.test"]
deliver = "maildir"

[domain."other.test"]
deliver = "maildir"

[alias]
"list@local.test" = ["alice@local.test", "bob@local.test"]

[route."remote.test"]
to  = "smtp://%s"
tls = "none"

%s
`, s.Hostname, s.Data, list(s.Listen.MX), list(s.Listen.Submission), list(s.Listen.Submissions), sendmail,
		filepath.Join(filepath.Dir(s.CA), "server.pem"), filepath.Join(filepath.Dir(s.CA), "server.key"),
		o.Remote, extra)
}

// Sendmail is the socket of the sendmail command, where Options.Sendmail asked for one.
func (s *Server) Sendmail() string { return filepath.Join(s.dir, "sendmail.sock") }

// Start starts the server and waits until it serves: every door and every socket of this host
// listens then. wrap is put before the command line ("strace", "-o", ...). What it logs goes to
// server.log.
func (s *Server) Start(ctx context.Context, wrap ...string) error {
	log, err := os.OpenFile(s.LogFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	before, err := log.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	args := append(wrap, s.binary, "serve", "-c", s.Config)
	args = append(args, s.Flags...)
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return err
	}
	done := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(done)
	}()
	s.mu.Lock()
	s.cmd, s.done = cmd, done
	s.mu.Unlock()
	return s.ready(ctx, before, done)
}

// LogFile returns the path of what the server logs.
func (s *Server) LogFile() string { return filepath.Join(s.dir, "server.log") }

// serving is in the line that the server logs once it listens everywhere. To ask at the doors
// instead would tell of those alone that are asked, and they are not bound at one instant.
const serving = `"msg":"serving"`

// ready waits until the server says that it serves, in what it logged after before octets.
func (s *Server) ready(ctx context.Context, before int64, done <-chan struct{}) error {
	ctx, cancel := context.WithTimeout(ctx, s.patience)
	defer cancel()
	for {
		said, err := s.loggedAfter(before)
		if err != nil {
			return err
		}
		if bytes.Contains(said, []byte(serving)) {
			return nil
		}
		select {
		case <-done:
			return fmt.Errorf("rig: the server ended at once\n%s", s.LogTail())
		case <-ctx.Done():
			return fmt.Errorf("rig: the server does not serve: %w\n%s", ctx.Err(), s.LogTail())
		case <-time.After(pollInterval):
		}
	}
}

// loggedAfter returns what the server logged after the first octets of its file.
func (s *Server) loggedAfter(before int64) ([]byte, error) {
	f, err := os.Open(s.LogFile())
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.NewSectionReader(f, before, 1<<30))
}

// LogTail returns the end of what the server logged, for a failing test.
func (s *Server) LogTail() string {
	b, err := os.ReadFile(s.LogFile())
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-4000):])
}

// Kill ends the server as a power cut would (SIGKILL) and waits for its end.
func (s *Server) Kill() error { return s.signal(syscall.SIGKILL) }

// Stop ends the server in the ordinary way (SIGTERM) and waits for its end.
func (s *Server) Stop() error { return s.signal(syscall.SIGTERM) }

func (s *Server) signal(sig syscall.Signal) error {
	s.mu.Lock()
	cmd, done := s.cmd, s.done
	s.mu.Unlock()
	if cmd == nil {
		return nil
	}
	pid, err := s.PID()
	if err == nil {
		err = syscall.Kill(pid, sig)
	}
	select {
	case <-done:
		return nil
	case <-time.After(stopTimeout):
		return fmt.Errorf("rig: the server survives %s (%v)\n%s", sig, err, s.LogTail())
	}
}

// PID returns the process of the server itself, also where it was wrapped.
func (s *Server) PID() (int, error) {
	s.mu.Lock()
	cmd := s.cmd
	s.mu.Unlock()
	if cmd == nil || cmd.Process == nil {
		return 0, errors.New("rig: the server was never started")
	}
	return serverBelow(cmd.Process.Pid, s.binary)
}

// CLI runs a command of the binary against the rig's configuration and returns
// what it printed.
func (s *Server) CLI(ctx context.Context, stdin string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, s.binary, append(args, "-c", s.Config)...)
	cmd.Stdin = strings.NewReader(stdin)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("sallyport %s: %w\n%s", strings.Join(args, " "), err, errs.String())
	}
	return out.String(), nil
}
