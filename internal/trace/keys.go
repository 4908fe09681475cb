package trace

import (
	"encoding/binary"

	"sallyport/internal/mail"
	"sallyport/internal/store"
)

// What the log itself keeps, beside the bodies and the index of package index.
//
//	t/s                                  progress of the sequencer, JSON
//	t/c                                  newest signed checkpoint, a note
//	t/h  chunk(8)                        hashesPerChunk hashes of the tree, 32 octets each
//	t/q  bundle(15)                      -> seq(8) of the fact that stands for it
//
// The tree's hashes are numbered as tlog.StoredHashIndex numbers them.
const (
	stateKey      = string(store.SpaceTrace)
	checkpointKey = string(store.SpaceCheckpoint)
	hashPrefix    = string(store.SpaceTree)
	bundlePrefix  = string(store.SpaceBundles)
)

func bundleKey(bundle mail.ID) []byte { return append([]byte(bundlePrefix), bundle.Bytes()...) }

func chunkKey(n int64) []byte {
	return binary.BigEndian.AppendUint64([]byte(hashPrefix), uint64(n))
}

func seqValue(seq uint64) []byte { return binary.BigEndian.AppendUint64(nil, seq) }
