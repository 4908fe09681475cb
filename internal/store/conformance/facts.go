package conformance

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"sallyport/internal/store"
)

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
