package index

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"sallyport/internal/mail"
	"sallyport/internal/store"
	"sallyport/internal/store/mem"
)

// The keys are what data holds from format 2 on.
func TestTheKeysStay(t *testing.T) {
	const seq = 3<<stretchBits + 258
	f := everyTerm(t, id(t, 9).String())
	want := []string{
		"742f6b71000000000000000000000000000001" + "00000000000c0102",
		"742f6b71000000000000000000000000000002" + "00000000000c0102",
		"742f6d0000000003" + "6dbbf96f6460d7b333" + "000102",
		"742f6d0000000003" + "619e66dc088e488a70" + "000102",
		"742f6d0000000003" + "6152fccfd3abf246a4" + "000102",
		"742f6d0000000003" + "611cc6dac975e500d2" + "000102",
		"742f6d0000000003" + "65736241ac5d014941" + "000102",
		"742f6d0000000003" + "7000000000000000000000ffffc0000207" + "000102",
		"742f6b63000000000000000000000000000009" + "00000000000c0102",
	}
	if got := keys(Layout{Stretched: 1}, f, Place{Seq: seq}); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	p := Place{Seq: seq, Bundle: id(t, 3), Part: 7}
	for want, term := range map[string]Term{
		"742f6e0000000003" + "7000000000000000000000ffffc0000207" + "000102" + "0007":                                                         PeerTerm(f.Peer),
		"742f6c73000000000000000000000000000009" + "00000000000c0102" + "0007":                                                                SessionTerm(id(t, 9).String()),
		"742f6c73" + hex.EncodeToString(func() []byte { k := TextTerm(Session, "capped").key; return k[:8] }()) + "00000000000c0102" + "0007": SessionTerm("capped"),
	} {
		if got := hex.EncodeToString(Layout{}.AppendKey(nil, term, p)); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

// edges are places in the log about the ends of stretches.
func edges() (list []uint64) {
	for n := range uint64(4) {
		for d := range uint64(5) {
			if seq := n<<stretchBits + d; seq > 2 {
				list = append(list, seq-2)
			}
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// What is filed at a place is found there, and within all bounds that hold it, whatever
// filed it.
func TestWhatIsFiledIsFound(t *testing.T) {
	const changed = 1<<stretchBits + 1 // format 2 begins in the midst of a stretch
	in, ctx := Layout{Stretched: changed}, context.Background()
	terms := []Term{QueueTerm(id(t, 1)), ConnTerm("backup"), SessionTerm(id(t, 2).String()), TextTerm(Mailbox, "a@b.test"), PeerTerm(netip.MustParseAddr("2001:db8::1"))}
	for _, term := range terms {
		for _, bundle := range []mail.ID{{}, id(t, 3)} {
			st := mem.New()
			var places []Place
			for i, seq := range edges() {
				p := Place{Seq: seq, Bundle: bundle}
				if p.InBundle() {
					p.Part = uint16(i)
				}
				places = append(places, p)
				tx := store.Tx{Mutations: []store.Mutation{{Key: in.AppendKey(nil, term, p), Value: bundle.Bytes()}}}
				if _, err := st.Apply(ctx, tx, store.Durable); err != nil {
					t.Fatal(err)
				}
			}
			for _, after := range append(edges(), 0, ^uint64(0)) {
				for _, before := range append(edges(), ^uint64(0)) {
					var want []Place
					for _, p := range places {
						if p.Seq > after && p.Seq < before {
							want = append(want, p)
						}
					}
					if got := found(t, st, in, term, !bundle.IsZero(), after, before); !slices.Equal(got, want) {
						t.Fatalf("%v from %d to %d: %v, want %v", term, after, before, got, want)
					}
				}
			}
		}
	}
}

// found reads the entries of a term, section by section.
func found(t *testing.T, st store.Store, in Layout, term Term, strangers bool, after, before uint64) (places []Place) {
	t.Helper()
	sections, err := in.Sections(context.Background(), st, term)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range sections {
		rng, ok := s.Range(term, strangers, after, before)
		if !ok {
			continue
		}
		whole, ok := s.Between(term, term, strangers, after, before)
		if !ok || bytes.Compare(whole.From, rng.From) > 0 || bytes.Compare(whole.To, rng.To) < 0 {
			t.Errorf("%+v is not within %+v", rng, whole)
		}
		err := st.Scan(context.Background(), rng, func(key, value []byte) (bool, error) {
			p, ok := s.ParsePlace(key, value, strangers)
			if !ok {
				t.Errorf("%x names no place", key)
			}
			places = append(places, p)
			return true, nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return places
}

// What is written sorts behind all that is older: in a long trace, new entries of terms
// that never come again, such as Message-IDs, are not strewn over all of it.
func TestNewEntriesStandTogether(t *testing.T) {
	one, next := Section{stretch: 7}, Section{stretch: 8}
	for i := range 1000 {
		old, fresh := TextTerm(Message, fmt.Sprint("old", i)), TextTerm(Mailbox, fmt.Sprint("new", i))
		if bytes.Compare(one.AppendPrefix(nil, old, false), next.AppendPrefix(nil, fresh, false)) >= 0 {
			t.Fatalf("%v of a later stretch sorts before %v", fresh, old)
		}
	}
	for i := byte(1); i < 200; i++ {
		for _, of := range []func(mail.ID) Term{QueueTerm, func(id mail.ID) Term { return ConnTerm(id.String()) }, func(id mail.ID) Term { return SessionTerm(id.String()) }} {
			a, b := Layout{}.AppendKey(nil, of(id(t, i)), Place{Seq: 1 << 20}), Layout{}.AppendKey(nil, of(id(t, i+1)), Place{Seq: 1})
			if bytes.Compare(a, b) >= 0 {
				t.Fatalf("identifier %d does not sort before the next", i)
			}
		}
	}
}

// A short or foreign key names no place.
func TestKeysThatAreNoneNameNoPlace(t *testing.T) {
	for _, s := range []Section{{}, {kind: sectionIDs}, {kind: sectionEarlier}} {
		for _, strangers := range []bool{false, true} {
			if p, ok := s.ParsePlace([]byte{1, 2}, nil, strangers); ok {
				t.Errorf("%+v", p)
			}
		}
		if p, ok := s.ParsePlace(make([]byte, 30), []byte("no bundle"), true); ok {
			t.Errorf("%+v", p)
		}
	}
	if _, ok := (Section{stretch: 1}).Range(TextTerm(Mailbox, "x"), false, 0, 1<<stretchBits); ok {
		t.Error("a stretch has facts before its first")
	}
}
