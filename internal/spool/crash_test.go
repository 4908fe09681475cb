package spool_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"sallyport/internal/mail"
	"sallyport/internal/spool"
	"sallyport/internal/store"
	"sallyport/internal/store/pebble"
)

func diskOptions(fs vfs.FS) pebble.Options {
	return pebble.Options{
		FS: fs, Dir: "data", Logger: quiet(), MinFree: 1, MemTableOctets: 512 << 10, LazyTime: 5 * time.Millisecond,
		RetryFirst: time.Millisecond, RetryMax: 10 * time.Millisecond, CloseTime: 200 * time.Millisecond,
	}
}

func openDisk(t *testing.T, fs vfs.FS) store.Store {
	t.Helper()
	st, err := pebble.Open(diskOptions(fs))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	return st
}

// ledger is what the outside was told: the promises that must be kept.
type ledger struct {
	mu       sync.Mutex
	promised map[mail.ID]string   // acknowledged and not being settled: content
	possible map[mail.ID]string   // everything that was ever offered
	failed   map[mail.ID]bool     // whose only recipient was durably settled, as failed or as sent on
	born     []map[mail.ID]string // what was spawned together
}

func newLedger() *ledger {
	return &ledger{promised: map[mail.ID]string{}, possible: map[mail.ID]string{}, failed: map[mail.ID]bool{}}
}

func (l *ledger) change(fn func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fn()
}

func (l *ledger) clone() *ledger {
	l.mu.Lock()
	defer l.mu.Unlock()
	return &ledger{promised: maps.Clone(l.promised), possible: maps.Clone(l.possible), failed: maps.Clone(l.failed), born: slices.Clone(l.born)}
}

// blackout is what a power failure at one moment left, and the promises then.
type blackout struct {
	fs     *vfs.MemFS
	ledger *ledger
	moment string
}

// darkness takes blackouts before sampled write operations.
type darkness struct {
	mem    *vfs.MemFS
	ledger *ledger
	every  int

	mu    sync.Mutex
	rng   *rand.Rand
	ops   int
	taken []blackout
}

// MaybeError implements errorfs.Injector.
func (d *darkness) MaybeError(op errorfs.Op) error {
	if op.Kind.ReadOrWrite() != errorfs.OpIsWrite {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ops++; d.ops%d.every != 0 {
		return nil
	}
	// First the promises, then the disk: what is promised in between is not asked.
	b := blackout{ledger: d.ledger.clone(), moment: fmt.Sprintf("operation %d on %s", d.ops, op.Path)}
	b.fs = d.mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: d.rng.IntN(3) * 50, RNG: d.rng})
	d.taken = append(d.taken, b)
	return nil
}

// String implements errorfs.Injector.
func (d *darkness) String() string { return "darkness" }

// The power fails at sampled writes while messages are accepted, deferred,
// delivered and bounced: every acknowledged message is there with its body,
// unless it was being settled; every failure has its notification; nothing is
// half.
func TestPowerFailsAtEveryWrite(t *testing.T) {
	mem := vfs.NewCrashableMem()
	l := newLedger()
	d := &darkness{mem: mem, ledger: l, every: 5, rng: rand.New(rand.NewPCG(5, 6))}
	st := openDisk(t, errorfs.Wrap(mem, d))
	o := options(t, time.Now)
	q, _ := openSpool(t, st, o)
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() { traffic(t, q, l, w) })
	}
	wg.Wait()
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	if len(d.taken) < 60 {
		t.Fatalf("only %d blackouts: too little traffic", len(d.taken))
	}
	for _, b := range d.taken {
		checkBlackout(t, b)
	}
	t.Logf("%d operations, %d blackouts, %d messages", d.ops, len(d.taken), len(l.possible))
}

// traffic is one worker: it accepts messages, small and large, and settles them
// in all ways.
func traffic(t *testing.T, q *spool.Spool, l *ledger, w int) {
	for i := range 20 {
		size := 3000
		if i%7 == 6 {
			size = 150 << 10
		}
		m := localMessage("alice@local.test", "bob@local.test")
		content := string(bytes.Repeat([]byte{byte('a' + w)}, size+i))
		l.change(func() { l.possible[m.ID] = content })
		c, err := q.Put(ctx, m, bodyOf(t, q, []byte(content)), [][]byte{[]byte("accepted " + m.ID.String())})
		if err != nil {
			t.Errorf("put: %v", err)
			return
		}
		l.change(func() { l.promised[m.ID] = content })
		if err := finish(t, q, l, c, i); err != nil {
			t.Errorf("settle: %v", err)
		}
	}
}

// finish settles a message in the way that i says, and enters it in the ledger.
func finish(t *testing.T, q *spool.Spool, l *ledger, c spool.Claim, i int) error {
	id := c.Entry.ID
	var out mail.Outcome
	var f spool.Final
	spawned := map[mail.ID]string{}
	switch i % 5 {
	case 0:
		return nil // stays claimed
	case 1:
		out = outcome("bob@local.test", 250)
		l.change(func() { delete(l.promised, id) })
	case 2:
		out = outcome("bob@local.test", 451)
	case 3:
		out = outcome("bob@local.test", 550)
		f.Spawn = spawn(t, q, spawned, "bounce")
	case 4:
		out = outcome("bob@local.test", 250)
		f.Spawn = spawn(t, q, spawned, "sent on", "sent on twice", string(bytes.Repeat([]byte("large"), 30<<10)))
	}
	if f.Spawn != nil {
		l.change(func() { delete(l.promised, id); maps.Copy(l.possible, spawned) })
	}
	f.Facts = [][]byte{[]byte("settled " + id.String())}
	if _, err := q.Settle(ctx, c.Token, []mail.Outcome{out}, time.Now(), f); err != nil {
		return err
	}
	if f.Spawn != nil {
		// Neither a failure nor what was sent on is done a second time.
		l.change(func() { maps.Copy(l.promised, spawned); l.failed[id] = true; l.born = append(l.born, spawned) })
	}
	return nil
}

// spawn makes messages that a settlement puts into the queue, and notes them.
func spawn(t *testing.T, q *spool.Spool, into map[mail.ID]string, contents ...string) []spool.Spawned {
	var out []spool.Spawned
	for _, content := range contents {
		m := localMessage("alice@local.test", "alice@local.test")
		m.Forward = spool.ForwardSent
		out = append(out, spool.Spawned{Message: m, Body: bodyOf(t, q, []byte(content))})
		into[m.ID] = content
	}
	return out
}

func checkBlackout(t *testing.T, b blackout) {
	t.Helper()
	st := openDisk(t, b.fs)
	defer st.Close()
	o := options(t, time.Now)
	o.Logger = quiet()
	q, r := openSpool(t, st, o)
	if full, err := q.Verify(ctx); err != nil || r.Damaged+r.Repaired+full.Damaged+full.Repaired != 0 {
		t.Errorf("%s: recovery %+v, verification %+v, %v", b.moment, r, full, err)
	}
	wantLedger(t, q, b.ledger, b.moment)
	if err := counted(t, q, b.moment); err != nil {
		t.Error(err)
	}
	due, err := q.Due(ctx, time.Now().Add(time.Hour), 10_000)
	if err != nil || len(due) != r.Entries {
		t.Errorf("%s: %d of %d entries are scheduled, %v", b.moment, len(due), r.Entries, err)
	}
	names, err := st.Blobs().List()
	if err != nil {
		t.Error(err)
	}
	large := 0
	for _, d := range due {
		if e, err := q.Get(ctx, d.ID); err == nil && e.Size > 128<<10 {
			large++
		}
	}
	if len(names) != large {
		t.Errorf("%s: %d files for %d large messages", b.moment, len(names), large)
	}
}

// wantLedger checks that a queue keeps every promise, and holds nothing that was
// never offered.
func wantLedger(t *testing.T, q *spool.Spool, l *ledger, moment string) {
	t.Helper()
	for id, content := range l.promised {
		if got, err := readBody(q, id); err != nil || string(got) != content {
			t.Errorf("%s: %s was acknowledged: %d octets, %v; want %d", moment, id, len(got), err, len(content))
		}
	}
	err := q.List(ctx, spool.Filter{}, func(e spool.Entry) (bool, error) {
		content, known := l.possible[e.ID]
		if !known {
			t.Errorf("%s: %s was never offered", moment, e.ID)
		}
		if got, err := readBody(q, e.ID); err != nil || string(got) != content {
			t.Errorf("%s: the body of %s: %d octets, %v; want %d", moment, e.ID, len(got), err, len(content))
		}
		if l.failed[e.ID] {
			t.Errorf("%s: %s was bounced, and would be again", moment, e.ID)
		}
		return true, nil
	})
	if err != nil {
		t.Error(err)
	}
	wantWhole(t, q, l, moment)
}

// wantWhole checks that what was spawned together is there together.
func wantWhole(t *testing.T, q *spool.Spool, l *ledger, moment string) {
	t.Helper()
	for _, family := range l.born {
		n := 0
		for id := range family {
			if _, err := q.Get(ctx, id); err == nil {
				n++
			}
		}
		if n != len(family) {
			t.Errorf("%s: %d of %d spawned messages are there", moment, n, len(family))
		}
	}
}

var errGaveUp = errors.New("the store does not recover")
