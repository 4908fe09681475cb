package node

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"sallyport/internal/operate"
)

// Mail that is under way when its account is frozen, and waits for a slow next hop,
// does not leave either: of all that alice sent nothing does, however late the next
// hop wakes up, and bob's mail behind it does.
func TestAFreezeReachesMailThatWaitsForItsNextHop(t *testing.T) {
	noLeaks(t)
	s := newSite(t, nil, "[retry]", `first = "1s"`)
	awake := make(chan struct{})
	o := s.options()
	o.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
		select {
		case <-awake:
			return s.dial(ctx, network, addr)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	node, err := Open(t.Context(), s.cfg, o)
	must(t, err)
	n := s.serve(node)
	s.populate(n.Node)
	alice := s.signIn(n, true, "alice@local.test")
	const many = 40
	for i := range many {
		text := message(fmt.Sprintf("waits-%d", i), "alice@local.test", 100)
		if r := alice.send("alice@local.test", text, "x@remote.test"); !strings.HasPrefix(r, "250") {
			t.Fatalf("got %q", r)
		}
	}

	_, err = n.Operator().AccountFreeze(t.Context(), root, operate.AccountReason{Address: "alice@local.test", Reason: "a test"})
	must(t, err)
	bob := s.signIn(n, true, "bob@local.test")
	if r := bob.send("bob@local.test", message("behind", "bob@local.test", 100), "x@remote.test"); !strings.HasPrefix(r, "250") {
		t.Fatalf("got %q", r)
	}
	close(awake)
	eventually(t, "bob's mail arrives", func() bool { return s.sink.IDs()["behind"] == 1 })
	eventually(t, "all of alice's mail is held", func() bool {
		status, err := n.Operator().Status(t.Context(), root, struct{}{})
		must(t, err)
		return status.Queue.Held == many
	})
	time.Sleep(1500 * time.Millisecond) // longer than the next try was away
	if got := s.sink.Messages(); got != 1 {
		t.Fatalf("%d messages left; want bob's alone", got)
	}

	_, err = n.Operator().AccountThaw(t.Context(), root, operate.AccountRef{Address: "alice@local.test"})
	must(t, err)
	n.idle()
	if got := s.sink.Messages(); got != many+1 {
		t.Errorf("%d messages arrived after the thaw; want %d", got, many+1)
	}
}
