package cuts

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/cockroachdb/pebble/v2/vfs"

	"sallyport/internal/mail"
	"sallyport/internal/spool"
	"sallyport/internal/store"
)

// What one history is made of.
const (
	clients   = 4
	asked     = 14 // by each client between two crashes
	crashes   = 2
	subjects  = 3 // messages, of two accounts
	judgeTime = time.Minute
)

// queue is what of the spool is tried, so that a test can put one with a fault in its place.
type queue interface {
	NewBody(context.Context) (*spool.Body, error)
	Put(context.Context, spool.Message, *spool.Body, [][]byte) (spool.Claim, error)
	Claim(context.Context, mail.ID, string, time.Duration, time.Time) (spool.Claim, error)
	Settle(context.Context, spool.Token, []mail.Outcome, time.Time, spool.Final) (spool.Settled, error)
	Hold(context.Context, spool.Filter, string, [][]byte) (int, error)
	Release(context.Context, spool.Filter, [][]byte) (int, error)
	HoldAccount(context.Context, mail.Address, string, ...[]byte) error
	ReleaseAccount(context.Context, mail.Address, ...[]byte) error
	Get(context.Context, mail.ID) (spool.Entry, error)
}

// concurrency is one history of clients that use a queue at once.
type concurrency struct {
	t     *testing.T
	seed  uint64
	mem   *vfs.MemFS
	st    store.Store
	q     queue
	fault func(queue) queue
	ids   []mail.ID

	mu     sync.Mutex
	time   int64
	dead   bool // the power has gone
	died   int64
	tokens [][]spool.Token // of each message, as they were given
	events []porcupine.Operation
}

func concurrent(t *testing.T, seed uint64, fault func(queue) queue) *concurrency {
	c := &concurrency{t: t, seed: seed, mem: vfs.NewCrashableMem(), fault: fault, tokens: make([][]spool.Token, subjects)}
	for i := range subjects {
		id, err := mail.NewID(time.Now(), bytes.NewReader(binary.BigEndian.AppendUint64([]byte{2}, seed<<8+uint64(i))))
		c.must(err)
		c.ids = append(c.ids, id)
	}
	c.open()
	return c
}

func (c *concurrency) must(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatalf("seed %d: %v", c.seed, err)
	}
}

func (c *concurrency) open() {
	st, q, r, err := openQueue(c.mem, time.Now)
	c.must(err)
	if r.Damaged+r.Repaired > 0 {
		c.t.Errorf("seed %d: recovery %+v", c.seed, r)
	}
	c.st, c.q = st, c.fault(q)
}

// run has clients ask at once, takes the power from them several times, and in the end looks at
// everything alone.
func (c *concurrency) run() []porcupine.Operation {
	rng := rand.New(rand.NewPCG(c.seed, 0))
	for round := range crashes + 1 {
		var all sync.WaitGroup
		for client := range clients {
			all.Go(func() { c.ask(client, rand.New(rand.NewPCG(c.seed, uint64(1+client+clients*round)))) })
		}
		if round < crashes {
			c.crash(rng, &all)
			continue
		}
		all.Wait()
	}
	for m := range subjects {
		c.do(clients, question{verb: verbLook, message: m, account: m % 2})
		c.do(clients, question{verb: verbClaim, message: m, account: m % 2})
	}
	c.must(c.st.Close())
	c.alone()
	return c.events
}

// crash takes the power while clients ask, and starts on what is left.
func (c *concurrency) crash(rng *rand.Rand, all *sync.WaitGroup) {
	for range rng.IntN(400) {
		runtime.Gosched()
	}
	time.Sleep(time.Duration(rng.IntN(1500)) * time.Microsecond)
	c.mu.Lock()
	c.dead = true
	c.time += 2
	c.died = c.time - 1 // who is not answered by now was cut off, and after them comes the crash
	event := porcupine.Operation{ClientId: clients, Input: question{verb: verbCrash}, Output: answer{said: saidOK}, Call: c.time}
	c.mu.Unlock()
	loss := []int{0, 50, 100}[rng.IntN(3)]
	left := c.mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: loss, RNG: rng})
	all.Wait()
	_ = c.st.Close() // of a process that is dead
	c.mem = left
	c.open()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.time++
	event.Return = c.time
	c.events = append(c.events, event)
	c.dead = false
}

// ask is one client.
func (c *concurrency) ask(client int, rng *rand.Rand) {
	verbs := []verb{
		verbPut, verbPut, verbClaim, verbClaim, verbClaim, verbSettle, verbSettle, verbSettle, verbHold,
		verbRelease, verbRelease, verbContain, verbFree, verbFree, verbLook,
	}
	for range asked {
		m := rng.IntN(subjects)
		q := question{verb: verbs[rng.IntN(len(verbs))], message: m, account: m % 2, done: rng.IntN(3) > 0}
		if !c.do(client, q) {
			return
		}
		if rng.IntN(3) == 0 {
			time.Sleep(time.Duration(rng.IntN(200)) * time.Microsecond)
		}
	}
}

// do asks one question and enters it with its answer; false: the power is gone.
func (c *concurrency) do(client int, q question) bool {
	c.mu.Lock()
	if c.dead {
		c.mu.Unlock()
		return false
	}
	var token spool.Token
	if given := c.tokens[q.message]; q.verb == verbSettle && len(given) > 0 {
		token = given[max(0, len(given)-1-int(c.time%2))] // the last, or the one before
		q.fence = token.Fence
	}
	c.time++
	event := porcupine.Operation{ClientId: client, Call: c.time}
	c.mu.Unlock()
	a, given := c.answer(q, token)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dead {
		a, event.Return = answer{said: saidUnknown}, c.died
	} else {
		c.time++
		event.Return = c.time
		if given != (spool.Token{}) {
			c.tokens[q.message] = append(c.tokens[q.message], given)
		}
	}
	event.Input, event.Output = q, a
	c.events = append(c.events, event)
	return true
}

// answer asks the queue.
func (c *concurrency) answer(q question, token spool.Token) (answer, spool.Token) {
	one := spool.Filter{IDs: []mail.ID{c.ids[q.message]}}
	account, err := mail.ParseAddress(owners()[q.account], mail.UTF8)
	if err != nil {
		return c.said(err), spool.Token{}
	}
	switch q.verb {
	case verbPut:
		return c.put(q, account)
	case verbClaim:
		given, err := c.q.Claim(ctx(), one.IDs[0], "client", time.Hour, time.Now())
		a := c.said(err)
		a.fence = given.Token.Fence
		return a, given.Token
	case verbSettle:
		code := map[bool]int{true: 250, false: 451}[q.done]
		to, err := mail.ParseAddress("bob@local.test", mail.UTF8)
		c.must(err)
		_, err = c.q.Settle(ctx(), token, []mail.Outcome{{Recipient: to, Reply: mail.R(code, "2.0.0", "so it is"), Remote: "remote.test"}}, time.Now(), spool.Final{})
		return c.said(err), spool.Token{}
	case verbHold:
		n, err := c.q.Hold(ctx(), one, "look at it", nil)
		return c.changed(n, err), spool.Token{}
	case verbRelease:
		n, err := c.q.Release(ctx(), one, nil)
		return c.changed(n, err), spool.Token{}
	case verbContain:
		return c.said(c.q.HoldAccount(ctx(), account, "contained")), spool.Token{}
	case verbFree:
		return c.said(c.q.ReleaseAccount(ctx(), account)), spool.Token{}
	}
	e, err := c.q.Get(ctx(), one.IDs[0])
	a := c.said(err)
	if err == nil && e.Held != "" {
		a.said = saidHeld
	}
	return a, spool.Token{}
}

// put accepts a message under an id that was perhaps used before.
func (c *concurrency) put(q question, account mail.Address) (answer, spool.Token) {
	to, err := mail.ParseAddress("bob@local.test", mail.UTF8)
	c.must(err)
	r := mail.Recipient{Address: to}
	body, err := c.q.NewBody(ctx())
	c.must(err)
	_, err = body.Write([]byte("a message"))
	c.must(err)
	given, err := c.q.Put(ctx(), spool.Message{
		ID: c.ids[q.message], Envelope: mail.Envelope{From: mail.PathOf(account), To: []mail.Recipient{r}}, Account: account,
		Deliveries: []spool.Delivery{{Recipient: r, Kind: spool.KindLocal, Mailbox: to}},
	}, body, nil)
	a := c.said(err)
	a.fence = given.Token.Fence
	return a, given.Token
}

// said is an error in a word.
func (c *concurrency) said(err error) answer {
	for word, is := range map[said]error{saidHeld: spool.ErrHeld, saidClaimed: spool.ErrClaimed, saidStale: spool.ErrStale, saidGone: spool.ErrNotFound, saidTaken: spool.ErrInvalid} {
		if errors.Is(err, is) {
			return answer{said: word}
		}
	}
	if err != nil {
		return answer{said: said(err.Error())}
	}
	return answer{said: saidOK}
}

func (c *concurrency) changed(n int, err error) answer {
	if err == nil && n == 0 {
		return answer{said: saidNothing}
	}
	return c.said(err)
}

// alone marks what no claim, put or settlement of the same message overlaps.
func (c *concurrency) alone() {
	for i, a := range c.events {
		q := a.Input.(question)
		q.alone = !slices.ContainsFunc(c.events, func(b porcupine.Operation) bool {
			p := b.Input.(question)
			return (p.verb == verbClaim || p.verb == verbPut || p.verb == verbSettle) && p.message == q.message && b.Call != a.Call && b.Call <= a.Return && a.Call <= b.Return
		})
		c.events[i].Input = q
	}
}

func sound(q queue) queue { return q }

// Clients put, claim, settle, hold and release at once, contain accounts and free them, and the
// power goes between: there is an order, one after the other, in which every one of them would have
// been told the same.
func TestTheQueueIsAsOneAfterTheOther(t *testing.T) {
	size := size(t)
	words := map[string]int{}
	events := 0
	for i := range size.concurrent {
		seed := size.seed + uint64(i)
		all := concurrent(t, seed, sound).run()
		for _, e := range all {
			q, a := e.Input.(question), e.Output.(answer)
			words[fmt.Sprintf("%s: %s", q.verb, a.said)]++
			words[string(a.said)]++
		}
		events += len(all)
		if got := porcupine.CheckOperationsTimeout(model(), all, judgeTime); got != porcupine.Ok {
			t.Fatalf("seed %d: %s: %s", seed, got, written(all))
		}
	}
	t.Logf("%d histories, %d questions, each as one after the other: %v", size.concurrent, events, words)
	for _, want := range []string{"claim: ok", "claim: held", "claim: claimed", "settle: stale", "crash: ok", string(saidUnknown)} {
		if words[want] == 0 {
			t.Errorf("nobody was told %q", want)
		}
	}
}

func written(all []porcupine.Operation) string {
	var b bytes.Buffer
	for _, part := range byMessage(all) {
		if porcupine.CheckOperations(modelOfOne(), part) {
			continue
		}
		slices.SortFunc(part, func(x, y porcupine.Operation) int { return int(x.Call - y.Call) })
		for _, e := range part {
			q, a := e.Input.(question), e.Output.(answer)
			fmt.Fprintf(&b, "\n%4d to %4d, client %d: %s (fence %x, done %v, alone %v): %s %x", e.Call, e.Return, e.ClientId, q.verb, q.fence, q.done, q.alone, a.said, a.fence)
		}
		b.WriteString("\n")
	}
	return b.String()
}

// modelOfOne judges one message alone.
func modelOfOne() porcupine.Model {
	m := model()
	m.Partition = nil
	return m
}
