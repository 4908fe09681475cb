package spool_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"sallyport/internal/mail"
	"sallyport/internal/spool"
	"sallyport/internal/store"
)

// recorder notes how durable each act was asked to be.
type recorder struct {
	store.Store
	how []store.Durability
}

func (r *recorder) Apply(ctx context.Context, tx store.Tx, how store.Durability) (store.Revision, error) {
	r.how = append(r.how, how)
	return r.Store.Apply(ctx, tx, how)
}

// What somebody is told of, and what nobody may repeat, is on the disk before it counts;
// that a message was delivered may be forgotten by a power cut, since then it is delivered
// once more and nothing is lost.
func TestHowDurableASettlementIs(t *testing.T) {
	for name, row := range map[string]struct {
		size     int // of the body
		final    spool.Final
		outcomes []mail.Outcome
		how      store.Durability
	}{
		"one of two delivered":      {10, spool.Final{}, []mail.Outcome{outcome("bob@local.test", 250), outcome("carol@local.test", 451)}, store.Lazy},
		"both delivered":            {10, spool.Final{}, []mail.Outcome{outcome("bob@local.test", 250), outcome("carol@local.test", 250)}, store.Lazy},
		"both delivered, in a file": {300 << 10, spool.Final{}, []mail.Outcome{outcome("bob@local.test", 250), outcome("carol@local.test", 250)}, store.Durable},
		"both put off":              {10, spool.Final{}, []mail.Outcome{outcome("bob@local.test", 451), outcome("carol@local.test", 451)}, store.Lazy},
		"one of two failed":         {10, spool.Final{}, []mail.Outcome{outcome("bob@local.test", 550), outcome("carol@local.test", 451)}, store.Durable},
		"one failed, untold":        {10, spool.Final{Untold: true}, []mail.Outcome{outcome("bob@local.test", 550), outcome("carol@local.test", 451)}, store.Durable},
		"both failed":               {10, spool.Final{}, []mail.Outcome{outcome("bob@local.test", 550), outcome("carol@local.test", 550)}, store.Durable},
		"put off with a warning":    {10, spool.Final{Warned: true}, []mail.Outcome{outcome("bob@local.test", 451), outcome("carol@local.test", 451)}, store.Durable},
		"put off and held":          {10, spool.Final{Hold: "look at it"}, []mail.Outcome{outcome("bob@local.test", 451), outcome("carol@local.test", 451)}, store.Durable},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			l := &recorder{Store: h.st}
			h.q, _ = openSpool(t, l, h.o)
			c := put(t, h.q, localMessage("alice@local.test", "bob@local.test", "carol@local.test"), strings.Repeat("b", row.size))
			l.how = nil
			row.final.Next = h.clock.now().Add(time.Hour)
			h.settle(c.Token, row.final, row.outcomes...)
			if len(l.how) != 1 || l.how[0] != row.how {
				t.Errorf("written with durability %v, want one act with %v", l.how, row.how)
			}
		})
	}
}
