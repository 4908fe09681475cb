package node_test

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"sallyport/internal/node"
	"sallyport/internal/operate"
	"sallyport/test/load"
	"sallyport/test/site"
)

// The server stops and starts again while 16 clients send: what had its 250 before
// the stop is delivered, whole, and once.
func TestStoppingLosesNothing(t *testing.T) {
	site.NoLeaks(t)
	s := site.New(t, vfs.NewMem())
	const messages = 1500
	n := s.Start()
	s.Populate(n.Node)
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
	site.Must(t, n.End())
	if open := n.Connections(); open != 0 {
		t.Errorf("%d connections survived Serve", open)
	}
	if c, err := net.Dial("tcp", *at.Load()); err == nil {
		c.Close()
		t.Error("the door is still open")
	}
	again := s.Restart(n)
	at.Store(&again.Addrs().MX[0])
	wg.Wait()
	again.Idle()
	if rep.Acknowledged != messages || rep.Refused != 0 || rep.Broken == 0 {
		t.Errorf("%+v", rep)
	}
	copiesOf := map[string]int{}
	for _, local := range []string{"alice", "bob"} {
		found, err := site.BoxOf(s.FS, s.Config.Maildir.Root, local)
		site.Must(t, err)
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
	site.NoLeaks(t)
	s := site.New(t, vfs.NewMem())
	s.Config.Limits.ShutdownGrace = time.Second
	n := s.Start()
	s.Populate(n.Node)
	begin := func(id string) *site.Client {
		c := site.Connect(t, n.Addrs().MX[0])
		c.OK("250", "EHLO client.test")
		c.OK("250", "MAIL FROM:<eve@elsewhere.test>")
		c.OK("250", "RCPT TO:<alice@local.test>")
		c.OK("354", "DATA")
		_, err := fmt.Fprintf(c.Conn, "Subject: x\r\n%s%s\r\n\r\nhalf\r\n", load.IDField, id)
		site.Must(t, err)
		return c
	}
	ends, stalls, waits := begin("ends"), begin("stalls"), site.Connect(t, n.Addrs().MX[0])
	waits.OK("250", "EHLO client.test")
	n.Cancel()
	waits.Want("421")
	ends.OK("250 2.0.0", "the other half\r\n.")
	if r := stalls.Reply(); strings.HasPrefix(r, "2") {
		t.Errorf("half a message was answered %q", r)
	}
	n.Stopped()
	s.Config.Limits.ShutdownGrace = 10 * time.Second
	again := s.Start()
	again.Idle()
	found, err := site.BoxOf(s.FS, s.Config.Maildir.Root, "alice")
	site.Must(t, err)
	if len(found["ends"]) != 1 || len(found["stalls"]) != 0 {
		t.Errorf("%d copies of the whole message, %d of the half one", len(found["ends"]), len(found["stalls"]))
	}
}

// A part of the server that ends by itself ends the server, with its name.
func TestHalfAServerDoesNotServe(t *testing.T) {
	site.NoLeaks(t)
	for part, breakIt := range map[string]func(*node.Node){
		"submission":        func(n *node.Node) { n.Listeners("submission")[0].Close() },
		"operator's socket": func(n *node.Node) { n.Listeners("admin")[0].Close() },
	} {
		s := site.New(t, vfs.NewMem())
		n := s.Open()
		site.Must(t, n.Listen(t.Context()))
		served := make(chan error, 1)
		go func() { served <- n.Serve(context.Background()) }()
		site.Connect(t, n.Addrs().MX[0]).OK("250", "EHLO client.test")
		breakIt(n)
		select {
		case err := <-served:
			if err == nil || !strings.Contains(err.Error(), part) {
				t.Errorf("Serve ended with %v, want the name of %s", err, part)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("the server goes on without its %s", part)
		}
		site.Must(t, n.Close())
	}
}

// A server that is told to stop before it began stops, and has nothing to complain.
func TestStoppedBeforeItServes(t *testing.T) {
	site.NoLeaks(t)
	s := site.New(t, vfs.NewMem())
	n := s.Open()
	site.Must(t, n.Listen(t.Context()))
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := n.Serve(ctx); err != nil {
		t.Errorf("Serve: %v", err)
	}
	site.Must(t, n.Close())
	site.Must(t, n.Close())
}

// 2,000 messages that wait for a dead next hop outlive a restart, and leave when
// the next hop is back.
func TestAQueueOutlivesARestart(t *testing.T) {
	site.NoLeaks(t)
	s := site.New(t, vfs.NewMem())
	const messages = 2000
	s.Unreachable.Store(true)
	n := s.Start()
	s.Populate(n.Node)
	wide := messages // one account stands for many people
	_, err := n.Operator().AccountSet(t.Context(), operate.Caller{UID: 0, Known: true}, operate.AccountSet{
		Address: "alice@local.test", RecipientsHour: &wide, RecipientsDay: &wide,
	})
	site.Must(t, err)
	rep, err := load.Run(t.Context(), load.Options{
		Addr: func() string { return n.Addrs().Submissions[0] }, Connections: 10, Messages: messages, Size: 2000,
		From: "alice@local.test", To: []string{"x@remote.test", "y@remote.test"}, User: "alice@local.test", Password: site.Password,
		Security: load.Implicit, TLS: s.ClientTLS(), Pipelining: true, Prefix: "queued", Patience: 10 * time.Second,
	})
	site.Must(t, err)
	n.Stopped()

	began := time.Now()
	again := s.Open()
	status, err := again.Operator().Status(t.Context(), operate.Self(), struct{}{})
	site.Must(t, err)
	t.Logf("opened with %d messages in the queue in %v", status.Queue.Messages, time.Since(began))
	if got := status.Queue; got.Messages != messages || got.Held != 0 {
		t.Errorf("after the restart the queue is %+v", got)
	}
	s.Unreachable.Store(false)
	r := s.Serve(again)
	_, err = r.Operator().QueueRetry(t.Context(), operate.Self(), operate.QueueChange{Select: operate.Select{All: true}})
	site.Must(t, err)
	r.Idle()
	ids := s.Sink.IDs()
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
	site.NoLeaks(t)
	s := site.New(t, vfs.NewMem())
	o := s.Options()
	o.Paused = true
	n, err := node.Open(t.Context(), s.Config, o)
	site.Must(t, err)
	s.Populate(n)
	r := s.Serve(n)
	c := site.Connect(t, r.Addrs().MX[0])
	c.OK("250", "EHLO client.test")
	text := site.Message("waits", "eve@elsewhere.test", 100)
	if reply := c.Send("eve@elsewhere.test", text, "alice@local.test"); !strings.HasPrefix(reply, "250") {
		t.Fatalf("got %q", reply)
	}
	time.Sleep(300 * time.Millisecond)
	if found, err := site.BoxOf(s.FS, s.Config.Maildir.Root, "alice"); err != nil || len(found) != 0 {
		t.Errorf("delivered although paused: %v, %v", found, err)
	}
	again := s.Restart(r)
	again.Idle()
	found, err := site.BoxOf(s.FS, s.Config.Maildir.Root, "alice")
	site.Must(t, err)
	if len(found["waits"]) != 1 {
		t.Errorf("%d copies after the pause", len(found["waits"]))
	}
}

func TestNoMetricsUnlessAskedFor(t *testing.T) {
	site.NoLeaks(t)
	if n := site.New(t, nil).Start(); n.Listeners("metrics") != nil || n.Metered() {
		t.Error("metrics are kept although nobody asked for them")
	}
}
