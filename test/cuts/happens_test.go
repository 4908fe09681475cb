package cuts

import (
	"fmt"
	"strings"

	"sallyport/internal/operate"
	"sallyport/test/site"
)

// script is what happens to a server: each step is done before the next begins. What was started
// again has no connection that is kept, so that a foreign domain that can't be reached is seen to
// be.
func (v *server) script() {
	for _, do := range []func(){v.accepted, v.relayed, v.requeued, v.bounced, v.contained, v.read} {
		do()
		v.restarted()
	}
}

func (v *server) stranger() *site.Client {
	c := site.Connect(v.t, v.n.Addrs().MX[0])
	c.OK("250", "EHLO client.test")
	return c
}

func (v *server) octets(large bool) int {
	if large {
		return 150<<10 + v.rng.IntN(1000)
	}
	return 1000 + v.rng.IntN(4000)
}

// accepted: mail comes in and is put into mailboxes.
func (v *server) accepted() {
	for i, what := range []string{"a small message for a mailbox", "a large one", "one for two mailboxes"} {
		synced := v.begin("accept and deliver " + what)
		c, id := v.stranger(), fmt.Sprintf("in-%d", i)
		to := map[int]string{0: alice, 1: bob, 2: "both@local.test"}[i]
		v.give(c, "eve@elsewhere.test", id, v.octets(i == 1), to)
		synced()
		v.n.Idle()
		v.delivered(id)
		site.Must(v.t, c.Conn.Close())
	}
}

// relayed: mail of ours leaves, and goes into a mailbox too.
func (v *server) relayed() {
	for i, what := range []string{"a small message", "a large one"} {
		synced := v.begin("relay " + what)
		c, id := v.s.SignIn(v.n, true, alice), fmt.Sprintf("out-%d", i)
		v.give(c, alice, id, v.octets(i == 1), "x@remote.test", "y@remote.test", bob)
		synced()
		v.n.Idle()
		v.delivered(id)
		site.Must(v.t, c.Conn.Close())
	}
}

// change has the operator change one message.
func (v *server) change(id string, do func(operate.QueueChange) (operate.QueueChanged, error)) {
	v.t.Helper()
	r := operate.QueueChange{Select: operate.Select{IDs: []string{v.now.acked[id]}}, Reason: "look at it"}
	if n, err := do(r); err != nil || n.Count != 1 {
		v.t.Fatalf("%s: %+v, %v", v.step, n, err)
	}
}

// tried waits until a message was tried, and waits for its next turn.
func (v *server) tried(id string, attempts int) {
	v.t.Helper()
	site.Eventually(v.t, id+" to be tried", func() bool {
		m, err := v.n.Operator().QueueShow(v.t.Context(), operate.Self(), operate.QueueRef{ID: v.now.acked[id]})
		return err == nil && m.Attempts >= attempts && m.Recipients[0].Last != "" && m.Recipients[0].State == operate.RecipientPending
	})
}

// leaves has a message tried now, and waits until it left: also where the next hop could not be
// reached a moment ago, and where a try that began before fails meanwhile. It may have left
// already.
func (v *server) leaves(id string) {
	v.t.Helper()
	one := operate.QueueChange{Select: operate.Select{IDs: []string{v.now.acked[id]}}, Reason: "it can be reached"}
	_, err := v.n.Operator().QueueRetry(v.t.Context(), operate.Self(), one)
	site.Must(v.t, err)
	v.n.Idle()
	v.delivered(id)
}

// requeued: the foreign domain is away; what waits for it is held, released, and leaves at last.
func (v *server) requeued() {
	op, by, ctx := v.n.Operator(), operate.Self(), v.t.Context()
	v.s.Unreachable.Store(true)
	synced := v.begin("requeue")
	c := v.s.SignIn(v.n, false, alice)
	v.give(c, alice, "late", v.octets(false), "x@remote.test")
	synced()
	v.tried("late", 1)
	site.Must(v.t, c.Conn.Close())

	v.begin("hold")
	v.change("late", func(r operate.QueueChange) (operate.QueueChanged, error) { return op.QueueHold(ctx, by, r) })
	v.know(func(k *told) { k.held["late"] = true })

	v.begin("release")
	v.know(func(k *told) { delete(k.held, "late") })
	v.change("late", func(r operate.QueueChange) (operate.QueueChanged, error) { return op.QueueRelease(ctx, by, r) })

	v.s.Unreachable.Store(false)
	v.begin("retry and deliver")
	v.leaves("late")
}

// bounced: the foreign domain refuses somebody, and the sender is told.
func (v *server) bounced() {
	synced := v.begin("fail and notify")
	c := v.s.SignIn(v.n, true, alice)
	v.give(c, alice, "dead", v.octets(false), "dead-x@remote.test")
	synced()
	v.n.Idle()
	v.delivered("dead")
	site.Must(v.t, c.Conn.Close())
}

// contained: an account is frozen with mail in its queue, and thawed.
func (v *server) contained() {
	op, by, ctx := v.n.Operator(), operate.Self(), v.t.Context()
	v.s.Unreachable.Store(true)
	synced := v.begin("queue before a containment")
	c := v.s.SignIn(v.n, true, alice)
	v.give(c, alice, "frozen", v.octets(false), "x@remote.test")
	synced()
	v.tried("frozen", 1)
	site.Must(v.t, c.Conn.Close())

	v.begin("contain")
	v.know(func(k *told) { k.standing = "" })
	_, err := op.AccountFreeze(ctx, by, operate.AccountReason{Address: alice, Reason: "leak"})
	site.Must(v.t, err)
	v.know(func(k *told) { k.standing = "frozen"; k.held["frozen"] = true })
	v.s.Unreachable.Store(false)
	v.began()

	v.begin("end the containment")
	v.know(func(k *told) { k.standing = ""; delete(k.held, "frozen") })
	_, err = op.AccountThaw(ctx, by, operate.AccountRef{Address: alice})
	site.Must(v.t, err)
	v.know(func(k *told) { k.standing = "active" })
	v.leaves("frozen")
}

// began waits until what a containment tells its owner is in the mailbox.
func (v *server) began() {
	site.Eventually(v.t, "the owner to be told", func() bool {
		q := v.n.Queue()
		return q.Messages == q.Held
	})
}

// read: a mailbox is used by IMAP in all ways that change it.
func (v *server) read() {
	v.begin("sign in to a mailbox")
	r := v.reader(v.n)
	defer r.c.Close()
	put := func(id string) {
		text := site.Message(id, carol, v.octets(false))
		v.begin("APPEND")
		r.ok("APPEND INBOX {%d+}\r\n%s", len(text), text)
		v.know(func(k *told) { k.box["INBOX "+id] = true })
	}
	put("read-1")
	put("read-2")
	r.ok("SELECT INBOX")
	v.begin("CREATE")
	r.ok("CREATE Kept")
	v.begin("STORE")
	v.know(func(k *told) { k.renamed = "read-1" })
	r.ok("STORE 1 +FLAGS (\\Flagged)")
	v.know(func(k *told) { k.renamed = "" })
	v.begin("COPY")
	r.ok("COPY 1 Kept")
	v.know(func(k *told) { k.box["Kept read-1"] = true })
	v.begin("MOVE")
	v.know(func(k *told) { delete(k.box, "INBOX read-2"); k.moving = "read-2" })
	r.ok("MOVE 2 Kept")
	v.know(func(k *told) { k.box["INBOX read-2"], k.box["Kept read-2"], k.moving = false, true, "" })
	v.begin("EXPUNGE")
	v.know(func(k *told) { delete(k.box, "INBOX read-1") })
	r.ok("STORE 1 +FLAGS.SILENT (\\Deleted)")
	r.ok("EXPUNGE")
	v.know(func(k *told) { k.box["INBOX read-1"] = false })
}

// restarted: the server ends in the ordinary way, and starts again, so that tables are written and
// put together.
func (v *server) restarted() {
	v.begin("restart")
	v.n.Stopped()
	all := []string{}
	v.know(func(k *told) {
		for id := range k.sent {
			if v.done[id] {
				all = append(all, id)
				k.final[id] = true
			}
		}
	})
	v.n = v.s.Start()
	if len(all) == 0 || strings.Contains(strings.Join(all, " "), "  ") {
		v.t.Fatalf("%s: nothing was delivered before", v.step)
	}
}
