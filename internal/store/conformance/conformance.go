// Package conformance is the conformance suite of package store: what every driver
// must do, as tests. A driver that passes it can stand below the whole server.
package conformance

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

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
		{"a blob that is removed stays readable", testBlobRemoval},
		{"blobs have harmless names", testBlobNames},
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
