package query

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport/internal/fact"
	"sallyport/internal/mail"
	"sallyport/internal/store"
	"sallyport/internal/store/mem"
	"sallyport/internal/trace"
)

// house is a store with a log in it, and a clock that tests move.
type house struct {
	t      testing.TB
	st     store.Store
	limits Limits

	mu sync.Mutex
	at time.Time
}

func newHouse(t testing.TB) *house {
	return &house{t: t, st: mem.New(), limits: DefaultLimits(), at: testTime()}
}

func (h *house) now() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.at
}

func (h *house) add(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.at = h.at.Add(d)
}

func (h *house) open() *trace.Log {
	h.t.Helper()
	secret, err := trace.NewKey(rand.Reader, "mx.local.test/trace")
	if err != nil {
		h.t.Fatal(err)
	}
	key, err := trace.ParseKey(secret)
	if err != nil {
		h.t.Fatal(err)
	}
	l, err := trace.Open(context.Background(), h.st, trace.Options{
		Origin: key.Origin(), Key: key, CheckpointDir: h.t.TempDir(), Limits: trace.DefaultLimits(),
		Now: h.now, Rand: rand.Reader, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return l
}

// reader reads what l keeps.
func (h *house) reader(l *trace.Log) *Reader {
	h.t.Helper()
	r, err := New(Options{Store: h.st, Log: l, Limits: h.limits, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		h.t.Fatal(err)
	}
	return r
}

func (h *house) ask(l *trace.Log, text string) Answer {
	h.t.Helper()
	q, err := ParseQuery(text)
	if err != nil {
		h.t.Fatalf("ParseQuery(%q): %v", text, err)
	}
	a, err := h.reader(l).Query(context.Background(), q)
	if err != nil {
		h.t.Fatalf("Query(%q): %v", text, err)
	}
	return a
}

func sync1(t testing.TB, l *trace.Log) {
	t.Helper()
	if err := l.Sync(context.Background()); err != nil {
		t.Fatal(err)
	}
}

func kinds(a Answer) string {
	var list []string
	for _, e := range a.Entries {
		list = append(list, string(e.Fact.Kind))
	}
	return strings.Join(list, " ")
}

// deliver writes the facts of one message from alice to the recipient.
func (h *house) deliver(l *trace.Log, n int, to string) mail.ID {
	h.t.Helper()
	id := testID(h.t, n)
	conn := fmt.Sprintf("c%d", n)
	peer := netip.AddrFrom4([4]byte{198, 51, byte(n >> 8), byte(n)})
	at := h.now()
	err := l.Write(context.Background(),
		fact.Fact{At: at, Kind: fact.KindDisconnect, Conn: conn, Peer: peer, Door: "submission"},
		fact.Fact{At: at, Kind: fact.KindAuth, Conn: conn, Peer: peer, Account: "alice@local.test", Reply: mail.R(235, "2.7.0", "welcome")},
		fact.Fact{At: at, Kind: fact.KindAccept, Conn: conn, Peer: peer, Queue: id, MessageID: fmt.Sprintf("<m%d@local.test>", n),
			Account: "alice@local.test", Sender: "alice@local.test", Recipients: []string{to}, Size: 1000, Rule: "submission-relay"},
		fact.Fact{At: at, Kind: fact.KindOutcome, Queue: id, Recipient: to, Remote: "mx.remote.test [203.0.113.9]:25", Reply: mail.R(250, "2.0.0", "taken")},
		fact.Fact{At: at, Kind: fact.KindDisconnect, Conn: conn, Peer: peer, Count: 1, Text: "quit"},
	)
	if err != nil {
		h.t.Fatal(err)
	}
	return id
}
