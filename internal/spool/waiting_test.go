package spool_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"sallyport/internal/mail"
	"sallyport/internal/spool"
	"sallyport/internal/store"
	"sallyport/internal/store/pebble"
)

// counted holds what is kept of what waits for mailboxes to what all entries say.
func counted(t *testing.T, q *spool.Spool, moment string) error {
	t.Helper()
	boxes := map[string]spool.Waiting{"alice@local.test": {}, "bob@local.test": {}, "nobody@local.test": {}}
	domains := map[string]spool.Waiting{}
	count := func(of map[string]spool.Waiting, key string, octets int64) {
		of[key] = spool.Waiting{Messages: of[key].Messages + 1, Octets: of[key].Octets + octets}
	}
	err := q.List(ctx, spool.Filter{}, func(e spool.Entry) (bool, error) {
		seen := map[string]bool{}
		for _, r := range e.Pending() {
			if key := r.Mailbox.Key(); r.Kind == spool.KindLocal && !seen[key] {
				seen[key] = true
				count(boxes, key, e.Size+int64(len(e.Prefix)))
				count(domains, r.Mailbox.Domain().ASCII(), e.Size+int64(len(e.Prefix)))
			}
		}
		return true, nil
	})
	for box, want := range boxes {
		all := domains[addr(box).Domain().ASCII()]
		if its, domain := q.Waiting(addr(box)); err == nil && (its != want || domain != all) {
			t.Errorf("%s: for %s waits %+v, in its domain %+v; the entries say %+v, %+v", moment, box, its, domain, want, all)
		}
	}
	return err
}

// copyOctets is what a message of localMessage with a body of one octet takes.
var copyOctets = int64(len("Received: from somewhere\r\n") + 1)

// wantWaiting checks how many copies of such messages wait for a mailbox, and in its domain.
func (h *house) wantWaiting(when, mailbox string, its, domain int) {
	h.Helper()
	n := func(copies int) spool.Waiting {
		return spool.Waiting{Messages: copies, Octets: int64(copies) * copyOctets}
	}
	if got, all := h.q.Waiting(addr(mailbox)); got != n(its) || all != n(domain) {
		h.Errorf("%s: for %s waits %+v, and in its domain %+v; want %d and %d copies", when, mailbox, got, all, its, domain)
	}
}

// A message waits for each mailbox once, from the moment in which Put returns until it is there, is settled or goes, held
// or not, whatever addresses lead to it.
func TestWhatWaitsForAMailbox(t *testing.T) {
	h := newHouse(t)
	m := localMessage("alice@local.test", "bob@local.test", "bob+x@local.test", "carol@local.test", "dave@other.test")
	m.Deliveries[1].Mailbox = addr("Bob@local.test")
	c := put(t, h.q, m, "x")
	h.wantWaiting("accepted", "bob@local.test", 1, 2)
	h.wantWaiting("accepted", "BOB@local.test", 1, 2)
	h.wantWaiting("accepted", "dave@other.test", 1, 1)
	h.wantWaiting("accepted", "alice@local.test", 0, 2)
	h.wantWaiting("accepted", "eve@far.test", 0, 0)
	h.q.Arrived(m.ID, addr("bob@local.test"))
	h.q.Arrived(m.ID, addr("bob@local.test"))
	h.q.Arrived(m.ID, addr("alice@local.test")) // it is not for her
	h.q.Arrived(newID(), addr("carol@local.test"))
	h.wantWaiting("there for one", "bob@local.test", 0, 1)
	h.settle(c.Token, spool.Final{}, outcome("bob@local.test", 250), outcome("bob+x@local.test", 250), outcome("carol@local.test", 451))
	h.wantWaiting("settled for one", "bob@local.test", 0, 1)
	h.wantWaiting("settled for one", "carol@local.test", 1, 1)
	n, err := h.q.Hold(ctx, one(m.ID), "why", nil)
	h.wantN(n, err, 1)
	h.wantWaiting("held", "carol@local.test", 1, 1)
	n, err = h.q.Release(ctx, one(m.ID), nil)
	h.wantN(n, err, 1)
	c = h.claim(m.ID)
	h.q.Arrived(m.ID, addr("carol@local.test"))
	if err := h.q.Postpone(ctx, c.Token, h.clock.now(), nil); err != nil {
		t.Fatal(err)
	}
	h.wantWaiting("there, and not settled", "carol@local.test", 0, 0)
	h.restart()
	h.wantWaiting("which a restart does not know", "carol@local.test", 1, 1)
	n, err = h.q.Remove(ctx, one(m.ID), nil)
	h.wantN(n, err, 1)
	h.wantWaiting("removed", "dave@other.test", 0, 0)
	h.wantEmpty()
	put(t, h.q, outboundMessage(t, "alice@local.test", []string{"bob@local.test"}, "bob@local.test"), "x")
	h.wantWaiting("it leaves", "bob@local.test", 0, 0)
}

// What is spawned waits as what was put; what takes another's place in its place; what is damaged waits for nobody.
func TestWhatWaitsBesides(t *testing.T) {
	h := newHouse(t)
	c := put(t, h.q, localMessage("alice@local.test", "bob@local.test"), "x")
	notice := localMessage("", "alice@local.test")
	notice.Envelope.From = mail.NullPath()
	h.settle(c.Token, spool.Final{Spawn: []spool.Spawned{{Message: notice, Body: bodyOf(t, h.q, []byte("x"))}}}, outcome("bob@local.test", 550))
	h.wantWaiting("spawned", "alice@local.test", 1, 1)
	if err := h.redirect(notice.ID, h.instead(1)); err != nil {
		t.Fatal(err)
	}
	h.wantWaiting("redirected", "alice@local.test", 0, 1)
	h.wantWaiting("redirected", "carol@local.test", 1, 1)
	h.edit("b", func([]byte) []byte { return []byte("z") })
	if r, err := h.q.Verify(ctx); err != nil || r.Damaged != 1 {
		t.Errorf("%+v, %v", r, err)
	}
	h.wantWaiting("in quarantine", "carol@local.test", 0, 0)
	id := h.idle(localMessage("alice@local.test", "bob@local.test"))
	for k := range h.keysOf("d") {
		h.write(k, nil)
	}
	h.restart()
	h.wantWaiting("put back into the schedule", "bob@local.test", 1, 1)
	h.write("se"+string(id.Bytes()), nil)
	if r, err := h.q.Verify(ctx); err != nil || r.Repaired != 1 {
		t.Errorf("%+v, %v", r, err)
	}
	h.wantWaiting("a place without a message", "bob@local.test", 0, 0)
}

// watched says what happens when something is written or read.
type watched struct {
	store.Store
	apply   func()
	entries int // that were read by their keys
	files   int // that were asked for
}

func (w *watched) Apply(ctx context.Context, tx store.Tx, d store.Durability) (store.Revision, error) {
	rev, err := w.Store.Apply(ctx, tx, d)
	if w.apply != nil {
		w.apply()
	}
	return rev, err
}

func (w *watched) Get(ctx context.Context, k []byte) ([]byte, error) {
	if store.SpaceEntries.Has(k) {
		w.entries++
	}
	if store.SpaceFiles.Has(k) {
		w.files++
	}
	return w.Store.Get(ctx, k)
}

// While a message is being committed, who brings it has room for it in the mailbox: it does not take that twice.
func TestWhatIsCommittedWaitsForNobodyYet(t *testing.T) {
	for _, paused := range []bool{false, true} {
		h := newHouse(t)
		st := &watched{Store: h.st}
		h.st, h.o.Paused = st, paused
		h.restart()
		asked := 0
		st.apply = func() {
			asked++
			h.wantWaiting("committed", "bob@local.test", 0, 0)
		}
		put(t, h.q, localMessage("alice@local.test", "bob@local.test"), "x")
		h.wantWaiting("accepted", "bob@local.test", 1, 1)
		if asked != 1 {
			t.Errorf("%d commits", asked)
		}
	}
}

// A message in doubt takes its room until it is out of the queue.
func TestWhatIsInDoubtWaits(t *testing.T) {
	for _, happened := range []bool{false, true} {
		h, st := newDoubt(t)
		st.err, st.happen = store.ErrInDoubt, happened
		if _, err := h.q.Put(ctx, localMessage("alice@local.test", "bob@local.test"), bodyOf(t, h.q, []byte("x")), nil); err == nil {
			t.Fatal("it was accepted")
		}
		h.wantWaiting("in doubt", "bob@local.test", 1, 1)
		st.recover()
		h.wantDue()
		h.wantWaiting("taken out", "bob@local.test", 0, 0)
		h.wantEmpty()
	}
}

// former writes every place as releases did that did not say what a message waits for.
func (h *house) former() (n int) {
	h.Helper()
	for _, space := range []string{"d", "h", "p"} {
		for k, v := range h.keysOf(space) {
			octets, length := binary.Uvarint(v[2:])
			account, size := binary.Uvarint(v[2+length:])
			from := 2 + length + size
			h.write(k, append(binary.AppendUvarint([]byte{1, v[1]}, octets), v[from:from+int(account)]...))
			n++
		}
	}
	return n
}

// What an older release put into the queue is read once, and says from then on what it waits for; what nobody touches
// is not read again.
func TestPlacesOfAnOlderRelease(t *testing.T) {
	h := newHouse(t)
	h.mixed()
	at := map[string]map[string][]byte{}
	for _, space := range []string{"d", "h", "p"} {
		at[space] = h.keysOf(space)
	}
	stats := h.q.Stats()
	st := &watched{Store: h.st}
	h.st = st
	h.o.Limits.VerifyEntries, h.o.Limits.Batch = 1, 2
	if n := h.former(); n != 8 {
		t.Fatalf("%d places", n)
	}
	for k := range h.keysOf("h") { // and one that does not read
		h.write(k, []byte("nonsense"))
	}
	opened := func() (read int) {
		st.entries = 0
		// What was under way is read anyway, to be made due.
		r := h.restart()
		if got := h.q.Stats(); got.Entries != stats.Entries || got.Held != stats.Held || got.Octets != stats.Octets {
			t.Errorf("stats %+v, want %+v", got, stats)
		}
		if err := counted(t, h.q, "opened"); err != nil {
			t.Error(err)
		}
		return st.entries - r.Resumed
	}
	if n := opened(); n < 8 {
		t.Errorf("%d entries were read", n)
	}
	for _, space := range []string{"h", "p"} {
		for k, v := range h.keysOf(space) {
			if !bytes.Equal(v, at[space][k]) {
				t.Errorf("%q stands there as %x, was %x", k, v, at[space][k])
			}
		}
	}
	for k, v := range h.keysOf("d") {
		if v[0] != 2 || !strings.HasSuffix(string(v), "bob@local.test\x00") {
			t.Errorf("%q stands there as %x", k, v)
		}
	}
	if n := opened(); n > 2 { // those that are verified
		t.Errorf("%d entries were read again", n)
	}
}

// A place of an older release whose entry is damaged counts as it says, until the entry is in quarantine.
func TestAFormerPlaceOfADamagedEntry(t *testing.T) {
	h := newHouse(t, func(o *spool.Options) { o.Limits.VerifyTime = 1 })
	h.five()
	bad := h.idle(localMessage("alice@local.test", "bob@local.test"))
	h.write("se"+string(bad.Bytes()), []byte("nonsense"))
	h.former()
	h.o.Now = func() time.Time { return h.clock.advance(time.Second) }
	if r := h.restart(); r.Damaged != 0 || r.Entries != 6 {
		t.Errorf("%+v", r)
	}
	h.wantWaiting("opened", "bob@local.test", 5, 5)
	if r, err := h.q.Verify(ctx); err != nil || r.Damaged != 1 || r.Entries != 5 || r.Octets != 5*copyOctets {
		t.Errorf("%+v, %v", r, err)
	}
	h.wantWaiting("verified", "bob@local.test", 5, 5)
}

// A queue of which an opening reads the schedule in several parts is counted as a short one is: every place once.
func TestALongScheduleIsCountedOnce(t *testing.T) {
	st, err := pebble.Open(pebble.Options{FS: vfs.NewMem(), Dir: "data", Logger: quiet(), MinFree: 1, MemTableOctets: 256 << 10})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	o := options(t, time.Now)
	o.Limits.VerifyTime = 1 // a place without a message is taken away when all are verified
	q, _ := openSpool(t, st, o)
	c := put(t, q, localMessage("alice@local.test", "bob@local.test"), "x")
	const places = 30_000
	schedule(t, st, places)
	q, r := openSpool(t, st, o)
	if r.Entries != places+1 || r.Resumed != 1 || r.Octets != places*700+c.Entry.Size+int64(len(c.Entry.Prefix)) {
		t.Errorf("opened %+v", r)
	}
	for i := range 100 {
		its, domain := q.Waiting(addr(fmt.Sprintf("person%d@local.test", i)))
		if its.Messages != places/100 || its.Octets != 700*places/100 || domain.Messages != places+1 {
			t.Fatalf("person%d: %+v, of the domain %+v", i, its, domain)
		}
	}
}
