package hijack

import (
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport/test/load/rig"
)

// swaks sends one message as a thief's script does, and returns what it printed.
func swaks(t *testing.T, s *rig.Server, door string, a rig.Account, to string) (string, error) {
	at, tls := s.Listen.Submissions[0], "--tls-on-connect"
	if door == "submission" {
		at, tls = s.Listen.Submission[0], "--tls"
	}
	out, err := exec.CommandContext(t.Context(), "swaks", "--server", at, tls, "--auth", "PLAIN", "--auth-user", a.Address, "--auth-password", a.Password,
		"--from", a.Address, "--to", to, "--ehlo", "thief.test", "--header", "Subject: an offer", "--body", "cheap").CombinedOutput()
	return string(out), err
}

// A stolen password in the hands of swaks, several at once and as fast as they go, by
// both doors: the next hop has nothing of it. When the owner has another password, and what was held is
// purged or released, she works as before.
func TestSwaksWithAStolenPassword(t *testing.T) {
	if _, err := exec.LookPath("swaks"); err != nil {
		t.Skip("swaks is not here: scripts/install-test-tools brings it")
	}
	s, sink := newServer(t, `hold = "5s"`, "")
	for i, door := range []string{"submissions", "submission"} {
		owner := s.Accounts[i]
		var all sync.WaitGroup
		var mu sync.Mutex
		var last string
		for k := range 4 {
			all.Go(func() {
				for n := range 40 {
					if out, err := swaks(t, s, door, owner, fmt.Sprintf("%s-%d-%d@remote.test", door, k, n)); err != nil {
						mu.Lock()
						defer mu.Unlock()
						last = out
						return
					}
				}
			})
		}
		all.Wait()
		if !strings.Contains(last, "535 5.7.8") && !strings.Contains(last, "550 5.7.13") && !strings.Contains(last, "421") {
			t.Errorf("%s: the thief is not stopped:\n%s", door, last)
		}
		number := fmt.Sprint(i + 1)
		show := cli(t, s, "incident", "show", number)
		for _, want := range []string{"account     " + owner.Address + ", frozen", "by the hijack detector", "program thief.test", "left        0 recipients"} {
			if !strings.Contains(show, want) {
				t.Errorf("the incident does not say %q:\n%s", want, show)
			}
		}
		stolen := owner
		owner.Password = "another one, told by telephone"
		_, err := s.CLI(t.Context(), owner.Password+"\n", "account", "passwd", owner.Address, "--password-stdin")
		must(t, err)
		if door == "submissions" {
			cli(t, s, "incident", "purge", number)
		} else {
			cli(t, s, "incident", "release", number)
		}
		if out, err := swaks(t, s, door, stolen, "x@remote.test"); err == nil || !strings.Contains(out, "535 5.7.8") {
			t.Errorf("%s: the thief comes again:\n%s", door, out)
		}
		if out, err := swaks(t, s, door, owner, "friend-"+door+"@remote.test"); err != nil {
			t.Errorf("%s: the owner is not served: %v\n%s", door, err, out)
		}
	}
	if n := waitFor(sink, 2, 30*time.Second); n != 2 {
		t.Errorf("the next hop has %d recipients, and 2 are the owners'", n)
	}
	time.Sleep(2 * time.Second)
	for _, m := range sink.Kept() {
		if !strings.HasPrefix(m.To[0], "friend-") {
			t.Errorf("%q left", m.To)
		}
	}
}
