package cuts

import (
	"errors"
	"io"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"sallyport/internal/mail"
	"sallyport/internal/spool"
	"sallyport/internal/store"
)

// tally is what a number of cuts came to.
type tally struct {
	cuts, told, lost, corrupted, repeated int
}

func (t *tally) add(o tally) {
	t.cuts, t.told, t.lost = t.cuts+o.cuts, t.told+o.told, t.lost+o.lost
	t.corrupted, t.repeated = t.corrupted+o.corrupted, t.repeated+o.repeated
}

// judge is what starts on the rest of a disk, held to what was known.
type judge struct {
	t    *testing.T
	when string
	k    knowledge
	st   store.Store
	q    *spool.Spool
	now  time.Time
	tally
}

// check opens what a cut left and compares.
func (b blackout) check(t *testing.T, fs vfs.FS, how loss) tally {
	t.Helper()
	j := &judge{t: t, when: b.moment + ", the unsynced " + string(how), k: b.knowledge, now: time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC)}
	j.cuts = 1
	st, q, r, err := openQueue(fs, func() time.Time { return j.now })
	if err != nil {
		t.Fatalf("%s: %v", j.when, err)
	}
	defer st.Close()
	j.st, j.q = st, q
	if full, err := q.Verify(ctx()); err != nil || r.Damaged+r.Repaired+full.Damaged+full.Repaired != 0 {
		t.Errorf("%s: recovery %+v, verification %+v, %v", j.when, r, full, err)
		j.corrupted++
	}
	there := j.contents()
	j.families(there)
	j.facts()
	j.files(there)
	j.waiting(there)
	for id, m := range b.messages {
		j.claim(id, m, there[id])
	}
	return j.tally
}

// contents compares what is in the queue with what may be, and returns it.
func (j *judge) contents() map[mail.ID]spool.Entry {
	there := map[mail.ID]spool.Entry{}
	err := j.q.List(ctx(), spool.Filter{}, func(e spool.Entry) (bool, error) {
		there[e.ID] = e
		return true, nil
	})
	if err != nil {
		j.t.Errorf("%s: %v", j.when, err)
	}
	for id, e := range there {
		m, known := j.k.messages[id]
		if got, err := j.body(id); !known || err != nil || got != m.content || e.Account.String() != m.account {
			j.t.Errorf("%s: %s, known: %v, has %d octets, %v; want %d", j.when, id, known, len(got), err, len(m.content))
			j.corrupted++
		}
		if m.was == gone && m.is == gone {
			j.t.Errorf("%s: %s was settled, synced, and is there again", j.when, id)
			j.repeated++
		}
		if m.is == gone {
			j.repeated++
		}
	}
	for id, m := range j.k.messages {
		if m.was == gone && m.born.IsZero() && m.is != gone {
			continue // being accepted
		}
		if m.was != gone && m.is != gone {
			j.told++
		}
		if _, is := there[id]; !is && m.was != gone && m.is != gone {
			j.t.Errorf("%s: %s was acknowledged, and is lost", j.when, id)
			j.lost++
		}
	}
	return there
}

// families demands that what a settlement spawned is there if and only if it was settled.
func (j *judge) families(there map[mail.ID]spool.Entry) {
	for id, m := range j.k.messages {
		if m.born.IsZero() || m.was != gone || m.is == gone {
			continue
		}
		_, parent := there[m.born]
		if _, is := there[id]; is == parent {
			j.t.Errorf("%s: %s is there: %v, and what it came of is there: %v", j.when, id, is, parent)
			j.lost++
		}
	}
}

// facts demands those of all durable acts, and before the last one no gap.
func (j *judge) facts() {
	var got []string
	err := j.st.Facts(ctx(), 1, 1<<62, func(_ uint64, f []byte) (bool, error) {
		got = append(got, string(f))
		return true, nil
	})
	if err != nil || len(got) < j.k.durable || len(got) > len(j.k.issued) || !slices.Equal(got, j.k.issued[:len(got)]) {
		j.t.Errorf("%s: %d facts, of %d that were durable and %d issued: %v", j.when, len(got), j.k.durable, len(j.k.issued), err)
		j.corrupted++
	}
}

// waiting demands that what is kept of what waits for mailboxes is what the entries say.
func (j *judge) waiting(there map[mail.ID]spool.Entry) {
	boxes, domains := map[mail.Address]spool.Waiting{}, map[mail.Domain]spool.Waiting{}
	for _, e := range there {
		seen := map[mail.Address]bool{}
		for _, r := range e.Pending() {
			if r.Kind != spool.KindLocal || seen[r.Mailbox] {
				continue
			}
			seen[r.Mailbox] = true
			box, all, octets := boxes[r.Mailbox], domains[r.Mailbox.Domain()], e.Size+int64(len(e.Prefix))
			boxes[r.Mailbox] = spool.Waiting{Messages: box.Messages + 1, Octets: box.Octets + octets}
			domains[r.Mailbox.Domain()] = spool.Waiting{Messages: all.Messages + 1, Octets: all.Octets + octets}
		}
	}
	for box, want := range boxes {
		if its, all := j.q.Waiting(box); its != want || all != domains[box.Domain()] {
			j.t.Errorf("%s: for %s waits %+v, in its domain %+v; the entries say %+v, %+v", j.when, box, its, all, want, domains[box.Domain()])
			j.corrupted++
		}
	}
}

// files demands a file for each large message, and no other.
func (j *judge) files(there map[mail.ID]spool.Entry) {
	names, err := j.st.Blobs().List()
	want := 0
	for _, e := range there {
		if e.Size > int64(spool.DefaultLimits().InlineOctets) {
			want++
		}
	}
	if err != nil || len(names) != want {
		j.t.Errorf("%s: %d files for %d large messages, %v", j.when, len(names), want, err)
	}
}

// claim demands that what is held is not given out, and that what waits is.
func (j *judge) claim(id mail.ID, m message, e spool.Entry) {
	account := j.k.accounts[m.account]
	c, err := j.q.Claim(ctx(), id, "judge", time.Minute, j.now)
	kept := m.was == held && m.is == held || account[0] && account[1]
	free := m.was != held && m.is != held && !account[0] && !account[1]
	switch {
	case e.ID.IsZero():
		if !errors.Is(err, spool.ErrNotFound) {
			j.t.Errorf("%s: %s is not there, and its claim says %v", j.when, id, err)
		}
	case kept && !errors.Is(err, spool.ErrHeld):
		j.t.Errorf("%s: %s is held, and its claim says %v", j.when, id, err)
	case free && (err != nil || c.Entry.ID != id):
		j.t.Errorf("%s: %s waits, and its claim says %v", j.when, id, err)
	case err != nil && !errors.Is(err, spool.ErrHeld):
		j.t.Errorf("%s: the claim of %s says %v", j.when, id, err)
	}
}

func (j *judge) body(id mail.ID) (string, error) {
	r, err := j.q.OpenBody(ctx(), id)
	if err != nil {
		return "", err
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	return string(b), err
}

// The power goes before each operation of the disk while a queue is used in every way that there
// is, and what was not synced is dropped, reordered, torn or kept: what was acknowledged is there,
// whole and where it was said to be, what was settled and synced is not, and acts are whole.
func TestPowerIsCutAtEveryOperationOfTheQueue(t *testing.T) {
	s := size(t)
	var all tally
	acts, kinds, ops, tables := map[string]int{}, map[kind]int{}, 0, 0
	for seed := range s.histories {
		h := play(t, s.seed+uint64(seed), s.acts, s.every)
		for _, b := range h.cuts {
			rng := chance(h.seed, b.number)
			for i, how := range losses() {
				if !s.all && i != b.number/s.every%len(losses()) {
					continue
				}
				left, err := b.left.after(how, rng)
				if err != nil {
					t.Fatal(err)
				}
				all.add(b.check(t, left, how))
			}
			if t.Failed() {
				t.Fatalf("seed %d: SALLYPORT_CUTS_SEED=%d repeats it", h.seed, h.seed)
			}
		}
		for name, n := range h.acts {
			acts[name] += n
		}
		for k, n := range h.kinds {
			kinds[k] += n
		}
		ops, tables = ops+h.ops, tables+h.tables
	}
	t.Logf("acts %v", acts)
	t.Logf("%d operations of the disk: %v", ops, kinds)
	t.Logf("%d power cuts, %d promises held against what was left: %d lost, %d corrupted; %d messages there again, all settled since the last sync; %d tables put together",
		all.cuts, all.told, all.lost, all.corrupted, all.repeated, tables)
	for _, want := range slices.Sorted(maps.Keys(acts)) {
		if acts[want] == 0 {
			t.Errorf("nothing was done of %q", want)
		}
	}
}
