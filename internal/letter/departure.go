package letter

import (
	"context"
	"io"
	"sync"

	"sallyport/internal/nexthop"
)

// Departure is one delivery under way of a message that may be stopped: it is cut when the
// message may not leave any more and its last octet has not been handed over. A delivery whose
// end is on its way awaits its answer, since nobody knows without it who has the message. Its
// methods may be called concurrently.
type Departure struct {
	may    func() bool
	ctx    context.Context
	cancel context.CancelFunc

	mu     sync.Mutex
	ending bool // the last octet was handed over
	cut    bool
}

// Depart returns a Departure within ctx; may says whether the message may still leave, and may be
// asked by several at once. End releases it.
func Depart(ctx context.Context, may func() bool) *Departure {
	d := &Departure{may: may}
	d.ctx, d.cancel = context.WithCancel(ctx)
	return d
}

// Context is that of the delivery: it ends when that is cut.
func (d *Departure) Context() context.Context { return d.ctx }

// End releases what the delivery took.
func (d *Departure) End() { d.cancel() }

// Recheck asks whether the message may still leave, and cuts the delivery at once if not.
func (d *Departure) Recheck() { _ = d.goesOn(false) }

// goesOn reports whether the delivery may; last: with what is read next its end is on its way.
func (d *Departure) goesOn(last bool) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.cut || !d.ending && !d.may() {
		d.cut = true
		d.cancel()
		return false
	}
	d.ending = d.ending || last
	return true
}

// begins reports whether the delivery may hand a message over, perhaps another one.
func (d *Departure) begins() bool {
	d.mu.Lock()
	d.ending = false
	d.mu.Unlock()
	return d.goesOn(false)
}

// Guard returns open with what it opens guarded: nothing more is read of it once it may not leave.
func (d *Departure) Guard(open func() (io.ReadCloser, error)) func() (io.ReadCloser, error) {
	return func() (io.ReadCloser, error) {
		if !d.begins() {
			return nil, nexthop.ErrWithdrawn
		}
		r, err := open()
		if err != nil {
			return nil, err
		}
		return guarded{r, d}, nil
	}
}

type guarded struct {
	io.ReadCloser
	d *Departure
}

// Read reads on as long as the message may leave.
func (g guarded) Read(p []byte) (int, error) {
	n, err := g.ReadCloser.Read(p)
	if !g.d.goesOn(err == io.EOF) {
		return 0, nexthop.ErrWithdrawn
	}
	return n, err
}
