package crash

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sallyport/test/load"
	"sallyport/test/load/rig"
	"sallyport/test/port"
)

// Limits of the accounts of TestStolenPassword, and what the thief tries.
const (
	capHour  = 250
	thieves  = 20 // sessions at once
	each     = 40 // recipients of a message
	messages = 12 // of each session
)

// A stolen password at full speed, from many sessions and through a SIGKILL: the next hop
// counts no more recipients than the limit, everything that watches the server says so,
// nobody else is affected, and the owner writes again as soon as the limit allows.
func TestStolenPassword(t *testing.T) {
	metrics := port.Loopback(t)
	s, sink := newServerWith(t, load.SinkOptions{Keep: true},
		fmt.Sprintf("\n[budget]\nperson_hour = %d\nperson_day = 100000\n\n[metrics]\nlisten = [%q]\n", capHour, metrics))
	start(t, s)
	alice, bob := s.Accounts[0], s.Accounts[1]
	var accepted atomic.Int64
	blast := func() {
		var all sync.WaitGroup
		for i := range thieves {
			all.Go(func() {
				for m := range messages {
					n, _ := submit(t, s, alice, fmt.Sprintf("t%d-%d-%d", time.Now().UnixNano(), i, m), each)
					accepted.Add(int64(n))
				}
			})
		}
		all.Wait()
	}
	blast()
	drain(t, s)
	if n := recipients(sink); n != int(accepted.Load()) || n > capHour || n < capHour-thieves*each/4 {
		t.Errorf("the next hop counts %d recipients, %d were acknowledged, the limit is %d", n, accepted.Load(), capHour)
	}
	before := recipients(sink)
	told(t, s, metrics, alice.Address)

	// Power fails: the limit stands.
	if err := s.Kill(); err != nil {
		t.Fatal(err)
	}
	start(t, s)
	blast()
	drain(t, s)
	if n := recipients(sink); n > capHour || n < before {
		t.Errorf("after the kill the next hop counts %d recipients, the limit is %d", n, capHour)
	}
	// A colleague writes as ever.
	if n, last := submit(t, s, bob, "colleague", 3); n != 3 {
		t.Errorf("bob sent to %d of 3: %s", n, last)
	}
	// The owner gets what she needs at once.
	if _, err := s.CLI(context.Background(), "", "account", "set", alice.Address, "--recipients-hour", fmt.Sprint(capHour+5)); err != nil {
		t.Fatal(err)
	}
	if n, last := submit(t, s, alice, "owner", 5); n != 5 {
		t.Errorf("alice sent to %d of 5: %s", n, last)
	}
	if n, last := submit(t, s, alice, "owner-more", 1); n != 0 || !strings.Contains(last, "451 4.7.1") {
		t.Errorf("alice sent to %d more: %s", n, last)
	}
}

// told demands that log, trace, alarm, status, account and metrics name the account.
func told(t *testing.T, s *rig.Server, metrics, account string) {
	t.Helper()
	log, err := os.ReadFile(s.LogFile())
	if err != nil {
		t.Fatal(err)
	}
	page := scrape(t, metrics)
	for what, where := range map[string]struct{ text, want string }{
		"the log":     {string(log), "an account reached its limit of recipients"},
		"the trace":   {cli(t, s, "trace", "capped"), account + " has 250 recipients within an hour"},
		"its trace":   {cli(t, s, "trace", account), "451 4.7.1 this account has reached its limit of 250 recipients an hour"},
		"the status":  {cli(t, s, "status"), account + " is capped: 250 of 250 within an hour"},
		"the account": {cli(t, s, "account", "show", account), "recipients        250 of 250 within an hour"},
		"a gauge":     {page, "sallyport_accounts_capped 1"},
		"a counter":   {page, `sallyport_alarms_total{rule="recipients-hour"} 1`},
		"refusals":    {page, `sallyport_refused_total{door="submissions",rule="recipients-hour"}`},
	} {
		if !strings.Contains(where.text, where.want) {
			t.Errorf("%s does not say %q:\n%.2000s", what, where.want, where.text)
		}
	}
}

func cli(t *testing.T, s *rig.Server, args ...string) string {
	t.Helper()
	out, err := s.CLI(context.Background(), "", args...)
	if err != nil {
		t.Error(err)
	}
	return out
}

func scrape(t *testing.T, at string) string {
	t.Helper()
	r, err := http.Get("http://" + at + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// recipients is how many the next hop took mail for.
func recipients(sink *load.Sink) (n int) {
	for _, m := range sink.Kept() {
		n += len(m.To)
	}
	return n
}

// submit signs in and sends one message to n recipients that nobody ever wrote to, all in
// one write. It returns for how many the server acknowledged it, and its last refusal.
func submit(t *testing.T, s *rig.Server, a rig.Account, name string, n int) (acknowledged int, refusal string) {
	d := tls.Dialer{NetDialer: &net.Dialer{Timeout: 30 * time.Second}, Config: tlsConfig(t, s)}
	c, err := d.DialContext(t.Context(), "tcp", s.Listen.Submissions[0])
	if err != nil {
		return 0, err.Error()
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	in := bufio.NewReader(c)
	reply := func() (string, bool) {
		for {
			line, err := in.ReadString('\n')
			if err != nil || len(line) < 4 {
				return err.Error(), false
			}
			if line[3] == ' ' {
				if line[0] > '3' {
					refusal = line
				}
				return line, line[0] < '4'
			}
		}
	}
	plain := base64.StdEncoding.EncodeToString([]byte("\x00" + a.Address + "\x00" + a.Password))
	reply()
	for _, command := range []string{"EHLO thief.test", "AUTH PLAIN " + plain} {
		fmt.Fprintf(c, "%s\r\n", command)
		if _, ok := reply(); !ok {
			return 0, refusal
		}
	}
	fmt.Fprintf(c, "MAIL FROM:<%s>\r\n", a.Address)
	for i := range n {
		fmt.Fprintf(c, "RCPT TO:<%s-%d@remote.test>\r\n", name, i)
	}
	reply()
	taken := 0
	for range n {
		line, ok := reply()
		if ok {
			taken++
		} else if !strings.HasPrefix(line, "451 4.7.1") {
			return 0, line
		}
	}
	if taken == 0 {
		return 0, refusal
	}
	fmt.Fprintf(c, "DATA\r\n")
	if _, ok := reply(); !ok {
		return 0, refusal
	}
	fmt.Fprintf(c, "From: <%s>\r\nSubject: x\r\n%s%s\r\n\r\nx\r\n.\r\n", a.Address, load.IDField, name)
	if _, ok := reply(); !ok {
		return 0, refusal
	}
	return taken, refusal
}
