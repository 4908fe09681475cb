package letter_test

import (
	"errors"
	"io"
	"strings"
	"sync/atomic"
	"testing"

	"sallyport/internal/letter"
	"sallyport/internal/nexthop"
)

// A delivery is cut until its last octet was handed over, and awaits its answer from
// then on; another message over the same delivery begins anew.
func TestADepartureIsCutBeforeItsEndAlone(t *testing.T) {
	var stopped atomic.Bool
	depart := func() (*letter.Departure, func() (io.ReadCloser, error)) {
		stopped.Store(false)
		d := letter.Depart(t.Context(), func() bool { return !stopped.Load() })
		t.Cleanup(d.End)
		return d, d.Guard(func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("four")), nil })
	}
	piece := make([]byte, 4)

	d, open := depart()
	d.Recheck()
	r, err := open()
	if err != nil || d.Context().Err() != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(r, piece); err != nil {
		t.Fatal(err)
	}
	stopped.Store(true)
	if d.Context().Err() != nil {
		t.Error("cut before anybody asked")
	}
	d.Recheck()
	if _, err := r.Read(piece); !errors.Is(err, nexthop.ErrWithdrawn) || d.Context().Err() == nil {
		t.Errorf("its end is read although it was cut: %v", err)
	}
	stopped.Store(false) // what was cut stays cut
	if _, err := open(); !errors.Is(err, nexthop.ErrWithdrawn) {
		t.Errorf("opened again: %v", err)
	}

	d, open = depart()
	r, _ = open()
	if text, err := io.ReadAll(r); string(text) != "four" || err != nil {
		t.Fatalf("%q, %v", text, err)
	}
	stopped.Store(true)
	d.Recheck()
	if d.Context().Err() != nil {
		t.Error("cut although its end is on its way")
	}
	if _, err := open(); !errors.Is(err, nexthop.ErrWithdrawn) || d.Context().Err() == nil {
		t.Errorf("a further message of it leaves: %v", err)
	}

	// Nobody needs to ask: what is read asks itself.
	d, open = depart()
	r, _ = open()
	stopped.Store(true)
	if n, err := r.Read(piece); n != 0 || !errors.Is(err, nexthop.ErrWithdrawn) || d.Context().Err() == nil {
		t.Errorf("%d octets, %v", n, err)
	}
}
