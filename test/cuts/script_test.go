package cuts

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"time"

	"sallyport/internal/mail"
	"sallyport/internal/spool"
)

// step is one thing that may be done with a queue; it answers false if there is nothing to do it to.
type step struct {
	name string
	do   func() bool
}

// script is all that may happen, the usual more often than the rare.
func (h *history) script() []step {
	accept := step{"accept", func() bool { return h.accept(1000 + h.rng.IntN(6000)) }}
	delivered := step{"deliver", func() bool { return h.settle(250, 0) }}
	return []step{
		accept, accept, accept, accept, delivered, delivered, delivered,
		{"accept a large one", func() bool { return h.accept(large + h.rng.IntN(1000)) }},
		{"claim", h.claim},
		{"requeue", func() bool { return h.settle(451, 0) }},
		{"fail and notify", func() bool { return h.settle(550, 1) }},
		{"send on", func() bool { return h.settle(250, 3) }},
		{"hold", h.hold},
		{"release", h.release},
		{"retry", h.retry},
		{"remove", h.remove},
		{"contain", func() bool { return h.contain(true) }},
		{"free", func() bool { return h.contain(false) }},
		{"let time pass", h.pass},
		{"restart", h.restart},
	}
}

// letter makes a message of an account's, and its body.
func (h *history) letter(account string, size int) (spool.Message, *spool.Body, string) {
	n := uint64(len(h.order)) + 1
	id, err := mail.NewID(time.Now(), bytes.NewReader(binary.BigEndian.AppendUint64([]byte{1}, n)))
	h.must(err)
	owner, err := mail.ParseAddress(account, mail.UTF8)
	h.must(err)
	to, err := mail.ParseAddress("bob@local.test", mail.UTF8)
	h.must(err)
	r := mail.Recipient{Address: to}
	m := spool.Message{
		ID: id, Envelope: mail.Envelope{From: mail.PathOf(owner), To: []mail.Recipient{r}}, Account: owner, MessageID: "<1@local.test>",
		Prefix: []byte("Received: from somewhere\r\n"), Deliveries: []spool.Delivery{{Recipient: r, Kind: spool.KindLocal, Mailbox: to}},
	}
	line := fmt.Sprintf("message %d of %s\r\n", n, account)
	text := string(bytes.Repeat([]byte(line), size/len(line)+1))
	b, err := h.q.NewBody(ctx())
	h.must(err)
	_, err = b.Write([]byte(text))
	h.must(err)
	h.order = append(h.order, id)
	return m, b, text
}

// free is an account whose queue is not held.
func (h *history) free() (string, bool) {
	for _, i := range h.rng.Perm(len(owners())) {
		if a := owners()[i]; !h.accounts[a][1] {
			return a, true
		}
	}
	return "", false
}

func owners() []string { return []string{"alice@local.test", "carol@local.test"} }

func (h *history) accept(size int) bool {
	a, ok := h.free()
	if !ok {
		return false
	}
	m, body, text := h.letter(a, size)
	fact := h.change(func() { h.messages[m.ID] = message{content: text, account: a, was: gone, is: waiting} })
	c, err := h.q.Put(ctx(), m, body, fact)
	h.claims[m.ID] = c
	return h.synced(err)
}

// claim takes a message that nobody has.
func (h *history) claim() bool {
	id, ok := h.one(func(id mail.ID, m message) bool {
		_, has := h.claims[id]
		return m.is == waiting && !has && !h.accounts[m.account][1]
	})
	if !ok {
		return false
	}
	c, err := h.q.Claim(ctx(), id, "history", time.Hour, time.Now())
	h.must(err)
	h.claims[id] = c
	return true
}

// settle ends an attempt with a reply, and spawns so many messages in the same act.
func (h *history) settle(code, spawned int) bool {
	id, ok := h.one(func(id mail.ID, m message) bool { _, has := h.claims[id]; return m.is == waiting && has })
	if !ok {
		return false
	}
	var f spool.Final
	children := map[mail.ID]message{}
	for range spawned {
		a, ok := h.free()
		if !ok {
			return false
		}
		m, body, text := h.letter(a, 500+h.rng.IntN(2)*large)
		m.Forward = spool.ForwardSent
		f.Spawn = append(f.Spawn, spool.Spawned{Message: m, Body: body})
		children[m.ID] = message{content: text, account: a, was: gone, is: waiting, born: id}
	}
	f.Facts = h.change(func() {
		for child, m := range children {
			h.messages[child] = m
		}
		if code != 451 {
			h.becomes(id, gone)
		}
	})
	token := h.claims[id].Token
	file := len(h.messages[id].content) > spool.DefaultLimits().InlineOctets
	to := h.claims[id].Entry.Recipients[0].Recipient.Address
	delete(h.claims, id)
	_, err := h.q.Settle(ctx(), token, []mail.Outcome{{Recipient: to, Reply: mail.R(code, fmt.Sprintf("%d.0.0", code/100), "so it is"), Remote: "remote.test"}}, time.Now(), f)
	h.must(err)
	if spawned > 0 || code == 550 || code == 250 && file {
		return h.synced(nil)
	}
	return true // settled lazily: it may be forgotten until something is synced
}

// several changes one message that is somewhere, by a command.
func (h *history) command(from, to place, do func(spool.Filter, [][]byte) (int, error)) bool {
	id, ok := h.one(func(_ mail.ID, m message) bool { return m.is == from })
	if !ok {
		return false
	}
	fact := h.change(func() { h.becomes(id, to) })
	n, err := do(spool.Filter{IDs: []mail.ID{id}}, fact)
	if n != 1 {
		h.t.Fatalf("%s: %d messages changed, %v", h.step, n, err)
	}
	if to == gone {
		delete(h.claims, id)
	}
	return h.synced(err)
}

func (h *history) hold() bool {
	return h.command(waiting, held, func(f spool.Filter, fact [][]byte) (int, error) { return h.q.Hold(ctx(), f, "look at it", fact) })
}

func (h *history) release() bool {
	return h.command(held, waiting, func(f spool.Filter, fact [][]byte) (int, error) { return h.q.Release(ctx(), f, fact) })
}

func (h *history) remove() bool {
	return h.command(waiting, gone, func(f spool.Filter, fact [][]byte) (int, error) { return h.q.Remove(ctx(), f, fact) })
}

// retry makes a message due that no account holds back.
func (h *history) retry() bool {
	for _, held := range h.accounts {
		if held[1] {
			return false
		}
	}
	return h.command(waiting, waiting, func(f spool.Filter, fact [][]byte) (int, error) { return h.q.Retry(ctx(), f, fact) })
}

// contain holds the queue of an account, or frees it.
func (h *history) contain(hold bool) bool {
	for _, i := range h.rng.Perm(len(owners())) {
		a := owners()[i]
		if h.accounts[a][1] == hold {
			continue
		}
		owner, err := mail.ParseAddress(a, mail.UTF8)
		h.must(err)
		fact := h.change(func() { h.accounts[a] = [2]bool{!hold, hold} })
		if hold {
			return h.synced(h.q.HoldAccount(ctx(), owner, "contained", fact...))
		}
		return h.synced(h.q.ReleaseAccount(ctx(), owner, fact...))
	}
	return false
}

// pass lets as much time pass as what was settled lazily may stay unsynced.
func (h *history) pass() bool {
	time.Sleep(2 * lazyTime)
	return h.synced(nil)
}

// restart ends the server in the ordinary way, and starts it again.
func (h *history) restart() bool {
	h.must(h.st.Close())
	h.synced(nil)
	h.open()
	return true
}
