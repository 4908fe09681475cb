package diskspace

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// memory is a disk with so many octets free.
type memory struct{ octets atomic.Uint64 }

func (m *memory) Free(string) (uint64, error) { return m.octets.Load(), nil }

func free(m *memory, n uint64) { m.octets.Store(n) }

// Whatever is taken and written in whatever order, mail leaves the reserve free.
func TestNobodyWritesIntoTheReserve(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := new(memory)
		left := rapid.Int64Range(0, 3000).Draw(t, "free")
		now := time.Unix(0, 0)
		s := New(m, "/", 1000)
		s.now = func() time.Time { return now }
		type taken struct {
			n    int64
			give func()
		}
		var out []taken
		under := int64(0)
		free(m, uint64(left))
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			switch rapid.IntRange(0, 3).Draw(t, "step") {
			case 0:
				now = now.Add(time.Second)
			case 1:
				n := rapid.Int64Range(0, 900).Draw(t, "n")
				give, ok := s.Take(n)
				if ok != (left-under-n >= 1000) {
					t.Fatalf("%d free, %d under way, asked for %d: %v", left, under, n, ok)
				}
				if ok {
					under += n
					out = append(out, taken{n, give})
				}
			case 2, 3:
				if len(out) > 0 {
					i := rapid.IntRange(0, len(out)-1).Draw(t, "which")
					left -= out[i].n
					under -= out[i].n
					free(m, uint64(left))
					out[i].give()
					out[i].give() // does nothing
					out = slices.Delete(out, i, i+1)
				}
			}
		}
		if left-under < 1000 && len(out) > 0 {
			t.Fatalf("%d free, %d under way", left, under)
		}
	})
}

// A disk that becomes low, hovers and becomes free is told of twice, also when it was
// low only for those who were refused.
func TestItIsToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := new(memory)
		s := New(m, "/", 1000)
		var told []Change
		var mu sync.Mutex
		ctx, stop := context.WithCancel(t.Context())
		free(m, 5000)
		go s.Watch(ctx, func(c Change) { mu.Lock(); defer mu.Unlock(); told = append(told, c) })
		for _, n := range []uint64{5000, 999, 0, 1000, 999, 1100, 400, 1249} {
			free(m, n)
			time.Sleep(3 * time.Second)
		}
		if !s.IsLow() {
			t.Error("it is not low")
		}
		free(m, 1250)
		time.Sleep(3 * time.Second)
		if _, ok := s.Take(251); ok {
			t.Error("taken")
		}
		time.Sleep(3 * time.Second)
		free(m, 1300)
		time.Sleep(3 * time.Second)
		stop()
		synctest.Wait()
		want := []bool{true, false, true, false}
		var got []bool
		for _, c := range told {
			got = append(got, c.Low)
		}
		if !slices.Equal(got, want) || told[0].Free != 999 || told[0].Reserve != 1000 {
			t.Errorf("%+v", told)
		}
	})
}
