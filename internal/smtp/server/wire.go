package server

import (
	"crypto/tls"
	"errors"
	"net"
	"os"
	"sync"
	"time"

	"sallyport/internal/door"
	"sallyport/internal/mail"
	smtpwire "sallyport/internal/smtp/wire"
)

// Why no more octets come, besides what the transport says.
var (
	errShutdown = errors.New("the server is shutting down")
	errTimeout  = errors.New("timed out")
	errSlow     = errors.New("the data came too slowly")
	errDawdling = errors.New("the commands came too slowly")
	errDuration = errors.New("the session has lasted too long")
	errRests    = errors.New("nothing is said, and the connection rests")
)

// standGrace is how long no octet of a message may come, beyond what it earned by haste, before its
// connection counts as a silent one, which goes where others need its place.
const standGrace = 10 * time.Second

// moveAhead is by how much a message that stood still must be ahead of its pace to move: its first
// octet is not enough.
const moveAhead = time.Second

// patience is how long a command is waited for with all at hand that reading it takes. Whoever says nothing
// for longer rests.
const patience = 200 * time.Millisecond

// writeSlack is by how much of its time, one part in so many, a write may have less than it should,
// so that the deadline of each need not be set anew.
const writeSlack = 64

// keepOut is the largest reply buffer that a connection keeps between two commands.
const keepOut = 512

// wire is the connection's input and output: what is written is sent when the
// client has nothing more to say, and every read has a deadline.
type wire struct {
	limits *Limits
	now    func() time.Time
	raw    net.Conn    // as accepted
	socket door.Socket // its own; none: the connection never rests
	nc     net.Conn    // raw, or the TLS on top of it
	tls    *tls.ConnectionState
	offer  string // what the client offered when TLS began, as a fingerprint
	in     *smtpwire.LineReader

	out    []byte
	outErr error // of the first write that failed; nothing is written after it

	ends     time.Time // of the session, whatever is being waited for
	deadline time.Time // of the command that is being waited for
	data     bool      // octets of a message are being waited for
	meter    meter     // of a message
	commands meter     // of all commands, by the time between their first octet and their last
	first    time.Time // when the first octet came of the record of TLS that is being read; zero: none did

	due    time.Time // when the read that is being waited for takes too long
	armed  time.Time // when the transport gives up a read; zero: it may have given up, or never does
	writes time.Time // when it gives up a write; zero likewise

	patient bool // the wait for a command may be given up for a rest
	resting bool // it was, and nothing was read since

	moves func(bool) // told whether a message comes at its pace, when that changes; nil: nobody asks
	still bool       // it does not

	mu       sync.Mutex
	stopping bool // the server shuts down
	message  bool // a message is in progress, and may still end
	crowded  bool // it stops because others need its place
}

// Read fills the LineReader. Replies are sent before it waits: RFC 2920 §3.2.
func (w *wire) Read(p []byte) (int, error) {
	if err := w.flush(); err != nil {
		return 0, err
	}
	start := w.now()
	if err := w.arm(start); err != nil {
		return 0, err
	}
	begun := w.in.Buffered() > 0 // a command is, and the rest of it is being waited for
	w.first = time.Time{}
	n, err := w.nc.Read(p)
	for errors.Is(err, os.ErrDeadlineExceeded) {
		if err := w.expired(start); err != nil {
			return 0, err
		}
		n, err = w.nc.Read(p)
	}
	if err != nil {
		return n, err
	}
	now := w.now()
	switch {
	case w.data, w.message: // changed by this goroutine alone
		return n, w.measure(n, now.Sub(start))
	case begun:
		return n, w.measureCommand(n, now.Sub(start))
	case !w.first.IsZero():
		return n, w.measureCommand(n, now.Sub(w.first))
	}
	return n, w.measureCommand(n, 0)
}

// measure counts n octets that were waited for. What is waited between the chunks of a
// message is the message's time too, though the commands there are none of its octets.
func (w *wire) measure(n int, waited time.Duration) error {
	if !w.data {
		n = 0
	}
	pace := w.limits.messages()
	w.meter = w.meter.add(n, waited, pace)
	w.moving(w.meter.moves(pace, w.still))
	if w.meter.tooSlow(pace) {
		return errSlow
	}
	return nil
}

// moving notes whether the message comes at the pace that is asked for.
func (w *wire) moving(on bool) {
	if w.still == !on {
		return
	}
	w.still = !on
	if w.moves != nil {
		w.moves(on)
	}
}

// measureCommand counts n octets of commands, and what was waited in the middle of one:
// how long a client thinks before it says the next is CommandTimeout's to bound.
func (w *wire) measureCommand(n int, waited time.Duration) error {
	pace := w.limits.commands()
	if w.commands = w.commands.add(n, waited, pace); w.commands.tooSlow(pace) {
		return errDawdling
	}
	return nil
}

// records is the transport below TLS. A command comes there in records, of which nothing is
// seen above before they are whole.
type records struct {
	net.Conn
	w *wire
}

// Read notes when a record begins, and gives up one of a command that takes too long.
func (r records) Read(p []byte) (int, error) {
	n, err := r.Conn.Read(p)
	w := r.w
	if n == 0 || w.tls == nil || w.data || w.message {
		return n, err // of the handshake, or of a message
	}
	now := w.now()
	if w.first.IsZero() {
		w.first = now
	}
	if err == nil && now.Sub(w.first) > w.limits.CommandRateGrace {
		err = errDawdling
	}
	return n, err
}

// expired judges a read since start whose deadline is over; nil: it is to be tried again.
func (w *wire) expired(start time.Time) error {
	kept := !w.armed.Equal(w.due) // it was set for a wait before this one
	w.armed = time.Time{}
	switch {
	case w.patient:
		if w.lasts() {
			return errRests
		}
	case kept:
	case w.message && !w.still:
		w.moving(false) // it is one of those that stand still from now on
	default:
		return w.cause()
	}
	return w.arm(start)
}

// arm sets the deadline of the next read. One that was set for an earlier wait, and is not over
// soon, is left: when it is over, expired sets the right one. Whoever is busy has none set for most
// of his commands, which would cost as much as some of them.
func (w *wire) arm(now time.Time) error {
	w.due = w.dueAt(now)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closing() {
		return errShutdown
	}
	if w.armed.Sub(now) >= patience/2 && !w.armed.After(w.due) {
		return nil
	}
	w.armed = w.due
	return w.raw.SetReadDeadline(w.due)
}

// dueAt is until when the next read may take.
func (w *wire) dueAt(now time.Time) time.Time {
	deadline := w.deadline
	if w.data {
		deadline = now.Add(w.limits.DataTimeout)
	}
	if deadline.After(w.ends) {
		deadline = w.ends
	}
	if rest := now.Add(patience); w.patient && deadline.After(rest) {
		deadline = rest
	}
	if w.message && !w.still {
		// What comes later than this came too slowly.
		if rest := now.Add(max(w.meter.advance, 0) + standGrace); deadline.After(rest) {
			deadline = rest
		}
	}
	return deadline
}

// lasts notes that nothing came for as long as somebody who is busy may take, and reports whether
// the connection may rest: not in the middle of a record, of which TLS has something then that no
// poller knows of.
func (w *wire) lasts() bool {
	w.patient = false
	now := w.now()
	return w.first.IsZero() && now.Before(w.deadline) && now.Before(w.ends)
}

// settleDown gives back what a connection needs that says nothing.
func (w *wire) settleDown() {
	w.in.Close() // nothing is buffered
	w.out = nil
}

// rest waits for the next octet of a command without anything to read it into, or for the end of
// the time that it has.
func (w *wire) rest() {
	w.armed = time.Time{}
	if w.arm(w.now()) == nil {
		w.socket.Await()
	}
}

// closing reports whether nothing more is to be read. A message in progress may end, unless
// others need its place. w.mu is held.
func (w *wire) closing() bool { return w.stopping && (!w.message || w.crowded) }

// cause says why the time of a read or a write is over.
func (w *wire) cause() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closing() {
		return errShutdown
	}
	if !w.now().Before(w.ends) {
		return errDuration
	}
	return errTimeout
}

// interrupt ends the wait for a command, now and from now on.
func (w *wire) interrupt() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stopping = true
	if w.closing() {
		// A deadline that can't be set is one of a closed connection.
		_ = w.raw.SetReadDeadline(time.Unix(1, 0))
	}
}

// giveWay ends the connection as interrupt does, and soon: who does not read the answer
// does not hold the place.
func (w *wire) giveWay() {
	w.mu.Lock()
	w.crowded = true
	_ = w.raw.SetWriteDeadline(w.now().Add(refusalWriteTimeout))
	w.mu.Unlock()
	w.interrupt()
}

// givesWay reports whether others need the place of this connection.
func (w *wire) givesWay() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.crowded
}

// writeTimeout bounds the next write.
func (w *wire) writeTimeout() time.Duration {
	if w.givesWay() {
		return refusalWriteTimeout
	}
	return w.limits.WriteTimeout
}

// stopped reports whether commands that are already here must wait for ever.
func (w *wire) stopped() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.closing()
}

// setMessage says whether a message is in progress. One of which nothing has come has yet to
// move.
func (w *wire) setMessage(on bool) {
	w.mu.Lock()
	w.message = on
	w.mu.Unlock()
	w.data, w.meter = on, meter{}
	w.moves, w.still = nil, on && w.in.Buffered() == 0
}

// send gathers a reply, and sends what was gathered when it is much.
func (w *wire) send(r mail.Reply) {
	w.out = smtpwire.AppendReply(w.out, r)
	if len(w.out) >= w.limits.ReplyOctets {
		w.flushLater()
	}
}

// flushLater flushes; an error waits for the next read.
func (w *wire) flushLater() { _ = w.flush() }

// flush sends what was gathered. Its first error is final.
func (w *wire) flush() error {
	if len(w.out) == 0 || w.outErr != nil {
		return w.outErr
	}
	if w.outErr = w.armWrite(w.now()); w.outErr != nil {
		return w.outErr
	}
	if _, err := w.nc.Write(w.out); err != nil {
		w.outErr = w.of(err)
	}
	w.out = w.out[:0]
	if cap(w.out) > keepOut {
		w.out = nil
	}
	return w.outErr
}

// armWrite sets the deadline of the next write, unless there is one that is about as far away.
func (w *wire) armWrite(now time.Time) error {
	timeout := w.writeTimeout()
	if timeout == w.limits.WriteTimeout && w.writes.Sub(now) >= timeout-timeout/writeSlack {
		return nil
	}
	w.writes = now.Add(timeout)
	return w.raw.SetWriteDeadline(w.writes)
}

// of tells a shutdown and a timeout from other ends.
func (w *wire) of(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return w.cause()
	}
	return err
}

// startTLS puts TLS on top of the connection. Nothing may be buffered.
func (w *wire) startTLS(cfg *tls.Config, h *door.Handshake) error {
	if err := w.flush(); err != nil {
		return err
	}
	w.deadline, w.data = w.now().Add(h.Timeout()), false
	w.armed, w.writes = time.Time{}, time.Time{} // the handshake has none but its own
	if err := w.arm(w.now()); err != nil {
		return err
	}
	if err := w.raw.SetWriteDeadline(w.deadline); err != nil {
		return err
	}
	tc, offer, err := h.Over(records{w.raw, w}, cfg)
	if err != nil {
		return w.of(err)
	}
	state := tc.ConnectionState()
	w.nc, w.tls, w.offer = tc, &state, offer
	w.in.Reset(w)
	return nil
}

// linger reads on for a short while after the last reply, so that octets on their
// way don't make the transport throw that reply away, and closes.
func (w *wire) linger() {
	type halfCloser interface{ CloseWrite() error }
	if half, ok := w.nc.(halfCloser); !ok || half.CloseWrite() != nil {
		w.close()
		return
	}
	if half, ok := w.raw.(halfCloser); ok && w.raw != w.nc && half.CloseWrite() != nil {
		w.close()
		return
	}
	buf := make([]byte, smtpwire.SmallBufferOctets)
	if w.raw.SetReadDeadline(w.now().Add(w.limits.LingerTimeout)) == nil {
		for left := w.limits.LingerOctets; left > 0; {
			n, err := w.raw.Read(buf)
			left -= int64(n)
			if err != nil {
				break
			}
		}
	}
	w.close()
}

// abandon makes every read and write fail from now on. It may be called by any
// goroutine; the connection's own then closes it.
func (w *wire) abandon() { _ = w.raw.Close() }

// close closes the connection. What the transport says to that changes nothing.
func (w *wire) close() {
	_ = w.nc.Close()
	_ = w.raw.Close()
}
