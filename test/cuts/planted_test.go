package cuts

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"sallyport/internal/mail"
	"sallyport/internal/spool"
)

// throughHolds gives out claims on what is held.
type throughHolds struct{ queue }

func (q throughHolds) Claim(ctx context.Context, id mail.ID, owner string, ttl time.Duration, now time.Time) (spool.Claim, error) {
	c, err := q.queue.Claim(ctx, id, owner, ttl, now)
	if !errors.Is(err, spool.ErrHeld) {
		return c, err
	}
	if n, err := q.Release(ctx, spool.Filter{IDs: []mail.ID{id}}, nil); err != nil || n == 0 {
		return c, spool.ErrHeld // its account is
	}
	return q.queue.Claim(ctx, id, owner, ttl, now)
}

// losesSettlements answers as if outcomes were noted, and puts the message off.
type losesSettlements struct{ queue }

func (q losesSettlements) Settle(ctx context.Context, t spool.Token, outcomes []mail.Outcome, now time.Time, f spool.Final) (spool.Settled, error) {
	return q.queue.Settle(ctx, t, nil, now, f)
}

// holdsInMemory answers a hold before it is anywhere: a crash takes it back.
type holdsInMemory struct{ queue }

func (q holdsInMemory) Hold(ctx context.Context, f spool.Filter, why string, facts [][]byte) (int, error) {
	n, err := q.queue.Hold(ctx, f, why, facts)
	if err == nil && n == 1 {
		_, err = q.Release(ctx, f, nil)
	}
	return n, err
}

// Each fault is found that is planted into the queue: so the check is one.
func TestPlantedFaultsAreFound(t *testing.T) {
	for name, fault := range map[string]func(queue) queue{
		"a claim that ignores a hold": func(q queue) queue { return throughHolds{q} },
		"a settlement that is lost":   func(q queue) queue { return losesSettlements{q} },
		"a hold that is forgotten":    func(q queue) queue { return holdsInMemory{q} },
	} {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(50) {
				if porcupine.CheckOperationsTimeout(model(), concurrent(t, seed, fault).run(), judgeTime) == porcupine.Illegal {
					t.Logf("found in history %d", seed+1)
					return
				}
			}
			t.Error("50 histories, and it was not found")
		})
	}
}
