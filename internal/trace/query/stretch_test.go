package query

import (
	"context"
	"net/netip"
	"slices"
	"testing"

	"sallyport/internal/fact"
	"sallyport/internal/store"
	"sallyport/internal/trace"
	"sallyport/internal/trace/index"
)

// far is more than how far apart in the log facts must stand to be filed in different
// stretches.
const far = 300_000

// strew files refusals as a log of any length does, each so far behind the one before:
// bodies of strangers are found by their bundle, wherever in the log that stands.
func (h *house) strew(l *trace.Log, n int) (seqs []uint64) {
	h.t.Helper()
	for i := range n {
		p := index.Place{Seq: uint64(i+1) * far, Bundle: testID(h.t, 1000+i)}
		f := fact.Fact{At: h.now(), Kind: fact.KindRefuse, Rule: "rule", Peer: netip.AddrFrom4([4]byte{192, 0, 2, byte(n - i)}), Recipient: "bob@local.test", Conn: testID(h.t, 2000+i%3).String()}
		tx := store.Tx{Mutations: []store.Mutation{{Key: index.BodyKey(p.Bundle, p.Part), Value: fact.EncodeAll(f)[0]}}}
		for _, t := range index.AppendTerms(nil, &f) {
			tx.Mutations = append(tx.Mutations, store.Mutation{Key: l.Layout().AppendKey(nil, t, p), Value: p.Bundle.Bytes()})
		}
		if _, err := h.st.Apply(context.Background(), tx, store.Durable); err != nil {
			h.t.Fatal(err)
		}
		seqs = append(seqs, p.Seq)
	}
	return seqs
}

// A long log is filed in many stretches; a reader sees one log, in both directions, page
// by page, whether it asks for an address, a network or a connection.
func TestStretchesAreOneLog(t *testing.T) {
	h := newHouse(t)
	l := h.open()
	all := h.strew(l, 40)
	for _, c := range []struct {
		term Term
		want []uint64
	}{
		{Term{FieldAddress, "bob@local.test"}, all},
		{Term{FieldPeer, "192.0.2.0/24"}, all},
		{Term{FieldPeer, "192.0.2.32/27"}, all[:9]}, // the first had the highest addresses
		{Term{FieldConn, testID(t, 2000).String()}, every(all, 3)},
		{Term{FieldAddress, "nobody@local.test"}, nil},
	} {
		for _, limit := range []int{1, 7, 40} {
			for _, oldest := range []bool{false, true} {
				q := Query{Terms: []Term{c.term}, Limit: limit, Exact: true, OldestFirst: oldest}
				got := h.pages(l, q)
				if !oldest {
					slices.Reverse(got)
				}
				if !slices.Equal(got, c.want) {
					t.Errorf("%v, %d a page, oldest first %v: %d, want %d", c.term, limit, oldest, got, c.want)
				}
			}
		}
	}
	a, err := h.reader(l).Query(context.Background(), Query{Terms: []Term{{FieldAddress, "bob@local.test"}}, Limit: 40})
	if err != nil || a.Exact || a.More() || len(a.Entries) != 40 {
		t.Errorf("an answer that is just full: %d entries, exact %v, more %v, %v", len(a.Entries), a.Exact, a.More(), err)
	}
}

func every(list []uint64, nth int) (some []uint64) {
	for i := 0; i < len(list); i += nth {
		some = append(some, list[i])
	}
	return some
}

// The bound of entries that one term reads is one for all stretches, and strangers' do
// not use up that of mail.
func TestStretchesShareOneBound(t *testing.T) {
	h := newHouse(t)
	h.limits.Scanned = 15
	l := h.open()
	all := h.strew(l, 40)
	mail := h.deliver(l, 1, "bob@local.test")
	sync1(t, l)
	q := Query{Terms: []Term{{FieldAddress, "bob@local.test"}}, Exact: true}
	a, err := h.reader(l).Query(context.Background(), q)
	if err != nil || len(a.Entries) != 15 || a.Older != all[25] || a.Entries[0].Seq != all[25] {
		t.Fatalf("%d entries, older %d, %v", len(a.Entries), a.Older, err)
	}
	q.OldestFirst = true
	a, err = h.reader(l).Query(context.Background(), q)
	if err != nil || len(a.Entries) != 17 || a.Entries[0].Fact.Queue != mail || a.Newer != all[14] {
		t.Errorf("oldest first: %d entries, newer %d, %v", len(a.Entries), a.Newer, err)
	}
}
