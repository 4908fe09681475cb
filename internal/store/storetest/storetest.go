// Package storetest is the conformance suite of package store: what every driver
// must do, as tests. A driver that passes it can stand below the whole server.
package storetest

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"testing"
	"time"

	"sallyport/internal/store"
)

// Run runs the suite. open returns an empty store, and sees to its closing when
// the test ends, should the test not have closed it.
func Run(t *testing.T, open func(t *testing.T) store.Store) {
	for _, c := range []struct {
		name string
		test func(t *testing.T, s store.Store)
	}{
		{"what was set is got", testGet},
		{"a transaction is all or nothing", testAtomic},
		{"a later mutation of a key wins", testLaterMutation},
		{"preconditions guard", testPreconditions},
		{"of many writers with one precondition one wins", testOneWinner},
		{"counters count under concurrency", testCounter},
		{"invalid transactions change nothing", testInvalid},
		{"revisions grow", testRevisions},
		{"scans are ordered, bounded and reversible", testScan},
		{"a scan sees one moment", testScanSnapshot},
		{"a scan may use the store", testScanNested},
		{"the store's own keys are hidden", testReserved},
		{"facts are contiguous", testFacts},
		{"facts are contiguous under concurrency", testFactsConcurrent},
		{"facts commit with their mutations", testFactsAtomic},
		{"old facts can be deleted", testDeleteFacts},
		{"a watch wakes once for many changes", testWatch},
		{"blobs are whole or absent", testBlobs},
		{"blobs of many sizes come back", testBlobSizes},
		{"a context that is done stops", testContext},
		{"close ends everything", testClose},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, open(t)) })
	}
}

func set(k, v string) store.Mutation {
	return store.Mutation{Key: []byte(k), Value: []byte(v)}
}

func del(k string) store.Mutation { return store.Mutation{Key: []byte(k), Delete: true} }

func apply(t *testing.T, s store.Store, d store.Durability, ms ...store.Mutation) store.Revision {
	t.Helper()
	r, err := s.Apply(context.Background(), store.Tx{Mutations: ms}, d)
	if err != nil {
		t.Fatalf("apply: %v", err)
	}
	return r
}

func wantValue(t *testing.T, s store.Store, k, want string) {
	t.Helper()
	if got, err := s.Get(context.Background(), []byte(k)); err != nil || string(got) != want {
		t.Errorf("get %q: %q, %v; want %q", k, got, err, want)
	}
}

func wantAbsent(t *testing.T, s store.Store, k string) {
	t.Helper()
	if got, err := s.Get(context.Background(), []byte(k)); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("get %q: %q, %v; want not found", k, got, err)
	}
}

func scan(t *testing.T, s store.Store, r store.Range) []string {
	t.Helper()
	var out []string
	err := s.Scan(context.Background(), r, func(k, v []byte) (bool, error) {
		out = append(out, string(k)+"="+string(v))
		return true, nil
	})
	if err != nil {
		t.Fatalf("scan: %v", err)
	}
	return out
}

func wantScan(t *testing.T, s store.Store, r store.Range, want ...string) {
	t.Helper()
	if got := scan(t, s, r); !slices.Equal(got, want) {
		t.Errorf("scan %q to %q: %q, want %q", r.From, r.To, got, want)
	}
}

func facts(t *testing.T, s store.Store, from, to uint64) []string {
	t.Helper()
	var out []string
	err := s.Facts(context.Background(), from, to, func(seq uint64, f []byte) (bool, error) {
		out = append(out, fmt.Sprintf("%d=%s", seq, f))
		return true, nil
	})
	if err != nil {
		t.Fatalf("facts: %v", err)
	}
	return out
}

func testGet(t *testing.T, s store.Store) {
	wantAbsent(t, s, "a")
	apply(t, s, store.Durable, set("a", "1"), set("b", ""))
	wantValue(t, s, "a", "1")
	wantValue(t, s, "b", "")
	apply(t, s, store.Lazy, set("a", "2"), del("b"), del("never"))
	wantValue(t, s, "a", "2")
	wantAbsent(t, s, "b")
	v, err := s.Get(context.Background(), []byte("a"))
	if err != nil {
		t.Fatal(err)
	}
	v[0] = 'x'
	wantValue(t, s, "a", "2")
	big := bytes.Repeat([]byte("0123456789abcdef"), 1<<14)
	apply(t, s, store.Durable, store.Mutation{Key: []byte("big"), Value: big})
	wantValue(t, s, "big", string(big))
}

func testAtomic(t *testing.T, s store.Store) {
	apply(t, s, store.Durable, set("a", "1"))
	_, err := s.Apply(context.Background(), store.Tx{
		Preconditions: []store.Precondition{{Key: []byte("a"), Value: []byte("1")}, {Key: []byte("b"), Value: []byte("1")}},
		Mutations:     []store.Mutation{set("a", "2"), set("b", "2")},
		Facts:         [][]byte{[]byte("f")},
	}, store.Durable)
	if !errors.Is(err, store.ErrConflict) {
		t.Errorf("apply: %v, want a conflict", err)
	}
	wantValue(t, s, "a", "1")
	wantAbsent(t, s, "b")
	if s.FactHead() != 0 {
		t.Errorf("fact head %d, want 0", s.FactHead())
	}
}

func testLaterMutation(t *testing.T, s store.Store) {
	apply(t, s, store.Durable, set("a", "1"), set("a", "2"), set("b", "1"), del("b"), del("c"), set("c", "3"))
	wantScan(t, s, store.Range{}, "a=2", "c=3")
}

func testPreconditions(t *testing.T, s store.Store) {
	apply(t, s, store.Durable, set("a", "1"), set("empty", ""))
	for _, c := range []struct {
		p    store.Precondition
		want error
	}{
		{store.Precondition{Key: []byte("a"), Value: []byte("1")}, nil},
		{store.Precondition{Key: []byte("a"), Value: []byte("2")}, store.ErrConflict},
		{store.Precondition{Key: []byte("a"), Value: []byte("")}, store.ErrConflict},
		{store.Precondition{Key: []byte("a"), Value: nil}, store.ErrConflict},
		{store.Precondition{Key: []byte("a"), Absent: true}, store.ErrConflict},
		{store.Precondition{Key: []byte("empty"), Value: nil}, nil},
		{store.Precondition{Key: []byte("empty"), Value: []byte{}}, nil},
		{store.Precondition{Key: []byte("empty"), Absent: true}, store.ErrConflict},
		{store.Precondition{Key: []byte("none"), Absent: true}, nil},
		{store.Precondition{Key: []byte("none"), Value: []byte("")}, store.ErrConflict},
		{store.Precondition{Key: []byte("none"), Value: nil}, store.ErrConflict},
	} {
		_, err := s.Apply(context.Background(), store.Tx{Preconditions: []store.Precondition{c.p}}, store.Lazy)
		if !errors.Is(err, c.want) {
			t.Errorf("%+v: %v, want %v", c.p, err, c.want)
		}
	}
}

func testOneWinner(t *testing.T, s store.Store) {
	const writers = 16
	var wg sync.WaitGroup
	won := make(chan int, writers)
	for i := range writers {
		wg.Go(func() {
			_, err := s.Apply(context.Background(), store.Tx{
				Preconditions: []store.Precondition{{Key: []byte("lock"), Absent: true}},
				Mutations:     []store.Mutation{set("lock", fmt.Sprint(i))},
			}, store.Durability(i%2))
			switch {
			case err == nil:
				won <- i
			case !errors.Is(err, store.ErrConflict):
				t.Errorf("writer %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	close(won)
	var winners []int
	for i := range won {
		winners = append(winners, i)
	}
	if len(winners) != 1 {
		t.Fatalf("winners %v, want one", winners)
	}
	wantValue(t, s, "lock", fmt.Sprint(winners[0]))
}

func testCounter(t *testing.T, s store.Store) {
	const writers, each = 8, 25
	apply(t, s, store.Durable, store.Mutation{Key: []byte("n"), Value: make([]byte, 8)})
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for range each {
				increment(t, s, []byte("n"), store.Durability(w%2))
			}
		})
	}
	wg.Wait()
	v, err := s.Get(context.Background(), []byte("n"))
	if err != nil || binary.BigEndian.Uint64(v) != writers*each {
		t.Errorf("counter %x, %v; want %d", v, err, writers*each)
	}
}

func increment(t *testing.T, s store.Store, key []byte, d store.Durability) {
	for {
		v, err := s.Get(context.Background(), key)
		if err != nil {
			t.Errorf("get: %v", err)
			return
		}
		_, err = s.Apply(context.Background(), store.Tx{
			Preconditions: []store.Precondition{{Key: key, Value: v}},
			Mutations:     []store.Mutation{{Key: key, Value: binary.BigEndian.AppendUint64(nil, binary.BigEndian.Uint64(v)+1)}},
		}, d)
		if err == nil {
			return
		}
		if !errors.Is(err, store.ErrConflict) {
			t.Errorf("increment: %v", err)
			return
		}
	}
}

func testInvalid(t *testing.T, s store.Store) {
	long := bytes.Repeat([]byte("k"), store.MaxKeyOctets+1)
	huge := make([]byte, store.MaxTxOctets+1)
	reserved := []byte{store.ReservedPrefix, 'x'}
	for name, tx := range map[string]store.Tx{
		"empty key":             {Mutations: []store.Mutation{{Value: []byte("v")}}},
		"long key":              {Mutations: []store.Mutation{{Key: long, Value: []byte("v")}}},
		"reserved key":          {Mutations: []store.Mutation{{Key: reserved, Value: []byte("v")}}},
		"reserved delete":       {Mutations: []store.Mutation{{Key: reserved, Delete: true}}},
		"reserved precondition": {Preconditions: []store.Precondition{{Key: reserved, Absent: true}}},
		"set and delete":        {Mutations: []store.Mutation{{Key: []byte("k"), Value: []byte("v"), Delete: true}}},
		"value and absent":      {Preconditions: []store.Precondition{{Key: []byte("k"), Value: []byte("v"), Absent: true}}},
		"empty fact":            {Facts: [][]byte{{}}},
		"too large":             {Mutations: []store.Mutation{{Key: []byte("k"), Value: huge}}},
		"too large a fact":      {Facts: [][]byte{huge}},
		"too many parts":        {Facts: make([][]byte, store.MaxTxParts+1)},
	} {
		tx.Mutations = append([]store.Mutation{set("a", "1")}, tx.Mutations...)
		if _, err := s.Apply(context.Background(), tx, store.Durable); !errors.Is(err, store.ErrInvalid) {
			t.Errorf("%s: %v, want invalid", name, err)
		}
	}
	wantScan(t, s, store.Range{})
}

func testRevisions(t *testing.T, s store.Store) {
	last := store.Revision(0)
	for i := range 20 {
		r := apply(t, s, store.Durability(i%2), set("a", fmt.Sprint(i)))
		if r <= last {
			t.Fatalf("revision %d after %d", r, last)
		}
		last = r
	}
}

func testScan(t *testing.T, s store.Store) {
	apply(t, s, store.Durable, set("a", "1"), set("ab", "2"), set("b", "3"), set("b\xff", "4"), set("c", "5"))
	apply(t, s, store.Lazy, del("ab"), set("b", "6"))
	wantScan(t, s, store.Range{}, "a=1", "b=6", "b\xff=4", "c=5")
	wantScan(t, s, store.Range{Reverse: true}, "c=5", "b\xff=4", "b=6", "a=1")
	wantScan(t, s, store.Range{From: []byte("b"), To: []byte("c")}, "b=6", "b\xff=4")
	wantScan(t, s, store.Range{From: []byte("b"), To: []byte("c"), Reverse: true}, "b\xff=4", "b=6")
	wantScan(t, s, store.Range{From: []byte("a\x00")}, "b=6", "b\xff=4", "c=5")
	wantScan(t, s, store.Range{Limit: 2}, "a=1", "b=6")
	wantScan(t, s, store.Range{Limit: 1, Reverse: true}, "c=5")
	wantScan(t, s, store.Prefix([]byte("b")), "b=6", "b\xff=4")
	wantScan(t, s, store.Prefix([]byte("b\xff")), "b\xff=4")
	wantScan(t, s, store.Range{From: []byte("c"), To: []byte("b")})
	wantScan(t, s, store.Range{From: []byte("x")})
	boom := errors.New("boom")
	n := 0
	err := s.Scan(context.Background(), store.Range{}, func(_, _ []byte) (bool, error) { n++; return true, boom })
	if !errors.Is(err, boom) || n != 1 {
		t.Errorf("scan with an error: %v after %d keys", err, n)
	}
	n = 0
	err = s.Scan(context.Background(), store.Range{}, func(_, _ []byte) (bool, error) { n++; return n < 3, nil })
	if err != nil || n != 3 {
		t.Errorf("scan that stops: %v after %d keys", err, n)
	}
}

func testScanSnapshot(t *testing.T, s store.Store) {
	for i := range 10 {
		apply(t, s, store.Lazy, set(fmt.Sprintf("k%d", i), "old"))
	}
	n := 0
	err := s.Scan(context.Background(), store.Range{}, func(k, v []byte) (bool, error) {
		if string(v) != "old" {
			t.Errorf("%s=%s came after the scan began", k, v)
		}
		n++
		apply(t, s, store.Lazy, set(fmt.Sprintf("k%d", 9-n%10), "new"), del(fmt.Sprintf("k%d", n)), set(fmt.Sprintf("l%d", n), "new"))
		return true, nil
	})
	if err != nil || n != 10 {
		t.Errorf("scan: %d keys, %v; want 10", n, err)
	}
}

func testScanNested(t *testing.T, s store.Store) {
	apply(t, s, store.Durable, set("a", "b"), set("b", "c"))
	err := s.Scan(context.Background(), store.Range{}, func(k, v []byte) (bool, error) {
		if string(k) == "a" {
			wantValue(t, s, string(v), "c")
			wantScan(t, s, store.Range{From: []byte("b")}, "b=c")
		}
		return true, nil
	})
	if err != nil {
		t.Error(err)
	}
}

func testReserved(t *testing.T, s store.Store) {
	if _, err := s.Apply(context.Background(), store.Tx{Mutations: []store.Mutation{set("a", "1")}, Facts: [][]byte{[]byte("f")}}, store.Durable); err != nil {
		t.Fatal(err)
	}
	wantScan(t, s, store.Range{}, "a=1")
	wantScan(t, s, store.Range{From: []byte{store.ReservedPrefix}}, "a=1")
	wantScan(t, s, store.Range{From: []byte{store.ReservedPrefix}, To: []byte{store.ReservedPrefix, 0xff}})
	wantScan(t, s, store.Range{Reverse: true}, "a=1")
	for _, k := range []string{"\x00", "\x00h", "\x00f\x00\x00\x00\x00\x00\x00\x00\x01", ""} {
		wantAbsent(t, s, k)
	}
}

func testFacts(t *testing.T, s store.Store) {
	if got := facts(t, s, 0, 100); got != nil {
		t.Errorf("facts of an empty store: %q", got)
	}
	for _, fs := range [][]string{{"a"}, {}, {"b", "c"}, {"d"}} {
		tx := store.Tx{}
		for _, f := range fs {
			tx.Facts = append(tx.Facts, []byte(f))
		}
		if _, err := s.Apply(context.Background(), tx, store.Lazy); err != nil {
			t.Fatal(err)
		}
	}
	if s.FactHead() != 4 {
		t.Errorf("head %d, want 4", s.FactHead())
	}
	for _, c := range []struct {
		from, to uint64
		want     []string
	}{
		{0, 100, []string{"1=a", "2=b", "3=c", "4=d"}},
		{2, 4, []string{"2=b", "3=c"}},
		{4, 5, []string{"4=d"}},
		{5, 9, nil},
		{3, 3, nil},
		{3, 2, nil},
	} {
		if got := facts(t, s, c.from, c.to); !slices.Equal(got, c.want) {
			t.Errorf("facts %d to %d: %q, want %q", c.from, c.to, got, c.want)
		}
	}
	n := 0
	err := s.Facts(context.Background(), 1, 9, func(uint64, []byte) (bool, error) { n++; return n < 2, nil })
	if err != nil || n != 2 {
		t.Errorf("facts that stop: %d, %v", n, err)
	}
}

func testFactsConcurrent(t *testing.T, s store.Store) {
	const writers, each = 8, 20
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				f := fmt.Sprintf("%d/%d", w, i)
				tx := store.Tx{Facts: [][]byte{[]byte(f + "a"), []byte(f + "b")}}
				if _, err := s.Apply(context.Background(), tx, store.Durability(i%2)); err != nil {
					t.Errorf("apply: %v", err)
				}
			}
		})
	}
	wg.Wait()
	all := facts(t, s, 1, 1<<62)
	if uint64(len(all)) != s.FactHead() || len(all) != 2*writers*each {
		t.Fatalf("%d facts, head %d; want %d", len(all), s.FactHead(), 2*writers*each)
	}
	last := map[int]int{}
	for i, f := range all {
		var seq, w, n int
		var half string
		if _, err := fmt.Sscanf(f, "%d=%d/%d%s", &seq, &w, &n, &half); err != nil || seq != i+1 {
			t.Fatalf("fact %d is %q: %v", i+1, f, err)
		}
		if want := []string{"a", "b"}[i%2]; half != want {
			t.Errorf("fact %q: the facts of one transaction are parted", f)
		}
		if half == "a" && n != last[w] {
			t.Errorf("fact %q: writer %d should be at %d", f, w, last[w])
		}
		if half == "b" {
			last[w]++
		}
	}
}

func testFactsAtomic(t *testing.T, s store.Store) {
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := 1; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			tx := store.Tx{Mutations: []store.Mutation{set("n", fmt.Sprint(i))}, Facts: [][]byte{[]byte(fmt.Sprint(i))}}
			if _, err := s.Apply(context.Background(), tx, store.Lazy); err != nil {
				t.Errorf("apply: %v", err)
				return
			}
		}
	})
	for range 200 {
		head := s.FactHead()
		v, err := s.Get(context.Background(), []byte("n"))
		if errors.Is(err, store.ErrNotFound) && head == 0 {
			continue
		}
		var n uint64
		if _, serr := fmt.Sscan(string(v), &n); err != nil || serr != nil || n < head {
			t.Errorf("fact %d is counted, and its mutation is not there: %q, %v", head, v, err)
		}
		if fs := facts(t, s, head, head+1); head > 0 && len(fs) != 1 {
			t.Errorf("fact %d is counted and not there", head)
		}
	}
	close(stop)
	wg.Wait()
}

func testDeleteFacts(t *testing.T, s store.Store) {
	put := func(f string) {
		t.Helper()
		if _, err := s.Apply(context.Background(), store.Tx{Facts: [][]byte{[]byte(f)}}, store.Durable); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range []string{"a", "b", "c"} {
		put(f)
	}
	for _, before := range []uint64{0, 1, 3, 2} {
		if err := s.DeleteFacts(context.Background(), before); err != nil {
			t.Fatal(err)
		}
	}
	if got := facts(t, s, 0, 9); !slices.Equal(got, []string{"3=c"}) || s.FactHead() != 3 {
		t.Errorf("facts %q, head %d", got, s.FactHead())
	}
	if err := s.DeleteFacts(context.Background(), 100); err != nil {
		t.Fatal(err)
	}
	put("d")
	if got := facts(t, s, 0, 9); !slices.Equal(got, []string{"4=d"}) || s.FactHead() != 4 {
		t.Errorf("facts %q, head %d", got, s.FactHead())
	}
}

func testWatch(t *testing.T, s store.Store) {
	a, all, fs := s.Watch([]byte("a/")), s.Watch(nil), s.WatchFacts()
	defer all.Close()
	defer fs.Close()
	woken := func(w *store.Watch) bool {
		select {
		case <-w.C:
			return true
		case <-time.After(20 * time.Millisecond):
			return false
		}
	}
	expect := func(what string, wantA, wantAll, wantFacts bool) {
		t.Helper()
		if ga, gall, gf := woken(a), woken(all), woken(fs); ga != wantA || gall != wantAll || gf != wantFacts {
			t.Errorf("%s: woken %v %v %v, want %v %v %v", what, ga, gall, gf, wantA, wantAll, wantFacts)
		}
	}
	expect("at first", false, false, false)
	apply(t, s, store.Durable, set("b/1", "x"))
	expect("another key", false, true, false)
	apply(t, s, store.Lazy, set("a/1", "x"))
	apply(t, s, store.Lazy, del("a/1"))
	expect("two changes", true, true, false)
	expect("nothing more", false, false, false)
	if _, err := s.Apply(context.Background(), store.Tx{Facts: [][]byte{[]byte("f")}}, store.Lazy); err != nil {
		t.Fatal(err)
	}
	expect("a fact", false, false, true)
	a.Close()
	a.Close()
	apply(t, s, store.Lazy, set("a/2", "x"))
	expect("after its end", false, true, false)
}

func testBlobs(t *testing.T, s store.Store) {
	b := s.Blobs()
	create := func(name, content string) store.BlobWriter {
		t.Helper()
		w, err := b.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, content); err != nil {
			t.Fatal(err)
		}
		return w
	}
	read := func(name string) string {
		t.Helper()
		r, err := b.Open(name)
		if err != nil {
			return err.Error()
		}
		defer r.Close()
		got, err := io.ReadAll(r)
		if err != nil || int64(len(got)) != r.Size() {
			t.Errorf("blob %s: %d octets of %d, %v", name, len(got), r.Size(), err)
		}
		return string(got)
	}
	w := create("one", "first")
	if got := read("one"); got != store.ErrNotFound.Error() {
		t.Errorf("an uncommitted blob can be read: %q", got)
	}
	if err := w.Commit(); err != nil {
		t.Fatal(err)
	}
	_ = w.Abort()
	if got := read("one"); got != "first" {
		t.Errorf("blob is %q", got)
	}
	if err := create("two", "never").Abort(); err != nil {
		t.Fatal(err)
	}
	names, err := b.List()
	if err != nil || !slices.Equal(names, []string{"one"}) {
		t.Errorf("blobs %q, %v", names, err)
	}
	if err := create("one", "second").Commit(); err != nil {
		t.Fatal(err)
	}
	if got := read("one"); got != "second" {
		t.Errorf("blob is %q", got)
	}
	r, err := b.Open("one")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for range 2 {
		if err := b.Remove("one"); err != nil {
			t.Fatal(err)
		}
	}
	part := make([]byte, 3)
	if _, err := r.ReadAt(part, 2); err != nil || string(part) != "con" {
		t.Errorf("an open blob that is removed: %q, %v", part, err)
	}
	if got := read("one"); got != store.ErrNotFound.Error() {
		t.Errorf("a removed blob can be read: %q", got)
	}
	for _, name := range []string{"", "../up", "a/b", "A", ".", "a.part", string(bytes.Repeat([]byte("a"), store.MaxBlobName+1))} {
		if _, err := b.Create(name); !errors.Is(err, store.ErrInvalid) {
			t.Errorf("create %q: %v, want invalid", name, err)
		}
		if _, err := b.Open(name); !errors.Is(err, store.ErrInvalid) {
			t.Errorf("open %q: %v, want invalid", name, err)
		}
		if err := b.Remove(name); !errors.Is(err, store.ErrInvalid) {
			t.Errorf("remove %q: %v, want invalid", name, err)
		}
	}
}

func testBlobSizes(t *testing.T, s store.Store) {
	for _, n := range []int{0, 1, 4096, 1<<20 + 7} {
		name := fmt.Sprintf("b%d", n)
		want := bytes.Repeat([]byte("sallyport"), n/9+1)[:n]
		w, err := s.Blobs().Create(name)
		if err != nil {
			t.Fatal(err)
		}
		for rest := want; len(rest) > 0; {
			k := min(len(rest), 60_000)
			if _, err := w.Write(rest[:k]); err != nil {
				t.Fatal(err)
			}
			rest = rest[k:]
		}
		if err := w.Commit(); err != nil {
			t.Fatal(err)
		}
		r, err := s.Blobs().Open(name)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		if err != nil || !bytes.Equal(got, want) || r.Size() != int64(n) {
			t.Errorf("blob of %d octets: %d came back, %v", n, len(got), err)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
}

func testContext(t *testing.T, s store.Store) {
	apply(t, s, store.Durable, set("a", "1"))
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := s.Apply(ctx, store.Tx{Mutations: []store.Mutation{set("a", "2")}}, store.Durable)
	_, gerr := s.Get(ctx, []byte("a"))
	serr := s.Scan(ctx, store.Range{}, func(_, _ []byte) (bool, error) { return true, nil })
	ferr := s.Facts(ctx, 1, 2, func(uint64, []byte) (bool, error) { return true, nil })
	derr := s.DeleteFacts(ctx, 5)
	for what, err := range map[string]error{"apply": err, "get": gerr, "scan": serr, "facts": ferr, "delete facts": derr} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s with a context that is done: %v", what, err)
		}
	}
	wantValue(t, s, "a", "1")
}

func testClose(t *testing.T, s store.Store) {
	apply(t, s, store.Durable, set("a", "1"))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	_, err := s.Apply(context.Background(), store.Tx{Mutations: []store.Mutation{set("a", "2")}}, store.Durable)
	_, gerr := s.Get(context.Background(), []byte("a"))
	serr := s.Scan(context.Background(), store.Range{}, func(_, _ []byte) (bool, error) { return true, nil })
	ferr := s.Facts(context.Background(), 1, 2, func(uint64, []byte) (bool, error) { return true, nil })
	derr := s.DeleteFacts(context.Background(), 5)
	_, berr := s.Blobs().Create("b")
	_, oerr := s.Blobs().Open("b")
	_, lerr := s.Blobs().List()
	for what, err := range map[string]error{"apply": err, "get": gerr, "scan": serr, "facts": ferr, "delete facts": derr,
		"create": berr, "open": oerr, "list": lerr, "remove": s.Blobs().Remove("b"), "close": s.Close()} {
		if !errors.Is(err, store.ErrClosed) {
			t.Errorf("%s after close: %v", what, err)
		}
	}
}
