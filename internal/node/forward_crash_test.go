package node

import (
	"fmt"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"sallyport/internal/directory"
)

// The power fails at sampled operations while mail is forwarded, with a copy for the
// mailbox and without: whatever had its 250 reaches the target, and the mailbox exactly
// if it keeps copies, on what is left of the disk; nothing is half.
func TestPowerFailsWhileMailIsForwarded(t *testing.T) {
	noLeaks(t)
	disk := vfs.NewCrashableMem()
	s := newSite(t, disk, forwardsOn)
	forwards := []directory.Forward{forward(t, false, "alice@local.test", "a@remote.test", "c@remote.test"), forward(t, true, "bob@local.test", "b@remote.test")}
	r := &recorder{s: s, disk: disk, every: 5, rng: rand.New(rand.NewPCG(7, 8)), acked: map[string]string{}, kinds: map[errorfs.OpKind]int{}}
	s.fs = errorfs.Wrap(disk, r)
	node := s.open()
	s.populate(node)
	node.forwarding(t, forwards...)
	n := s.serve(node)
	texts := map[string]string{}
	c := connect(t, n.Addrs().MX[0])
	c.ok("250", "EHLO client.test")
	for i := range 12 {
		id := fmt.Sprintf("forward-%d", i)
		texts[id] = message(id, "eve@elsewhere.test", 1000+150<<10*(i%2))
		r.ack(id, queueID(c.send("eve@elsewhere.test", texts[id], "both@local.test")))
	}
	n.idle()
	n.stopped()
	if len(r.crashes) < 20 {
		t.Fatalf("%d crashes taken: the workload does not test", len(r.crashes))
	}
	for _, c := range r.crashes {
		s.forwardsRecover(c, texts, forwards)
		if t.Failed() {
			t.FailNow()
		}
	}
	t.Logf("%d operations, %d crashes", r.ops, len(r.crashes))
}

// forwardsRecover starts a server on what a crash left, lets it deliver, and compares.
func (s *site) forwardsRecover(c crash, texts map[string]string, forwards []directory.Forward) {
	s.t.Helper()
	must(s.t, os.RemoveAll(s.cfg.CheckpointDir()))
	s.fs = c.disk
	before := s.sink.Messages()
	node := s.open()
	node.forwarding(s.t, forwards...)
	n := s.serve(node)
	n.idle()
	foreign := arrived(s.sink, 0, c.arrived)
	for key, copies := range arrived(s.sink, before, s.sink.Messages()) {
		foreign[key] = append(foreign[key], copies...)
	}
	local := map[string]map[string][]string{}
	for _, name := range []string{"alice", "bob"} {
		found, err := boxOf(c.disk, s.cfg.Maildir.Root, name)
		must(s.t, err)
		local[name] = found
	}
	n.stopped()
	for id := range c.acked {
		if len(local["bob"][id]) != 1 || len(local["alice"][id]) != 0 {
			s.t.Errorf("%s: %s has %d copies in the mailbox that keeps, %d in the other", c.moment, id, len(local["bob"][id]), len(local["alice"][id]))
		}
		for _, to := range []string{"a@remote.test", "b@remote.test", "c@remote.test"} {
			if len(foreign[id+" "+to]) == 0 {
				s.t.Errorf("%s: %s was acknowledged and did not reach %s", c.moment, id, to)
			}
		}
	}
	for id, text := range texts {
		for _, copies := range [][]string{local["bob"][id], foreign[id+" a@remote.test"], foreign[id+" b@remote.test"], foreign[id+" c@remote.test"]} {
			for _, got := range copies {
				if err := exact(got, text); err != nil {
					s.t.Errorf("%s: %s: %v", c.moment, id, err)
				}
			}
		}
	}
}
