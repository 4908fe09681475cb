package bundle

import (
	"context"
	"slices"

	"sallyport/internal/trace"
)

// Log is the log that a bundle's facts are proven to stand in.
type Log interface {
	ProveAll(ctx context.Context, seqs []uint64) ([]trace.Proof, error)
	Key() trace.Key
}

// Prove adds the proofs of the facts, and what they are checked with.
func (c *Contents) Prove(ctx context.Context, l Log) (err error) {
	var seqs []uint64
	for _, e := range c.Facts {
		seqs = append(seqs, e.Seq)
	}
	if c.Proofs, err = l.ProveAll(ctx, slices.Compact(seqs)); err != nil {
		return err
	}
	key := l.Key()
	c.Public = key.Public()
	if c.PEM, err = key.PEM(); err != nil {
		return err
	}
	if len(c.Proofs) > 0 {
		c.Text, c.Signed, err = key.Parts(c.Proofs[0].Checkpoint)
	}
	return err
}
