package hijack

import (
	"context"
	"crypto/tls"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport/test/load"
	"sallyport/test/load/rig"
)

// blast sends with a stolen password at full speed, from several sessions at once, until
// none of them is served any more, and returns the answers that ended them.
func blast(t *testing.T, s *rig.Server, door string, a rig.Account, sessions, each int) (last []string) {
	var all sync.WaitGroup
	var mu sync.Mutex
	for i := range sessions {
		c := dial(t, s, door, nil)
		all.Go(func() {
			r := c.signIn(a.Address, a.Password)
			for m := 0; strings.HasPrefix(r, "2") && m < 200; m++ {
				var to []string
				for n := range each {
					to = append(to, fmt.Sprintf("%s-%d-%d-%d@remote.test", door, i, m, n))
				}
				r = c.send(a.Address, to...)
			}
			mu.Lock()
			defer mu.Unlock()
			last = append(last, r)
		})
	}
	all.Wait()
	return last
}

// waitFor waits until the next hop has taken so many, or a while has passed.
func waitFor(sink *load.Sink, n int, most time.Duration) int {
	for end := time.Now().Add(most); time.Now().Before(end) && recipients(sink) < n; {
		time.Sleep(50 * time.Millisecond)
	}
	return recipients(sink)
}

// With the hold window nothing of a blast leaves, by whichever door.
func TestABlastLeaksNothing(t *testing.T) {
	s, sink := newServer(t, `hold = "3s"`, fmt.Sprintf("[sendmail.users]\n%d = \"carol@local.test\"\n", os.Geteuid()))
	for i, door := range []string{"submissions", "submission"} {
		for _, r := range blast(t, s, door, s.Accounts[i], 4, 1) {
			if r != "" && !strings.HasPrefix(r, "550 5.7.13") && !strings.HasPrefix(r, "421") && !strings.HasPrefix(r, "450") && !strings.HasPrefix(r, "535 5.7.8") {
				t.Errorf("%s: a session ended with %q", door, r)
			}
		}
	}
	// A program of this host.
	refused := false
	for n := 0; n < 100 && !refused; n++ {
		if err := program(t, s, fmt.Sprintf("prog%d@remote.test", n)); err != nil {
			refused = strings.Contains(err.Error(), "550 5.7.13") && n > 0
			if !refused {
				t.Fatal(err)
			}
		}
	}
	if !refused {
		t.Error("a program of this host is not stopped")
	}
	time.Sleep(5 * time.Second) // the window is over
	if n := recipients(sink); n != 0 {
		t.Errorf("the next hop has %d recipients", n)
	}
	list := cli(t, s, "incident", "ls", "--open")
	for _, a := range s.Accounts[:3] {
		if !strings.Contains(list, a.Address) {
			t.Errorf("%s is not contained:\n%s", a.Address, list)
		}
	}
	show := cli(t, s, "incident", "show", "1")
	for _, want := range []string{"incident    1, open", "by the hijack detector", "never written to from this site", "odds ×", "127.0.0.1", "used        the password, made ", "left        0 recipients", "sallyport account passwd"} {
		if !strings.Contains(show, want) {
			t.Errorf("the incident does not say %q:\n%s", want, show)
		}
	}
	if status := cli(t, s, "status"); !strings.Contains(status, "3 incidents open") {
		t.Errorf("%s", status)
	}
}

// The owner of a contained account is told outside, at the address that an administrator
// named, once, while nothing else of the account leaves.
func TestTheOwnerIsToldOutside(t *testing.T) {
	s, sink := newServer(t, `hold = "3s"`, "")
	alice, carol := s.Accounts[0], s.Accounts[2]
	cli(t, s, "account", "set", alice.Address, "--notify", "alice.private@remote.test")
	blast(t, s, "submissions", alice, 2, 1)
	if n := waitFor(sink, 1, 30*time.Second); n == 0 {
		t.Fatal("nobody outside is told")
	}
	// The address is one like others to whoever signs in, and to one who is contained, too.
	for _, a := range []rig.Account{alice, carol} {
		c := dial(t, s, "submissions", nil)
		r := c.signIn(a.Address, a.Password)
		if r = c.send("", "alice.private@remote.test"); a == alice && strings.HasPrefix(r, "2") {
			t.Errorf("%s sends to it: %q", a.Address, r)
		}
	}
	time.Sleep(5 * time.Second) // the window is over, and whoever looks for incidents has looked
	told := 0
	for _, m := range sink.Kept() {
		switch {
		case m.From == "" && len(m.To) == 1 && m.To[0] == "alice.private@remote.test" && strings.Contains(string(m.Octets), "Subject: Incident 1: alice@local.test is contained"):
			told++
			for _, want := range []string{"From: Mail server <postmaster@local.test>", "by telephone or in person", "from 127.0.0.1, with the program thief.test", "Auto-Submitted: auto-generated"} {
				if !strings.Contains(string(m.Octets), want) {
					t.Errorf("the notice does not say %q:\n%s", want, m.Octets)
				}
			}
		case strings.Contains(m.From, "alice"):
			t.Errorf("%s leaves for %s", m.From, m.To)
		}
	}
	if told != 1 {
		t.Errorf("the owner was told %d times", told)
	}
}

// Without it some leave, before the evidence is complete; and of a message to many no more
// than the bucket holds.
func TestABlastWithoutTheWindow(t *testing.T) {
	for each, most := range map[int]int{1: 12, 50: 30} {
		t.Run(fmt.Sprintf("%d recipients a message", each), func(t *testing.T) {
			s, sink := newServer(t, `hold = "0s"`, "")
			blast(t, s, "submissions", s.Accounts[0], 1, each)
			time.Sleep(2 * time.Second)
			n := recipients(sink)
			t.Logf("a new account leaks %d recipients at %d a message", n, each)
			if n > most {
				t.Errorf("the next hop has %d recipients, %d are the most", n, most)
			}
			if list := cli(t, s, "incident", "ls", "--open"); !strings.Contains(list, s.Accounts[0].Address) {
				t.Errorf("it is not contained:\n%s", list)
			}
		})
	}
}

// After a containment no spelling of the account opens any door, in no session, and after
// the incident the owner works again.
func TestNothingOpensAfterwards(t *testing.T) {
	s, sink := newServer(t, `hold = "1s"`, fmt.Sprintf("[sendmail.users]\n%d = \"alice@local.test\"\n", os.Geteuid()))
	alice := s.Accounts[0]
	before := dial(t, s, "submissions", nil)
	if r := before.signIn(alice.Address, alice.Password); !strings.HasPrefix(r, "235") {
		t.Fatal(r)
	}
	resumed := tlsConfig(t, s)
	resumed.ClientSessionCache = tls.NewLRUClientSessionCache(4)
	first := dial(t, s, "submissions", resumed)
	first.signIn(alice.Address, alice.Password)
	first.say("QUIT")
	blast(t, s, "submissions", alice, 1, 1)

	if r := before.send(alice.Address, "late@remote.test"); strings.HasPrefix(r, "2") {
		t.Errorf("a session that was open before sends: %q", r)
	}
	wrong := dial(t, s, "submissions", nil).signIn(alice.Address, "not the password")
	for _, door := range []string{"submissions", "submission"} {
		for _, name := range []string{
			"alice@local.test", "Alice@local.test", "ALICE@LOCAL.TEST", "alice@Local.Test",
			`"alice"@local.test`, "alice@local.test.", " alice@local.test", "alice+x@local.test", "alice",
		} {
			for _, c := range []*tls.Config{nil, resumed} {
				x := dial(t, s, door, c)
				if r := x.signIn(name, alice.Password); r != wrong {
					t.Errorf("%s as %q: %q; a wrong password gets %q", door, name, r, wrong)
				}
			}
		}
	}
	if err := program(t, s, "late@remote.test"); err == nil || !strings.Contains(err.Error(), "5.7.13") {
		t.Errorf("a program of this host: %v", err)
	}
	held := recipients(sink)
	time.Sleep(2 * time.Second)
	if n := recipients(sink); n != held {
		t.Errorf("%d more have left", n-held)
	}

	// The owner comes back.
	if _, err := s.CLI(context.Background(), "", "incident", "release", "1"); err == nil {
		t.Error("the incident ends while the thief has the password")
	}
	const fresh = "a new and better password"
	if _, err := s.CLI(context.Background(), fresh+"\n", "account", "passwd", alice.Address, "--password-stdin"); err != nil {
		t.Fatal(err)
	}
	cli(t, s, "incident", "purge", "1")
	c := dial(t, s, "submissions", nil)
	if r := c.signIn(alice.Address, alice.Password); r != wrong {
		t.Errorf("the old password: %q", r)
	}
	c = dial(t, s, "submissions", nil)
	if r := c.signIn(alice.Address, fresh); !strings.HasPrefix(r, "235") {
		t.Fatal(r)
	}
	if r := c.send(alice.Address, "friend@remote.test"); !strings.HasPrefix(r, "250") {
		t.Fatal(r)
	}
	if n := waitFor(sink, held+1, 20*time.Second); n != held+1 {
		t.Errorf("the owner's message does not leave: %d", n-held)
	}
}
