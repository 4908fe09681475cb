package lru

import (
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"
)

// Against a plain list, the one used last in front: whatever is done, the cache holds
// what the list holds, and its bounds.
func TestModel(t *testing.T) {
	type pair struct{ key, value int }
	rapid.Check(t, func(t *rapid.T) {
		b := Bounds{Entries: rapid.IntRange(1, 5).Draw(t, "entries"), Octets: rapid.IntRange(0, 20).Draw(t, "octets")}
		c := New[int](b, func(v int) int { return v })
		var model []pair
		index := func(k int) int { return slices.IndexFunc(model, func(p pair) bool { return p.key == k }) }
		for range rapid.IntRange(1, 50).Draw(t, "steps") {
			k := rapid.IntRange(0, 7).Draw(t, "key")
			i := index(k)
			switch rapid.SampledFrom([]string{"get", "put", "drop"}).Draw(t, "step") {
			case "get":
				v, ok := c.Get(k)
				if ok != (i >= 0) || ok && v != model[i].value {
					t.Fatalf("get %d: %d, %v", k, v, ok)
				}
				if ok {
					p := model[i]
					model = slices.Insert(slices.Delete(model, i, i+1), 0, p)
				}
			case "put":
				v := rapid.IntRange(0, 25).Draw(t, "value")
				c.Put(k, v)
				if i >= 0 {
					model = slices.Delete(model, i, i+1)
				}
				model = slices.Insert(model, 0, pair{k, v})
				for len(model) > b.Entries || b.Octets > 0 && sum(model, func(p pair) int { return p.value }) > b.Octets && len(model) > 1 {
					model = model[:len(model)-1]
				}
			case "drop":
				if c.Drop(k) != (i >= 0) {
					t.Fatalf("drop %d", k)
				}
				if i >= 0 {
					model = slices.Delete(model, i, i+1)
				}
			}
			var got []pair
			for k, v := range c.All() {
				got = append(got, pair{k, v})
			}
			if !slices.Equal(got, model) || c.Len() != len(model) {
				t.Fatalf("%v, want %v", got, model)
			}
		}
	})
}

func sum[T any](all []T, of func(T) int) (n int) {
	for _, x := range all {
		n += of(x)
	}
	return n
}

func TestManyUseItAtOnce(t *testing.T) {
	c := New[int, int](Bounds{Entries: 10}, nil)
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 500 {
				c.Put(i%20, g)
				c.Get(i % 7)
				c.Drop(i % 3)
				for range c.All() {
					break
				}
			}
		})
	}
	wg.Wait()
	if n := c.Len(); n > 10 {
		t.Errorf("it holds %d", n)
	}
}

// What is going through it may change it.
func TestChangedMeanwhile(t *testing.T) {
	c := New[int, int](Bounds{Entries: 10}, nil)
	for i := range 5 {
		c.Put(i, i)
	}
	n := 0
	for k := range c.All() {
		if n++; !c.Drop(k) {
			t.Errorf("%d is gone", k)
		}
	}
	if n != 5 || c.Len() != 0 {
		t.Errorf("%d seen, %d left", n, c.Len())
	}
}
