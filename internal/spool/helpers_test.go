package spool_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"sallyport/internal/gate"
	"sallyport/internal/mail"
	"sallyport/internal/sched"
	"sallyport/internal/spool"
	"sallyport/internal/store"
)

// clock is a clock that stands until it is moved.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func newClock() *clock { return &clock{t: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) advance(d time.Duration) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
	return c.t
}

func key(t testing.TB) gate.Key {
	t.Helper()
	k, err := gate.NewKey(bytes.Repeat([]byte("k"), gate.KeyOctets))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func options(t testing.TB, now func() time.Time) spool.Options {
	return spool.Options{
		Key:    key(t),
		Policy: sched.Default(),
		Now:    now,
		Logger: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})),
	}
}

func openSpool(t testing.TB, st store.Store, o spool.Options) (*spool.Spool, spool.Report) {
	t.Helper()
	q, r, err := spool.Open(context.Background(), st, o)
	if err != nil {
		t.Fatal(err)
	}
	return q, r
}

func addr(s string) mail.Address {
	a, err := mail.ParseAddress(s, mail.UTF8)
	if err != nil {
		return mail.Address{} // refused wherever it is used
	}
	return a
}

func newID() mail.ID {
	id, err := mail.NewID(time.Now(), rand.Reader)
	if err != nil {
		return mail.ID{}
	}
	return id
}

// localMessage is a message of alice's to mailboxes of ours.
func localMessage(from string, to ...string) spool.Message {
	m := spool.Message{
		ID:        newID(),
		Envelope:  mail.Envelope{From: mail.PathOf(addr(from))},
		Account:   addr(from),
		MessageID: "<1@local.test>",
		Prefix:    []byte("Received: from somewhere\r\n"),
	}
	for _, s := range to {
		r := mail.Recipient{Address: addr(s)}
		m.Envelope.To = append(m.Envelope.To, r)
		m.Deliveries = append(m.Deliveries, spool.Delivery{Recipient: r, Kind: spool.KindLocal, Mailbox: r.Address})
	}
	return m
}

// outboundMessage is a message of alice's to strangers, with a Grant for those
// listed in granted.
func outboundMessage(t testing.TB, from string, granted []string, to ...string) spool.Message {
	t.Helper()
	m := localMessage(from, to...)
	var gs []gate.Grant
	for i := range m.Deliveries {
		m.Deliveries[i].Kind, m.Deliveries[i].Mailbox = spool.KindOutbound, mail.Address{}
		if slices.Contains(granted, to[i]) {
			gs = append(gs, grant(t, m.ID, from, to[i]))
		}
	}
	if len(gs) > 0 {
		g, err := gate.Join(gs...)
		if err != nil {
			t.Fatal(err)
		}
		m.Grant = g
	}
	return m
}

func grant(t testing.TB, id mail.ID, from, to string) gate.Grant {
	t.Helper()
	v := gate.Decide(gate.Facts{
		Door: gate.DoorSubmission, Peer: gate.PeerStranger, Auth: gate.AuthPassword, Standing: gate.StandingActive,
		Ownership: gate.OwnershipOwned, Destination: gate.DestinationForeign,
	}, gate.Subject{Transaction: id, Account: addr(from), Sender: mail.PathOf(addr(from)), Recipient: addr(to)})
	g, ok := v.Grant()
	if !ok {
		t.Fatalf("no grant: %+v", v)
	}
	return g
}

func bodyOf(t testing.TB, q *spool.Spool, content []byte) *spool.Body {
	t.Helper()
	b, err := q.NewBody(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	for rest := content; len(rest) > 0; {
		n := min(len(rest), 3001)
		if _, err := b.Write(rest[:n]); err != nil {
			t.Fatal(err)
		}
		rest = rest[n:]
	}
	return b
}

func put(t testing.TB, q *spool.Spool, m spool.Message, content string) spool.Claim {
	t.Helper()
	c, err := q.Put(context.Background(), m, bodyOf(t, q, []byte(content)), nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func outcome(to string, code int) mail.Outcome {
	return mail.Outcome{Recipient: addr(to), Reply: mail.R(code, fmt.Sprintf("%d.0.0", code/100), "so it is"), Remote: "remote.test"}
}

func readBody(q *spool.Spool, id mail.ID) ([]byte, error) {
	r, err := q.OpenBody(context.Background(), id)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

func wantBody(t testing.TB, q *spool.Spool, id mail.ID, want string) {
	t.Helper()
	if got, err := readBody(q, id); err != nil || string(got) != want {
		t.Errorf("body of %s: %d octets, %v; want %d", id, len(got), err, len(want))
	}
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }
