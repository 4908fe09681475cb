package screen

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// The table against a map of buckets without a bound: while the table need not
// forget, they agree; and it never holds more than its bound.
func TestTableAgreesWithAnUnboundedMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := Rate{Burst: rapid.IntRange(1, 3).Draw(t, "burst"), Every: time.Second}
		table := NewTable[int](r, 8)
		model := map[int]Bucket{}
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

func checkHeap(t *rapid.T, table *Table[int]) {
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
	table := NewTable[string](Rate{Burst: 5, Every: time.Minute}, 100)
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
	table := NewTable[int](Rate{Burst: 1, Every: time.Second}, 1000)
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
	for _, table := range []*Table[int]{NewTable[int](Rate{Burst: 1, Every: 1}, 0), NewTable[int](Rate{Burst: 1, Every: 1}, -1), NewTable[int](Rate{}, 5)} {
		if table.Take(1, at(0)) || table.Wait(1, at(0)) != forever {
			t.Error("a table without limits gave one")
		}
		table.GiveBack(1, at(0))
	}
}

func TestNetwork(t *testing.T) {
	for in, want := range map[string]string{
		"192.0.2.77":               "192.0.2.0/24",
		"::ffff:192.0.2.77":        "192.0.2.0/24",
		"2001:db8:1:2::3":          "2001:db8:1::/48",
		"fe80::1%eth0":             "fe80::/48",
		"127.0.0.1":                "127.0.0.0/24",
		"::ffff:192.0.2.77%eth0":   "192.0.2.0/24",
		"2001:db8:1:ffff:ffff::77": "2001:db8:1::/48",
	} {
		if got := Network(netip.MustParseAddr(in)); got.String() != want {
			t.Errorf("Network(%s) = %s, want %s", in, got, want)
		}
	}
	if got := Network(netip.Addr{}); got != (netip.Prefix{}) {
		t.Errorf("Network of nothing = %v", got)
	}
}
