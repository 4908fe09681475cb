package server

import (
	"context"
	"strings"

	"sallyport/internal/door/textconn"
)

// idle answers IDLE: it tells what happens until the client says DONE. RFC 2177, RFC 9051 §6.3.13.
func (c *conn) idle(ctx context.Context) result {
	c.Line("+ idling")
	if c.box != nil {
		c.look(ctx)
	}
	// What there is to tell leaves with that line, below. Thunderbird listens only after the line, and
	// does not hear what comes while it makes ready to.
	if (c.box == nil || c.Ended()) && c.Flush() != nil {
		return result{status: "-", end: EndEOF}
	}
	c.Rest()
	c.WaitUntil(c.o.Now().Add(c.o.Limits.IdleTimeout))
	c.Idle(true)
	type said struct {
		line []byte
		err  error
	}
	heard := make(chan said, 1)
	go func() {
		line, err := c.In.Line(nil, textconn.Keep)
		heard <- said{line, err}
	}()
	var s said
	for waiting := true; waiting; {
		var changed <-chan struct{} // nil: nothing is selected, and nothing comes
		if c.box != nil {
			changed = c.watch(ctx)
		}
		select {
		case s = <-heard:
			waiting = false
		case <-changed:
		}
	}
	c.Idle(false)
	if c.box != nil {
		c.box.unpack(c.box.mb.State)
	}
	if s.err != nil {
		return result{status: "-", end: c.broken(s.err)}
	}
	if !strings.EqualFold(string(s.line), "DONE\r\n") {
		return bad("expected DONE")
	}
	return ok("idled")
}

// watch tells what happened, and returns what is closed when something happens again; nil if
// nothing will be told any more.
func (c *conn) watch(ctx context.Context) <-chan struct{} {
	changed := c.box.mb.Changed()
	b := c.box
	if b.mb.Since(b.told).HighestModSeq == b.told {
		// Nobody here did anything: something may have come.
		if c.look(ctx); c.Ended() {
			return nil
		}
		if b.packed != nil && b.mb.Since(b.told).HighestModSeq == b.told {
			return changed
		}
	}
	b.unpack(b.mb.State)
	c.tell(ctx, true)
	b.pack()
	if c.Flush() != nil {
		// Nobody reads any more; the goroutine that waits for the client must hear of it.
		c.Drop()
		return nil
	}
	c.Rest()
	return changed
}
