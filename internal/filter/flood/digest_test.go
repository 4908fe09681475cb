package flood

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"testing"
	"time"

	"sallyport/internal/letter/notify"
	"sallyport/internal/mail"
	"sallyport/internal/spool"
	"sallyport/internal/store"
	"sallyport/internal/store/mem"
)

// waiting is a queue with some bounces that are held.
type waiting []spool.Entry

func (w *waiting) List(_ context.Context, _ spool.Filter, fn func(spool.Entry) (bool, error)) error {
	all := slices.Clone(*w)
	slices.SortFunc(all, func(a, b spool.Entry) int { return a.Received.Compare(b.Received) })
	for _, e := range all {
		if more, err := fn(e); err != nil || !more {
			return err
		}
	}
	return nil
}

func (w *waiting) OpenBody(context.Context, mail.ID) (io.ReadCloser, error) {
	return nil, errors.New("it is gone")
}

// Each bounce is counted in one digest, and none in none, in whatever order they were begun and
// accepted, and while others come.
func TestEachBounceIsCountedOnce(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	st, queue, counted := mem.New(), &waiting{}, 0
	limits := DefaultLimits()
	send := func(ctx context.Context, l notify.Letter) error {
		n := 0
		if _, err := fmt.Sscan(l.Subject, &n); err != nil {
			return err
		}
		counted += n
		_, err := st.Apply(ctx, store.Tx{Mutations: l.Marks}, store.Durable)
		return err
	}
	d := NewDigest(Options{
		Gauge: NewGauge(limits, func() time.Time { return now }), Queue: queue, Store: st, Send: send,
		Limits: limits, Now: func() time.Time { return now }, Logger: slog.New(slog.DiscardHandler),
	})
	to := mail.Recipient{Address: box(t, "joe@example.org")}
	held := func(begun time.Duration) {
		id, err := mail.NewID(now.Add(-begun), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		*queue = append(*queue, spool.Entry{ID: id, Held: Rule + ": many", Received: now, Envelope: mail.Envelope{To: []mail.Recipient{to}}})
	}
	look := func() {
		if _, err := d.Look(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	for minute := range 300 { // a flood of two and a half hours, with messages that take up to half an hour to come
		if minute < 150 {
			held(0)
			held(time.Duration(minute%30) * time.Minute)
		}
		look()
		now = now.Add(time.Minute)
	}
	if counted != len(*queue) {
		t.Errorf("%d bounces are held, and %d were told of", len(*queue), counted)
	}
}
