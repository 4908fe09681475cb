package trace

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// ErrManifest says that a text is no manifest; the key signs nothing else.
var ErrManifest = errors.New("trace: this is no list of SHA-256 sums")

// SignManifest signs a list of SHA-256 sums as sha256sum writes it. The signature is a bare
// one of RFC 8032 §5.1.6 over the octets of the list. Nothing else is signed, so that no
// manifest can be taken for a checkpoint, whose second line is a number.
func (k Key) SignManifest(sums []byte) ([]byte, error) {
	lines := regexp.MustCompile(`\A(?:[0-9a-f]{64}  [!-~]+\n)+\z`)
	if !lines.Match(sums) {
		return nil, ErrManifest
	}
	if k.signer == nil {
		return nil, errors.New("trace: no key to sign with")
	}
	return k.signer.Sign(sums)
}

// PEM is the public key as a SubjectPublicKeyInfo, which openssl reads. RFC 8410 §4
func (k Key) PEM() ([]byte, error) {
	// "name+hash+base64(algorithm, key)"; no name holds a plus, and base64 does.
	parts := strings.SplitN(k.public, "+", 3)
	raw, err := base64.StdEncoding.DecodeString(parts[len(parts)-1])
	if err != nil || len(raw) != 1+ed25519.PublicKeySize {
		return nil, errors.New("trace: no public key")
	}
	der, err := x509.MarshalPKIXPublicKey(ed25519.PublicKey(raw[1:]))
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), nil
}

// Parts returns the text of a checkpoint that the key signed and the bare signature of it,
// for tools that know no signed notes.
func (k Key) Parts(signed []byte) (text, signature []byte, err error) {
	if _, err := k.Open(signed); err != nil {
		return nil, nil, err
	}
	n, err := note.Open(signed, note.VerifierList(k.verifier))
	if err != nil {
		return nil, nil, err
	}
	raw, err := base64.StdEncoding.DecodeString(n.Sigs[0].Base64)
	if err != nil || len(raw) != keyHashOctets+ed25519.SignatureSize {
		return nil, nil, ErrSignature
	}
	return []byte(n.Text), raw[keyHashOctets:], nil
}

// keyHashOctets are the octets before a signature in a note that name the key.
const keyHashOctets = 4

// Key is what the log signs with.
func (l *Log) Key() Key { return l.o.Key }

// ProveAll returns the proofs that these facts are in the log, in their order, all against
// one checkpoint.
func (l *Log) ProveAll(ctx context.Context, seqs []uint64) ([]Proof, error) {
	if len(seqs) == 0 {
		return nil, nil
	}
	last, err := l.Prove(ctx, slices.Max(seqs))
	if err != nil {
		return nil, err
	}
	c, err := l.o.Key.Open(last.Checkpoint)
	if err != nil {
		return nil, err
	}
	r := chunkReader{ctx: ctx, st: l.st, chunks: map[int64][]byte{}}
	all := make([]Proof, 0, len(seqs))
	for _, seq := range seqs {
		p, err := l.prove(ctx, seq, c, r)
		if err != nil {
			return nil, err
		}
		p.Checkpoint = bytes.Clone(last.Checkpoint)
		all = append(all, p)
	}
	return all, nil
}

// prove is the proof of one fact against a checkpoint that covers it.
func (l *Log) prove(ctx context.Context, seq uint64, c Checkpoint, r chunkReader) (p Proof, err error) {
	p.Seq = seq
	if p.Path, err = tlog.ProveRecord(c.Size, int64(seq)-1, r); err != nil {
		return Proof{}, err
	}
	h, err := r.ReadHashes([]int64{tlog.StoredHashIndex(0, int64(seq)-1)})
	if err != nil {
		return Proof{}, err
	}
	p.Hash = h[0]
	err = l.st.Facts(ctx, seq, seq+1, func(_ uint64, raw []byte) (bool, error) {
		p.Fact = append([]byte{}, raw...)
		return false, nil
	})
	return p, err
}
