package pebble

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"runtime"
	"strings"

	"github.com/cockroachdb/pebble/v2/sstable/block"
	"github.com/cockroachdb/pebble/v2/sstable/colblk"
)

// A file of values has blocks of values, one behind the other, a block that says where each of them ends, and a
// footer that says where that block is. Each of these has a checksum, and no octet lies outside.

// errValues is that a file of values is damaged. Pebble does not take it for what it calls corruption, and that is its use: see
// rewrites.
var errValues = errors.New("a file of values is damaged")

// isValues reports whether a file is one of values.
func isValues(name string) bool { return strings.HasSuffix(name, ".blob") }

func valuesName(number uint64) string { return fmt.Sprintf("%06d.blob", number) }

// The footer, in this order: its checksum, where the block of ends begins, how long it is, the kind of checksums, the
// format, a number, and the magic.
const (
	footerOctets = 38
	footerMagic  = "\xf0\x9f\xaa\xb3\xf0\x9f\xa6\x80"
	footerForm   = 1
)

// checksum is Pebble's.
func checksum(b []byte) uint32 {
	c := crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli))
	return (c>>15 | c<<17) + 0xa282ead8
}

func isFooter(b []byte) bool {
	return len(b) == footerOctets && binary.LittleEndian.Uint32(b) == checksum(b[4:]) &&
		b[20] == byte(block.ChecksumTypeCRC32c) && b[21] == footerForm && string(b[30:]) == footerMagic
}

// isBlock reports whether octets are a block with its trailer: its kind, and the checksum of all before.
func isBlock(b []byte) bool {
	at := len(b) - 4
	return len(b) > block.TrailerLen && binary.LittleEndian.Uint32(b[at:]) == checksum(b[:at])
}

// checkValues reads a file of values through, whole. It returns errValues where that is not as Pebble writes them, and another error
// where the disk does not give it.
func (m *mender) checkValues(name string) error {
	f, err := m.fs.Open(m.db(name))
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	return checkValues(f, info.Size())
}

func checkValues(r io.ReaderAt, size int64) error {
	end := size - footerOctets
	if end < 0 {
		return fmt.Errorf("%w: it has %d octets", errValues, size)
	}
	footer := make([]byte, footerOctets)
	if err := readWhole(r, footer, end); err != nil {
		return err
	}
	at, n := binary.LittleEndian.Uint64(footer[4:]), binary.LittleEndian.Uint64(footer[12:])
	if !isFooter(footer) || at > uint64(end) || n > uint64(end)-at || at+n+block.TrailerLen != uint64(end) {
		return fmt.Errorf("%w: its footer does not read", errValues)
	}
	text := make([]byte, uint64(end)-at)
	if err := readWhole(r, text, int64(at)); err != nil {
		return err
	}
	ends, err := blockEnds(text)
	if err != nil {
		return err
	}
	if ends[0] != 0 || ends[len(ends)-1] != at {
		return fmt.Errorf("%w: its blocks end elsewhere", errValues)
	}
	var b []byte
	for i, to := range ends[1:] {
		from := ends[i]
		if from > to || to > at {
			return fmt.Errorf("%w: its blocks end elsewhere", errValues)
		}
		b = append(b[:0], make([]byte, to-from)...)
		if err := readWhole(r, b, int64(from)); err != nil {
			return err
		}
		if !isBlock(b) {
			return fmt.Errorf("%w: its block at octet %d does not read", errValues, from)
		}
		runtime.Gosched() // others go first: see patientFile
	}
	return nil
}

// readWhole fills octets. That a file is too short is damage.
func readWhole(r io.ReaderAt, p []byte, off int64) error {
	n, err := r.ReadAt(p, off)
	switch {
	case n == len(p):
		return nil
	case errors.Is(err, io.EOF):
		return fmt.Errorf("%w: it ends at octet %d", errValues, off+int64(n))
	}
	return err
}

// endsHead is how many octets stand before the columns of the block that says where the blocks end, and endsColumn which of
// them that is.
const (
	endsHead   = 4
	endsColumn = 1
)

// blockEnds reads where each block begins, and at last where the last one ends.
func blockEnds(b []byte) (ends []uint64, err error) {
	bad := fmt.Errorf("%w: it does not read where its blocks end", errValues)
	if !isBlock(b) {
		return nil, bad
	}
	defer func() {
		if r := recover(); r != nil { // by which Pebble says that it is no such block
			ends, err = nil, bad
		}
	}()
	d := colblk.DecodeBlock(b[:len(b)-block.TrailerLen], endsHead)
	column := colblk.DecodeColumn(&d, endsColumn, d.Rows()+1, colblk.DataTypeUint, colblk.DecodeUnsafeUints)
	for i := range d.Rows() + 1 {
		ends = append(ends, column.At(i))
	}
	return ends, nil
}
