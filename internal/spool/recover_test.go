package spool_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport/internal/gate"
	"sallyport/internal/mail"
	"sallyport/internal/sched"
	"sallyport/internal/spool"
	"sallyport/internal/store"
)

// keysOf returns the keys of one space with their values.
func (h *house) keysOf(space string) map[string][]byte {
	h.Helper()
	out := map[string][]byte{}
	err := h.st.Scan(ctx, store.Prefix([]byte("s"+space)), func(k, v []byte) (bool, error) {
		out[string(k)] = bytes.Clone(v)
		return true, nil
	})
	if err != nil {
		h.Fatal(err)
	}
	return out
}

func (h *house) write(k string, v []byte) {
	h.Helper()
	m := store.Mutation{Key: []byte(k), Value: v, Delete: v == nil}
	if _, err := h.st.Apply(ctx, store.Tx{Mutations: []store.Mutation{m}}, store.Durable); err != nil {
		h.Fatal(err)
	}
}

func (h *house) writeBlob(name, content string) {
	h.Helper()
	w, err := h.st.Blobs().Create(name)
	if err != nil {
		h.Fatal(err)
	}
	_, err = io.WriteString(w, content)
	if err := errors.Join(err, w.Commit()); err != nil {
		h.Fatal(err)
	}
}

// Each way in which the disk may have lied is found at the next opening, by a
// claim and by a full verification; the entry goes into quarantine and nothing
// else is touched.
func TestDamageIsFoundAndKept(t *testing.T) {
	flip := func(b []byte, at int) []byte { b[(at+len(b))%len(b)] ^= 4; return b }
	large := strings.Repeat("y", 300<<10)
	for name, damage := range map[string]func(h *house){
		"a bit of the record":    func(h *house) { h.edit("e", func(b []byte) []byte { return flip(b, 40) }) },
		"the record's checksum":  func(h *house) { h.edit("e", func(b []byte) []byte { return flip(b, -1) }) },
		"the record's version":   func(h *house) { h.edit("e", func(b []byte) []byte { b[0] = 9; return b }) },
		"a record cut short":     func(h *house) { h.edit("e", func(b []byte) []byte { return b[:len(b)/2] }) },
		"an empty record":        func(h *house) { h.edit("e", func([]byte) []byte { return []byte{} }) },
		"a bit of a small body":  func(h *house) { h.edit("b", func(b []byte) []byte { return flip(b, 0) }) },
		"a small body cut short": func(h *house) { h.edit("b", func(b []byte) []byte { return b[1:] }) },
		"a small body lost":      func(h *house) { h.edit("b", func([]byte) []byte { return nil }) },
		"a file cut short":       func(h *house) { h.editFiles(func(n string) { h.writeBlob(n, large[1:]) }) },
		"a file lost":            func(h *house) { h.editFiles(func(n string) { _ = h.st.Blobs().Remove(n) }) },
		"a bit of a file":        func(h *house) { h.editFiles(func(n string) { h.writeBlob(n, large[1:]+"z") }) },
	} {
		isFile := strings.Contains(name, "file")
		for _, finder := range []string{"opening", "claim", "verification", "reading"} {
			t.Run(name+"/"+finder, func(t *testing.T) {
				h := newHouse(t)
				content := "small"
				if isFile {
					content = large
				}
				bad := put(t, h.q, localMessage("alice@local.test", "bob@local.test"), content).Entry.ID
				damage(h)
				good := put(t, h.q, localMessage("alice@local.test", "carol@local.test"), content).Entry.ID
				h.clock.advance(2 * time.Hour)
				find(h, finder, bad, isFile)
				quarantined(h, bad, good, content)
			})
		}
	}
}

// find lets one finder come across the damage.
func find(h *house, finder string, bad mail.ID, isFile bool) {
	h.Helper()
	var err error
	switch finder {
	case "opening":
		r := h.restart()
		if r.Damaged == 1 {
			return
		}
		if !isFile {
			h.Fatalf("report %+v", r)
		}
		_, err = readBody(h.q, bad) // a file that has its length is hashed when it is read
	case "claim":
		_, err = h.q.Claim(ctx, bad, "test", time.Minute, h.clock.now())
		if err == nil && isFile {
			_, err = readBody(h.q, bad)
		}
	case "verification":
		var full spool.Report
		if full, err = h.q.Verify(ctx); err != nil || full.Damaged != 1 || full.Verified != 1 || full.Hashed != 1 || !full.Complete {
			h.Errorf("verification %+v, %v", full, err)
		}
		return
	default:
		_, err = readBody(h.q, bad)
	}
	h.wantError(err, spool.ErrDamaged)
}

func quarantined(h *house, bad, good mail.ID, content string) {
	h.Helper()
	_, err := h.q.Get(ctx, bad)
	h.wantError(err, spool.ErrNotFound)
	n := 0
	err = h.q.Damaged(ctx, func(id mail.ID, reason string, _ []byte) (bool, error) {
		if n++; id != bad || reason == "" {
			h.Errorf("in quarantine: %s, %q", id, reason)
		}
		return true, nil
	})
	if err != nil || n != 1 {
		h.Errorf("%d in quarantine, %v", n, err)
	}
	h.wantStats(1, 0)
	wantBody(h, h.q, good, content)
	h.wantDue(good)
	if r := h.restart(); r.Entries != 1 || !r.Complete || r.Damaged != 0 || r.Orphans != 0 {
		h.Errorf("report after it: %+v", r)
	}
}

// edit changes the first value of a space; nil removes it.
func (h *house) edit(space string, fn func([]byte) []byte) {
	h.Helper()
	for k, v := range h.keysOf(space) {
		h.write(k, fn(v))
	}
}

func (h *house) editFiles(fn func(name string)) {
	h.Helper()
	names, err := h.st.Blobs().List()
	if err != nil || len(names) == 0 {
		h.Fatalf("no files: %v", err)
	}
	for _, n := range names {
		fn(n)
	}
}

func TestOrphansAreRemoved(t *testing.T) {
	h := newHouse(t)
	large := strings.Repeat("y", 300<<10)
	m := localMessage("alice@local.test", "bob@local.test")
	put(t, h.q, m, large)
	h.writeBlob("0123", "left behind")
	h.writeBlob("4567", "left behind too")
	if r := h.restart(); r.Orphans != 2 || r.Entries != 1 {
		t.Errorf("report %+v", r)
	}
	if r := h.restart(); r.Orphans != 0 {
		t.Errorf("report %+v", r)
	}
	wantBody(t, h.q, m.ID, large)
}

// Wherever among bodies an orphan stands, it is removed, and no body is. The store is asked for each orphan, and not for
// each body.
func TestOrphansAmongBodies(t *testing.T) {
	h := newHouse(t)
	large := strings.Repeat("y", 150<<10)
	var ids []mail.ID
	for range 6 {
		m := localMessage("alice@local.test", "bob@local.test")
		put(t, h.q, m, large)
		ids = append(ids, m.ID)
	}
	names, err := h.st.Blobs().List()
	if err != nil || len(names) != 6 {
		t.Fatal(names, err)
	}
	orphans := []string{"-", names[1] + "-", names[1] + "0", names[3] + "z", "zz", "zzz"}
	for _, n := range orphans {
		h.writeBlob(n, "left behind")
	}
	st := &watched{Store: h.st}
	h.st = st
	if r := h.restart(); r.Orphans != len(orphans) || r.Entries != 6 || r.Damaged != 0 {
		t.Errorf("report %+v", r)
	}
	if left, err := h.st.Blobs().List(); err != nil || !slices.Equal(left, names) {
		t.Errorf("left are %q, %v; want %q", left, err, names)
	}
	if st.files != len(orphans) {
		t.Errorf("the store was asked for %d files", st.files)
	}
	for _, id := range ids {
		wantBody(t, h.q, id, large)
	}
	h.editFiles(func(name string) { h.write("sf"+name, nil) }) // all of them
	if r := h.restart(); r.Orphans != 6 {
		t.Errorf("report %+v", r)
	}
}

// An entry that fell out of its index is put back; an index key without an entry
// goes.
func TestIndexesAreRepaired(t *testing.T) {
	h := newHouse(t)
	id := h.idle(localMessage("alice@local.test", "bob@local.test"))
	for k := range h.keysOf("d") {
		h.write(k, nil)
	}
	ghost := newID()
	h.write("sd"+"\x00\x00\x00\x00\x00\x00\x00\x01"+string(ghost.Bytes()), []byte{1, 0, 7})
	if r := h.restart(); r.Repaired != 2 || r.Entries != 1 {
		t.Errorf("report %+v", r)
	}
	h.wantDue(id)
	h.wantStats(1, 0)
}

// Without verification, a key without an entry goes when it was claimed in vain
// for the second time.
func TestAGhostIsLaid(t *testing.T) {
	h := newHouse(t, func(o *spool.Options) { o.Limits.VerifyTime = 1 })
	held := h.idle(localMessage("alice@local.test", "bob@local.test"))
	n, err := h.q.Hold(ctx, one(held), "x", nil)
	h.wantN(n, err, 1)
	ghost := newID()
	h.write("sd"+"\x00\x00\x00\x00\x00\x00\x00\x01"+string(ghost.Bytes()), []byte{1, 0, 7})
	h.o.Now = func() time.Time { return h.clock.advance(time.Second) }
	if r := h.restart(); r.Complete {
		t.Fatalf("report %+v", r)
	}
	h.wantStats(2, 1)
	for range 2 {
		h.wantDue(ghost)
		_, err := h.q.Claim(ctx, ghost, "test", time.Minute, h.clock.now())
		h.wantError(err, spool.ErrNotFound)
	}
	h.wantDue()
	h.wantStats(1, 1)
}

// A summary that does not read is made again from its entry.
func TestASummaryIsReplaceable(t *testing.T) {
	h := newHouse(t)
	m := localMessage("alice@local.test", "bob@local.test")
	put(t, h.q, m, "hello")
	want := h.q.Stats()
	for k := range h.keysOf("d") {
		h.write(k, []byte("nonsense"))
	}
	h.restart()
	if got := h.q.Stats(); got.Entries != want.Entries || got.Octets != want.Octets {
		t.Errorf("stats %+v, want %+v", got, want)
	}
	c := h.claim(m.ID)
	h.settle(c.Token, spool.Final{}, outcome("bob@local.test", 250))
	h.wantEmpty()
}

func TestOptionsAreChecked(t *testing.T) {
	good := options(t, time.Now)
	for name, change := range map[string]func(*spool.Options){
		"no key":           func(o *spool.Options) { o.Key = gate.Key{} },
		"no clock":         func(o *spool.Options) { o.Now = nil },
		"no logger":        func(o *spool.Options) { o.Logger = nil },
		"no policy":        func(o *spool.Options) { o.Policy = sched.Policy{} },
		"a negative limit": func(o *spool.Options) { o.Limits.Entries = -1 },
		"too much inline":  func(o *spool.Options) { o.Limits.InlineOctets = 2 << 20 },
	} {
		o := good
		change(&o)
		if _, _, err := spool.Open(ctx, newHouse(t).st, o); err == nil {
			t.Errorf("%s: the queue opens", name)
		}
	}
	h := newHouse(t)
	if err := h.st.Close(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := spool.Open(ctx, h.st, good); !errors.Is(err, store.ErrClosed) {
		t.Errorf("a closed store: %v", err)
	}
}

// A long queue opens in batches and counts right.
func TestALongQueueOpens(t *testing.T) {
	h := newHouse(t, func(o *spool.Options) { o.Limits.Batch, o.Limits.VerifyEntries = 7, 20 })
	for i := range 100 {
		put(t, h.q, localMessage(fmt.Sprintf("a%d@local.test", i%3), "bob@local.test"), "x")
	}
	want := h.q.Stats()
	r := h.restart()
	if r.Entries != 100 || r.Resumed != 100 || r.Verified != 20 || r.Complete || r.Octets != want.Octets {
		t.Errorf("report %+v, want octets %d", r, want.Octets)
	}
	if got := len(h.due()); got != 100 {
		t.Errorf("%d due", got)
	}
	if r, err := h.q.Verify(ctx); err != nil || r.Verified != 100 || !r.Complete || r.Damaged+r.Repaired != 0 {
		t.Errorf("verification %+v, %v", r, err)
	}
}

// N20: what stands in the queue as a recipient is read as an address, whatever wrote it there: one that
// holds a line or a NUL, with a checksum that is right, is damaged, and never given to anybody.
func TestALineWithinAStoredRecipientIsDamage(t *testing.T) {
	const good = "bob@local.test"
	write := func(h *house, to string) {
		h.edit("e", func(b []byte) []byte {
			if !bytes.Contains(b, []byte(good)) {
				t.Fatal("the record does not name the recipient")
			}
			b = bytes.ReplaceAll(b, []byte(good), []byte(to))
			binary.BigEndian.PutUint32(b[len(b)-4:], crc32.Checksum(b[:len(b)-4], crc32.MakeTable(crc32.Castagnoli)))
			return b
		})
	}
	sound := newHouse(t)
	id := put(t, sound.q, localMessage("alice@local.test", good), "small").Entry.ID
	write(sound, "rob@local.test")
	if r := sound.restart(); r.Damaged != 0 || r.Entries != 1 {
		t.Fatalf("an address that is one is damage: %+v, %s", r, id)
	}
	for name, evil := range map[string]string{"a line": "b\r\nRCPT@x.test", "a NUL": "b\x00b@local.test", "a bare LF": "b\nb@local.test", "a space": "b b@local.tests", "no domain": "bobatlocaltest"} {
		evil = evil[:len(good)]
		for _, finder := range []string{"opening", "claim", "verification", "reading"} {
			t.Run(name+"/"+finder, func(t *testing.T) {
				h := newHouse(t)
				bad := put(t, h.q, localMessage("alice@local.test", good), "small").Entry.ID
				write(h, evil)
				other := put(t, h.q, localMessage("alice@local.test", "carol@local.test"), "small").Entry.ID
				h.clock.advance(2 * time.Hour)
				find(h, finder, bad, false)
				quarantined(h, bad, other, "small")
			})
		}
	}
}
