package trace

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"sallyport/internal/fact"
	"sallyport/internal/mail"
	"sallyport/internal/store"
	"sallyport/internal/store/pebble"
)

// messageFacts is what one relayed message leaves in the log on a kept
// connection: its acceptance and its outcome.
func messageFacts(t testing.TB, n int) []fact.Fact {
	id := testID(t, n)
	to := fmt.Sprintf("user%d@remote%d.test", n%5000, n%50)
	from := fmt.Sprintf("sender%d@local.test", n%300)
	return []fact.Fact{
		{At: testTime(), Kind: fact.KindAccept, Conn: fmt.Sprintf("c%d", n/20), Queue: id, MessageID: fmt.Sprintf("<m%d.x@local.test>", n),
			Account: from, Sender: from, Recipients: []string{to}, Peer: netip.AddrFrom4([4]byte{198, 51, byte(n >> 8), byte(n)}),
			Door: "submission", Size: 10_000, Rule: "submission-relay", TLS: "TLS1.3 TLS_AES_128_GCM_SHA256", Reply: mail.R(250, "2.0.0", "queued")},
		{At: testTime(), Kind: fact.KindOutcome, Queue: id, Recipient: to, Remote: "mx.remote.test [203.0.113.9]:25",
			TLS: "TLS1.3 TLS_AES_128_GCM_SHA256", Reply: mail.R(250, "2.0.0", "Ok: queued as 4XYZ"), Count: 1},
	}
}

// BenchmarkMessage is the whole cost of the trace for one message: encoding,
// committing the facts (512 messages a transaction), tree and index.
func BenchmarkMessage(b *testing.B) {
	for name, open := range stores() {
		b.Run(name, func(b *testing.B) {
			h := newHouse(b)
			h.st = open(b)
			l := h.open()
			ctx := context.Background()
			b.ReportAllocs()
			var facts [][]byte
			n := 0
			for b.Loop() {
				facts = append(facts, fact.EncodeAll(messageFacts(b, n)...)...)
				if n++; n%512 == 0 {
					if _, err := h.st.Apply(ctx, store.Tx{Facts: facts}, store.Lazy); err != nil {
						b.Fatal(err)
					}
					facts = nil
					if err := l.catchUp(ctx); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}

// nowhere takes everything and keeps nothing: what remains is our own cost.
type nowhere struct {
	store.Store
	facts [][]byte
	head  uint64
}

func (s *nowhere) Apply(_ context.Context, tx store.Tx, _ store.Durability) (store.Revision, error) {
	if len(tx.Facts) > 0 {
		s.facts = tx.Facts
		s.head += uint64(len(tx.Facts))
	}
	return 0, nil
}

func (s *nowhere) FactHead() uint64 { return s.head }

func (s *nowhere) Facts(_ context.Context, from, to uint64, fn func(uint64, []byte) (bool, error)) error {
	first := s.head + 1 - uint64(len(s.facts))
	for seq := from; seq < to && seq <= s.head; seq++ {
		if more, err := fn(seq, s.facts[seq-first]); !more || err != nil {
			return err
		}
	}
	return nil
}

// BenchmarkMillion asks questions of a log of a million facts.
func BenchmarkMillion(b *testing.B) {
	for name, open := range stores() {
		if name == "nowhere" {
			continue
		}
		b.Run(name, func(b *testing.B) {
			h := newHouse(b)
			h.st = open(b)
			l := h.open()
			fill(b, h, l, 500_000)
			b.ResetTimer()
			for _, q := range []struct{ name, text string }{
				{"queue", testID(b, 250_000).String()}, {"msgid", "<m123456.x@local.test>"}, {"recipient", "user77@remote27.test"},
				{"sender", "sender7@local.test"}, {"client", "198.51.3.9"}, {"network", "198.51.3.0/24"}, {"connection", "c777"}, {"nobody", "nobody@local.test"},
			} {
				b.Run(q.name, func(b *testing.B) {
					for b.Loop() {
						if a := h.ask(l, q.text); (len(a.Entries) == 0) != (q.name == "nobody") {
							b.Fatalf("%d entries", len(a.Entries))
						}
					}
				})
			}
			b.Run("verify", func(b *testing.B) {
				for b.Loop() {
					if r := h.verify(l); !r.OK() {
						b.Fatal(r.Faults)
					}
				}
			})
			b.Run("open", func(b *testing.B) {
				for b.Loop() {
					h.open()
				}
			})
		})
	}
}

func fill(t testing.TB, h *house, l *Log, messages int) {
	t.Helper()
	ctx := context.Background()
	for n := 0; n < messages; {
		var facts []fact.Fact
		for range 1000 {
			facts = append(facts, messageFacts(t, n)...)
			n++
		}
		if err := l.Write(ctx, facts...); err != nil {
			t.Fatal(err)
		}
		if err := l.catchUp(ctx); err != nil {
			t.Fatal(err)
		}
	}
	sync1(t, l)
}

func openPebble(t testing.TB, fs vfs.FS, dir string) store.Store {
	t.Helper()
	st, err := pebble.Open(pebble.Options{FS: fs, Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := st.Close(); err != nil && !errors.Is(err, store.ErrClosed) {
			t.Error(err)
		}
	})
	return st
}

func stores() map[string]func(testing.TB) store.Store {
	return map[string]func(testing.TB) store.Store{
		"memory":  func(t testing.TB) store.Store { return newHouse(t).st },
		"pebble":  func(t testing.TB) store.Store { return openPebble(t, vfs.Default, t.TempDir()) },
		"nowhere": func(t testing.TB) store.Store { return &nowhere{Store: newHouse(t).st} },
	}
}
