package node

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"sallyport/internal/fact"
	"sallyport/internal/operate"
	"sallyport/internal/trace/query"
	"sallyport/test/load"
)

func TestAStrangersMailReachesMailboxes(t *testing.T) {
	noLeaks(t)
	s := newSite(t, nil)
	n := s.start()
	s.populate(n.Node)
	small, large := message("small", "eve@elsewhere.test", 2000), message("large", "eve@elsewhere.test", 300<<10)
	c := connect(t, n.Addrs().MX[0])
	c.ok("250", "EHLO client.test")
	first := c.send("eve@elsewhere.test", small, "alice@local.test", "bob+lists@local.test")
	second := c.send("eve@elsewhere.test", large, "both@local.test")
	for _, reply := range []string{first, second} {
		if !strings.HasPrefix(reply, "250 2.0.0") {
			t.Fatalf("got %q", reply)
		}
	}
	if r := c.send("eve@elsewhere.test", small, "x@remote.test"); !strings.HasPrefix(r, "550") {
		t.Errorf("relaying for a stranger was answered %q", r)
	}
	c.ok("221", "QUIT")
	n.idle()
	for _, local := range []string{"alice", "bob"} {
		found, err := boxOf(vfs.Default, s.cfg.Maildir.Root, local)
		must(t, err)
		for id, sent := range map[string]string{"small": small, "large": large} {
			if len(found[id]) != 1 {
				t.Fatalf("%s has %d copies of %s", local, len(found[id]), id)
			}
			must(t, exact(found[id][0], sent))
		}
	}
	for _, reply := range []string{first, second} {
		demandFacts(t, n.Node, queueID(reply), fact.KindAccept, fact.KindOutcome)
	}
	if s.sink.Connections() != 0 {
		t.Error("a stranger's mail opened a connection to another host")
	}
}

// demandFacts asks the trace about a message for facts of these kinds.
func demandFacts(t *testing.T, n *Node, id string, kinds ...fact.Kind) {
	t.Helper()
	answer, err := n.Operator().Trace(t.Context(), root, operate.TraceQuery{Text: id})
	must(t, err)
	for _, k := range kinds {
		if !slices.ContainsFunc(answer.Entries, func(e query.Entry) bool { return e.Fact.Kind == k && e.Fact.Queue.String() == id }) {
			t.Errorf("the trace has no fact %q of %s", k, id)
		}
	}
}

// signIn opens a session on either submission port and signs in.
func (s *site) signIn(n *running, implicit bool, account string) *client {
	s.t.Helper()
	var c *client
	if implicit {
		c = connectTLS(s.t, n.Addrs().Submissions[0], s.clientTLS())
	} else {
		c = connect(s.t, n.Addrs().Submission[0])
		c.ok("250", "EHLO client.test")
		c.startTLS(s.clientTLS())
	}
	c.ok("250", "EHLO client.test")
	c.ok("235", "%s", plain(account))
	return c
}

func TestSubmittedMailReachesItsNextHop(t *testing.T) {
	noLeaks(t)
	s := newSite(t, nil)
	n := s.start()
	s.populate(n.Node)
	for _, implicit := range []bool{false, true} {
		c := s.signIn(n, implicit, "alice@local.test")
		for _, size := range []int{500, 300 << 10} {
			id := fmt.Sprintf("out-%v-%d", implicit, size)
			text := message(id, "alice@local.test", size)
			reply := c.send("alice@local.test", text, "x@remote.test", "bob@local.test")
			if !strings.HasPrefix(reply, "250 2.0.0") {
				t.Fatalf("got %q", reply)
			}
			n.idle()
			copies := arrived(s.sink, 0, s.sink.Messages())[id+" x@remote.test"]
			if len(copies) != 1 {
				t.Fatalf("%d copies of %s arrived", len(copies), id)
			}
			must(t, exact(copies[0], text))
			demandFacts(t, n.Node, queueID(reply), fact.KindAccept, fact.KindOutcome)
		}
	}
	if faults := s.sink.Faults(); len(faults) > 0 {
		t.Errorf("on the wire: %q", faults)
	}
}

// A frozen account: its session is cut, what it sent waits, nobody signs in to it,
// it goes on receiving; thawed, its mail leaves.
func TestAFrozenAccountSendsNothing(t *testing.T) {
	noLeaks(t)
	s := newSite(t, nil, "[retry]", `first = "1s"`)
	n := s.start()
	s.populate(n.Node)
	s.unreachable.Store(true)
	alice := s.signIn(n, true, "alice@local.test")
	text := message("caught", "alice@local.test", 500)
	id := queueID(alice.send("alice@local.test", text, "x@remote.test"))

	_, err := n.Operator().AccountFreeze(t.Context(), root, operate.AccountReason{Address: "alice@local.test", Reason: "a test"})
	must(t, err)
	s.unreachable.Store(false)
	if r := alice.reply(); !strings.HasPrefix(r, "421") || alice.reply() != "" {
		t.Errorf("the session of a frozen account goes on: %q", r)
	}
	c := connectTLS(t, n.Addrs().Submissions[0], s.clientTLS())
	c.ok("250", "EHLO client.test")
	c.ok("535", "%s", plain("alice@local.test"))
	mx := connect(t, n.Addrs().MX[0])
	mx.ok("250", "EHLO client.test")
	if r := mx.send("eve@elsewhere.test", message("in", "eve@elsewhere.test", 100), "alice@local.test"); !strings.HasPrefix(r, "250") {
		t.Errorf("mail for a frozen account was answered %q", r)
	}
	_, err = n.Operator().QueueRetry(t.Context(), root, operate.QueueChange{Select: operate.Select{All: true}})
	must(t, err)
	time.Sleep(1500 * time.Millisecond) // longer than the next try was away
	if m, err := n.Operator().QueueShow(t.Context(), root, operate.QueueRef{ID: id}); err != nil || !strings.HasPrefix(m.State, "held") {
		t.Fatalf("the message is %q, %v; want held", m.State, err)
	}
	if s.sink.Connections() != 0 {
		t.Fatal("mail of a frozen account left")
	}

	_, err = n.Operator().AccountThaw(t.Context(), root, operate.AccountRef{Address: "alice@local.test"})
	must(t, err)
	n.idle()
	copies := arrived(s.sink, 0, s.sink.Messages())["caught x@remote.test"]
	if len(copies) != 1 {
		t.Fatalf("%d copies arrived after the thaw", len(copies))
	}
	must(t, exact(copies[0], text))
	s.signIn(n, true, "alice@local.test").ok("221", "QUIT")
}

// The server stops and starts again while 16 clients send: what had its 250 before
// the stop is delivered, whole, and once.
func TestStoppingLosesNothing(t *testing.T) {
	noLeaks(t)
	s := newSite(t, vfs.NewMem())
	const messages = 1500
	n := s.start()
	s.populate(n.Node)
	var at atomic.Pointer[string]
	at.Store(&n.Addrs().MX[0])
	reached := make(chan struct{})
	var once sync.Once
	var rep load.Report
	var wg sync.WaitGroup
	wg.Go(func() {
		var err error
		rep, err = load.Run(context.Background(), load.Options{
			Addr: func() string { return *at.Load() }, Connections: 16, Messages: messages, Size: 8000,
			From: "load@elsewhere.test", To: []string{"alice@local.test", "bob@local.test"}, Pipelining: true, Prefix: "stop",
			Patience: 20 * time.Second,
			Progress: func(acked int) {
				if acked >= messages/3 {
					once.Do(func() { close(reached) })
				}
			},
		})
		if err != nil {
			t.Error(err)
		}
	})
	<-reached
	n.cancel()
	must(t, <-n.served)
	n.served <- nil
	if open := n.admission.Open(); open != 0 {
		t.Errorf("%d connections survived Serve", open)
	}
	if c, err := net.Dial("tcp", *at.Load()); err == nil {
		c.Close()
		t.Error("the door is still open")
	}
	again := s.restart(n)
	at.Store(&again.Addrs().MX[0])
	wg.Wait()
	again.idle()
	if rep.Acknowledged != messages || rep.Refused != 0 || rep.Broken == 0 {
		t.Errorf("%+v", rep)
	}
	copiesOf := map[string]int{}
	for _, local := range []string{"alice", "bob"} {
		found, err := boxOf(s.fs, s.cfg.Maildir.Root, local)
		must(t, err)
		for id, copies := range found {
			copiesOf[id] += len(copies)
			for _, c := range copies {
				if !strings.HasSuffix(c, "\r\n") || len(c) < 8000 {
					t.Errorf("%s was cut: %d octets", id, len(c))
				}
			}
		}
	}
	for _, id := range rep.Acks {
		if copiesOf[id] == 0 {
			t.Errorf("%s was acknowledged and is lost", id)
		}
	}
}

// A message under way at the stop gets its 250 and is kept; one that does not end
// in time gets none, and nothing of it is kept.
func TestAMessageUnderWayMayEnd(t *testing.T) {
	noLeaks(t)
	s := newSite(t, vfs.NewMem())
	s.cfg.Limits.ShutdownGrace = time.Second
	n := s.start()
	s.populate(n.Node)
	begin := func(id string) *client {
		c := connect(t, n.Addrs().MX[0])
		c.ok("250", "EHLO client.test")
		c.ok("250", "MAIL FROM:<eve@elsewhere.test>")
		c.ok("250", "RCPT TO:<alice@local.test>")
		c.ok("354", "DATA")
		_, err := fmt.Fprintf(c.c, "Subject: x\r\n%s%s\r\n\r\nhalf\r\n", load.IDField, id)
		must(t, err)
		return c
	}
	ends, stalls, waits := begin("ends"), begin("stalls"), connect(t, n.Addrs().MX[0])
	waits.ok("250", "EHLO client.test")
	n.cancel()
	waits.want("421")
	ends.ok("250 2.0.0", "the other half\r\n.")
	if r := stalls.reply(); strings.HasPrefix(r, "2") {
		t.Errorf("half a message was answered %q", r)
	}
	n.stopped()
	s.cfg.Limits.ShutdownGrace = 10 * time.Second
	again := s.start()
	again.idle()
	found, err := boxOf(s.fs, s.cfg.Maildir.Root, "alice")
	must(t, err)
	if len(found["ends"]) != 1 || len(found["stalls"]) != 0 {
		t.Errorf("%d copies of the whole message, %d of the half one", len(found["ends"]), len(found["stalls"]))
	}
}

// restart starts a node on the folder of one that has ended.
func (s *site) restart(n *running) *running {
	s.t.Helper()
	n.stopped()
	return s.start()
}

// A part of the server that ends by itself ends the server, with its name.
func TestHalfAServerDoesNotServe(t *testing.T) {
	noLeaks(t)
	for part, breakIt := range map[string]func(*Node){
		"submission":        func(n *Node) { n.listeners.Of("submission")[0].Close() },
		"operator's socket": func(n *Node) { n.listeners.Of(serviceAdmin)[0].Close() },
	} {
		s := newSite(t, vfs.NewMem())
		n := s.open()
		must(t, n.Listen(t.Context()))
		served := make(chan error, 1)
		go func() { served <- n.Serve(context.Background()) }()
		connect(t, n.Addrs().MX[0]).ok("250", "EHLO client.test")
		breakIt(n)
		select {
		case err := <-served:
			if err == nil || !strings.Contains(err.Error(), part) {
				t.Errorf("Serve ended with %v, want the name of %s", err, part)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("the server goes on without its %s", part)
		}
		must(t, n.Close())
	}
}

// A server that is told to stop before it began stops, and has nothing to complain.
func TestStoppedBeforeItServes(t *testing.T) {
	noLeaks(t)
	s := newSite(t, vfs.NewMem())
	n := s.open()
	must(t, n.Listen(t.Context()))
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := n.Serve(ctx); err != nil {
		t.Errorf("Serve: %v", err)
	}
	must(t, n.Close())
	must(t, n.Close())
}

// 2,000 messages that wait for a dead next hop outlive a restart, and leave when
// the next hop is back.
func TestAQueueOutlivesARestart(t *testing.T) {
	noLeaks(t)
	s := newSite(t, vfs.NewMem())
	const messages = 2000
	s.unreachable.Store(true)
	n := s.start()
	s.populate(n.Node)
	wide := messages // one account stands for many people
	_, err := n.Operator().AccountSet(t.Context(), operate.Caller{UID: 0, Known: true}, operate.AccountSet{Address: "alice@local.test", RecipientsHour: &wide, RecipientsDay: &wide})
	must(t, err)
	rep, err := load.Run(t.Context(), load.Options{
		Addr: func() string { return n.Addrs().Submissions[0] }, Connections: 10, Messages: messages, Size: 2000,
		From: "alice@local.test", To: []string{"x@remote.test", "y@remote.test"}, User: "alice@local.test", Password: password,
		Security: load.Implicit, TLS: s.clientTLS(), Pipelining: true, Prefix: "queued", Patience: 10 * time.Second,
	})
	must(t, err)
	n.stopped()

	began := time.Now()
	again := s.open()
	t.Logf("opened with %d messages in the queue in %v", again.data.Spool.Stats().Entries, time.Since(began))
	if got := again.data.Spool.Stats(); got.Entries != messages || got.Held != 0 {
		t.Errorf("after the restart the queue is %+v", got)
	}
	s.unreachable.Store(false)
	r := s.serve(again)
	_, err = r.Operator().QueueRetry(t.Context(), root, operate.QueueChange{Select: operate.Select{All: true}})
	must(t, err)
	r.idle()
	ids := s.sink.IDs()
	for _, id := range rep.Acks {
		if ids[id] == 0 {
			t.Errorf("%s was acknowledged and did not leave", id)
		}
	}
	if rep.Acknowledged != messages {
		t.Errorf("%+v", rep)
	}
}

// While paused a node accepts and delivers nothing; its successor delivers.
func TestPaused(t *testing.T) {
	noLeaks(t)
	s := newSite(t, vfs.NewMem())
	o := s.options()
	o.Paused = true
	n, err := Open(t.Context(), s.cfg, o)
	must(t, err)
	s.populate(n)
	r := s.serve(n)
	c := connect(t, r.Addrs().MX[0])
	c.ok("250", "EHLO client.test")
	text := message("waits", "eve@elsewhere.test", 100)
	if reply := c.send("eve@elsewhere.test", text, "alice@local.test"); !strings.HasPrefix(reply, "250") {
		t.Fatalf("got %q", reply)
	}
	time.Sleep(300 * time.Millisecond)
	if found, err := boxOf(s.fs, s.cfg.Maildir.Root, "alice"); err != nil || len(found) != 0 {
		t.Errorf("delivered although paused: %v, %v", found, err)
	}
	again := s.restart(r)
	again.idle()
	found, err := boxOf(s.fs, s.cfg.Maildir.Root, "alice")
	must(t, err)
	if len(found["waits"]) != 1 {
		t.Errorf("%d copies after the pause", len(found["waits"]))
	}
}
