package drill

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"sallyport/internal/drill/verdict"
)

const (
	// honest is how many messages honest people send while the server is beset.
	honest = 20
	// comeAgain is when a server comes again that was put off, and mostAgain how often. RFC 5321
	// §4.5.4.1 asks for half an hour between two attempts; most servers come sooner at first.
	comeAgain = 5 * time.Minute
	mostAgain = 6
)

// honest sends mail as honest people do, in and out, and notes how long each takes. Who signs in writes no more than
// one person may by the configuration's own budget.
func (a *act) honest(ctx context.Context) {
	s, budget := a.seen.Siege, a.stage.Config.Budget.Person
	// Each of the two writes one message after the other, as a person does.
	each(2, 2, func(who int) {
		for i := who; i < honest; i += 2 {
			if who == 1 && a.people() && i/2 >= min(budget.Hour, budget.Day) {
				return
			}
			began, noon := time.Now(), a.stage.Clock.Now()
			r, again := a.untilTaken(ctx, i)
			a.mu.Lock()
			s.Honest++
			s.Slowest = max(s.Slowest, time.Since(began))
			switch {
			case !good(r):
				s.Failed++
				s.Why = append(s.Why, r)
			case again > 0:
				s.PutOff = max(s.PutOff, a.stage.Clock.Now().Sub(noon))
			}
			a.mu.Unlock()
		}
	})
}

// untilTaken sends one message, and again as often as the server of its writer would. Who signs in does not come
// again: a person sits there and waits, some seconds.
func (a *act) untilTaken(ctx context.Context, i int) (reply string, again int) {
	for {
		a.pass.RLock()
		r, in := a.honestOne(ctx, i)
		a.pass.RUnlock()
		if good(r) || !in || again == mostAgain || strings.HasPrefix(r, "5") || ctx.Err() != nil {
			return r, again
		}
		again++
		// No other honest message is in the middle of anything.
		a.pass.Lock()
		a.stage.Clock.Advance(comeAgain)
		a.pass.Unlock()
	}
}

// honestOne sends one message, by the world's door or by that of our people; in: by the former.
func (a *act) honestOne(ctx context.Context, i int) (reply string, in bool) {
	l := letter{
		id: fmt.Sprintf("honest%d", i), actor: verdict.Owner,
		from: fmt.Sprintf("friend%d@%s", i, remoteDomain), to: []string{a.alice.Address},
	}
	if i%2 == 0 || !a.people() {
		c, err := a.knock(ctx, doorMX, a.peer())
		if err != nil {
			return refusal(err), true
		}
		defer c.quit()
		return a.post(c, l), true
	}
	c, err := a.call(ctx, doorSubmissions, netip.MustParseAddr("198.51.100.7"))
	if err != nil {
		return refusal(err), false
	}
	defer c.quit()
	if r := c.signIn(a.bob); !good(r) {
		return r, false
	}
	l.account, l.from = a.bob.Address, a.bob.Address
	return a.post(c, l), false
}

// refusal is the reply by which a connection was turned away, or why there was none.
func refusal(err error) string {
	var away *awayError
	if errors.As(err, &away) && away.reply != "" {
		return away.reply
	}
	return err.Error()
}
