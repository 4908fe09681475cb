package site

import (
	"fmt"
	"sallyport/internal/fact"
	"sallyport/internal/operate"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

func TestAStrangersMailReachesMailboxes(t *testing.T) {
	NoLeaks(t)
	s := New(t, nil)
	n := s.Start()
	s.Populate(n.Node)
	small, large := Message("small", "eve@elsewhere.test", 2000), Message("large", "eve@elsewhere.test", 300<<10)
	c := Connect(t, n.Addrs().MX[0])
	c.OK("250", "EHLO client.test")
	first := c.Send("eve@elsewhere.test", small, "alice@local.test", "bob+lists@local.test")
	second := c.Send("eve@elsewhere.test", large, "both@local.test")
	for _, reply := range []string{first, second} {
		if !strings.HasPrefix(reply, "250 2.0.0") {
			t.Fatalf("got %q", reply)
		}
	}
	if r := c.Send("eve@elsewhere.test", small, "x@remote.test"); !strings.HasPrefix(r, "550") {
		t.Errorf("relaying for a stranger was answered %q", r)
	}
	c.OK("221", "QUIT")
	n.Idle()
	for _, local := range []string{"alice", "bob"} {
		found, err := BoxOf(vfs.Default, s.Config.Maildir.Root, local)
		Must(t, err)
		for id, sent := range map[string]string{"small": small, "large": large} {
			if len(found[id]) != 1 {
				t.Fatalf("%s has %d copies of %s", local, len(found[id]), id)
			}
			Must(t, Exact(found[id][0], sent))
		}
	}
	for _, reply := range []string{first, second} {
		DemandFacts(t, n.Node, QueueID(reply), fact.KindAccept, fact.KindOutcome)
	}
	if s.Sink.Connections() != 0 {
		t.Error("a stranger's mail opened a connection to another host")
	}
}

func TestSubmittedMailReachesItsNextHop(t *testing.T) {
	NoLeaks(t)
	s := New(t, nil)
	n := s.Start()
	s.Populate(n.Node)
	for _, implicit := range []bool{false, true} {
		c := s.SignIn(n, implicit, "alice@local.test")
		for _, size := range []int{500, 300 << 10} {
			id := fmt.Sprintf("out-%v-%d", implicit, size)
			text := Message(id, "alice@local.test", size)
			reply := c.Send("alice@local.test", text, "x@remote.test", "bob@local.test")
			if !strings.HasPrefix(reply, "250 2.0.0") {
				t.Fatalf("got %q", reply)
			}
			n.Idle()
			copies := Arrived(s.Sink, 0, s.Sink.Messages())[id+" x@remote.test"]
			if len(copies) != 1 {
				t.Fatalf("%d copies of %s arrived", len(copies), id)
			}
			Must(t, Exact(copies[0], text))
			DemandFacts(t, n.Node, QueueID(reply), fact.KindAccept, fact.KindOutcome)
		}
	}
	if faults := s.Sink.Faults(); len(faults) > 0 {
		t.Errorf("on the wire: %q", faults)
	}
}

// A frozen account: its session is cut, what it sent waits, nobody signs in to it,
// it goes on receiving; thawed, its mail leaves.
func TestAFrozenAccountSendsNothing(t *testing.T) {
	NoLeaks(t)
	s := New(t, nil, "[retry]", `first = "1s"`)
	n := s.Start()
	s.Populate(n.Node)
	s.Unreachable.Store(true)
	alice := s.SignIn(n, true, "alice@local.test")
	text := Message("caught", "alice@local.test", 500)
	id := QueueID(alice.Send("alice@local.test", text, "x@remote.test"))

	_, err := n.Operator().AccountFreeze(t.Context(), operate.Self(), operate.AccountReason{Address: "alice@local.test", Reason: "a test"})
	Must(t, err)
	s.Unreachable.Store(false)
	if r := alice.Reply(); !strings.HasPrefix(r, "421") || alice.Reply() != "" {
		t.Errorf("the session of a frozen account goes on: %q", r)
	}
	c := ConnectTLS(t, n.Addrs().Submissions[0], s.ClientTLS())
	c.OK("250", "EHLO client.test")
	c.OK("535", "%s", Plain("alice@local.test"))
	mx := Connect(t, n.Addrs().MX[0])
	mx.OK("250", "EHLO client.test")
	if r := mx.Send("eve@elsewhere.test", Message("in", "eve@elsewhere.test", 100), "alice@local.test"); !strings.HasPrefix(r, "250") {
		t.Errorf("mail for a frozen account was answered %q", r)
	}
	_, err = n.Operator().QueueRetry(t.Context(), operate.Self(), operate.QueueChange{Select: operate.Select{All: true}})
	Must(t, err)
	time.Sleep(1500 * time.Millisecond) // longer than the next try was away
	if m, err := n.Operator().QueueShow(t.Context(), operate.Self(), operate.QueueRef{ID: id}); err != nil || !strings.HasPrefix(m.State, "held") {
		t.Fatalf("the message is %q, %v; want held", m.State, err)
	}
	if s.Sink.Connections() != 0 {
		t.Fatal("mail of a frozen account left")
	}

	_, err = n.Operator().AccountThaw(t.Context(), operate.Self(), operate.AccountRef{Address: "alice@local.test"})
	Must(t, err)
	n.Idle()
	copies := Arrived(s.Sink, 0, s.Sink.Messages())["caught x@remote.test"]
	if len(copies) != 1 {
		t.Fatalf("%d copies arrived after the thaw", len(copies))
	}
	Must(t, Exact(copies[0], text))
	s.SignIn(n, true, "alice@local.test").OK("221", "QUIT")
}

// Accounts that are added side by side all receive mail when they were added.
func TestAccountsAddedTogether(t *testing.T) {
	NoLeaks(t)
	s := New(t, vfs.NewMem())
	n := s.Start()
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := range 10 {
				name := fmt.Sprintf("user-%d-%d@local.test", w, i)
				if _, err := n.Operator().AccountAdd(t.Context(), operate.Self(), operate.AccountAdd{Address: name, Password: Password, Role: "person"}); err != nil {
					t.Error(err)
				}
				c := Connect(t, n.Addrs().MX[0])
				c.OK("250", "EHLO client.test")
				c.OK("250", "MAIL FROM:<eve@elsewhere.test>")
				c.OK("250", "RCPT TO:<%s>", name)
				c.Conn.Close()
			}
		})
	}
	wg.Wait()
}
