package site

import (
	"context"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport/internal/node"
	"sallyport/internal/operate"
)

// Mail that is under way when its account is frozen, and waits for a slow next hop,
// does not leave either: of all that alice sent nothing does, however late the next
// hop wakes up, and bob's mail behind it does.
func TestAFreezeReachesMailThatWaitsForItsNextHop(t *testing.T) {
	NoLeaks(t)
	s := New(t, nil, "[retry]", `first = "1s"`)
	awake := make(chan struct{})
	o := s.Options()
	o.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
		select {
		case <-awake:
			return s.Dial(ctx, network, addr)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	opened, err := node.Open(t.Context(), s.Config, o)
	Must(t, err)
	n := s.Serve(opened)
	s.Populate(n.Node)
	alice := s.SignIn(n, true, "alice@local.test")
	const many = 40
	for i := range many {
		text := Message(fmt.Sprintf("waits-%d", i), "alice@local.test", 100)
		if r := alice.Send("alice@local.test", text, "x@remote.test"); !strings.HasPrefix(r, "250") {
			t.Fatalf("got %q", r)
		}
	}

	_, err = n.Operator().AccountFreeze(t.Context(), operate.Self(), operate.AccountReason{Address: "alice@local.test", Reason: "a test"})
	Must(t, err)
	// What she says next in the session that was open is refused, and it is over (row H21).
	if r := alice.Say("MAIL FROM:<alice@local.test>"); !strings.HasPrefix(r, "421") && !strings.HasPrefix(r, "550 5.7.13") {
		t.Errorf("after the freeze: %q", r)
	}
	if r := alice.Say("NOOP"); r != "" && !strings.HasPrefix(r, "421") {
		t.Errorf("the session goes on: %q", r)
	}
	bob := s.SignIn(n, true, "bob@local.test")
	if r := bob.Send("bob@local.test", Message("behind", "bob@local.test", 100), "x@remote.test"); !strings.HasPrefix(r, "250") {
		t.Fatalf("got %q", r)
	}
	close(awake)
	Eventually(t, "bob's mail arrives", func() bool { return s.Sink.IDs()["behind"] == 1 })
	Eventually(t, "all of alice's mail is held", func() bool {
		status, err := n.Operator().Status(t.Context(), operate.Self(), struct{}{})
		Must(t, err)
		return status.Queue.Held == many
	})
	time.Sleep(1500 * time.Millisecond) // longer than the next try was away
	if got := s.Sink.Messages(); got != 1 {
		t.Fatalf("%d messages left; want bob's alone", got)
	}

	_, err = n.Operator().AccountThaw(t.Context(), operate.Self(), operate.AccountRef{Address: "alice@local.test"})
	Must(t, err)
	n.Idle()
	if got := s.Sink.Messages(); got != many+1 {
		t.Errorf("%d messages arrived after the thaw; want %d", got, many+1)
	}
}

// slowly is a connection on which each answer takes a while, so that a long queue does not leave
// before anybody can freeze it.
type slowly struct{ net.Conn }

// Read waits, and reads.
func (c slowly) Read(b []byte) (int, error) {
	time.Sleep(20 * time.Millisecond)
	return c.Conn.Read(b)
}

// N07: an account is frozen while thousands of its messages leave: within a second of the command
// none leaves any more but those that are on the wire, all others are held, and the mail of others
// flows. SALLYPORT_FREEZE is how many there are.
func TestAFreezeAmongThousands(t *testing.T) {
	many, wire := 600, 100 // on the wire are at most as many as there are connections
	if n, err := strconv.Atoi(os.Getenv("SALLYPORT_FREEZE")); err == nil {
		many = n
	}
	s := New(t, nil, "[budget]", "person_hour = 1000000", "person_day = 1000000", "[hijack]", `mode = "off"`)
	awake := make(chan struct{})
	o := s.Options()
	o.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
		select {
		case <-awake:
			c, err := s.Dial(ctx, network, addr)
			return slowly{c}, err
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	opened, err := node.Open(t.Context(), s.Config, o)
	Must(t, err)
	n := s.Serve(opened)
	s.Populate(n.Node)
	const at = 6
	var senders sync.WaitGroup
	began := time.Now()
	for c := range at {
		alice := s.SignIn(n, true, "alice@local.test")
		senders.Go(func() {
			for i := c; i < many; i += at {
				if r := alice.Send("alice@local.test", Message(fmt.Sprintf("long-%d", i), "alice@local.test", 100), "x@remote.test"); !strings.HasPrefix(r, "250") {
					t.Errorf("got %q", r)
					return
				}
			}
		})
	}
	senders.Wait()
	filled := time.Since(began)
	bob := s.SignIn(n, true, "bob@local.test")
	close(awake)
	Eventually(t, "some have left", func() bool { return s.Sink.Messages() > 0 })

	began = time.Now()
	_, err = n.Operator().AccountFreeze(t.Context(), operate.Self(), operate.AccountReason{Address: "alice@local.test", Reason: "a test"})
	Must(t, err)
	frozen, left := time.Since(began), s.Sink.Messages()
	if r := bob.Send("bob@local.test", Message("behind", "bob@local.test", 100), "x@remote.test"); !strings.HasPrefix(r, "250") {
		t.Fatalf("got %q", r)
	}
	time.Sleep(max(0, time.Second-time.Since(began)))
	then := s.Sink.Messages()
	Eventually(t, "bob's mail arrives", func() bool { return s.Sink.IDs()["behind"] == 1 })
	Eventually(t, "all that did not leave is held", func() bool {
		status, err := n.Operator().Status(t.Context(), operate.Self(), struct{}{})
		Must(t, err)
		return status.Queue.Held == many-(s.Sink.Messages()-1) && status.Queue.Messages == status.Queue.Held
	})
	t.Logf("%d messages were queued within %s; frozen within %s, when %d had left; %d a second later", many,
		filled.Round(time.Millisecond), frozen.Round(time.Millisecond), left, then)
	if last := s.Sink.Messages(); last > left+wire+1 || last == many+1 {
		t.Errorf("%d left, of which %d when the command was answered", last-1, left)
	}
}
