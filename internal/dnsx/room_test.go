package dnsx

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// goodOnly answers for good.test and the world, and is silent about everything else beneath test.
func goodOnly(_ string, q *dns.Msg) [][]byte {
	if !strings.HasSuffix(q.Question[0].Name, ".test.") {
		return one(reply(q))
	}
	if strings.HasSuffix(q.Question[0].Name, "good.test.") {
		return one(reply(q, q.Question[0].Name+" 60 MX 1 mx.good.test."))
	}
	return nil
}

// crowd asks n questions that nobody answers, for one message of a client each, and
// returns when all of them are under way or wait; the function waits for their end and
// returns how many we would not ask.
func crowd(t *testing.T, c *Client, client string, n int) (refused func() int) {
	t.Helper()
	var wg sync.WaitGroup
	var mu sync.Mutex
	count, begun := 0, make(chan struct{}, n)
	for i := range n {
		wg.Go(func() {
			s := NewShare(netip.MustParseAddr(client))
			begun <- struct{}{}
			_, err := c.MX(s.Context(context.Background()), name(t, fmt.Sprintf("n%d.x%s.test", i, strings.ReplaceAll(client, ".", "-"))))
			if s.Exhausted() != errors.Is(err, ErrExhausted) {
				t.Errorf("exhausted %v: %v", s.Exhausted(), err)
			}
			if s.Exhausted() {
				mu.Lock()
				count++
				mu.Unlock()
			}
		})
	}
	for range n {
		<-begun
	}
	time.Sleep(50 * time.Millisecond)
	return func() int { wg.Wait(); return count }
}

func crowded() Limits {
	l := DefaultLimits()
	l.Query, l.Total, l.Rounds = time.Second, time.Second, 1
	l.Concurrent, l.Strangers, l.Network, l.Message = 40, 32, 8, 4
	l.Wait, l.Waiting, l.NetworkWaiting = 300*time.Millisecond, 400, 20
	return l
}

// A flood of expensive questions from one network leaves everybody else room; what it
// could not ask is said to be our want of room.
func TestOneNetworkStarvesNobody(t *testing.T) {
	t.Parallel()
	s := serve(t, goodOnly)
	c := client(t, crowded(), s)
	refused := crowd(t, c, "203.0.113.9", 100)
	for i := range 20 {
		share := NewShare(netip.MustParseAddr("198.51.100.1"))
		a, err := c.MX(share.Context(t.Context()), name(t, fmt.Sprintf("h%d.good.test", i)))
		if words(a, err) != "mx.good.test" || share.Exhausted() {
			t.Fatal(words(a, err))
		}
	}
	if n := s.Asked("MX n"); n > c.o.Limits.Network {
		t.Errorf("%d questions of one network are under way", n)
	}
	if n := refused(); n < 50 {
		t.Errorf("%d of 100 were refused", n)
	}
	if n := c.busy(); n+len(c.room.networks)+len(c.room.queued)+c.room.strangers != 0 {
		t.Errorf("what is over is still counted: %+v", c.room)
	}
}

// A flood from many networks fills the share of strangers. A newcomer is next when
// something ends, and our own questions are asked at once.
func TestManyNetworksStarveNobody(t *testing.T) {
	t.Parallel()
	l := crowded()
	l.Query, l.Total, l.Wait = 3*time.Second, 3*time.Second, 9*time.Second
	s := serve(t, goodOnly)
	c := client(t, l, s)
	var waits []func() int
	for i := range 8 {
		waits = append(waits, crowd(t, c, fmt.Sprintf("203.0.%d.9", i), 20))
	}
	if n := s.Asked("MX n"); n != l.Strangers {
		t.Errorf("%d questions of strangers are under way", n)
	}
	began := time.Now()
	if a, err := c.MX(t.Context(), name(t, "own.good.test")); words(a, err) != "mx.good.test" || time.Since(began) > l.Query/2 {
		t.Errorf("%s after %v", words(a, err), time.Since(began))
	}
	share := NewShare(netip.MustParseAddr("2001:db8::1"))
	a, err := c.MX(share.Context(t.Context()), name(t, "new.good.test"))
	if n := s.Asked("MX n"); words(a, err) != "mx.good.test" || n > 2*l.Strangers {
		t.Errorf("%s after %d questions of others", words(a, err), n)
	}
	for _, wait := range waits {
		wait()
	}
}

// One message has its own share of its network's.
func TestOneMessageLeavesItsNetworkRoom(t *testing.T) {
	t.Parallel()
	s := serve(t, goodOnly)
	c := client(t, crowded(), s)
	share := NewShare(netip.MustParseAddr("2001:db8:1:2::1"))
	var wg sync.WaitGroup
	for i := range 30 {
		wg.Go(func() { _, _ = c.MX(share.Context(context.Background()), name(t, fmt.Sprintf("n%d.one.test", i))) })
	}
	time.Sleep(50 * time.Millisecond)
	neighbour := NewShare(netip.MustParseAddr("2001:db8:1:3::1"))
	if a, err := c.MX(neighbour.Context(t.Context()), name(t, "x.good.test")); words(a, err) != "mx.good.test" || neighbour.Exhausted() {
		t.Error(words(a, err))
	}
	if n := s.Asked("MX n"); n > c.o.Limits.Message {
		t.Errorf("%d questions of one message are under way", n)
	}
	wg.Wait()
	if !share.Exhausted() {
		t.Error("the message's own questions had room")
	}
}

// The networks that count as one.
func TestNetworksOfShares(t *testing.T) {
	for ip, want := range map[string]string{
		"192.0.2.77": "192.0.2.0/24", "::ffff:192.0.2.77": "192.0.2.0/24", "2001:db8:1:2::3": "2001:db8:1::/48", "fe80::1%eth0": "fe80::/48",
	} {
		if got := NewShare(netip.MustParseAddr(ip)).network.String(); got != want {
			t.Errorf("%s is of %s, want %s", ip, got, want)
		}
	}
	if NewShare(netip.Addr{}).network.IsValid() {
		t.Error("no address has a network")
	}
}

// What this host has no more of is our own fault, and nothing that is remembered of a
// name; what became late behind our own queue is so too.
func TestOurOwnWantIsNobodysFault(t *testing.T) {
	for err, own := range map[error]bool{
		&net.OpError{Op: "dial", Err: os.NewSyscallError("socket", syscall.EMFILE)}: true, &net.OpError{Op: "dial", Err: os.NewSyscallError("socket", syscall.ENOBUFS)}: true,
		&net.OpError{Op: "read", Err: os.NewSyscallError("read", syscall.ECONNREFUSED)}: false, os.ErrDeadlineExceeded: false,
	} {
		if got := unanswered(err); errors.Is(got, ErrExhausted) != own || Permanent(got) {
			t.Errorf("%v became %v", err, got)
		}
	}
	c := client(t, quick(), serve(t, goodOnly))
	q := question{name(t, "x.test"), dns.TypeMX}
	if c.remember(q, &given{answer: answer{err: fmt.Errorf("%w: files", ErrExhausted)}}); c.cache.known.Len()+len(c.failing.known) != 0 {
		t.Error("our own want is remembered of a name")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	share := NewShare(netip.MustParseAddr("192.0.2.1"))
	if _, err := c.MX(share.Context(ctx), name(t, "x.test")); share.Exhausted() || !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	share.waited.Store(int64(c.o.Limits.Wait))
	if _, err := c.MX(share.Context(ctx), name(t, "x.test")); !share.Exhausted() || !errors.Is(err, ErrExhausted) {
		t.Error(err)
	}
}
