package guess

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"pgregory.net/rapid"

	"sallyport/internal/screen"
)

// The table against a map of buckets without a bound: while the table need not
// forget, they agree; and it never holds more than its bound.
func TestTableAgreesWithAnUnboundedMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := screen.Rate{Burst: rapid.IntRange(1, 3).Draw(t, "burst"), Every: time.Second}
		table := newTable[int](r, 8)
		model := map[int]screen.Bucket{}
		var now time.Duration
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			now += time.Duration(rapid.IntRange(0, 1500).Draw(t, "ms")) * time.Millisecond
			k := rapid.IntRange(0, 7).Draw(t, "key")
			if rapid.IntRange(0, 4).Draw(t, "op") == 0 {
				table.GiveBack(k, at(now))
				model[k] = model[k].GiveBack(r, at(now))
				continue
			}
			next, want := model[k].Take(r, at(now))
			model[k] = next
			if got := table.Take(k, at(now)); got != want {
				t.Fatalf("Take(%d) = %v, want %v", k, got, want)
			}
			if table.Wait(k, at(now)) != next.Wait(r, at(now)) {
				t.Fatalf("Wait(%d) = %v, want %v", k, table.Wait(k, at(now)), next.Wait(r, at(now)))
			}
			checkHeap(t, table)
		}
	})
}

func checkHeap(t *rapid.T, table *table[int]) {
	if table.Len() > table.max || table.Len() != len(table.queue) {
		t.Fatalf("%d entries, %d queued, bound %d", table.Len(), len(table.queue), table.max)
	}
	for n, e := range table.queue {
		if e.index != n || table.entries[e.key] != e || n > 0 && table.queue.Less(n, (n-1)/2) {
			t.Fatalf("the queue is no heap at %d", n)
		}
	}
}

// A flood of other names must not make the table forget an account at which
// somebody guessed: it would be a way to guess more.
func TestAFloodDoesNotWashAwayAnEmptiedBucket(t *testing.T) {
	table := newTable[string](screen.Rate{Burst: 5, Every: time.Minute}, 100)
	for range 5 {
		table.Take("alice", at(0))
	}
	for n := range 10_000 {
		table.Take(fmt.Sprint("name", n), at(time.Second))
	}
	if table.Len() != 100 {
		t.Errorf("%d entries, bound 100", table.Len())
	}
	if table.Take("alice", at(2*time.Second)) {
		t.Error("the flood gave alice's bucket back")
	}
}

func TestFullBucketsAreForgotten(t *testing.T) {
	table := newTable[int](screen.Rate{Burst: 1, Every: time.Second}, 1000)
	for n := range 500 {
		table.Take(n, at(0))
	}
	for n := range 200 {
		table.Take(1000+n, at(time.Hour))
	}
	if table.Len() > 200 {
		t.Errorf("%d entries are remembered, only 200 have anything to say", table.Len())
	}
}

func TestATableWithoutABoundGivesNothing(t *testing.T) {
	for _, table := range []*table[int]{newTable[int](screen.Rate{Burst: 1, Every: 1}, 0), newTable[int](screen.Rate{Burst: 1, Every: 1}, -1), newTable[int](screen.Rate{}, 5)} {
		if table.Take(1, at(0)) || table.Wait(1, at(0)) != screen.Forever {
			t.Error("a table without limits gave one")
		}
		table.GiveBack(1, at(0))
	}
}

// A clock that was set back closes a bucket no longer than a span, and the table says so.
func TestATableAfterAClockWasSetBack(t *testing.T) {
	r := screen.Rate{Burst: 5, Every: time.Minute}
	table := newTable[string](r, 10)
	for range r.Burst {
		table.Take("a", at(365*24*time.Hour))
	}
	for s := time.Duration(0); s < r.Every; s += time.Second {
		if left := table.Wait("a", at(s)); left != r.Every-s {
			t.Fatalf("Wait after %v = %v", s, left)
		}
	}
	if !table.Take("a", at(r.Every)) {
		t.Error("the table refuses after the wait that it told")
	}
}

// Millions of networks and names that nobody has take no more memory than the bounds say.
func TestMemoryIsBounded(t *testing.T) {
	l := DefaultLimits()
	l.All, l.Reserves = screen.Rate{Burst: 1 << 40, Every: 1}, screen.Rate{Burst: 1 << 40, Every: 1}
	l.Accounts, l.Pairs, l.Networks, l.StartShare = 1000, 1000, 1000, 1
	g := New(l, begin)
	for n := range 30_000 {
		from := netip.AddrFrom16([16]byte{0x20, byte(n), byte(n >> 8), byte(n >> 16), 1})
		name := fmt.Sprint("name", n)
		for _, a := range []Attempt{{Account: name, From: from}, {Account: name, From: from, Repeat: true}, {Account: name, From: from, Known: true}, {Account: name, Device: "d"}} {
			g.Begin(a, begin)
		}
	}
	for what, n := range map[string]int{
		"accounts": g.account.Len(), "reserve": g.reserve.Len(), "known": g.known.Len(), "shared": g.shared.Len(), "repeat": g.repeat.Len(),
		"try": g.try.Len(), "narrow": g.narrow.Len(), "wide": g.wide.Len(), "widest": g.widest.Len(),
	} {
		if n > 1000 {
			t.Errorf("%s: %d are remembered", what, n)
		}
	}
	tally := NewTally(DefaultTallyLimits())
	for n := range 30_000 {
		a := Attempt{Account: fmt.Sprint("name", n), From: ip(n)}
		tally.Wrong(a, begin)
		tally.Refused(Attempt{Account: "alice", From: ip(n)}, begin)
	}
	if n, m := len(tally.accounts), len(tally.accounts["alice"].sources); n > 4096 || m > 16 {
		t.Errorf("%d accounts, %d networks of one", n, m)
	}
}
