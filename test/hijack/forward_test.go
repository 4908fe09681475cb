package hijack

import (
	"bufio"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport/test/load"
	"sallyport/test/load/rig"
)

// hears sends a message of a stranger to an account, and waits until its mailbox has n.
func hears(t *testing.T, s *rig.Server, a rig.Account, n int) {
	t.Helper()
	x := &client{connect(t, s.Listen.MX[0], nil), nil}
	x.in = bufio.NewReader(x.Conn)
	x.line()
	x.say("EHLO stranger.test")
	if r := x.send("friend@remote.test", a.Address); !strings.HasPrefix(r, "250") {
		t.Fatalf("a stranger's message: %q", r)
	}
	_ = x.Close()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		all, _ := os.ReadDir(filepath.Join(a.Maildir, "new"))
		read, _ := os.ReadDir(filepath.Join(a.Maildir, "cur"))
		if len(all)+len(read) >= n {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("the mailbox has %d messages of %d", len(all)+len(read), n)
		}
	}
}

// forwarded is how often the next hop has something for the target.
func forwarded(sink *load.Sink, target string, want int, most time.Duration) (n int) {
	for end := time.Now().Add(most); ; time.Sleep(50 * time.Millisecond) {
		n = 0
		for _, m := range sink.Kept() {
			if slices.Contains(m.To, target) {
				n++
			}
		}
		if n >= want || time.Now().After(end) {
			return n
		}
	}
}

// A forward that was added before the burst is part of the incident. While the account is
// contained it receives, and nothing leaves by the forward; when the incident ends by a person
// who let the forward stand, it leads on again.
func TestAChangedForwardIsHeld(t *testing.T) {
	s, sink := newServer(t, `hold = "0s"`, "[forward]\nexternal = \"on\"\n")
	alice, target := s.Accounts[0], "mallory@remote.test"
	cli(t, s, "forward", "add", alice.Address, target, "--keep")
	hears(t, s, alice, 1)
	if n := forwarded(sink, target, 1, 20*time.Second); n != 1 {
		t.Fatalf("the forward does not work: %d", n)
	}
	blast(t, s, "submissions", alice, 1, 1)
	show := cli(t, s, "incident", "show", "1")
	for _, want := range []string{"its forward leads to " + target + " as well", "forwards    to " + target, "nothing leaves by it while the account is contained", "sallyport forward rm -c " + s.Config + " alice@local.test"} {
		if !strings.Contains(show, want) {
			t.Errorf("the incident does not say %q:\n%s", want, show)
		}
	}

	// The mailbox may have a notice beside what the stranger wrote.
	hears(t, s, alice, 2)
	if n := forwarded(sink, target, 2, 3*time.Second); n != 1 {
		t.Errorf("%d left by the forward while the account is contained", n-1)
	}

	if _, err := s.CLI(context.Background(), "a new and better password\n", "account", "passwd", alice.Address, "--password-stdin"); err != nil {
		t.Fatal(err)
	}
	cli(t, s, "incident", "release", "1")
	hears(t, s, alice, 3)
	if n := forwarded(sink, target, 2, 20*time.Second); n < 2 {
		t.Error("after the release nothing leaves by the forward")
	}
}
