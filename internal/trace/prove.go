package trace

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"

	"sallyport/internal/store"
)

// Proof shows that a fact is in the tree that a signed checkpoint covers, to
// whoever has the log's public key and nothing else of the log.
type Proof struct {
	Seq        uint64           `json:"seq"`
	Fact       []byte           `json:"fact"`       // as recorded; nil when forgotten
	Hash       tlog.Hash        `json:"hash"`       // of the record
	Path       tlog.RecordProof `json:"path"`       // RFC 6962 §2.1.1
	Checkpoint []byte           `json:"checkpoint"` // signed note
}

// Check verifies the proof with the log's key. It needs no log.
func (p Proof) Check(k Key) error {
	c, err := k.Open(p.Checkpoint)
	if err != nil {
		return err
	}
	if p.Fact != nil && tlog.RecordHash(p.Fact) != p.Hash {
		return errors.New("trace: the fact does not have the hash in the proof")
	}
	return tlog.CheckRecord(p.Path, c.Size, c.Root, int64(p.Seq)-1, p.Hash)
}

// Prove returns the proof that fact seq is in the log, against the newest
// checkpoint; it makes one when the newest does not cover the fact yet.
func (l *Log) Prove(ctx context.Context, seq uint64) (Proof, error) {
	if seq == 0 || seq > l.st.FactHead() {
		return Proof{}, fmt.Errorf("trace: there is no fact %d", seq)
	}
	if err := l.cover(ctx, seq); err != nil {
		return Proof{}, err
	}
	signed, err := l.st.Get(ctx, []byte(checkpointKey))
	if err != nil {
		return Proof{}, err
	}
	c, err := l.o.Key.Open(signed)
	if err != nil {
		return Proof{}, err
	}
	p, err := l.prove(ctx, seq, c, chunkReader{ctx: ctx, st: l.st, chunks: map[int64][]byte{}})
	p.Checkpoint = signed
	return p, err
}

// cover makes sure that the newest checkpoint covers fact seq.
func (l *Log) cover(ctx context.Context, seq uint64) error {
	raw, err := l.st.Get(ctx, []byte(checkpointKey))
	if err == nil {
		if c, err := l.o.Key.Open(raw); err == nil && c.Size >= int64(seq) {
			return nil
		}
	} else if !errors.Is(err, store.ErrNotFound) {
		return err
	}
	if err := l.catchUp(ctx); err != nil {
		return err
	}
	return l.checkpoint(ctx)
}
