package index

import (
	"context"
	"encoding/hex"
	"net/netip"
	"slices"
	"testing"
	"time"

	"sallyport/internal/fact"
	"sallyport/internal/mail"
	"sallyport/internal/store"
	"sallyport/internal/store/mem"
)

func id(t *testing.T, last byte) mail.ID {
	t.Helper()
	v, err := mail.IDFromBytes(append(make([]byte, 14), last))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// everyTerm is a fact with a term of each field.
func everyTerm(t *testing.T, conn string) fact.Fact {
	return fact.Fact{
		At: time.Unix(1, 0), Kind: fact.KindAccept, Queue: id(t, 1), About: id(t, 2), MessageID: "<A.b@Local.test>", Conn: conn,
		Account: "alice@local.test", Sender: "<alice@local.test>", Recipient: "Bob@remote.test", Recipients: []string{"bob@REMOTE.test"},
		Peer: netip.MustParseAddr("::ffff:192.0.2.7"), Evidence: []fact.Pair{{Name: fact.EvidenceReturnPath, Value: "prvs=x@local.test"}, {Name: fact.EvidenceEnvelope, Value: " QQ 1"}},
	}
}

// keys are the index entries of a fact at a place, in hexadecimal.
func keys(in Layout, f fact.Fact, p Place) (list []string) {
	for _, term := range AppendTerms(nil, &f) {
		list = append(list, hex.EncodeToString(in.AppendKey(nil, term, p)))
	}
	return list
}

// The keys of format 1 are what older data holds: a term that is filed elsewhere finds
// nothing of it.
func TestTheKeysOfFormat1Stay(t *testing.T) {
	f, in := everyTerm(t, "c1"), Layout{Stretched: 259}
	want := []string{
		"742f6971dd6eda34d13e0eb20000000000000102",
		"742f697198a1296be1fc66070000000000000102",
		"742f696dbbf96f6460d7b3330000000000000102",
		"742f69619e66dc088e488a700000000000000102",
		"742f696152fccfd3abf246a40000000000000102",
		"742f69611cc6dac975e500d20000000000000102",
		"742f6965736241ac5d0149410000000000000102",
		"742f697000000000000000000000ffffc00002070000000000000102",
		"742f6963d0f631ca1ddba8db0000000000000102",
	}
	if got := keys(in, f, Place{Seq: 258}); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	p := Place{Seq: 258, Bundle: id(t, 3), Part: 7}
	key := in.AppendKey(nil, PeerTerm(f.Peer), p)
	if got := hex.EncodeToString(key); got != "742f6a7000000000000000000000ffffc000020700000000000001020007" {
		t.Errorf("%q", got)
	}
	if back, ok := (Section{kind: sectionEarlier}).ParsePlace(key, p.Bundle.Bytes(), true); !ok || back != p {
		t.Errorf("%+v, %v", back, ok)
	}
	if got := hex.EncodeToString(BodyKey(p.Bundle, 7)); got != "742f62"+"000000000000000000000000000003"+"0007" {
		t.Errorf("%q", got)
	}
}

// A fact of several strangers is found by each sample that it keeps, and by the first
// address of their network.
func TestSamplesAreTerms(t *testing.T) {
	f := fact.Fact{Until: time.Unix(2, 0), Kind: fact.KindRefuse, Network: netip.MustParsePrefix("192.0.2.0/24"), Evidence: []fact.Pair{
		{Name: EvidenceSender, Value: "a@b.test"}, {Name: EvidencePeer, Value: "192.0.2.9"}, {Name: EvidencePeer, Value: "no address"},
		{Name: EvidenceConn, Value: "c9"}, {Name: EvidenceHello, Value: "x"},
	}}
	want := []Term{PeerTerm(netip.MustParseAddr("192.0.2.0")), TextTerm(Mailbox, "a@b.test"), PeerTerm(netip.MustParseAddr("192.0.2.9")), SessionTerm("c9")}
	if got := AppendTerms(nil, &f); !slices.Equal(got, want) {
		t.Errorf("%v", got)
	}
	if a, ok := want[0].Peer(); !ok || a.String() != "192.0.2.0" {
		t.Error(a, ok)
	}
	if _, ok := want[1].Peer(); ok {
		t.Error("a mailbox is a client")
	}
	if n := Stranger(netip.MustParseAddr("2001:db8::1:2:3:4%eth0")).String(); n != "2001:db8::/64" {
		t.Error(n)
	}
}

func TestBodiesOfOneBundleAlone(t *testing.T) {
	st := mem.New()
	var tx store.Tx
	for part := range uint16(3) {
		tx.Mutations = append(tx.Mutations, store.Mutation{Key: BodyKey(id(t, 5), part), Value: []byte{byte(part)}})
	}
	tx.Mutations = append(tx.Mutations, store.Mutation{Key: BodyKey(id(t, 6), 0), Value: []byte("other")})
	if _, err := st.Apply(context.Background(), tx, store.Durable); err != nil {
		t.Fatal(err)
	}
	var got []byte
	err := ScanBundle(context.Background(), st, id(t, 5), func(part uint16, body []byte) error {
		if len(body) != 1 || body[0] != byte(part) {
			t.Errorf("part %d is %q", part, body)
		}
		got = append(got, body...)
		return nil
	})
	if err != nil || string(got) != "\x00\x01\x02" {
		t.Errorf("%q, %v", got, err)
	}
}
