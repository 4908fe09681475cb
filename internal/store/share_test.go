package store_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"sallyport/internal/store"
)

// A transaction has the shares of all who plan one; each is told once what became of it, and what they answer goes to whoever
// asked. When one can't plan, those before him are told why, and nobody else is asked.
func TestSharesMakeOneTransaction(t *testing.T) {
	var told []string
	plan := func(name string, answer error) store.Planner {
		return func(context.Context) (store.Share, error) {
			k := []byte(name)
			return store.Share{
				Preconditions: []store.Precondition{{Key: k, Absent: true}}, Mutations: []store.Mutation{{Key: k, Value: k}}, Facts: [][]byte{k},
				Done: func(err error) error { told = append(told, name+": "+errors.Join(err).Error()); return answer },
			}, nil
		}
	}
	silent := func(context.Context) (store.Share, error) { return store.Share{Facts: [][]byte{[]byte("s")}}, nil }
	own, fault, outcome, no := store.Tx{Bulk: true, Facts: [][]byte{[]byte("own")}}, errors.New("fault"), errors.New("outcome"), errors.New("no")
	tx, done, err := own.With(t.Context(), plan("a", nil), silent, plan("b", fault))
	if err != nil || !tx.Bulk || len(tx.Preconditions) != 2 || len(tx.Mutations) != 2 || len(tx.Facts) != 4 || string(tx.Facts[0]) != "own" || len(told) != 0 {
		t.Fatalf("%+v, %v; told %q", tx, err, told)
	}
	if err := done(outcome); !errors.Is(err, fault) || !slices.Equal(told, []string{"a: outcome", "b: outcome"}) {
		t.Errorf("%v; told %q", err, told)
	}
	told = nil
	asked := false
	fails := func(context.Context) (store.Share, error) { return store.Share{}, no }
	last := func(context.Context) (store.Share, error) { asked = true; return store.Share{}, nil }
	_, done, err = own.With(t.Context(), plan("a", fault), fails, last)
	if !errors.Is(err, no) || !errors.Is(err, fault) || done != nil || asked || !slices.Equal(told, []string{"a: no"}) {
		t.Errorf("%v; told %q, asked on: %v", err, told, asked)
	}
}

// Who watches is woken by what concerns him, once for any number of changes, and not after he closed.
func TestWhoWatchesIsWoken(t *testing.T) {
	var all store.Watchers
	all.WakeAll() // nobody is there
	prefix := []byte("ab")
	keys, facts, every := all.Keys(prefix), all.Facts(), all.Keys(nil)
	prefix[0] = 'x' // which is the caller's
	woken := func() (out [3]bool) {
		for i, w := range []*store.Watch{keys, facts, every} {
			select {
			case <-w.C:
				out[i] = true
			default:
			}
		}
		return out
	}
	change := func(key string) store.Tx { return store.Tx{Mutations: []store.Mutation{{Key: []byte(key)}}} }
	for _, row := range []struct {
		what string
		do   func()
		want [3]bool
	}{
		{"nothing", func() {}, [3]bool{}},
		{"a key", func() { all.Committed(change("abc")); all.Committed(change("ab")) }, [3]bool{true, false, true}},
		{"once for both", func() {}, [3]bool{}},
		{"another key", func() { all.Committed(change("a")) }, [3]bool{false, false, true}},
		{"a fact", func() { all.Committed(store.Tx{Facts: [][]byte{[]byte("f")}}) }, [3]bool{false, true, false}},
		{"everybody", all.WakeAll, [3]bool{true, true, true}},
		{"after the end", func() { keys.Close(); keys.Close(); all.WakeAll() }, [3]bool{false, true, true}},
	} {
		row.do()
		if got := woken(); got != row.want {
			t.Errorf("%s: woken %v, want %v", row.what, got, row.want)
		}
	}
}
