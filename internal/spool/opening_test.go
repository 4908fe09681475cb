package spool_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sallyport/internal/gate"
	"sallyport/internal/mail"
	"sallyport/internal/spool"
)

// Opening and verifying tell what they found, and how long they took.
func TestReports(t *testing.T) {
	h := newHouse(t)
	h.mixed()
	took := 3 * time.Millisecond
	h.o.Now = func() time.Time { return h.clock.advance(took) }
	octets := h.q.Stats().Octets
	q, r, err := spool.Open(ctx, h.st, h.o)
	if err != nil {
		t.Fatal(err)
	}
	if r.Took < took || r.Took > time.Second || r.Took%took != 0 {
		t.Errorf("took %v", r.Took)
	}
	r.Took = 0
	want := spool.Report{Entries: 8, Held: 3, Octets: octets, Verified: 8, Hashed: 7, Resumed: 2, Complete: true}
	if r != want {
		t.Errorf("opened %+v, want %+v", r, want)
	}
	r, err = q.Verify(ctx)
	if r.Took < took || r.Took > time.Second {
		t.Errorf("took %v", r.Took)
	}
	r.Took = 0
	want.Hashed, want.Resumed = 8, 0
	if err != nil || r != want {
		t.Errorf("verified %+v, %v; want %+v", r, err, want)
	}
}

// Opening verifies as many entries as its budget says, and for as long.
func TestTheBudgetOfAnOpening(t *testing.T) {
	for name, row := range map[string]struct {
		limits   spool.Limits
		tick     time.Duration // how long each look at the clock takes
		verified int
		complete bool
	}{
		"more than enough": {spool.Limits{VerifyEntries: 6}, 0, 5, true},
		"just enough":      {spool.Limits{VerifyEntries: 5}, 0, 5, true},
		"one too few":      {spool.Limits{VerifyEntries: 4}, 0, 4, false},
		"one":              {spool.Limits{VerifyEntries: 1}, 0, 1, false},
		"no time":          {spool.Limits{VerifyTime: time.Second}, time.Second, 0, false},
		"time for one":     {spool.Limits{VerifyTime: 3 * time.Second}, time.Second, 1, false}, // one look is that of what was under way
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			h.five()
			h.o.Limits = row.limits
			h.o.Now = func() time.Time { return h.clock.advance(row.tick) }
			if r := h.restart(); r.Verified != row.verified || r.Complete != row.complete || r.Entries != 5 {
				t.Errorf("report %+v", r)
			}
		})
	}
}

// At the next opening what was set aside is due where its account is not held any more,
// and stays where it is: of several accounts, each for itself.
func TestAnOpeningReleasesWhatIsFree(t *testing.T) {
	h := newHouse(t, func(o *spool.Options) { o.Limits.Batch = 2 })
	for _, account := range []string{"alice@local.test", "bob@local.test", "carol@local.test", "dave@local.test"} {
		var ids []mail.ID
		for range 3 {
			ids = append(ids, h.idle(localMessage(account, "x@local.test")))
		}
		if err := h.q.HoldAccount(ctx, addr(account), "why"); err != nil {
			t.Fatal(err)
		}
		for _, id := range ids {
			_, err := h.q.Claim(ctx, id, "test", time.Minute, h.clock.now())
			h.wantError(err, spool.ErrHeld)
		}
	}
	h.write("sabob@local.test", nil)
	h.write("sadave@local.test", nil)
	now := h.clock.advance(time.Hour)
	if r := h.restart(); r.Held != 6 || r.Entries != 12 || r.Resumed != 0 {
		t.Errorf("report %+v", r)
	}
	if got := len(h.due()); got != 6 {
		t.Errorf("%d due, want six", got)
	}
	for _, id := range h.due() {
		if e, err := h.q.Get(ctx, id); err != nil || e.Parked() || !e.NextTry.Equal(now) || e.Account == addr("alice@local.test") || e.Account == addr("carol@local.test") {
			t.Errorf("due: %+v, %v", e, err)
		}
	}
}

// Each opening has fences above all earlier ones, and a number that does not read is no
// reason to begin again.
func TestOpeningsAreNumbered(t *testing.T) {
	h := newHouse(t)
	for n := uint64(1); n < 4; n++ {
		if got := h.keysOf("n")["sn"]; !bytes.Equal(got, binary.BigEndian.AppendUint64(nil, n)) {
			t.Errorf("opening %d is numbered %x", n, got)
		}
		c := put(t, h.q, localMessage("alice@local.test", "bob@local.test"), "x")
		if c.Token.Fence != n<<40+1 {
			t.Errorf("the first fence of opening %d is %x", n, c.Token.Fence)
		}
		h.restart()
	}
	h.write("sn", []byte("1234567"))
	_, _, err := spool.Open(ctx, h.st, h.o)
	h.wantError(err, spool.ErrDamaged)
}

// Keys of the indexes that are none are passed over: nothing is found there, and nothing
// stops at them.
func TestKeysThatAreNone(t *testing.T) {
	h := newHouse(t, func(o *spool.Options) { o.Limits.Batch = 2 })
	ids := h.five()
	for _, k := range []string{"sd", "sdx", "sh", "sp", "spx", "sx", "sxx", "se", "sexyz", "sd" + strings.Repeat("\x00", 23)} {
		h.write(k, []byte("nonsense"))
	}
	h.restart()
	if n := len(h.due()); n != 5 {
		t.Errorf("%d due", n)
	}
	if at, ok, err := h.q.NextDue(ctx); !ok || err != nil || at.After(h.clock.now()) {
		t.Errorf("next due %v, %v, %v", at, ok, err)
	}
	if n := h.count(spool.Filter{}); n != 5 {
		t.Errorf("%d are listed", n)
	}
	if r, err := h.q.Verify(ctx); err != nil || r.Verified != 5 || r.Damaged != 0 {
		t.Errorf("verified %+v, %v", r, err)
	}
	err := h.q.Damaged(ctx, func(id mail.ID, _ string, _ []byte) (bool, error) {
		t.Errorf("in quarantine: %s", id)
		return true, nil
	})
	if err != nil {
		t.Error(err)
	}
	n, err := h.q.Remove(ctx, spool.Filter{IDs: ids}, nil)
	h.wantN(n, err, 5)
}

// Wherever a damaged entry stands, its figures go with it and its record is kept.
func TestDamageIsCountedOut(t *testing.T) {
	for name, prepare := range map[string]func(h *house, id mail.ID){
		"due":    func(*house, mail.ID) {},
		"held":   func(h *house, id mail.ID) { n, err := h.q.Hold(ctx, one(id), "why", nil); h.wantN(n, err, 1) },
		"parked": func(h *house, id mail.ID) { h.park(id) },
	} {
		for _, full := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				h := newHouse(t, func(o *spool.Options) { o.Logger = quiet() })
				other := h.idle(localMessage("bob@local.test", "bob@local.test"))
				before := h.q.Stats()
				id := h.idle(localMessage("alice@local.test", "bob@local.test"))
				prepare(h, id)
				record := []byte("not a record of this version")
				if full {
					// The record reads, and the body does not: it is known where the entry stands.
					record = h.keysOf("e")["se"+string(id.Bytes())]
					h.write("sb"+string(id.Bytes()), []byte("y"))
				} else {
					h.write("se"+string(id.Bytes()), record)
				}
				if r, err := h.q.Verify(ctx); err != nil || r.Damaged != 1 || r.Verified != 1 || r.Repaired != 0 || !r.Complete {
					t.Errorf("verified %+v, %v", r, err)
				}
				if after := h.q.Stats(); after != before {
					t.Errorf("counted %+v, want %+v", after, before)
				}
				n := 0
				err := h.q.Damaged(ctx, func(found mail.ID, reason string, kept []byte) (bool, error) {
					n++
					if found != id || !strings.Contains(reason, "damaged") || !bytes.Equal(kept, record) {
						t.Errorf("%s in quarantine: %q, %x", found, reason, kept)
					}
					return true, nil
				})
				h.wantN(n, err, 1)
				if got := len(h.keysOf("d")) + len(h.keysOf("h")) + len(h.keysOf("p")); got != 1 {
					t.Errorf("%d entries stand in an index, want one", got)
				}
				if r, err := h.q.Verify(ctx); err != nil || r.Damaged != 0 {
					t.Errorf("damaged again: %+v, %v", r, err)
				}
				h.claim(other)
			})
		}
	}
}

// What is in quarantine is told one by one, and its reason too may be damaged.
func TestQuarantineIsTold(t *testing.T) {
	h := newHouse(t)
	h.write("sx"+string(newID().Bytes()), []byte{9, 'x'})
	h.write("sx"+string(newID().Bytes()), []byte{1, 'x', 'r'})
	told := map[string]string{}
	if err := h.q.Damaged(ctx, func(_ mail.ID, reason string, record []byte) (bool, error) {
		told[reason] = string(record)
		return true, nil
	}); err != nil {
		t.Fatal(err)
	}
	if len(told) != 2 || told["x"] != "r" || told["the reason is damaged as well"] != "\x09x" {
		t.Errorf("told %q", told)
	}
	for _, why := range []error{nil, errTrouble} {
		n := 0
		err := h.q.Damaged(ctx, func(mail.ID, string, []byte) (bool, error) { n++; return false, why })
		if n != 1 || err != why {
			t.Errorf("told %d, %v; want one, %v", n, err, why)
		}
	}
}

// A reader that was told to stop still records what it found at the end of a body.
func TestDamageIsRecordedWhoeverStops(t *testing.T) {
	h := newHouse(t, func(o *spool.Options) { o.Logger = quiet() })
	c := put(t, h.q, localMessage("alice@local.test", "bob@local.test"), strings.Repeat("x", big))
	h.editFiles(func(name string) { h.writeBlob(name, strings.Repeat("x", big-1)+"y") })
	stopped, stop := context.WithCancel(ctx)
	r, err := h.q.OpenBody(stopped, c.Entry.ID)
	if err != nil {
		t.Fatal(err)
	}
	stop()
	if _, err := io.ReadAll(r); !errors.Is(err, spool.ErrDamaged) {
		t.Errorf("read %v", err)
	}
	_, err = h.q.Get(ctx, c.Entry.ID)
	h.wantError(err, spool.ErrNotFound)
	h.wantStats(0, 0)
}

// A ghost that is met once may be a delivery that overtook the question; how many are
// remembered is bounded.
func TestGhostsAreRememberedForAWhile(t *testing.T) {
	h := newHouse(t, func(o *spool.Options) { o.Limits.VerifyTime, o.Limits.Remembered = 1, 2; o.Logger = quiet() })
	held := h.idle(localMessage("alice@local.test", "bob@local.test")) // nothing is verified beyond it
	n, err := h.q.Hold(ctx, one(held), "why", nil)
	h.wantN(n, err, 1)
	h.o.Now = func() time.Time { return h.clock.advance(time.Second) }
	var ghosts []mail.ID
	for range 3 {
		id := newID()
		ghosts = append(ghosts, id)
		h.write("sd\x00\x00\x00\x00\x00\x00\x00\x01"+string(id.Bytes()), []byte{1, 0, 7})
	}
	h.restart()
	meet := func(id mail.ID, left int) {
		t.Helper()
		_, err := h.q.Claim(ctx, id, "test", time.Minute, h.clock.now())
		h.wantError(err, spool.ErrNotFound)
		if n := len(h.keysOf("d")); n != left {
			t.Errorf("%d keys are left, want %d", n, left)
		}
	}
	meet(ghosts[0], 3)
	meet(ghosts[1], 3)
	meet(ghosts[2], 3) // the third is one too many: the first two are forgotten
	meet(ghosts[0], 3)
	meet(ghosts[2], 2)
	meet(ghosts[0], 2) // forgotten once more, together
	meet(ghosts[0], 1)
}

// The key of the grants is made once, and a damaged one is told, not replaced.
func TestLoadKey(t *testing.T) {
	dir := t.TempDir()
	first, err := spool.LoadKey(dir, true, strings.NewReader(strings.Repeat("k", 32)))
	if err != nil || first == (gate.Key{}) {
		t.Fatal(err)
	}
	if again, err := spool.LoadKey(dir, false, strings.NewReader("")); err != nil || again != first {
		t.Errorf("another key, %v", err)
	}
	path := filepath.Join(dir, spool.KeyFile)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text[:len(text)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	if k, err := spool.LoadKey(dir, false, strings.NewReader("")); err == nil || k != (gate.Key{}) {
		t.Error("half a key is taken")
	}
	if _, err := spool.LoadKey(t.TempDir(), false, strings.NewReader(strings.Repeat("k", 32))); err == nil {
		t.Error("a lost key is made anew, although there is something that it sealed")
	}
	if _, err := spool.LoadKey(t.TempDir(), true, strings.NewReader("short")); err == nil {
		t.Error("a key of less than its octets is made")
	}
}
