package soak

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"sallyport/test/load"
)

func (x *soak) strangers() load.Options {
	return load.Options{
		Addr: func() string { return x.s.Listen.MX[0] }, From: "somebody@far.test", To: []string{"alice@local.test", "bob@local.test", "list@local.test", "dave@other.test"},
		Size: 4000, PerConn: 7, PerSecond: strangersPerSecond, Prefix: fmt.Sprintf("in%d", x.runs),
	}
}

func (x *soak) own() load.Options {
	return load.Options{
		Addr: func() string { return x.s.Listen.Submissions[0] }, From: x.s.Accounts[0].Address, To: []string{"a@remote.test", "b@remote.test", "c@remote.test"},
		User: x.s.Accounts[0].Address, Password: x.s.Accounts[0].Password, Security: load.Implicit, TLS: x.tls,
		Size: 4000, PerConn: 3, PerSecond: ownPerSecond, Prefix: fmt.Sprintf("out%d", x.runs),
	}
}

// sends returns when its time is over: that is no error.
func (x *soak) sends(ctx context.Context, o load.Options) load.Report {
	o.Connections, o.Messages, o.Patience = 10, 1<<30, time.Minute
	rep, err := load.Run(ctx, o)
	if err != nil && ctx.Err() == nil {
		x.t.Errorf("%s: %v: %+v", o.Prefix, err, rep)
	}
	return rep
}

// wait waits, and reports whether there is time left.
func wait(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// talk is a connection on which lines are said and answers are read.
type talk struct {
	net.Conn
	r *bufio.Reader
}

const patience = 30 * time.Second

// dial connects from an address of this host, under TLS where cfg is not nil.
func dial(ctx context.Context, from, to string, cfg *tls.Config) (*talk, error) {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: patience}
	c, err := d.DialContext(context.WithoutCancel(ctx), "tcp", to)
	if err != nil {
		return nil, err
	}
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	if cfg != nil {
		c = tls.Client(c, cfg)
	}
	return &talk{c, bufio.NewReader(c)}, nil
}

// say writes a line and reads up to the line that begins with one of the ends.
func (k *talk) say(line string, ends ...string) (string, error) {
	if line != "" {
		if _, err := io.WriteString(k, line+"\r\n"); err != nil {
			return "", err
		}
	}
	var all strings.Builder
	for {
		got, err := k.r.ReadString('\n')
		if err != nil {
			return all.String(), err
		}
		all.WriteString(got)
		for _, end := range ends {
			if strings.HasPrefix(got, end) {
				return all.String(), nil
			}
		}
	}
}

// script says lines until one is not answered as it is to be.
func (k *talk) script(lines ...[2]string) error {
	for _, l := range lines {
		got, err := k.say(l[0], l[1], "-ERR", "n BAD", "n NO", "4", "5")
		if err == nil && !strings.Contains("\n"+got, "\n"+l[1]) {
			err = errors.New(strings.TrimSpace(got))
		}
		if err != nil {
			return fmt.Errorf("%q: %w", l[0], err)
		}
	}
	return nil
}

// reads has people look at their mail by IMAP, each time over a new connection, and delete it; some
// go away in the middle. While descriptors run out nobody is served, so that errors are none here.
func (x *soak) reads(ctx context.Context) {
	for i := 0; wait(ctx, 200*time.Millisecond); i++ {
		a := x.s.Accounts[i%2]
		k, err := dial(ctx, "127.0.0.1", x.s.Listen.IMAPS[0], x.tls)
		if err != nil {
			continue
		}
		err = k.script([2]string{"", "* OK"}, [2]string{fmt.Sprintf("n LOGIN %s %q", a.Address, a.Password), "n OK"}, [2]string{"n SELECT INBOX", "n OK"},
			[2]string{"n FETCH 1:* (FLAGS ENVELOPE BODYSTRUCTURE)", "n OK"}, [2]string{"n UID SEARCH TEXT fox", "n OK"}, [2]string{"n IDLE", "+"})
		if err == nil && i%5 != 0 {
			err = k.script([2]string{"DONE", "n OK"}, [2]string{"n FETCH 1:* BODY[]", "n OK"}, [2]string{`n STORE 1:* +FLAGS.SILENT (\Deleted)`, "n OK"},
				[2]string{"n EXPUNGE", "n OK"}, [2]string{"n LOGOUT", "* BYE"})
		}
		if err == nil {
			x.read.Add(1)
		}
		_ = k.Close()
	}
}

// collects has dave collect his mail by POP3.
func (x *soak) collects(ctx context.Context) {
	dave := x.s.Accounts[3]
	for wait(ctx, time.Second) {
		k, err := dial(ctx, "127.0.0.1", x.s.Listen.POP3S[0], x.tls)
		if err != nil {
			continue
		}
		if k.script([2]string{"", "+OK"}, [2]string{"USER " + dave.Address, "+OK"}, [2]string{"PASS " + dave.Password, "+OK"}) == nil {
			for n := 1; n <= 200; n++ {
				if k.script([2]string{"RETR " + strconv.Itoa(n), "."}, [2]string{"DELE " + strconv.Itoa(n), "+OK"}) != nil {
					break
				}
				x.read.Add(1)
			}
			_, _ = k.say("QUIT", "+OK", "-ERR")
		}
		_ = k.Close()
	}
}

// rudely has others do what is not to be done: to ask for relaying, to write to nobody, to go away
// within a message, a handshake or a literal, to talk nonsense, to say nothing.
func (x *soak) rudely(ctx context.Context) {
	mail := [2]string{"MAIL FROM:<x@far.test>", "250"}
	for i := 0; wait(ctx, 50*time.Millisecond); i++ {
		doors := []string{x.s.Listen.MX[0], x.s.Listen.Submissions[0], x.s.Listen.IMAPS[0], x.s.Listen.POP3S[0], x.s.Listen.IMAP[0], x.s.Listen.Submission[0]}
		at := x.s.Listen.MX[0]
		if i%2 == 1 {
			at = doors[rand.IntN(len(doors))]
		}
		k, err := dial(ctx, "127.0.0."+strconv.Itoa(10+i%50), at, nil)
		if err != nil {
			continue
		}
		if i%2 == 0 {
			_ = k.script([2]string{"", "220"}, [2]string{"EHLO far.test", "250 "}, mail, [2]string{"RCPT TO:<nobody" + strconv.Itoa(i) + "@local.test>", "550"},
				[2]string{"RCPT TO:<a@elsewhere.test>", "550"}, [2]string{"RCPT TO:<alice@local.test>", "250"}, [2]string{"DATA", "354"})
			_, _ = io.WriteString(k, "From: x@far.test\r\nSubject: half\r\n\r\n"+strings.Repeat("half a message\r\n", rand.IntN(2000)))
		} else {
			b := make([]byte, rand.IntN(600))
			for j := range b {
				b[j] = byte(rand.Uint32())
			}
			_, _ = k.Write(b)
		}
		time.Sleep(time.Duration(rand.IntN(50)) * time.Millisecond)
		_ = k.Close()
		x.rude.Add(1)
	}
}

// guesses has somebody guess passwords.
func (x *soak) guesses(ctx context.Context) {
	for i := 0; wait(ctx, 2*time.Second); i++ {
		k, err := dial(ctx, "127.0.0."+strconv.Itoa(100+i%100), x.s.Listen.IMAPS[0], x.tls)
		if err != nil {
			continue
		}
		_ = k.script([2]string{"", "* OK"}, [2]string{"n LOGIN carol@local.test guess" + strconv.Itoa(i), "n OK"})
		_ = k.Close()
	}
}

// fails has one thing after the other fail, or be done by the operator.
func (x *soak) fails(ctx context.Context) {
	all := []func(context.Context) error{
		func(ctx context.Context) error { // the next hop is gone for a while
			x.closes()
			wait(ctx, 5*time.Second)
			x.opens()
			return nil
		},
		x.signals(syscall.SIGHUP),
		x.tells("account", "freeze", "carol@local.test", "--reason", "a soak"),
		x.lacksDescriptors,
		x.tells("account", "thaw", "carol@local.test"),
		x.tells("queue", "hold", "--all"),
		x.tells("queue", "release", "--all"),
		func(ctx context.Context) error {
			return x.tells("backup", "--to", filepath.Join(x.t.TempDir(), "backup.tar.zst"))(ctx)
		},
		x.tells("trace", "alice@local.test"),
		x.tells("queue", "retry", "--all"),
	}
	defer func() { _ = x.tells("queue", "release", "--all")(context.WithoutCancel(ctx)) }()
	for i := 0; wait(ctx, faultEvery); i++ {
		if err := all[i%len(all)](context.WithoutCancel(ctx)); err != nil {
			x.t.Errorf("fault %d: %v", i, err)
		}
		x.faults.Add(1)
	}
}

func (x *soak) tells(args ...string) func(context.Context) error {
	return func(ctx context.Context) error {
		out, err := x.s.CLI(ctx, "", args...)
		if err != nil && strings.HasPrefix(strings.Join(args, " "), "queue") {
			return nil // there may be nothing to hold or to release
		}
		if err != nil {
			return fmt.Errorf("%v: %w: %.300s", args, err, out)
		}
		return nil
	}
}

func (x *soak) signals(sig syscall.Signal) func(context.Context) error {
	return func(context.Context) error {
		pid, err := x.s.PID()
		if err != nil {
			return err
		}
		return syscall.Kill(pid, sig)
	}
}

// lacksDescriptors takes nearly all descriptors that are free from the server for two seconds.
func (x *soak) lacksDescriptors(ctx context.Context) error {
	pid, err := x.s.PID()
	if err != nil {
		return err
	}
	r, err := x.s.Resources()
	if err != nil {
		return err
	}
	soft := func(n string) error {
		out, err := exec.Command("prlimit", "--pid", strconv.Itoa(pid), "--nofile="+n+":").CombinedOutput()
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	}
	was, err := exec.Command("prlimit", "--pid", strconv.Itoa(pid), "--nofile", "--noheadings", "--raw", "--output", "SOFT").Output()
	if err != nil {
		return err
	}
	if err := soft(strconv.Itoa(r.Sockets + r.Files + 3)); err != nil {
		return err
	}
	wait(ctx, 2*time.Second)
	return soft(strings.TrimSpace(string(was)))
}
