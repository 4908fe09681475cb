package crash

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"sallyport/test/load"
	"sallyport/test/load/rig"
)

// TestKilledWhileReceiving: messages from strangers to local mailboxes, the
// server killed twice. Every message that got its 250 is in the mailbox, once.
func TestKilledWhileReceiving(t *testing.T) {
	s, _ := newServer(t)
	start(t, s)
	rep, err := load.Run(context.Background(), load.Options{
		Addr: func() string { return s.Listen.MX[0] }, Connections: clients, Messages: volume,
		Size: msgOctets, From: "load@remote.test", To: []string{"alice@local.test", "bob@local.test"},
		Pipelining: true, Prefix: "in", Patience: time.Minute,
		Progress: killer(t, s, volume/3, 2*volume/3),
	})
	account(t, rep, err)
	drain(t, s)
	found := delivered(t, s, load.IDField)
	missing(t, rep.Acks, found)
}

// TestKilledWhileSubmitting: messages of alice to the foreign domain, the
// server killed twice. Every message that got its 250 is at the foreign domain.
func TestKilledWhileSubmitting(t *testing.T) {
	s, sink := newServer(t)
	start(t, s)
	alice := s.Accounts[0]
	rep, err := load.Run(context.Background(), load.Options{
		Addr: func() string { return s.Listen.Submissions[0] }, Connections: clients, Messages: volume,
		Size: msgOctets, From: alice.Address, To: []string{"a@remote.test", "b@remote.test"},
		User: alice.Address, Password: alice.Password, Security: load.Implicit, TLS: tlsConfig(t, s),
		Pipelining: true, Prefix: "out", Patience: time.Minute,
		Progress: killer(t, s, volume/3, 2*volume/3),
	})
	account(t, rep, err)
	drain(t, s)
	missing(t, rep.Acks, sink.IDs())
	if f := sink.Faults(); len(f) > 0 {
		t.Errorf("on the wire to the foreign domain: %q", f)
	}
}

// TestSmtpSourceAndAKill: the same volume from Postfix's own generator with 20
// sessions. It stops at the first lost connection. Its running counter counts the
// replies to DATA, so that of those counted all but one a session had been
// acknowledged, at least.
func TestSmtpSourceAndAKill(t *testing.T) {
	source, err := exec.LookPath("smtp-source")
	if err != nil {
		t.Fatal("smtp-source is missing: apt-get install postfix")
	}
	s, _ := newServer(t)
	start(t, s)
	counted := smtpSource(t, s, source, volume, func(n int) bool { return n >= volume/2 })
	if counted >= volume {
		t.Fatalf("smtp-source had done all %d messages before the kill", counted)
	}
	first := counted - clients
	start(t, s)
	rest := volume - first
	if n := smtpSource(t, s, source, rest, nil); n != rest {
		t.Errorf("smtp-source got %d of %d messages acknowledged after the restart", n, rest)
	}
	drain(t, s)
	found := delivered(t, s, "Message-ID:")
	t.Logf("%d acknowledged before the kill, at least, and %d after it; %d in the mailbox", first, rest, len(found))
	if len(found) < volume {
		t.Errorf("%d messages were acknowledged, %d are in the mailbox", volume, len(found))
	}
}

// smtpSource sends n messages and returns how many smtp-source counted. Where it
// ends without an error, all of them were acknowledged. When kill
// says so, the server is killed.
func smtpSource(t *testing.T, s *rig.Server, source string, n int, kill func(int) bool) int {
	t.Helper()
	cmd := exec.Command(source, "-c", "-s", strconv.Itoa(clients), "-m", strconv.Itoa(n), "-l", strconv.Itoa(msgOctets),
		"-f", "load@remote.test", "-t", "bob@local.test", s.Listen.MX[0])
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	counted := 0
	killed := false
	r := bufio.NewReader(out)
	for {
		word, err := r.ReadString('\r')
		if c, convErr := strconv.Atoi(strings.Trim(word, "\r\n ")); convErr == nil {
			counted = c
		}
		if kill != nil && !killed && kill(counted) {
			killed = true
			if err := s.Kill(); err != nil {
				t.Fatal(err)
			}
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := cmd.Wait(); err != nil && !killed {
		t.Fatalf("smtp-source: %v\n%s", err, errs.String())
	}
	return counted
}

// account demands that the whole volume was acknowledged and that the kills were felt.
func account(t *testing.T, rep load.Report, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d acknowledged in %.1f s: %.0f/s, p50 %.1f ms, p99 %.1f ms; %d connections broken, %d replies 4xx",
		rep.Acknowledged, rep.Seconds, rep.PerSecond, rep.P50, rep.P99, rep.Broken, rep.Deferred)
	if rep.Acknowledged != volume || rep.Refused != 0 {
		t.Errorf("%+v", rep)
	}
	if rep.Broken == 0 {
		t.Error("no connection broke: the server was not killed in the middle")
	}
}

// delivered counts the messages in the mailboxes by the value of a field.
func delivered(t *testing.T, s *rig.Server, name string) map[string]int {
	t.Helper()
	found := map[string]int{}
	err := s.Mailboxes(func(m rig.Mail) error {
		id := field(m.Octets, strings.TrimSpace(name))
		if id == "" {
			return fmt.Errorf("%s has no %s", m.Path, name)
		}
		found[id]++
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// missing reports every acknowledged message that did not arrive, and tells how
// many arrived more than once.
func missing(t *testing.T, acks []string, found map[string]int) {
	t.Helper()
	lost, repeated := 0, 0
	for _, id := range acks {
		switch n := found[id]; {
		case n == 0:
			if lost++; lost <= 10 {
				t.Errorf("%s was acknowledged and is nowhere", id)
			}
		case n > 1:
			repeated++
		}
	}
	if lost > 0 {
		t.Errorf("%d of %d acknowledged messages are lost", lost, len(acks))
	}
	t.Logf("%d acknowledged, %d arrived, %d more than once", len(acks), len(found), repeated)
}
