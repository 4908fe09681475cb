package client

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"sallyport/internal/mail"
	"sallyport/internal/smtp/wire"
)

// framer puts a message on the wire and ends it. It refuses bare CR, bare LF and
// NUL, and writes nothing of a piece that holds one.
type framer interface {
	io.Writer
	Close() error
}

// chunk is the framing of BDAT: the octets as they are. RFC 3030 §2.
type chunk struct {
	w    io.Writer
	text wire.Text
}

func (k *chunk) Write(p []byte) (int, error) {
	if _, err := k.text.Check(p); err != nil {
		return 0, err
	}
	return k.w.Write(p)
}

// Close ends nothing on the wire: the length said where the chunk ends.
func (k *chunk) Close() error { return k.text.End() }

// message sends the message and takes the reply to its end.
func (t *transaction) message(body io.Reader) error {
	c := t.cl.c
	if err := c.ready(StageData); err != nil {
		return err
	}
	t.started, t.cl.dirty = true, true
	if err := t.write(body); err != nil {
		return err
	}
	if t.cl.o.LMTP {
		return t.verdicts()
	}
	r, err := c.wait(StageEnd, t.cl.o.Timeouts.DataDone)
	if err != nil {
		return err
	}
	if !final(r) || t.unkeptChunk(r) {
		return c.nonsense(StageEnd, r)
	}
	t.saidAll(r)
	t.cl.dirty = !completed(r)
	return nil
}

// verdicts takes the replies of an LMTP server to the end of data: one for each
// recipient that it accepted, in their order. RFC 2033 §4.2.
func (t *transaction) verdicts() error {
	times := t.cl.o.Timeouts
	end := time.Now().Add(times.DataDone + times.Envelope)
	first := true // who answers for one of them knows BDAT
	for i := range t.out {
		if !t.accepted[i] {
			continue
		}
		r, err := t.cl.c.wait(StageEnd, min(times.DataDone, time.Until(end)))
		if err != nil {
			return err
		}
		if !final(r) || first && t.unkeptChunk(r) {
			return t.cl.c.nonsense(StageEnd, r)
		}
		first = false
		t.said(i, r)
	}
	t.cl.dirty = false // with the last reply the transaction is over
	return nil
}

// final reports whether a reply can end a message.
func final(r mail.Reply) bool {
	return completed(r) || r.Class() == mail.ClassTransient || r.Class() == mail.ClassPermanent
}

// verdictCount is how many replies the end of data has.
func (t *transaction) verdictCount() int64 {
	if t.cl.o.LMTP {
		return int64(t.count)
	}
	return 1
}

// write puts the message on the wire. As a whole it has the time of one block and
// what its size takes at the slowest rate, so that a server that reads an octet a
// minute does not hold us.
func (t *transaction) write(body io.Reader) error {
	c := t.cl.c
	limit := t.cl.o.Timeouts.DataBlock + time.Duration(t.size/t.cl.o.Limits.MinRate)*time.Second
	defer time.AfterFunc(limit, func() { c.fail(ErrTimeout) }).Stop()
	var f framer = wire.NewDataWriter(c.out)
	if t.chunking() {
		// The buffer keeps an error for the write that follows.
		_, _ = fmt.Fprintf(c.out, "BDAT %d LAST\r\n", t.size)
		f = &chunk{w: c.out}
	}
	err := t.pump(f, body)
	if err == nil {
		err = c.out.Flush()
	}
	if err != nil {
		c.fail(bodyFault(err))
		return c.fault(StageMessage)
	}
	return nil
}

// bodyFault parts what is wrong with the message from what is wrong with the
// connection.
func bodyFault(err error) error {
	for _, unclean := range []error{wire.ErrBareCR, wire.ErrBareLF, wire.ErrNUL} {
		if errors.Is(err, unclean) {
			return fmt.Errorf("%w: %w", ErrUnclean, err)
		}
	}
	if errors.Is(err, ErrBody) {
		return err
	}
	return lost(err)
}

// pump copies the message. It writes the last piece only when the end of the body
// has been seen and the server has kept silent: a body that turns out damaged is
// never sent whole, and a reply before the end is never taken for the reply to it.
func (t *transaction) pump(f framer, body io.Reader) error {
	piece := make([]byte, min(max(t.size, 0), writeOctets))
	for left := t.size; ; {
		piece = piece[:min(int64(len(piece)), left)]
		if _, err := io.ReadFull(body, piece); err != nil {
			return bodyError(err)
		}
		left -= int64(len(piece))
		if left == 0 {
			break
		}
		if _, err := f.Write(piece); err != nil {
			return err
		}
	}
	if t.size > int64(len(piece)) {
		// What comes before the last piece is with the kernel first: a server that reads slowly
		// holds us up while the message may still be withdrawn, and not after.
		if err := t.cl.c.out.Flush(); err != nil {
			return err
		}
	}
	if n, err := io.ReadFull(body, make([]byte, 1)); n > 0 || err != io.EOF {
		return bodyError(err)
	}
	if err := t.cl.c.ready(StageMessage); err != nil {
		return err
	}
	t.cl.c.expected.Add(t.verdictCount())
	if _, err := f.Write(piece); err != nil {
		return err
	}
	return f.Close()
}

func bodyError(err error) error {
	if err == nil {
		return fmt.Errorf("%w: it is longer than it was when it was accepted", ErrBody)
	}
	return fmt.Errorf("%w: %w", ErrBody, err)
}

// emptyMessage answers a server that wants data though it took no recipient: with
// the end of data alone. RFC 2920 §3.1.
func (t *transaction) emptyMessage() error {
	c := t.cl.c
	t.cl.dirty = true
	if t.cl.o.LMTP {
		// RFC 2033 §4.2: an LMTP server says 503 then. One that does not cannot
		// answer for nobody either.
		c.fail(fmt.Errorf("%w: it wants a message for nobody", ErrProtocol))
		return c.fault(StageData)
	}
	if err := c.send(StageEnd, []byte(".\r\n"), 1); err != nil {
		return err
	}
	r, err := c.wait(StageEnd, t.cl.o.Timeouts.DataDone)
	if err != nil {
		return err
	}
	if r.Class() == mail.ClassIntermediate {
		return c.nonsense(StageEnd, r)
	}
	return nil
}

// exceeds reports whether size is above the limit that SIZE announced; "0" is no
// limit, and what is no number is none. RFC 1870 §4.
func exceeds(size int64, limit string) bool {
	n, err := strconv.ParseInt(limit, 10, 64)
	return err == nil && n > 0 && size > n
}
