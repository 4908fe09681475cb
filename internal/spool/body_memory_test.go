package spool_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"runtime"
	"testing"
	"time"

	"sallyport/internal/store/pebble"
)

// A large body passes through the same few buffers, however its octets come: what it takes does not
// grow with it.
func TestALargeBodyTakesLittle(t *testing.T) {
	st, err := pebble.Open(pebble.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	o := options(t, time.Now)
	o.Logger = slog.New(slog.DiscardHandler)
	q, _ := openSpool(t, st, o)
	const size = 24 << 20
	for _, piece := range []int{1000, 32 << 10, 64 << 10, 100_000, 1 << 20} {
		b, err := q.NewBody(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		p := bytes.Repeat([]byte("0123456789"), piece/10)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		written, most := 0, 0
		for written < size {
			n, err := b.Write(p)
			if err != nil {
				t.Fatal(err)
			}
			written += n
			most = max(most, b.Memory())
		}
		runtime.ReadMemStats(&after)
		// The rest is what it grows by to 128 KiB, and what others do.
		if took := after.TotalAlloc - before.TotalAlloc; took > 3<<20 || most > 160<<10 {
			t.Errorf("%d octets in pieces of %d: %d allocated, %d at once", written, piece, took, most)
		}
		if err := b.End(); err != nil {
			t.Fatal(err)
		}
		r, err := b.Reader()
		if err != nil {
			t.Fatal(err)
		}
		n, err := io.Copy(io.Discard, r)
		if err != nil || n != int64(written) {
			t.Errorf("%d of %d octets are read, %v", n, written, err)
		}
		if err := b.Abort(); err != nil {
			t.Error(err)
		}
	}
}
