package spool

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"sallyport/internal/mail"
	"sallyport/internal/store"
	"sallyport/internal/store/mem"
)

// spread are keys of a schedule that lie in ways that queues have: one instant for many, the more the nearer, and far apart.
func spread(n int) [][]byte {
	rnd := rand.New(rand.NewPCG(7, 7))
	keys := make([][]byte, n)
	for i := range keys {
		at := uint64(1_800_000_000_000_000_000)
		switch i % 3 {
		case 1:
			at += 1 << rnd.IntN(50)
		case 2:
			at += rnd.Uint64N(1 << 49)
		}
		keys[i] = spaceDue.Key(binary.BigEndian.AppendUint64(nil, at), numbered(i).Bytes())
	}
	return keys
}

func numbered(i int) mail.ID {
	b := make([]byte, idOctets)
	binary.BigEndian.PutUint64(b[idOctets-8:], uint64(i)+1)
	id, err := mail.IDFromBytes(b)
	if err != nil {
		return mail.ID{} // no key has it
	}
	return id
}

// filled is a store with keys that all have a value.
func filled(t testing.TB, value []byte, keys ...[]byte) store.Store {
	t.Helper()
	st := mem.New()
	for rest := keys; len(rest) > 0; {
		n := min(len(rest), 5000)
		var tx store.Tx
		for _, k := range rest[:n] {
			tx.Mutations = append(tx.Mutations, store.Mutation{Key: k, Value: value})
		}
		if _, err := st.Apply(context.Background(), tx, store.Lazy); err != nil {
			t.Fatal(err)
		}
		rest = rest[n:]
	}
	return st
}

// seen is what all parts of a sweep noted.
type seen struct {
	mu    sync.Mutex
	parts int
	keys  map[string]int
	fault error // of each fifth key of a part
}

type seenPart struct {
	all  *seen
	keys []string
}

func (s *seen) begin() sweeper {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.parts++
	return &seenPart{all: s}
}

func (p *seenPart) note(k, _ []byte) error {
	if p.keys = append(p.keys, string(k)); len(p.keys)%5 == 0 {
		return p.all.fault
	}
	return nil
}

func (p *seenPart) end(context.Context) error {
	p.all.mu.Lock()
	defer p.all.mu.Unlock()
	for _, k := range p.keys {
		p.all.keys[k]++
	}
	return nil
}

// Several readers note each key once, however the keys are spread, and one alone does too.
func TestASweepNotesEachKeyOnce(t *testing.T) {
	keys := spread(9000)
	st := filled(t, []byte("v"), append([][]byte{[]byte("sc"), []byte("se")}, keys...)...)
	for _, c := range []struct{ readers, step int }{{0, 1}, {1, 10}, {2, 1}, {3, 100}, {8, 7}, {8, 100_000}} {
		all := &seen{keys: map[string]int{}}
		if err := newSweep(st, c.readers, c.step, all.begin).run(context.Background(), spaceDue.All()); err != nil {
			t.Fatal(err)
		}
		if len(all.keys) != len(keys) {
			t.Errorf("%+v: %d keys of %d were noted", c, len(all.keys), len(keys))
		}
		for _, k := range keys {
			if all.keys[string(k)] != 1 {
				t.Fatalf("%+v: %x was noted %d times", c, k, all.keys[string(k)])
			}
		}
		if alone := c.readers < 2 || c.step > len(keys); (all.parts == 1) != alone {
			t.Errorf("%+v: read in %d parts", c, all.parts)
		}
	}
}

// halfBroken is a store of which the beginning of the schedule alone can be read.
type halfBroken struct {
	store.Store
	err error
}

func (b halfBroken) Scan(ctx context.Context, r store.Range, fn func(k, v []byte) (bool, error)) error {
	if !bytes.Equal(r.From, spaceDue.All().From) {
		return b.err
	}
	return b.Store.Scan(ctx, r, fn)
}

// What fails in one part is told, whichever part it is.
func TestASweepFails(t *testing.T) {
	st := filled(t, []byte("v"), spread(9000)...)
	trouble := errors.New("a test")
	all := &seen{keys: map[string]int{}, fault: trouble}
	if err := newSweep(st, 4, 2, all.begin).run(context.Background(), spaceDue.All()); !errors.Is(err, trouble) {
		t.Errorf("a part that fails: %v", err)
	}
	all = &seen{keys: map[string]int{}}
	if err := newSweep(halfBroken{st, trouble}, 4, 20, all.begin).run(context.Background(), spaceDue.All()); !errors.Is(err, trouble) {
		t.Errorf("another part that fails: %v", err)
	}
	ctx, stop := context.WithCancel(context.Background())
	stop()
	if err := newSweep(st, 4, 20, all.begin).run(ctx, spaceDue.All()); !errors.Is(err, context.Canceled) {
		t.Errorf("stopped: %v", err)
	}
}

// A key between two others lies between them, about half-way.
func TestBetween(t *testing.T) {
	zeros := strings.Repeat("\x00", 8)
	for _, c := range []struct{ a, b, want string }{
		{"a", "c", "b" + zeros[1:]},
		{"sd", "se", "sd\x80" + zeros[2:]},
		{"a", "a" + zeros[1:] + "\x01", ""},
		{"a", "a" + zeros[1:] + "\x02", "a" + zeros[1:] + "\x01"},
		{"x", "x", ""},
		{"b", "a", ""},
		{"same" + zeros + "\x01", "same" + zeros + "\x02", "same" + zeros + "\x01\x80" + zeros[2:]},
	} {
		if got := between([]byte(c.a), []byte(c.b)); string(got) != c.want {
			t.Errorf("between %q and %q: %q, want %q", c.a, c.b, got, c.want)
		}
	}
	rnd := rand.New(rand.NewPCG(3, 4))
	octets := func() []byte {
		b := make([]byte, rnd.IntN(14))
		for i := range b {
			b[i] = byte(rnd.IntN(3)) * 127
		}
		return b
	}
	for range 20_000 {
		a, b := octets(), octets()
		if k := between(a, b); k != nil && (bytes.Compare(a, k) >= 0 || bytes.Compare(k, b) >= 0) {
			t.Fatalf("%x is not between %x and %x", k, a, b)
		}
	}
}

// Wherever the parts begin: each entry under way is among those that are known, or lies where the schedule is searched again.
func TestWhatIsUnderWayIsFound(t *testing.T) {
	keys := spread(300)
	rnd := rand.New(rand.NewPCG(5, 6))
	for range 200 {
		parts := make([]interrupted, 1+rnd.IntN(4))
		for i := range parts {
			parts[i].most = rnd.IntN(90)
		}
		for _, i := range rnd.Perm(len(keys)) {
			parts[rnd.IntN(len(parts))].note(keys[i])
		}
		all := interrupted{}
		for _, p := range parts {
			all.take(p)
		}
		known := map[mail.ID]bool{}
		for _, id := range all.ids {
			known[id] = true
		}
		for _, k := range keys {
			if id, _ := keyID(k); !known[id] && (all.from == nil || bytes.Compare(k, all.from) < 0) {
				t.Fatalf("%x is forgotten; %d are known, from %x on all are read", k, len(known), all.from)
			}
		}
	}
}

// An opening counts the same, whoever reads the indexes.
func TestAnOpeningCountsWithSeveralReaders(t *testing.T) {
	var tx store.Tx
	for i, k := range spread(6000) {
		person := fmt.Sprintf("p%d@d%d.test", i%40, i%3)
		sum := summary{octets: int64(i), account: person, mailboxes: fmt.Sprintf("m%d@d%d.test\x00p@local.test\x00", i%50, i%7), leased: i%100 == 9}
		if i%5 == 0 {
			sum.account = ""
		}
		switch {
		case i%11 == 3:
			k = spaceHeld.Key(numbered(i).Bytes())
		case i%11 == 4:
			k = parkedKey(person, numbered(i))
		}
		tx.Mutations = append(tx.Mutations, store.Mutation{Key: k, Value: sum.encode()})
	}
	st := filled(t, nil)
	if _, err := st.Apply(context.Background(), tx, store.Lazy); err != nil {
		t.Fatal(err)
	}
	told := func(readers, step int) string {
		s := &Spool{st: st, readers: readers, step: step, counts: counts{accounts: map[string]int{}, free: map[string]int{}}, waits: newWaits()}
		s.limits.Store(&Limits{Claims: 1000, Batch: 100})
		found := interrupted{most: 1000}
		for _, space := range []store.Space{spaceDue, spaceHeld, spaceParked} {
			if err := s.loadIndex(context.Background(), space, &found); err != nil {
				t.Fatal(err)
			}
		}
		s.waits.loaded()
		told := fmt.Sprintf("%+v, %d under way", s.counts, len(found.ids))
		for i := range 50 {
			for j := range 7 {
				key := fmt.Appendf(nil, "m%d@d%d.test", i, j)
				told += fmt.Sprintf(" %v %v", s.waits.mailboxes.of(key), s.waits.domains.of(domainOf(key)))
			}
		}
		return told
	}
	want := told(1, sweepStep)
	for _, c := range []struct{ readers, step int }{{2, 1}, {4, 50}, {16, 7}} {
		if got := told(c.readers, c.step); got != want {
			t.Errorf("%+v:\n%s\nwant\n%s", c, got, want)
		}
	}
	if entries := fmt.Sprintf("{entries:%d ", len(tx.Mutations)); want[:len(entries)] != entries {
		t.Errorf("counted %.60s", want)
	}
}
