package trace

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/tlog"
)

func TestTheKeySignsManifestsAndNothingElse(t *testing.T) {
	secret, err := NewKey(rand.Reader, "local.test/trace")
	if err != nil {
		t.Fatal(err)
	}
	k, err := ParseKey(secret)
	if err != nil {
		t.Fatal(err)
	}
	text, err := k.PEM()
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	public, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	sums := []byte(strings.Repeat("0", 64) + "  a.txt\n" + strings.Repeat("f", 64) + "  b/c.txt\n")
	signature, err := k.SignManifest(sums)
	if err != nil || !ed25519.Verify(public.(ed25519.PublicKey), sums, signature) {
		t.Errorf("%v", err)
	}
	c := Checkpoint{Origin: "local.test/trace", Size: 3, Root: tlog.RecordHash([]byte("x"))}
	for _, no := range [][]byte{nil, []byte(c.text()), []byte("a\n"), sums[:len(sums)-1], append(bytes.Clone(sums), c.text()...)} {
		if _, err := k.SignManifest(no); !errors.Is(err, ErrManifest) {
			t.Errorf("%q is signed: %v", no, err)
		}
	}
	signed, err := k.Sign(c)
	if err != nil {
		t.Fatal(err)
	}
	body, bare, err := k.Parts(signed)
	if err != nil || string(body) != c.text() || !ed25519.Verify(public.(ed25519.PublicKey), body, bare) {
		t.Errorf("%q %v", body, err)
	}
	if _, _, err := k.Parts(bytes.Replace(signed, []byte("\n3\n"), []byte("\n4\n"), 1)); !errors.Is(err, ErrSignature) {
		t.Errorf("a changed checkpoint: %v", err)
	}
	if _, err := (Key{}).SignManifest(sums); err == nil {
		t.Error("no key signs")
	}
}

// The text of a key may hold the sign that parts it.
func TestEveryKeyIsReadByOthers(t *testing.T) {
	for range 50 {
		secret, err := NewKey(rand.Reader, "local.test/trace")
		if err != nil {
			t.Fatal(err)
		}
		k, err := ParseKey(secret)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := k.PEM(); err != nil {
			t.Errorf("%s: %v", k.Public(), err)
		}
	}
	if _, err := (Key{}).PEM(); err == nil {
		t.Error("no key is written")
	}
}

func TestProofsOfOneBundleShareACheckpoint(t *testing.T) {
	h := newHouse(t)
	l := h.open()
	for i := range 30 {
		h.deliver(l, i, "bob@remote.test")
	}
	all, err := l.ProveAll(context.Background(), []uint64{1, 33, h.st.FactHead()})
	if err != nil || len(all) != 3 {
		t.Fatal(all, err)
	}
	for _, p := range all {
		if err := p.Check(l.Key()); err != nil || !bytes.Equal(p.Checkpoint, all[0].Checkpoint) {
			t.Errorf("fact %d: %v", p.Seq, err)
		}
	}
	if _, err := l.ProveAll(context.Background(), []uint64{1, 1 << 40}); err == nil {
		t.Error("a fact that is not there is proven")
	}
	if none, err := l.ProveAll(context.Background(), nil); err != nil || none != nil {
		t.Error(none, err)
	}
}
