package trace

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"golang.org/x/mod/sumdb/tlog"

	"sallyport/internal/fact"
	"sallyport/internal/mail"
	"sallyport/internal/store"
	"sallyport/internal/trace/index"
)

// VerifyReport is what Verify found.
type VerifyReport struct {
	Size        int64     `json:"size"`        // records in the tree
	Root        tlog.Hash `json:"root"`        // recomputed
	Facts       int64     `json:"facts"`       // bodies that were read and hashed
	Forgotten   int64     `json:"forgotten"`   // records whose bodies retention removed
	Pending     int64     `json:"pending"`     // facts that are not in the tree yet
	Bundles     int64     `json:"bundles"`     // bundles of strangers' facts that were checked
	Checkpoints int       `json:"checkpoints"` // signed roots that were compared
	Faults      []string  `json:"faults,omitempty"`
	More        int       `json:"more,omitempty"` // faults beyond the limit
}

// OK reports whether nothing is wrong.
func (r VerifyReport) OK() bool { return len(r.Faults) == 0 }

// Verify recomputes the tree from the facts and compares it with the stored
// hashes and with every signed checkpoint: in the store, the exported one, and
// the history. It finds a fact that was altered, removed or moved, a body that
// is missing though retention did not remove it, and a store that was set back.
// It reads the whole log once. The error is about reading; what is wrong with
// the log is in the report.
func (l *Log) Verify(ctx context.Context) (VerifyReport, error) {
	l.retaining.Lock()
	defer l.retaining.Unlock()
	v := verification{log: l, ctx: ctx, due: map[int64][]source{}}
	// The checkpoints are read first: the tree only grows, so each that is true
	// fits into the tree that is seen afterwards.
	if err := v.readCheckpoints(); err != nil {
		return v.report, err
	}
	if err := l.catchUp(ctx); errors.Is(err, ErrBroken) {
		v.fault("%v", err)
	} else if err != nil {
		l.o.Logger.WarnContext(ctx, "verifying without the newest facts", "err", err)
	}
	v.at = *l.at.Load()
	v.report.Pending = int64(l.st.FactHead()) - v.at.size()
	if err := v.walk(); err != nil {
		return v.report, err
	}
	v.compareRest()
	for _, s := range v.bad {
		if bytes.Compare(s.bundle.Bytes(), v.gone.bundle.Bytes()) > 0 {
			v.fault("the bodies of the strangers' facts of fact %d were altered or removed", s.seq)
		}
	}
	return v.report, nil
}

// source is a signed root, and where it was found.
type source struct {
	where string
	root  tlog.Hash
}

type verification struct {
	log    *Log
	ctx    context.Context
	at     progress
	due    map[int64][]source // by size
	tree   tree               // recomputed
	gone   forgotten
	bad    []stub // newest bundles whose bodies do not fit, as many as faults
	report VerifyReport
}

// stub is a fact that stands for a bundle.
type stub struct {
	seq    uint64
	bundle mail.ID
	digest string
}

// verifyBatch is how many facts are in memory at once.
const verifyBatch = 256

func (v *verification) fault(format string, args ...any) {
	if len(v.report.Faults) >= v.log.bounds().Faults {
		v.report.More++
		return
	}
	v.report.Faults = append(v.report.Faults, fmt.Sprintf(format, args...))
}

// readCheckpoints collects every signed root that can be found.
func (v *verification) readCheckpoints() error {
	l := v.log
	raw, err := l.st.Get(v.ctx, []byte(checkpointKey))
	switch {
	case err == nil:
		v.take("the checkpoint in the store", raw)
	case !errors.Is(err, store.ErrNotFound):
		return err
	}
	dir := l.o.CheckpointDir
	raw, err = readBounded(filepath.Join(dir, checkpointFile))
	switch {
	case err == nil:
		v.take("the exported checkpoint", raw)
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	names, err := historyFiles(dir)
	if err != nil {
		return err
	}
	for _, n := range names {
		if err := readHistory(filepath.Join(dir, n), func(signed []byte) { v.take("a checkpoint in "+n, signed) }); err != nil {
			return err
		}
	}
	return nil
}

func (v *verification) take(where string, signed []byte) {
	c, err := v.log.o.Key.Open(signed)
	if err != nil {
		v.fault("%s: %v", where, err)
		return
	}
	v.due[c.Size] = append(v.due[c.Size], source{where, c.Root})
}

// walk recomputes the tree record by record.
func (v *verification) walk() error {
	if err := v.compare(); err != nil {
		return err
	}
	leaves := chunkReader{ctx: v.ctx, st: v.log.st, chunks: map[int64][]byte{}}
	for seq := uint64(1); seq < v.at.Oldest; seq++ {
		h, err := v.storedLeaf(leaves, seq)
		if err != nil {
			return err
		}
		v.report.Forgotten++
		if err := v.record(h); err != nil {
			return err
		}
	}
	if err := v.walkFacts(leaves); err != nil {
		return err
	}
	if v.gone.before < v.at.Oldest && v.at.Oldest > 1 {
		v.fault("facts before %d are missing, and no retention removed them", v.at.Oldest)
	}
	root, err := v.tree.root()
	v.report.Size, v.report.Root = v.tree.size, root
	return err
}

// walkFacts compares every fact that is kept with its stored hash. The tree is
// recomputed from the stored hashes, so that one bad fact is one fault and what
// follows can still be verified.
func (v *verification) walkFacts(leaves chunkReader) error {
	for next := v.at.Oldest; next < v.at.Next; {
		until := min(next+verifyBatch, v.at.Next)
		facts := map[uint64][]byte{}
		err := v.log.st.Facts(v.ctx, next, until, func(seq uint64, raw []byte) (bool, error) {
			facts[seq] = bytes.Clone(raw)
			return true, nil
		})
		if err != nil {
			return err
		}
		for ; next < until; next++ {
			if err := v.checkFact(leaves, next, facts[next]); err != nil {
				return err
			}
		}
	}
	return nil
}

func (v *verification) checkFact(leaves chunkReader, seq uint64, raw []byte) error {
	stored, err := v.storedLeaf(leaves, seq)
	if err != nil {
		return err
	}
	switch {
	case raw == nil:
		v.fault("fact %d is missing", seq)
	case tlog.RecordHash(raw) != stored:
		v.fault("fact %d was altered or moved", seq)
	}
	if raw != nil {
		if err := v.readFact(seq, raw); err != nil {
			return err
		}
	}
	return v.record(stored)
}

// readFact takes in what other facts are judged by.
func (v *verification) readFact(seq uint64, raw []byte) error {
	v.report.Facts++
	f, err := fact.Decode(raw)
	if err != nil {
		v.fault("fact %d does not decode", seq)
		return nil
	}
	switch e := f.Event().(type) {
	case fact.Forgotten:
		if err := v.gone.note(e); err != nil {
			v.fault("fact %d: %v", seq, err)
		}
	case fact.Refusals:
		return v.checkBundle(stub{seq, e.Bundle, e.Digest})
	}
	return nil
}

// checkBundle compares the bodies of strangers' facts with their digest. Those
// that do not fit are judged at the end: retention may have removed them.
func (v *verification) checkBundle(s stub) error {
	sum := newBundleHash()
	err := index.ScanBundle(v.ctx, v.log.st, s.bundle, func(part uint16, body []byte) error {
		sum.add(part, body)
		return nil
	})
	if err != nil {
		return err
	}
	v.report.Bundles++
	if sum.digest() == s.digest {
		return nil
	}
	if len(v.bad) >= v.log.bounds().Faults {
		v.bad = v.bad[1:]
	}
	v.bad = append(v.bad, s)
	return nil
}

// storedLeaf reads the stored hash of one record; a missing one is a fault and
// counts as zero.
func (v *verification) storedLeaf(r chunkReader, seq uint64) (tlog.Hash, error) {
	if len(r.chunks) > 2 {
		clear(r.chunks) // leaves are read in order: older chunks are done
	}
	h, err := r.ReadHashes([]int64{tlog.StoredHashIndex(0, int64(seq)-1)})
	if err == nil {
		return h[0], nil
	}
	if v.ctx.Err() != nil {
		return tlog.Hash{}, err
	}
	v.fault("fact %d has no hash: %v", seq, err)
	return tlog.Hash{}, nil
}

// record appends to the recomputed tree, compares each chunk of hashes that
// becomes full with the stored one, and the root with the checkpoints.
func (v *verification) record(h tlog.Hash) error {
	err := v.tree.add(h, func(chunk int64, hashes []tlog.Hash) { v.compareChunk(chunk, hashes) })
	if err != nil {
		return err
	}
	if v.tree.size == v.at.size() && len(v.tree.tail) > 0 {
		v.compareChunk(v.tree.count/hashesPerChunk, v.tree.tail)
	}
	return v.compare()
}

func (v *verification) compareChunk(chunk int64, hashes []tlog.Hash) {
	stored, err := v.log.st.Get(v.ctx, chunkKey(chunk))
	want := chunkMutation(chunk, hashes).Value
	// The sequencer may have gone on meanwhile and filled the last chunk further.
	if err != nil || !bytes.HasPrefix(stored, want) {
		v.fault("the stored hashes %d to %d do not fit the facts", chunk*hashesPerChunk, chunk*hashesPerChunk+int64(len(hashes))-1)
	}
}

// compare checks the checkpoints of the size that the tree has reached.
func (v *verification) compare() error {
	list, ok := v.due[v.tree.size]
	if !ok {
		return nil
	}
	root, err := v.tree.root()
	if err != nil {
		return err
	}
	for _, s := range list {
		v.report.Checkpoints++
		if s.root != root {
			v.fault("%s covers %d facts, and they are not these", s.where, v.tree.size)
		}
	}
	delete(v.due, v.tree.size)
	return nil
}

// compareRest reports checkpoints that cover more than the store has.
func (v *verification) compareRest() {
	for size, list := range v.due {
		for _, s := range list {
			v.report.Checkpoints++
			v.fault("%s covers %d facts, but the store has only %d: it was set back or cut off", s.where, size, v.tree.size)
		}
	}
}
