package site

import (
	"fmt"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// The power fails at sampled operations while mail is forwarded, with a copy for the
// mailbox and without: whatever had its 250 reaches the target, and the mailbox exactly
// if it keeps copies, on what is left of the disk; nothing is half.
func TestPowerFailsWhileMailIsForwarded(t *testing.T) {
	NoLeaks(t)
	disk := vfs.NewCrashableMem()
	s := New(t, disk, forwardsOn)
	r := &recorder{s: s, disk: disk, every: 5, rng: rand.New(rand.NewPCG(7, 8)), acked: map[string]string{}, kinds: map[errorfs.OpKind]int{}}
	s.FS = errorfs.Wrap(disk, r)
	opened := s.Open()
	s.Populate(opened)
	forward(t, opened, false, "alice@local.test", "a@remote.test", "c@remote.test")
	forward(t, opened, true, "bob@local.test", "b@remote.test")
	n := s.Serve(opened)
	texts := map[string]string{}
	c := Connect(t, n.Addrs().MX[0])
	c.OK("250", "EHLO client.test")
	for i := range 12 {
		id := fmt.Sprintf("forward-%d", i)
		texts[id] = Message(id, "eve@elsewhere.test", 1000+150<<10*(i%2))
		r.ack(id, QueueID(c.Send("eve@elsewhere.test", texts[id], "both@local.test")))
	}
	n.Idle()
	n.Stopped()
	if len(r.crashes) < 20 {
		t.Fatalf("%d crashes taken: the workload does not test", len(r.crashes))
	}
	for _, c := range r.crashes {
		s.forwardsRecover(c, texts)
		if t.Failed() {
			t.FailNow()
		}
	}
	t.Logf("%d operations, %d crashes", r.ops, len(r.crashes))
}

// forwardsRecover starts a server on what a crash left, lets it deliver, and compares.
func (s *Site) forwardsRecover(c crash, texts map[string]string) {
	s.t.Helper()
	Must(s.t, os.RemoveAll(s.Config.CheckpointDir()))
	s.FS = c.disk
	before := s.Sink.Messages()
	n := s.Start()
	n.Idle()
	foreign := Arrived(s.Sink, 0, c.arrived)
	for key, copies := range Arrived(s.Sink, before, s.Sink.Messages()) {
		foreign[key] = append(foreign[key], copies...)
	}
	local := map[string]map[string][]string{}
	for _, name := range []string{"alice", "bob"} {
		found, err := BoxOf(c.disk, s.Config.Maildir.Root, name)
		Must(s.t, err)
		local[name] = found
	}
	n.Stopped()
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
				if err := Exact(got, text); err != nil {
					s.t.Errorf("%s: %s: %v", c.moment, id, err)
				}
			}
		}
	}
}
