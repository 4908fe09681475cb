package drill

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"sallyport/internal/drill/verdict"
)

const (
	// slowCount is how many slow senders there are, where the process may have as many files.
	slowCount = 2_000
	// joinAtOnce is how many of them connect at once.
	joinAtOnce = 64
	// mostFiles is how many open files count: some systems allow more than an int holds.
	mostFiles = 1 << 20
	// leastStep is the least time that passes between two letters while they are waited out.
	leastStep = time.Second
	// dripEvery is how often each says a letter.
	dripEvery = 500 * time.Millisecond
	// dripRead is how long the server has to read them, and to hang up, before time passes again.
	dripRead = 100 * time.Millisecond
)

// crowd are connections that stay open.
type crowd struct {
	mu             sync.Mutex
	open           []*client    // in the middle of a message
	silent         []*client    // that say nothing at all
	inside, hushed atomic.Int64 // of either, that the server serves
}

// slow holds connections open by the thousand, three of four in the middle of a message, while honest
// people write; then it lets time pass until the server has hung up on all of them.
func (a *act) slow(ctx context.Context) error {
	if a.at(doorMX) == "" {
		return errNoDoor
	}
	n := a.times(slowCount)
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err == nil {
		n = min(n, int(min(files.Cur, mostFiles))/3) // both ends are ours
	}
	var c crowd
	a.besieged(n, func() {
		each(n, joinAtOnce, func(i int) { a.join(ctx, &c, i) })
		stop := make(chan struct{})
		var dripping sync.WaitGroup
		dripping.Go(func() {
			for {
				c.drip()
				select {
				case <-stop:
					return
				case <-time.After(dripEvery):
				}
			}
		})
		a.honest(ctx)
		close(stop)
		dripping.Wait()
		a.outwait(ctx, &c)
	})
	a.seen.Siege.Hostile = int(c.inside.Load() + c.hushed.Load())
	for _, one := range append(c.open, c.silent...) {
		_ = one.Close()
	}
	return nil
}

// join is one who begins a message, or says nothing after EHLO.
func (a *act) join(ctx context.Context, to *crowd, i int) {
	c, err := a.knock(ctx, doorMX, a.peer())
	if err != nil {
		return
	}
	if i%4 == 3 {
		to.mu.Lock()
		to.silent = append(to.silent, c)
		to.mu.Unlock()
		to.hushed.Add(1)
		return
	}
	to.mu.Lock()
	to.open = append(to.open, c)
	to.mu.Unlock()
	if good(c.say("MAIL FROM:<slow@"+innocentDomain+">")) &&
		good(c.say("RCPT TO:<"+[]string{a.bob.Address, a.carol.Address}[i%2]+">")) &&
		strings.HasPrefix(c.say("DATA"), "354") {
		to.inside.Add(1)
		_ = c.put("Subject: s")
	}
}

// drip says a letter on each.
func (c *crowd) drip() {
	for _, one := range c.open {
		_ = one.put("l")
	}
}

// outwait lets time pass, with a letter from each now and then, until the server serves none of
// them, or until no session may last any longer.
func (a *act) outwait(ctx context.Context, c *crowd) {
	limits := a.stage.Config.Limits
	step := max(leastStep, limits.DataTimeout/4)
	w := &verdict.Wait{Most: limits.SessionTime + 2*step}
	a.seen.Wait = w
	for w.Left = a.stage.Connections(); w.Left > 0 && w.Took < w.Most && ctx.Err() == nil; w.Left = a.stage.Connections() {
		a.stage.Clock.Advance(step)
		w.Took += step
		c.drip()
		time.Sleep(dripRead)
	}
}
