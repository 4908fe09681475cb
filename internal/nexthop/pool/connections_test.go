package pool

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"sallyport/internal/mail"
	"sallyport/internal/smtp/client"
)

func limits() Limits {
	return Limits{Connections: 20, Start: 4, Messages: 100, Idle: 30 * time.Second, Rest: 30 * time.Second}
}

// The width follows what the next hop bears, and stays between one and the limit.
func TestWidthAdapts(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		l := limits()
		l.Start, l.Connections = rapid.IntRange(1, 30).Draw(rt, "start"), rapid.IntRange(1, 30).Draw(rt, "most")
		p := newConnections(l)
		now := time.Unix(1_800_000_000, 0)
		closing := &client.ReplyError{Reply: mail.R(421, "", "closing")}
		lost := &client.ConnError{Stage: client.StageMail, Err: client.ErrLost}
		rt.Repeat(map[string]func(*rapid.T){
			"success": func(*rapid.T) {
				before, room := p.width, rapid.IntRange(1, l.Connections).Draw(rt, "room")
				p.learn(nil, room)
				if p.width != min(before+1, room) {
					rt.Fatalf("%d became %d", before, p.width)
				}
			},
			"421": func(*rapid.T) {
				before := p.width
				p.learn(fmt.Errorf("%w (%w)", closing, client.ErrNothingSent), l.Connections)
				if p.width != max(before/2, 1) {
					rt.Fatalf("%d became %d", before, p.width)
				}
			},
			"lost": func(*rapid.T) {
				before := p.width
				p.learn(lost, l.Connections)
				if p.width != before {
					rt.Fatalf("%d became %d", before, p.width)
				}
			},
			"no connection": func(*rapid.T) {
				took := time.Duration(rapid.IntRange(0, 600).Draw(rt, "seconds")) * time.Second
				p.failed(Failure{Reply: mail.R(451, "4.4.1", "no"), Remote: "mx"}, now, took)
				if _, resting := p.resting(now.Add(min(took, l.Rest))); resting {
					rt.Fatal("it rests longer than finding out took")
				}
				if _, resting := p.resting(now); resting != (took > 0) {
					rt.Fatal("it does not rest")
				}
			},
			"": func(*rapid.T) {
				if p.width < 1 || p.width > l.Connections {
					rt.Fatalf("width %d", p.width)
				}
			},
		})
	})
}

// Whoever enters leaves, whoever gives up does not block the others, and never
// more are inside than the width.
func TestLineMovesOn(t *testing.T) {
	l := limits()
	l.Start, l.Connections = 3, 3
	p := newConnections(l)
	var inside, most, entered atomic.Int64
	var wg sync.WaitGroup
	for i := range 400 {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rand.IntN(3000))*time.Microsecond)
			defer cancel()
			if i%2 == 0 {
				ctx = t.Context()
			}
			if err := p.enter(ctx); err != nil {
				if !errors.Is(err, context.DeadlineExceeded) {
					t.Error(err)
				}
				return
			}
			entered.Add(1)
			if n := inside.Add(1); n > 3 {
				most.Store(n)
			}
			time.Sleep(20 * time.Microsecond)
			inside.Add(-1)
			p.leave()
		})
	}
	wg.Wait()
	if p.active != 0 || len(p.waiting) != 0 || most.Load() != 0 || entered.Load() < 200 {
		t.Errorf("%d inside, %d waiting, %d at once, %d entered", p.active, len(p.waiting), most.Load(), entered.Load())
	}
}
