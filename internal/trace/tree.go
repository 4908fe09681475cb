package trace

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"

	"sallyport/internal/store"
)

// hashesPerChunk hashes share one key of the store, 1 KiB: small enough that
// rewriting the last chunk with every batch costs little.
const hashesPerChunk = 32

// maxLevels bounds the height of the tree: a sequence number has 63 bits.
const maxLevels = 63

// tree is the growing end of the Merkle tree: what is needed to add a record and
// to know the root, without reading. It is a value; a batch works on a copy.
type tree struct {
	size     int64                // records
	count    int64                // hashes stored for them
	frontier [maxLevels]tlog.Hash // newest complete subtree of each level
	tail     []tlog.Hash          // hashes in the chunk that is not full yet
}

// ReadHashes serves tlog from the frontier alone: adding a record and computing
// the root need only the newest complete subtree of each level.
func (t *tree) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, x := range indexes {
		level, n := tlog.SplitStoredHashIndex(x)
		if level >= maxLevels || n != t.size>>level-1 {
			return nil, fmt.Errorf("trace: hash %d is not at the frontier of %d records", x, t.size)
		}
		out[i] = t.frontier[level]
	}
	return out, nil
}

// add appends one record. full is called with each chunk of hashes that became
// full; the slice is the callee's to keep.
func (t *tree) add(record tlog.Hash, full func(chunk int64, hashes []tlog.Hash)) error {
	hashes, err := tlog.StoredHashesForRecordHash(t.size, record, t)
	if err != nil {
		return err
	}
	t.size++
	for level, h := range hashes {
		t.frontier[level] = h
		t.tail = append(t.tail, h)
		t.count++
		if len(t.tail) == hashesPerChunk {
			full(t.count/hashesPerChunk-1, t.tail)
			t.tail = make([]tlog.Hash, 0, hashesPerChunk)
		}
	}
	return nil
}

// root is the root hash over all records. RFC 6962 §2.1.
func (t *tree) root() (tlog.Hash, error) { return tlog.TreeHash(t.size, t) }

// clone returns a copy that can grow without touching t.
func (t *tree) clone() tree {
	c := *t
	c.tail = append(make([]tlog.Hash, 0, hashesPerChunk), t.tail...)
	return c
}

// loadTree reads the growing end of a stored tree of that many records.
func loadTree(ctx context.Context, st store.Store, size int64) (tree, error) {
	t := tree{size: size, count: tlog.StoredHashCount(size)}
	r := chunkReader{ctx: ctx, st: st, chunks: map[int64][]byte{}}
	for level := 0; level < maxLevels && size>>level > 0; level++ {
		h, err := r.ReadHashes([]int64{tlog.StoredHashIndex(level, size>>level-1)})
		if err != nil {
			return tree{}, err
		}
		t.frontier[level] = h[0]
	}
	for i := t.count / hashesPerChunk * hashesPerChunk; i < t.count; i++ {
		h, err := r.ReadHashes([]int64{i})
		if err != nil {
			return tree{}, err
		}
		t.tail = append(t.tail, h[0])
	}
	return t, nil
}

// chunkReader reads stored hashes of the tree. It remembers the chunks that it
// read, so use one for one question: a proof touches about log n of them.
type chunkReader struct {
	ctx    context.Context
	st     store.Store
	chunks map[int64][]byte
}

// ReadHashes implements tlog.HashReader.
func (r chunkReader) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, x := range indexes {
		chunk, err := r.chunk(x / hashesPerChunk)
		if err != nil {
			return nil, err
		}
		at := int(x%hashesPerChunk) * tlog.HashSize
		if at+tlog.HashSize > len(chunk) {
			return nil, fmt.Errorf("trace: hash %d of the tree is missing", x)
		}
		copy(out[i][:], chunk[at:])
	}
	return out, nil
}

func (r chunkReader) chunk(n int64) ([]byte, error) {
	if c, ok := r.chunks[n]; ok {
		return c, nil
	}
	c, err := r.st.Get(r.ctx, chunkKey(n))
	if errors.Is(err, store.ErrNotFound) {
		return nil, fmt.Errorf("trace: hashes %d and following of the tree are missing", n*hashesPerChunk)
	}
	if err != nil {
		return nil, err
	}
	r.chunks[n] = c
	return c, nil
}

func chunkMutation(n int64, hashes []tlog.Hash) store.Mutation {
	v := make([]byte, 0, len(hashes)*tlog.HashSize)
	for _, h := range hashes {
		v = append(v, h[:]...)
	}
	return store.Mutation{Key: chunkKey(n), Value: v}
}
