package main

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"sync"
)

// Bounds of a session: a line of a command, a message, and the room that a message gets at
// first, which is enough for most.
const (
	lineOctets    = 1024
	messageOctets = 64 << 20
	roomOctets    = 16 << 10
)

// room is what one message needs while it is read and kept.
type room struct {
	octets []byte
	done   chan error
}

// rooms lends room out, so that idle connections hold none.
type rooms struct{ pool sync.Pool }

func (r *rooms) take() *room {
	if have, ok := r.pool.Get().(*room); ok {
		return have
	}
	return &room{octets: make([]byte, roomOctets), done: make(chan error, 1)}
}

// session is one connection.
type session struct {
	c  net.Conn
	in *bufio.Reader
	g  *group
	r  *rooms
}

// serve answers one client until it goes.
func serve(c net.Conn, g *group) {
	defer c.Close()
	s := session{c: c, in: bufio.NewReaderSize(c, lineOctets), g: g, r: &g.rooms}
	if s.say("220 floor ESMTP\r\n") != nil {
		return
	}
	for s.command() == nil {
	}
}

func (s *session) say(line string) error {
	_, err := io.WriteString(s.c, line)
	return err
}

var errGone = errors.New("the client said goodbye")

// command reads one command and answers it.
func (s *session) command() error {
	line, err := s.in.ReadSlice('\n')
	if err != nil {
		return err
	}
	if len(line) < 4 {
		return s.say("500 what?\r\n")
	}
	switch string(bytes.ToUpper(line[:4])) {
	case "EHLO":
		return s.say("250-floor\r\n250-PIPELINING\r\n250 8BITMIME\r\n")
	case "DATA":
		return s.data()
	case "QUIT":
		return errors.Join(s.say("221 bye\r\n"), errGone)
	}
	return s.say("250 ok\r\n")
}

// data takes one message and answers when it is on the disk.
func (s *session) data() error {
	if err := s.say("354 go\r\n"); err != nil {
		return err
	}
	r := s.r.take()
	defer s.r.pool.Put(r)
	n, err := s.read(r)
	if err != nil {
		return err
	}
	if err := s.g.keep(r.octets[:n], r.done); err != nil {
		return s.say("451 the log failed\r\n")
	}
	return s.say("250 ok\r\n")
}

// read fills the room, behind the prefix, with a message up to its end, and returns where
// it ends; what the client sent behind it stays with the reader.
func (s *session) read(r *room) (int, error) {
	n := prefix
	for {
		if n == len(r.octets) {
			if n >= messageOctets {
				return 0, io.ErrShortBuffer
			}
			r.octets = append(r.octets, make([]byte, len(r.octets))...)
		}
		m, err := s.more(r.octets[n:])
		if err != nil {
			return 0, err
		}
		n += m
		if end, after := terminator(r.octets[prefix:n], m); after > 0 {
			s.unread(r.octets[prefix+after : n])
			return prefix + unstuff(r.octets[prefix:prefix+end]), nil
		}
	}
}

// more reads what the reader holds already, then past it from the socket.
func (s *session) more(into []byte) (int, error) {
	if s.in.Buffered() > 0 {
		return s.in.Read(into)
	}
	return s.c.Read(into)
}

// unread gives back what belongs to the next command.
func (s *session) unread(rest []byte) {
	if len(rest) > 0 {
		s.in.Reset(io.MultiReader(bytes.NewReader(bytes.Clone(rest)), s.c))
	}
}

// terminator finds the line of a single dot, of which the last fresh octets are new, and
// returns where the message ends and where the next command begins; 0: it is not there yet.
// RFC 5321 §4.5.2.
func terminator(b []byte, fresh int) (end, after int) {
	if bytes.HasPrefix(b, []byte(".\r\n")) {
		return 0, 3
	}
	const line = "\r\n.\r\n"
	from := max(0, len(b)-fresh-len(line)+1)
	if i := bytes.Index(b[from:], []byte(line)); i >= 0 {
		return from + i + 2, from + i + len(line)
	}
	return 0, 0
}

// unstuff takes the doubled dots off in place and returns the new length. RFC 5321 §4.5.2.
func unstuff(b []byte) int {
	w := 0
	if bytes.HasPrefix(b, []byte(".")) {
		b = b[:copy(b, b[1:])]
	}
	for r := 0; ; {
		i := bytes.Index(b[r:], []byte("\r\n."))
		if i < 0 {
			return w + copy(b[w:], b[r:])
		}
		w += copy(b[w:], b[r:r+i+2])
		r += i + 3
	}
}
