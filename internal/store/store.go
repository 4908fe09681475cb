package store

import (
	"context"
	"errors"
	"fmt"
	"io"
)

var (
	// ErrNotFound answers Get and Blobs.Open for a name that does not exist.
	ErrNotFound = errors.New("store: not found")
	// ErrConflict means that a precondition did not hold; nothing was changed.
	ErrConflict = errors.New("store: a precondition does not hold")
	// ErrInvalid means that a transaction breaks a rule or a bound of the package;
	// nothing was changed, and repeating it is useless.
	ErrInvalid = errors.New("store: invalid transaction")
	// ErrClosed means that Close was called.
	ErrClosed = errors.New("store: closed")
	// ErrUnavailable means that the disk is full or fails. Nothing was changed,
	// unless the error is ErrInDoubt too. The store recovers by itself.
	ErrUnavailable = errors.New("store: unavailable")
	// ErrLow is the ErrUnavailable of new content while free space is below the
	// reserve.
	ErrLow = fmt.Errorf("%w: free space is below the reserve", ErrUnavailable)
	// ErrInDoubt is the ErrUnavailable of a transaction that had already been
	// ordered when the disk failed. If the process lives, the transaction will
	// commit when the store recovers; if it dies first, it may or may not have.
	ErrInDoubt = fmt.Errorf("%w: the transaction may still commit", ErrUnavailable)
)

const (
	// ReservedPrefix is the first octet of the store's own keys.
	ReservedPrefix byte = 0x00
	// MaxKeyOctets bounds a key.
	MaxKeyOctets = 1024
	// MaxTxOctets bounds all keys, values and facts of one transaction together.
	MaxTxOctets = 8 << 20
	// MaxTxParts bounds the number of preconditions, mutations and facts of one
	// transaction together.
	MaxTxParts = 16384
)

// Durability says when a commit must be on disk. The zero value is the safe one.
type Durability uint8

const (
	// Durable is synced when Apply returns.
	Durable Durability = iota
	// Lazy is ordered, and synced with the next durable commit or soon by itself.
	Lazy
)

// Precondition must hold at the moment of commit: Key holds exactly Value, or,
// with Absent, Key does not exist.
type Precondition struct {
	Key    []byte
	Value  []byte
	Absent bool
}

// Mutation sets Key to Value, or, with Delete, removes it. Removing what does not
// exist is no error. Within one Tx a later mutation of a key wins.
type Mutation struct {
	Key    []byte
	Value  []byte
	Delete bool
}

// Tx is one atomic change. The slices must not be changed once Apply was called,
// also when it failed with ErrInDoubt.
type Tx struct {
	Preconditions []Precondition
	Mutations     []Mutation
	Facts         [][]byte
	// Bulk marks a transaction that brings new content. It is refused while free
	// space is below the reserve, so that what frees space, and what records what
	// happened, can still be written.
	Bulk bool
}

// Revision numbers the commits of a store: a later commit has a higher one, also
// across restarts.
type Revision uint64

// Range is the half-open range of keys [From, To). A nil To has no upper end.
// Limit 0 is none.
type Range struct {
	From    []byte
	To      []byte
	Reverse bool
	Limit   int
}

// Store is a durable ordered map with facts beside it. All methods may be called
// concurrently.
type Store interface {
	// Apply commits tx. A context that is done before the commit is ordered is
	// the only cancellation; afterwards Apply waits for the outcome. Errors:
	// ErrConflict, ErrInvalid, ErrUnavailable (ErrInDoubt), ErrClosed, or the
	// context's.
	Apply(ctx context.Context, tx Tx, d Durability) (Revision, error)
	// Get returns a copy of the value of key, or ErrNotFound.
	Get(ctx context.Context, key []byte) ([]byte, error)
	// Scan calls fn for each key of r in order, from one consistent snapshot. The
	// slices are valid only during the call. fn may use the store.
	Scan(ctx context.Context, r Range, fn func(key, value []byte) (more bool, err error)) error
	// Facts calls fn for each fact with from <= seq < to in order, from one
	// consistent snapshot. Sequence numbers begin at 1. The slice is valid only
	// during the call.
	Facts(ctx context.Context, from, to uint64, fn func(seq uint64, fact []byte) (more bool, err error)) error
	// FactHead returns the sequence number last assigned, 0 for none. It never
	// goes back, also not when facts are deleted. The facts up to it are visible
	// and ordered, but not yet synced if they were applied lazily.
	FactHead() uint64
	// DeleteFacts removes all facts with seq < before, lazily.
	DeleteFacts(ctx context.Context, before uint64) error
	// Watch wakes when a key with the prefix was changed; nil watches every key.
	// It wakes when the change is visible, which may be before it is synced.
	Watch(prefix []byte) *Watch
	// WatchFacts wakes when facts were appended.
	WatchFacts() *Watch
	// Blobs returns the files beside the map.
	Blobs() Blobs
	// Close syncs what was applied and releases the store. Transactions that wait
	// for it are answered first.
	Close() error
}

// Blobs holds values too large for the map, each in a file of its own. A name is
// 1 to 64 octets of a-z, 0-9, hyphen and underscore.
type Blobs interface {
	// Create begins a new blob. It becomes visible and durable with Commit, and
	// replaces an older one of the same name. ErrUnavailable when free space is
	// below the reserve.
	Create(name string) (BlobWriter, error)
	// Open opens a committed blob, or returns ErrNotFound.
	Open(name string) (BlobReader, error)
	// Remove removes a blob. Removing what does not exist is no error.
	Remove(name string) error
	// List returns the names of the committed blobs in order.
	List() ([]string, error)
}

// BlobWriter writes one blob; it belongs to one goroutine. Until Commit or Abort,
// others may read at any time what a Write that has returned left.
type BlobWriter interface {
	io.Writer
	io.ReaderAt
	// Commit syncs the file, gives it its name, and syncs the directory: the blob
	// is durable when it returns nil. After an error there is no blob.
	Commit() error
	// Abort removes what was written. After Commit it does nothing.
	Abort() error
}

// BlobReader reads one blob. It stays readable when the blob is removed.
type BlobReader interface {
	io.Reader
	io.ReaderAt
	io.Closer
	Size() int64
}

// Prefix returns the range of all keys that begin with p.
func Prefix(p []byte) Range {
	return Range{From: p, To: PrefixEnd(p)}
}

// PrefixEnd returns the smallest key above all keys that begin with p, or nil
// when there is none.
func PrefixEnd(p []byte) []byte {
	end := append([]byte(nil), p...)
	for i := len(end) - 1; i >= 0; i-- {
		if end[i] != 0xff {
			end[i]++
			return end[:i+1]
		}
	}
	return nil
}
