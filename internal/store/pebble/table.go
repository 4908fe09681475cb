package pebble

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/cockroachdb/pebble/v2/sstable"

	"sallyport/internal/store"
)

// table reads the keys of one table, whatever else the database knows of them.
type table struct {
	reader *sstable.Reader
	err    error // it cannot be opened at all
}

func (m *mender) openTable(name string) *table {
	f, err := m.fs.Open(m.db(name))
	if err != nil {
		return &table{err: err}
	}
	r, err := sstable.NewSimpleReadable(f)
	if err != nil {
		return &table{err: errors.Join(err, f.Close())}
	}
	t := &table{}
	if t.reader, t.err = sstable.NewReader(context.Background(), r, sstable.ReaderOptions{}); t.err != nil {
		t.err = errors.Join(t.err, r.Close())
	}
	return t
}

func (t *table) close() {
	if t.err == nil {
		_ = t.reader.Close()
	}
}

// valid reports whether Pebble's own checksums of a table fit; of a file of values that is not known here.
func (m *mender) valid(name string) bool {
	if !strings.HasSuffix(name, ".sst") {
		return true
	}
	t := m.openTable(name)
	defer t.close()
	if errors.Is(t.err, fs.ErrNotExist) {
		return true
	}
	return t.err == nil && !isDamage(t.reader.ValidateBlockChecksums())
}

// open returns the keys of a range.
func (t *table) open(sp span) (it sstable.Iterator, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the table does not read: %v", r)
		}
	}()
	if t.err != nil {
		return nil, t.err
	}
	return t.reader.NewIter(sstable.NoTransforms, sp.from, sp.to, sstable.DebugHandlesBlobContext)
}

// keys calls fn with the keys of a range, up to where they do not read, or fn wants no more.
func (t *table) keys(sp span, fn func(key []byte) bool) (err error) {
	it, err := t.open(sp)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	for kv := it.SeekGE(sp.from, 0); kv != nil; kv = it.Next() {
		if !fn(kv.K.UserKey) {
			return nil
		}
	}
	return it.Error()
}

// firstBad returns the first keys of a range that do not read: from the last one that does on.
func (t *table) firstBad(sp span) (bad span, found bool) {
	last := bytes.Clone(sp.from)
	err := t.keys(sp, func(key []byte) bool {
		last = append(last[:0], key...)
		return true
	})
	if err == nil {
		return span{}, false
	}
	return span{last, t.firstGood(last, sp.to)}, true
}

// seeks reports whether the first key from k on can be read.
func (t *table) seeks(k, to []byte) bool {
	return t.keys(span{k, to}, func([]byte) bool { return false }) == nil
}

// firstGood returns the smallest key, about, from which on a table can be read again behind one after which it cannot. It
// is found by halving: its octets are decided one after another.
func (t *table) firstGood(bad, to []byte) []byte {
	good := bytes.Clone(to)
	var prefix []byte
	for len(prefix) <= min(len(bad)+8, store.MaxKeyOctets) {
		lo, hi := 0, 256 // the smallest octet with which it reads is in [lo, hi]
		for lo < hi {
			mid := (lo + hi) / 2
			k := append(bytes.Clone(prefix), byte(mid))
			switch {
			case bytes.Compare(k, to) >= 0:
				hi = mid
			case bytes.Compare(k, bad) > 0 && t.seeks(k, to):
				hi, good = mid, k
			default:
				lo = mid + 1
			}
		}
		if lo == 0 {
			break
		}
		prefix = append(prefix, byte(lo-1))
	}
	return good
}
