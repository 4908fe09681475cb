package trace

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sallyport/internal/fact"
	"sallyport/internal/mail"
	"sallyport/internal/store"
)

// A fact that is missing between two others, or altogether, is never passed over: what
// follows it does not enter the tree.
func TestAGapInTheSequenceStopsIt(t *testing.T) {
	for name, hide := range map[string]func(seq uint64, f []byte) []byte{
		"in the middle": func(seq uint64, f []byte) []byte {
			if seq == 3 {
				return nil
			}
			return f
		},
		"the first": func(seq uint64, f []byte) []byte {
			if seq == 1 {
				return nil
			}
			return f
		},
		"all": func(uint64, []byte) []byte { return nil },
	} {
		h := newHouse(t)
		inside := &intruder{Store: h.st}
		h.st = inside
		l := h.open()
		for i := range 5 {
			if err := l.Write(context.Background(), fact.Fact{At: h.clock.now(), Kind: fact.KindAccept, Text: fmt.Sprint(i)}); err != nil {
				t.Fatal(err)
			}
		}
		inside.fact = hide
		if err := l.Sync(context.Background()); !errors.Is(err, ErrBroken) {
			t.Errorf("%s is missing: %v", name, err)
		}
		if l.Next() != 1 || l.Stats().Signed != 0 {
			t.Errorf("%s is missing: %d facts were taken, %d signed", name, l.Next()-1, l.Stats().Signed)
		}
		inside.fact = nil
		if err := l.Sync(context.Background()); err != nil || l.Next() != 6 {
			t.Errorf("%s is there again: %v, next %d", name, err, l.Next())
		}
	}
}

// applied keeps what was committed.
type applied struct {
	store.Store
	txs []store.Tx
	how []store.Durability
}

func (a *applied) Apply(ctx context.Context, tx store.Tx, d store.Durability) (store.Revision, error) {
	a.txs, a.how = append(a.txs, tx), append(a.how, d)
	return a.Store.Apply(ctx, tx, d)
}

// What is kept is synced when that returns; what is written is not waited for.
func TestWhatIsKeptIsSynced(t *testing.T) {
	h := newHouse(t)
	seen := &applied{Store: h.st}
	h.st = seen
	l := h.open()
	seen.txs, seen.how = nil, nil
	f := fact.Fact{At: h.clock.now(), Kind: fact.KindAccept, Recipients: []string{"bob@local.test"}}
	for _, record := range []func(context.Context, ...fact.Fact) error{l.Keep, l.Write} {
		if err := record(t.Context(), f, f); err != nil {
			t.Fatal(err)
		}
		if err := record(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if len(seen.txs) != 2 || len(seen.txs[0].Facts) != 2 || seen.how[0] != store.Durable || seen.how[1] != store.Lazy {
		t.Errorf("%d transactions, synced %v", len(seen.txs), seen.how)
	}
}

// A batch ends at its number of facts, and earlier when their index entries fill half a
// transaction; none is lost.
func TestBatchesAreBounded(t *testing.T) {
	for name, c := range map[string]struct{ facts, recipients, batch, most int }{
		"by facts":         {facts: 25, recipients: 1, batch: 10, most: 10},
		"by index entries": {facts: 500, recipients: fact.MaxRecipients, batch: 2048, most: fullBatch/fact.MaxRecipients + 1},
	} {
		h := newHouse(t)
		h.o.Limits.BatchFacts = c.batch
		seen := &applied{Store: h.st}
		h.st = seen
		l := h.open()
		var to []string
		for i := range c.recipients {
			to = append(to, fmt.Sprintf("r%d@remote.test", i))
		}
		for range c.facts {
			if err := l.Write(context.Background(), fact.Fact{At: h.clock.now(), Kind: fact.KindAccept, Recipients: to}); err != nil {
				t.Fatal(err)
			}
		}
		seen.txs = nil
		sync1(t, l)
		entries := 0
		for _, tx := range seen.txs {
			n := 0
			for _, m := range tx.Mutations {
				if store.SpaceFactTerms.Has(m.Key) {
					n++
				}
			}
			if n > c.most*c.recipients {
				t.Errorf("%s: one batch has %d index entries", name, n)
			}
			entries += n
		}
		if entries != c.facts*c.recipients || len(seen.txs) < 1+c.facts/c.most {
			t.Errorf("%s: %d index entries in %d batches", name, entries, len(seen.txs))
		}
	}
}

// A bundle ends at its number of bodies, and earlier at its octets.
func TestBundlesAreBounded(t *testing.T) {
	long := strings.Repeat("x", fact.MaxAddress-16)
	for name, c := range map[string]struct {
		groups, samples, bodies, octets int
	}{
		"by bodies": {groups: maxBundleBodies + 1, samples: 1, bodies: maxBundleBodies},
		"by octets": {groups: maxBundleBodies, samples: 5, bodies: maxBundleBodies - 1, octets: maxBundleOctets},
	} {
		h := newHouse(t)
		h.o.Limits.Groups = 16 * maxBundleBodies
		seen := &applied{Store: h.st}
		h.st = seen
		l := h.open()
		for g := range c.groups {
			for s := range c.samples {
				l.Stranger(fact.Fact{
					At: h.clock.now(), Kind: fact.KindRefuse, Peer: netip.AddrFrom4([4]byte{10, byte(g), 1, byte(s)}), Door: fmt.Sprint(g),
					Sender: fmt.Sprint(s, long, "@a.test"), Recipient: fmt.Sprint(s, long, "@b.test"), Hello: fmt.Sprint(s, long[:250]), Text: fmt.Sprint(s, long),
					Conn: fmt.Sprint(s, long[:250]), Reply: mail.R(550, "5.7.1", fmt.Sprint(s, long)),
				})
			}
		}
		seen.txs = nil
		if err := l.Flush(context.Background()); err != nil {
			t.Fatal(err)
		}
		if len(seen.txs) < 2 {
			t.Errorf("%s: %d bundles", name, len(seen.txs))
		}
		for _, tx := range seen.txs {
			octets := 0
			for _, m := range tx.Mutations {
				octets += len(m.Value)
			}
			if len(tx.Mutations) > maxBundleBodies || octets > maxBundleOctets {
				t.Errorf("%s: a bundle has %d bodies of %d octets", name, len(tx.Mutations), octets)
			}
		}
	}
}

// A checkpoint is due after a number of facts, before its time.
func TestManyFactsMakeACheckpointEarlier(t *testing.T) {
	h := newHouse(t)
	h.o.Limits.CheckpointFacts, h.o.Limits.CheckpointEvery = 10, time.Hour
	l := h.open()
	sync1(t, l)
	for n := range 10 {
		if l.checkpointDue(h.clock.now()) {
			t.Errorf("due after %d facts", n)
		}
		if err := l.Write(context.Background(), fact.Fact{At: h.clock.now(), Kind: fact.KindAccept}); err != nil {
			t.Fatal(err)
		}
		if err := l.catchUp(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	if !l.checkpointDue(h.clock.now()) {
		t.Error("not due after 10 facts")
	}
}

// A checkpoint of few facts is due after its time, and no sooner, and a sequencer with
// nothing else to do comes back by then.
func TestFewFactsMakeACheckpointInTime(t *testing.T) {
	h := newHouse(t)
	h.o.Limits.CheckpointEvery = 7 * time.Minute
	l := h.open()
	sync1(t, l)
	signed := l.signedAt
	if err := l.Write(context.Background(), fact.Fact{At: h.clock.now(), Kind: fact.KindAccept}); err != nil {
		t.Fatal(err)
	}
	wait, err := l.round(context.Background())
	if err != nil || wait != 7*time.Minute {
		t.Errorf("comes back after %s, %v", wait, err)
	}
	if l.signed == l.tree.size {
		t.Error("signed at once")
	}
	if l.checkpointDue(signed.Add(7*time.Minute - 1)) {
		t.Error("due before its time")
	}
	if !l.checkpointDue(signed.Add(7 * time.Minute)) {
		t.Error("not due after its time")
	}
}

// The newest checkpoint is exported each time, and of the history only so many days stay.
func TestHistoryEndsAtItsBound(t *testing.T) {
	h := newHouse(t)
	h.o.Limits.HistoryFiles = 3
	l := h.open()
	for range 6 {
		if err := l.Write(context.Background(), fact.Fact{At: h.clock.now(), Kind: fact.KindAccept}); err != nil {
			t.Fatal(err)
		}
		sync1(t, l)
		h.clock.add(24 * time.Hour)
	}
	files, err := historyFiles(h.o.CheckpointDir)
	if err != nil || len(files) != 3 {
		t.Errorf("%d days, %v", len(files), err)
	}
	if _, err := os.Stat(filepath.Join(h.o.CheckpointDir, "checkpoint")); err != nil {
		t.Error(err)
	}
}
