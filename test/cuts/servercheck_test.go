package cuts

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"sallyport/internal/fact"
	"sallyport/internal/incident"
	"sallyport/internal/operate"
	"sallyport/internal/trace/query"
	"sallyport/test/site"
)

// after starts a server on what an outage left, has it do what is left to do, and compares.
func (v *server) after(o outage, disk *vfs.MemFS, how loss) tally {
	v.t.Helper()
	dir := v.s.Config.CheckpointDir()
	site.Must(v.t, os.RemoveAll(dir))
	site.Must(v.t, os.MkdirAll(dir, 0o755))
	for name, b := range o.checkpoints {
		site.Must(v.t, os.WriteFile(filepath.Join(dir, name), b, 0o644))
	}
	v.s.FS = disk
	c := &check{v: v, o: o, when: o.moment + ", the unsynced " + string(how), disk: disk, from: v.s.Sink.Messages()}
	c.cuts, c.told = 1, len(o.acked)
	c.n = v.s.Start()
	c.contained()
	c.held()
	c.mailbox()
	c.free()
	c.n.Idle()
	c.mail()
	c.trace()
	c.n.Stopped()
	return c.tally
}

// check is a server after an outage, and what is demanded of it.
type check struct {
	v    *server
	o    outage
	when string
	disk *vfs.MemFS
	from int // messages that the foreign domain had when the server started
	n    *site.Running
	tally
}

func (c *check) fault(count *int, format string, args ...any) {
	c.v.t.Helper()
	*count++
	c.v.t.Errorf("%s: %s", c.when, fmt.Sprintf(format, args...))
}

// contained demands that a containment is whole or has not happened.
func (c *check) contained() {
	c.v.t.Helper()
	a, err := c.n.Operator().AccountShow(c.v.t.Context(), operate.Self(), operate.AccountRef{Address: alice})
	site.Must(c.v.t, err)
	open := slices.ContainsFunc(a.Incidents, func(i incident.Incident) bool { return i.State == incident.StateOpen })
	frozen := a.Standing == "frozen"
	if frozen != (a.QueueHeld != "") || frozen != open || c.o.standing != "" && a.Standing != c.o.standing {
		c.fault(&c.corrupted, "alice is %s, her queue held for %q, an incident open: %v; she was %q", a.Standing, a.QueueHeld, open, c.o.standing)
	}
}

// held waits until nothing moves, and demands that what is held did not.
func (c *check) held() {
	c.v.t.Helper()
	site.Eventually(c.v.t, c.when+": everything that may leave to leave", func() bool {
		moving := false
		site.Must(c.v.t, c.n.Operator().QueueList(c.v.t.Context(), operate.Self(), operate.Select{}, func(m operate.Message) error {
			moving = moving || m.State == operate.StateWaiting && time.Until(m.NextTry) < time.Minute
			return nil
		}))
		return !moving
	})
	arrived := c.arrived()
	for id := range c.o.held {
		for _, to := range c.o.sent[id].to {
			if n := len(arrived[id+" "+to]); n > 0 {
				c.fault(&c.corrupted, "%s is held, and %s has it", id, to)
			}
		}
	}
}

// arrived is what the foreign domain got before the outage and after it.
func (c *check) arrived() map[string][]string {
	all := site.Arrived(c.v.s.Sink, 0, c.o.arrived)
	for key, copies := range site.Arrived(c.v.s.Sink, c.from, c.v.s.Sink.Messages()) {
		all[key] = append(all[key], copies...)
	}
	return all
}

// mailbox demands of carol's folders what she was told.
func (c *check) mailbox() {
	c.v.t.Helper()
	if !slices.Contains(c.v.steps, "APPEND") || len(c.o.box) == 0 && c.o.moving == "" {
		return
	}
	r := c.v.reader(c.n)
	defer r.c.Close()
	found := map[string]int{}
	folders := r.ok(`LIST "" "*"`)
	for _, name := range []string{"INBOX", "Kept"} {
		if !strings.Contains(folders, name) {
			continue
		}
		for id, n := range r.folder(name) {
			found[name+" "+id] = n
		}
	}
	for what, there := range c.o.box {
		n := found[what]
		if n == 2 && c.o.renamed != "" && strings.HasSuffix(what, " "+c.o.renamed) {
			n = 1
		}
		if there && n != 1 || !there && n != 0 {
			c.fault(&c.lost, "carol's folders have %q %d times; they were to have it: %v", what, n, there)
		}
	}
	if id := c.o.moving; id != "" && found["INBOX "+id]+found["Kept "+id] == 0 {
		c.fault(&c.lost, "%s is in no folder", id)
	}
	r.ok("LOGOUT")
}

// free lets everything leave.
func (c *check) free() {
	c.v.t.Helper()
	op, by, ctx := c.n.Operator(), operate.Self(), c.v.t.Context()
	a, err := op.AccountShow(ctx, by, operate.AccountRef{Address: alice})
	site.Must(c.v.t, err)
	if a.Standing != "active" {
		_, err := op.AccountThaw(ctx, by, operate.AccountRef{Address: alice})
		site.Must(c.v.t, err)
	}
	_, err = op.QueueRelease(ctx, by, operate.QueueChange{Select: operate.Select{All: true}})
	site.Must(c.v.t, err)
	_, err = op.QueueRetry(ctx, by, operate.QueueChange{Select: operate.Select{All: true}})
	site.Must(c.v.t, err)
}

// mail demands everything acknowledged where it belongs, whole, and no oftener than it may be.
func (c *check) mail() {
	c.v.t.Helper()
	foreign := c.arrived()
	local := map[string]map[string][]string{}
	for _, address := range []string{alice, bob} {
		name, _, _ := strings.Cut(address, "@")
		found, err := site.BoxOf(c.disk, c.v.s.Config.Maildir.Root, name)
		site.Must(c.v.t, err)
		local[address] = found
	}
	for id, m := range c.o.sent {
		_, acked := c.o.acked[id]
		for _, to := range m.to {
			copies, most := foreign[id+" "+to], 2
			if box, ours := local[to]; ours {
				copies, most = letters(box[id], false), 1
			}
			if m.fails {
				copies, most = letters(local[alice][id], true), 1 // what she is told
			}
			c.copies(id, to, copies, acked, most)
			for _, got := range copies {
				if err := site.Exact(got, m.text); err != nil && !m.fails {
					c.fault(&c.corrupted, "%s of %s: %v", id, to, err)
				}
			}
		}
	}
}

// copies judges how many of a message somebody has.
func (c *check) copies(id, to string, copies []string, acked bool, most int) {
	c.v.t.Helper()
	switch n := len(copies); {
	case n == 0 && acked:
		c.fault(&c.lost, "%s was acknowledged, and %s does not have it", id, to)
	case n > most:
		c.fault(&c.repeated, "%s has %s %d times", to, id, n)
	case n > 1 && c.o.final[id]:
		c.fault(&c.repeated, "%s has %s %d times, although its delivery was synced", to, id, n)
	case n > 1:
		c.repeated++
	}
}

// letters are the reports among messages, or the others.
func letters(all []string, reports bool) (some []string) {
	for _, m := range all {
		if strings.Contains(m, "multipart/report") == reports {
			some = append(some, m)
		}
	}
	return some
}

// trace demands a log that verifies and tells of every acceptance.
func (c *check) trace() {
	c.v.t.Helper()
	op := c.n.Operator()
	report, err := op.TraceVerify(c.v.t.Context(), operate.Self(), struct{}{})
	if err != nil || !report.OK() {
		c.fault(&c.corrupted, "the trace does not verify: %v %q", err, report.Faults)
	}
	for id, queue := range c.o.acked {
		answer, err := op.Trace(c.v.t.Context(), operate.Self(), operate.TraceQuery{Text: queue, Exact: true})
		site.Must(c.v.t, err)
		if !slices.ContainsFunc(answer.Entries, func(e query.Entry) bool { return e.Fact.Kind == fact.KindAccept }) {
			c.fault(&c.lost, "%s was acknowledged as %s, of which the trace knows nothing", id, queue)
		}
	}
}

// The power goes before operations of the disk while a whole server accepts, delivers, relays,
// requeues, holds, releases, notifies, contains, is read by IMAP and is started again: what starts
// on the rest keeps what was promised, the trace verifies, and a containment is whole.
// SALLYPORT_CUTS=1 takes every operation, with every kind of loss.
func TestPowerIsCutAtEveryOperationOfAServer(t *testing.T) {
	site.NoLeaks(t)
	size := size(t)
	v := serve(t, size)
	var all tally
	began := time.Now()
	for _, o := range v.cuts {
		rng := chance(v.seed, o.number)
		for i, how := range losses() {
			if !size.all && i != o.number/v.every%len(losses()) {
				continue
			}
			left, err := o.left.after(how, rng)
			site.Must(t, err)
			all.add(v.after(o, left, how))
		}
		if t.Failed() {
			t.Fatalf("SALLYPORT_CUTS_SEED=%d repeats it", v.seed)
		}
	}
	t.Logf("%d steps: %s", len(v.steps), strings.Join(v.steps, ", "))
	t.Logf("%d operations of the disk: %v", v.ops, v.kinds)
	t.Logf("%d power cuts, %d promises held against what was left: %d lost, %d corrupted; %d messages arrived twice, all settled since the last sync; each recovered in %v",
		all.cuts, all.told, all.lost, all.corrupted, all.repeated, time.Since(began)/time.Duration(max(all.cuts, 1)))
}
