package pebble

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/batchrepr"
	"github.com/cockroachdb/pebble/v2/record"
)

// The tags of an edit of a manifest that stand before anything else, in this order: who compares keys,
// which log is the first that is not in tables, and others.
const (
	tagComparer = 1
	tagFirstLog = 2
)

// logOf reads from an edit of a manifest which log is the first that is not in tables.
func logOf(edit []byte) (number uint64, ok bool) {
	r := bytes.NewReader(edit)
	tag, err := binary.ReadUvarint(r)
	if err == nil && tag == tagComparer {
		n, err := binary.ReadUvarint(r)
		if err != nil || n > uint64(r.Len()) {
			return 0, false
		}
		_, _ = r.Seek(int64(n), 1)
		if tag, err = binary.ReadUvarint(r); err != nil {
			return 0, false
		}
	}
	if err != nil || tag != tagFirstLog {
		return 0, false
	}
	number, err = binary.ReadUvarint(r)
	return number, err == nil
}

// salvaged is a log of whole records.
func salvaged(records [][]byte) ([]byte, error) {
	var b bytes.Buffer
	w := record.NewWriter(&b)
	for _, r := range records {
		if _, ok := batchrepr.ReadHeader(r); !ok {
			continue // Pebble would open no log with it
		}
		if _, err := w.WriteRecord(r); err != nil {
			return nil, err
		}
	}
	err := w.Close()
	return b.Bytes(), err
}

// mostMissing is how many gaps between the records of a log are told one by one.
const mostMissing = 20

// lostBetween says which commits are missing between the records of a log.
func lostBetween(records [][]byte, octets int) string {
	var last uint64
	var missing []string
	lost := uint64(0)
	for _, r := range records {
		h, ok := headIn(r)
		if !ok {
			continue
		}
		if last > 0 && h.rev > last+1 {
			lost += h.rev - last - 1
			if len(missing) < mostMissing {
				missing = append(missing, fmt.Sprintf("%d to %d", last+1, h.rev-1))
			}
		}
		last = max(last, h.rev)
	}
	if lost == 0 {
		return fmt.Sprintf("what was in %d octets: commits at the beginning or the end of the log; what the checkpoints of the trace say more is listed with the trace", octets)
	}
	return fmt.Sprintf("%d commits, by their numbers: %s; the facts in them are lost too, and stand in the trace as lost", lost, joined(missing))
}

func joined(all []string) string {
	var b bytes.Buffer
	for i, s := range all {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(s)
	}
	return b.String()
}

// headIn reads the head that was written with a commit.
func headIn(record []byte) (h head, ok bool) {
	r := batchrepr.Read(record)
	for {
		kind, key, value, more, err := r.Next()
		if !more || err != nil {
			return h, ok
		}
		if kind == pebble.InternalKeyKindSet && bytes.Equal(key, headKey()) && len(value) == 16 {
			h, ok = decodeHead(value), true
		}
	}
}
