package server

import (
	"context"
	"io"
	"strconv"

	"sallyport/internal/mail"
	smtpwire "sallyport/internal/smtp/wire"
)

// bdat answers BDAT: alone where it is refused, or the whole sequence up to LAST.
// Its octets are taken off the stream in any case: they are never commands.
// RFC 3030 §2.
func (c *conn) bdat(ctx context.Context, req request) result {
	// A BDAT that is refused leaves nothing of the transaction: a client that
	// pipelined it has sent its message, and goes on to the next.
	if req.fault != nil {
		// Without a size there is nothing to take off: a command comes next.
		c.drop(ctx)
		res := c.faulty(req)
		if !req.fault.ChunkKnown {
			return res
		}
		return c.unwanted(ctx, req.fault.Chunk, res)
	}
	chunk := req.cmd.Chunk
	if res, refused := c.misplaced(req); refused {
		return c.unwanted(ctx, chunk, res)
	}
	switch res, refused := c.noMessage(); {
	case refused:
		c.drop(ctx)
		return c.unwanted(ctx, chunk, res)
	case !c.state.extended:
		c.drop(ctx)
		return c.unwanted(ctx, chunk, refuse(503, "5.5.1", "BDAT needs EHLO"))
	case chunk.Size > c.limits.MessageOctets:
		c.drop(ctx)
		return c.unwanted(ctx, chunk, refuse(552, "5.3.4", "the message is larger than allowed"))
	case isJunk(req.cmd) && c.overJunk():
		// Counted only here: whatever else is refused counts as an error.
		return refuse(421, "4.7.0", "too many empty chunks").ending(EndJunk)
	}
	tx := c.take()
	c.begins()
	defer c.setMessage(false)
	s := &sequence{c: c, ctx: ctx, chunk: chunk, left: chunk.Size}
	b := &body{src: s, limit: c.limits.MessageOctets, whole: c.isWhole}
	return c.conclude(ctx, b, (*remainder)(s), tx.Data(ctx, b))
}

// unwanted takes a chunk off the stream before it is refused; when it is too large
// for that, the connection ends instead.
func (c *conn) unwanted(ctx context.Context, chunk smtpwire.Chunk, res result) result {
	c.setMessage(true)
	defer c.setMessage(false)
	s := &sequence{c: c, ctx: ctx, chunk: chunk, left: chunk.Size}
	return c.drained(ctx, (*remainder)(s), res)
}

// sequence is the message that a sequence of BDAT commands carries. When a chunk
// ends that is not the last, its Next answers it and reads the next command.
type sequence struct {
	c     *conn
	ctx   context.Context
	chunk smtpwire.Chunk // the present one
	left  int64          // octets of it still to come
	total int64          // octets of the chunks before it
	count int64          // of the chunks before it
	text  smtpwire.Text
}

// chunkOctets is what the chunks of a message hold on average at least, unless they are
// to count as junk: a command for each octet costs a hundred times what the octet does.
// Senders make chunks of a thousand octets and more.
const chunkOctets = 512

// tiny reports whether a chunk brings less than a command costs, and those before it
// have brought no more.
func (s *sequence) tiny(chunk smtpwire.Chunk) bool {
	return !chunk.Last && chunk.Size < chunkOctets && s.total < s.count*chunkOctets
}

// ended is the error of a sequence that was broken off. res is what is left to
// answer of the command that did it.
type ended struct{ res result }

// Error implements error.
func (*ended) Error() string { return "the BDAT sequence was broken off" }

// Next implements pieces. Chunks obey the rules of text like any message, since
// BINARYMIME is not offered; their octets are checked across chunks.
func (s *sequence) Next() ([]byte, error) {
	for s.left == 0 {
		if s.chunk.Last {
			if err := s.text.End(); err != nil {
				return nil, err
			}
			return nil, io.EOF
		}
		if err := s.nextChunk(); err != nil {
			return nil, err
		}
	}
	p, err := (*remainder)(s).Next()
	if err != nil {
		return nil, err
	}
	if _, err := s.text.Check(p); err != nil {
		return nil, err
	}
	return p, nil
}

// nextChunk answers the present chunk and reads commands up to the next one. What
// is neither a chunk nor harmless ends the sequence.
func (s *sequence) nextChunk() error {
	c := s.c
	ok := "received " + strconv.FormatInt(s.chunk.Size, 10) + " octets"
	if end := c.settle(s.ctx, request{}, said(mail.R(250, "2.0.0", ok))); end != "" {
		return s.over(end)
	}
	s.total, s.count = s.total+s.chunk.Size, s.count+1
	for {
		if end := c.await(s.ctx); end != "" {
			return s.over(end)
		}
		req, end := c.next(s.ctx)
		if end != "" {
			return s.over(end)
		}
		junk := req.fault == nil && (isJunk(req.cmd) || req.cmd.Verb == smtpwire.VerbBDAT && s.tiny(req.cmd.Chunk))
		if junk && c.overJunk() {
			res := refuse(421, "4.7.0", "too many commands without mail").ending(EndJunk)
			return s.over(c.settle(s.ctx, req, res))
		}
		switch {
		case req.fault == nil && req.cmd.Verb == smtpwire.VerbBDAT:
			return s.begin(req.cmd.Chunk)
		case junk && isIdle(req.cmd.Verb):
			if end := c.settle(s.ctx, req, idle(req.cmd)); end != "" {
				return s.over(end)
			}
		default:
			if junk {
				c.count.junk-- // it is counted where it is answered
			}
			req.misplaced = true
			c.pending = &req
			return s.over("")
		}
	}
}

// begin takes up a chunk, unless the message would grow too large.
func (s *sequence) begin(chunk smtpwire.Chunk) error {
	s.chunk, s.left = chunk, chunk.Size
	if chunk.Size > s.c.limits.MessageOctets-s.total {
		return errTooLarge
	}
	return nil
}

// over ends the sequence; everything that was to be answered was.
func (s *sequence) over(end string) error {
	return &ended{res: result{silent: true, end: end}}
}

// isIdle reports whether a command may stand within a sequence.
func isIdle(v smtpwire.Verb) bool {
	switch v {
	case smtpwire.VerbNOOP, smtpwire.VerbHELP, smtpwire.VerbVRFY, smtpwire.VerbEXPN:
		return true
	}
	return false
}

// remainder is the rest of the present chunk alone.
type remainder sequence

// Next implements pieces.
func (r *remainder) Next() ([]byte, error) {
	if r.left == 0 {
		return nil, io.EOF
	}
	in := r.c.in
	if in.Buffered() == 0 {
		r.c.data = true
		if err := in.Fill(); err == io.EOF {
			return nil, io.ErrUnexpectedEOF
		} else if err != nil {
			return nil, err
		}
	}
	p := in.Peek()
	p = p[:min(int64(len(p)), r.left)]
	in.Discard(len(p))
	r.left -= int64(len(p))
	return p, nil
}
