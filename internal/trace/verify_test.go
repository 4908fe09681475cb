package trace

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sallyport/internal/fact"
	"sallyport/internal/mail"
	"sallyport/internal/store"
	"sallyport/internal/store/mem"
	"sallyport/internal/trace/index"
)

// intruder changes what is read from a store, as somebody with access to the
// files could.
type intruder struct {
	store.Store
	fact func(seq uint64, fact []byte) []byte // nil: the fact is gone
	get  func(key, value []byte) []byte       // nil: the key is gone
}

func (s *intruder) Facts(ctx context.Context, from, to uint64, fn func(uint64, []byte) (bool, error)) error {
	return s.Store.Facts(ctx, from, to, func(seq uint64, fact []byte) (bool, error) {
		if s.fact != nil {
			if fact = s.fact(seq, fact); fact == nil {
				return true, nil
			}
		}
		return fn(seq, fact)
	})
}

func (s *intruder) Get(ctx context.Context, key []byte) ([]byte, error) {
	v, err := s.Store.Get(ctx, key)
	if err == nil && s.get != nil {
		if v = s.get(key, v); v == nil {
			return nil, store.ErrNotFound
		}
	}
	return v, err
}

func TestVerifyFindsWhatWasDone(t *testing.T) {
	h := newHouse(t)
	inside := &intruder{Store: h.st}
	h.st = inside
	l := h.open()
	for i := range 60 {
		h.deliver(l, i, "bob@remote.test")
	}
	l.Stranger(fact.Fact{At: h.clock.now(), Kind: fact.KindRefuse, Recipient: "x@y.test"})
	sync1(t, l)
	if r := h.verify(l); !r.OK() || r.Facts != 301 || r.Size != 301 || r.Checkpoints != 3 || r.Bundles != 1 {
		t.Fatalf("untouched: %+v", r)
	}
	facts := map[uint64][]byte{}
	err := h.st.Facts(context.Background(), 1, 302, func(seq uint64, f []byte) (bool, error) {
		facts[seq] = bytes.Clone(f)
		return true, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		fact func(uint64, []byte) []byte
		get  func([]byte, []byte) []byte
		want string
	}{
		"altered": {fact: func(seq uint64, f []byte) []byte {
			if seq == 103 {
				return bytes.Replace(f, []byte("alice"), []byte("carol"), 1)
			}
			return f
		}, want: "fact 103 was altered or moved"},
		"removed": {fact: func(seq uint64, f []byte) []byte {
			if seq == 103 {
				return nil
			}
			return f
		}, want: "fact 103 is missing"},
		"removed at the front": {fact: func(seq uint64, f []byte) []byte {
			if seq < 3 {
				return nil
			}
			return f
		}, want: "fact 1 is missing"},
		"removed at the end": {fact: func(seq uint64, f []byte) []byte {
			if seq > 300 {
				return nil
			}
			return f
		}, want: "fact 301 is missing"},
		"exchanged": {fact: func(seq uint64, f []byte) []byte {
			switch seq {
			case 103:
				return facts[108]
			case 108:
				return facts[103]
			}
			return f
		}, want: "fact 108 was altered or moved"},
		"hashes altered": {get: func(k, v []byte) []byte {
			if bytes.Equal(k, chunkKey(1)) {
				v = bytes.Clone(v)
				v[40] ^= 1
			}
			return v
		}, want: "the stored hashes 32 to 63 do not fit"},
		"hashes removed": {get: func(k, v []byte) []byte {
			if bytes.Equal(k, chunkKey(1)) {
				return nil
			}
			return v
		}, want: "has no hash"},
		"checkpoint forged": {get: func(k, v []byte) []byte {
			if string(k) == checkpointKey {
				return bytes.Replace(v, []byte("\n301\n"), []byte("\n300\n"), 1)
			}
			return v
		}, want: "not signed by this log's key"},
	} {
		inside.fact, inside.get = tt.fact, tt.get
		r := h.verify(l)
		if r.OK() || !strings.Contains(strings.Join(r.Faults, "\n"), tt.want) {
			t.Errorf("%s: %q lacks %q", name, r.Faults, tt.want)
		}
	}
	inside.fact, inside.get = nil, nil
	if r := h.verify(l); !r.OK() {
		t.Errorf("untouched again: %q", r.Faults)
	}
}

// An intruder who also rewrites the hashes is caught by the checkpoints.
func TestARewrittenTreeContradictsItsCheckpoints(t *testing.T) {
	h := newHouse(t)
	l := h.open()
	h.deliver(l, 1, "bob@remote.test")
	sync1(t, l)
	h.st = mem.New()
	forged := h.open()
	if !strings.Contains(h.logs.String(), "older than the exported checkpoint") {
		t.Errorf("nothing was said: %s", h.logs)
	}
	// One fact is the alarm; with more, the sizes agree and the contents do not.
	for i := range 3 {
		h.deliver(forged, i, "eve@remote.test")
	}
	forged.signedAt = h.clock.now()
	h.logs.Reset()
	if err := forged.catchUp(context.Background()); err != nil {
		t.Fatal(err)
	}
	h.open()
	if !strings.Contains(h.logs.String(), "are not those that the exported checkpoint covers") {
		t.Errorf("nothing was said: %s", h.logs)
	}
	r := h.verify(forged)
	if r.OK() || !strings.Contains(r.Faults[0], "and they are not these") {
		t.Errorf("%q", r.Faults)
	}
}

func TestARollbackRaisesAnAlarmAndStaysVisible(t *testing.T) {
	h := newHouse(t)
	l := h.open()
	for i := range 30 {
		h.deliver(l, i, "bob@remote.test")
	}
	sync1(t, l)
	h.st = mem.New()
	old := h.open()
	alarm := fact.Fact{}
	err := h.st.Facts(context.Background(), 1, 2, func(_ uint64, raw []byte) (bool, error) {
		f, err := fact.Decode(raw)
		alarm = f
		return true, err
	})
	if err != nil || alarm.Kind != fact.KindAlarm || alarm.Rule != RuleRollback || !strings.Contains(alarm.Text, "covers 150 facts") {
		t.Errorf("%+v %v", alarm, err)
	}
	// New checkpoints take the place of the exported one, the history keeps it.
	sync1(t, old)
	r := h.verify(old)
	if r.OK() || !strings.Contains(strings.Join(r.Faults, "\n"), "set back or cut off") {
		t.Errorf("%q", r.Faults)
	}
	h.logs.Reset()
	h.open()
	if strings.Contains(h.logs.String(), "ERROR") {
		t.Errorf("one rollback alarms twice: %s", h.logs)
	}
}

func TestAForgedExportRaisesAnAlarm(t *testing.T) {
	h := newHouse(t)
	l := h.open()
	h.deliver(l, 1, "bob@remote.test")
	sync1(t, l)
	name := filepath.Join(h.o.CheckpointDir, checkpointFile)
	if err := os.WriteFile(name, []byte("mx.local.test/trace\n1\nxxx\n\n— nobody xxx\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	h.open()
	if !strings.Contains(h.logs.String(), "was not signed by this log's key") {
		t.Errorf("nothing was said: %s", h.logs)
	}
}

func TestProgressWithoutFactsIsRefused(t *testing.T) {
	h := newHouse(t)
	l := h.open()
	h.deliver(l, 1, "bob@remote.test")
	sync1(t, l)
	state, err := h.st.Get(context.Background(), []byte(stateKey))
	if err != nil {
		t.Fatal(err)
	}
	h.st = mem.New()
	tx := store.Tx{Mutations: []store.Mutation{{Key: []byte(stateKey), Value: state}}}
	if _, err := h.st.Apply(context.Background(), tx, store.Durable); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(context.Background(), h.st, h.o); !errors.Is(err, ErrBroken) {
		t.Errorf("%v", err)
	}
}

func TestForgettingKeepsTheProof(t *testing.T) {
	h := newHouse(t)
	h.o.Limits.Keep, h.o.Limits.StrangersKeep = 10*24*time.Hour, 2*24*time.Hour
	l := h.open()
	stranger := func(to string) {
		l.Stranger(fact.Fact{At: h.clock.now(), Kind: fact.KindRefuse, Peer: testPeer(), Sender: "spam@bad.test", Recipient: to})
		if err := l.Flush(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	old := h.deliver(l, 1, "bob@remote.test")
	stranger("old@local.test")
	h.clock.add(3 * 24 * time.Hour)
	stranger("new@local.test")
	sync1(t, l)
	retain(t, l)
	if a := h.ask(l, "old@local.test"); len(a.Entries) != 0 {
		t.Errorf("strangers were not forgotten: %q", kinds(a))
	}
	if kinds(h.ask(l, "new@local.test")) != "refuse" || kinds(h.ask(l, "spam@bad.test")) != "refuse" || len(h.ask(l, old.String()).Entries) != 5 {
		t.Error("too much was forgotten")
	}
	if r := h.verify(l); !r.OK() || r.Forgotten != 0 {
		t.Errorf("%+v", r)
	}
	h.clock.add(8 * 24 * time.Hour)
	kept := h.deliver(l, 2, "bob@remote.test")
	sync1(t, l)
	retain(t, l)
	sync1(t, l)
	if a := h.ask(l, old.String()); len(a.Entries) != 0 {
		t.Errorf("not forgotten: %q", kinds(a))
	}
	if a := h.ask(l, "bob@remote.test"); len(a.Entries) != 5 || a.Entries[2].Fact.Queue != kept {
		t.Errorf("kept: %q", kinds(a))
	}
	r := h.verify(l)
	if !r.OK() || r.Forgotten != 6 || r.Size != 15 {
		t.Errorf("%+v", r)
	}
	if p, err := l.Prove(context.Background(), 1); err != nil || p.Fact != nil || p.Check(h.o.Key) != nil {
		t.Errorf("a forgotten fact cannot be proved: %v", err)
	}
	leftIndex(t, h, old.String())
	// What is forgotten stays forgotten after a restart.
	l = h.open()
	if r := h.verify(l); !r.OK() || r.Forgotten != 6 {
		t.Errorf("%+v", r)
	}
}

// leftIndex fails if index entries of a forgotten message are left.
func leftIndex(t *testing.T, h *house, queue string) {
	t.Helper()
	id, err := mail.ParseID(queue)
	if err != nil {
		t.Fatal(err)
	}
	sections, err := index.Layout{}.Sections(context.Background(), h.st, index.QueueTerm(id))
	if err != nil || len(sections) != 1 {
		t.Fatal(sections, err)
	}
	err = h.st.Scan(context.Background(), sections[0].All(index.QueueTerm(id), false), func(k, _ []byte) (bool, error) {
		t.Errorf("index entry %q is left", k)
		return true, nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A flood of strangers pushes out strangers, never mail.
func TestStrangersOnlyPushOutStrangers(t *testing.T) {
	h := newHouse(t)
	h.o.Limits.StrangersFacts, h.o.Limits.KeepFacts = 10, 1000
	l := h.open()
	id := h.deliver(l, 1, "bob@remote.test")
	for range 50 {
		h.clock.add(time.Minute)
		l.Stranger(fact.Fact{At: h.clock.now(), Kind: fact.KindRefuse, Peer: testPeer(), Recipient: "x@y.test"})
		sync1(t, l)
		retain(t, l)
	}
	sync1(t, l)
	if got := kinds(h.ask(l, id.String())); got != "disconnect auth accept outcome disconnect" {
		t.Errorf("mail was pushed out: %q", got)
	}
	if a := h.ask(l, "x@y.test"); len(a.Entries) != 10 {
		t.Errorf("%d bodies of strangers", len(a.Entries))
	}
	for prefix, want := range map[string]int{index.BodyPrefix: 10, bundlePrefix: 10, string(store.SpaceStrangersTerms): 30} {
		n := 0
		err := h.st.Scan(context.Background(), store.Prefix([]byte(prefix)), func(_, _ []byte) (bool, error) { n++; return true, nil })
		if err != nil || n != want {
			t.Errorf("%d keys %s are left, want %d (%v)", n, prefix, want, err)
		}
	}
	if s := l.Stats(); s.Strangers != 10 || s.Oldest != 1 {
		t.Errorf("%+v", s)
	}
	if r := h.verify(l); !r.OK() {
		t.Errorf("%+v", r)
	}
}

func TestFactsAreBoundedInNumber(t *testing.T) {
	h := newHouse(t)
	h.o.Limits.KeepFacts = 20
	l := h.open()
	for i := range 50 {
		h.deliver(l, i, "bob@remote.test")
	}
	sync1(t, l)
	retain(t, l)
	sync1(t, l)
	if s := l.Stats(); s.Oldest != 231 {
		t.Errorf("%+v", s)
	}
	if r := h.verify(l); !r.OK() || r.Facts != 21 {
		t.Errorf("%+v", r)
	}
}

// Whoever removes strangers' bodies, or moves the mark of what is kept, without
// a fact that says so, is found.
func TestUnrecordedForgettingIsFound(t *testing.T) {
	h := newHouse(t)
	l := h.open()
	h.deliver(l, 1, "bob@remote.test")
	l.Stranger(fact.Fact{At: h.clock.now(), Kind: fact.KindRefuse, Recipient: "x@y.test"})
	sync1(t, l)
	var tx store.Tx
	err := h.st.Scan(context.Background(), store.Prefix([]byte(index.BodyPrefix)), func(k, _ []byte) (bool, error) {
		tx.Mutations = append(tx.Mutations, store.Mutation{Key: bytes.Clone(k), Delete: true})
		return true, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.st.Apply(context.Background(), tx, store.Durable); err != nil {
		t.Fatal(err)
	}
	if r := h.verify(l); r.OK() || !strings.Contains(r.Faults[0], "bodies of the strangers' facts of fact 6") {
		t.Errorf("%q", r.Faults)
	}
	to := *l.at.Load()
	to.Oldest = 4
	if err := l.advance(context.Background(), store.Tx{}, to, store.Durable); err != nil {
		t.Fatal(err)
	}
	if err := h.st.DeleteFacts(context.Background(), 4); err != nil {
		t.Fatal(err)
	}
	if r := h.verify(h.open()); r.OK() || !strings.Contains(strings.Join(r.Faults, "\n"), "no retention removed them") {
		t.Errorf("%q", r.Faults)
	}
}

// A fact that does not decode has no age; it must not be forgotten early, and
// must not stop the forgetting.
func TestUnreadableFactsNeitherVanishNorBlock(t *testing.T) {
	h := newHouse(t)
	h.o.Limits.Keep = 24 * time.Hour
	l := h.open()
	write := func() {
		tx := store.Tx{Facts: [][]byte{[]byte("\x00no fact")}}
		if _, err := h.st.Apply(context.Background(), tx, store.Lazy); err != nil {
			t.Fatal(err)
		}
	}
	write()
	h.deliver(l, 1, "bob@remote.test")
	sync1(t, l)
	retain(t, l)
	if s := l.Stats(); s.Oldest != 1 {
		t.Errorf("forgotten early: %+v", s)
	}
	if r := h.verify(l); r.OK() || r.Faults[0] != "fact 1 does not decode" {
		t.Errorf("%q", r.Faults)
	}
	h.clock.add(48 * time.Hour)
	retain(t, l)
	if s := l.Stats(); s.Oldest != 7 {
		t.Errorf("never forgotten: %+v", s)
	}
}
