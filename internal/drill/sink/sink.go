// Package sink is the mail server that receives everything that leaves a rehearsal, or that
// returns to an auditor. It takes what it is given, keeps the head of each message, and passes
// nothing on.
package sink

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"time"
)

// Message is one that arrived whole.
type Message struct {
	From string   // envelope sender; "" for the null one
	To   []string // envelope recipients
	Head []byte   // at most HeadOctets of it, header section first
	Size int64
	At   time.Time
}

const (
	// HeadOctets is how much of a message is kept.
	HeadOctets = 64 << 10
	// maxLine bounds a line; what is longer ends the connection.
	maxLine = 1 << 20
	// patience is how long a client may be silent.
	patience = 2 * time.Minute
)

// Sink is a server that serves until Close.
type Sink struct {
	ln      net.Listener
	o       Options
	serving sync.WaitGroup

	mu     sync.Mutex
	kept   []Message
	conns  map[net.Conn]struct{}
	closed bool
}

// Options say who is served.
type Options struct {
	At      string               // address and port; "": a free port of loopback
	Name    string               // in the greeting; "": a name of the rehearsal
	Unknown func(to string) bool // says which recipients are refused; nil: none
	// Most bounds the messages that are kept, and the connections at once; 0: nothing does.
	Most int
}

// New listens at a free port of loopback. unknown says which recipients it refuses; nil: none.
func New(unknown func(to string) bool) (*Sink, error) {
	return Open(Options{Unknown: unknown})
}

// Open listens.
func Open(o Options) (*Sink, error) {
	if o.At == "" {
		o.At = "127.0.0.1:0"
	}
	if o.Name == "" {
		o.Name = "sink.drill.test"
	}
	if o.Unknown == nil {
		o.Unknown = func(string) bool { return false }
	}
	ln, err := net.Listen("tcp", o.At)
	if err != nil {
		return nil, err
	}
	s := &Sink{ln: ln, o: o, conns: map[net.Conn]struct{}{}}
	s.serving.Go(s.accept)
	return s, nil
}

// Addr is where it listens.
func (s *Sink) Addr() string { return s.ln.Addr().String() }

// Kept returns what arrived.
func (s *Sink) Kept() []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.kept)
}

// Close ends it, and every connection.
func (s *Sink) Close() error {
	err := s.ln.Close()
	s.mu.Lock()
	s.closed = true
	for c := range s.conns {
		_ = c.Close()
	}
	s.mu.Unlock()
	s.serving.Wait()
	return err
}

func (s *Sink) accept() {
	for {
		c, err := s.ln.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		closed, full := s.closed, s.o.Most > 0 && len(s.conns) >= s.o.Most
		if !closed && !full {
			s.conns[c] = struct{}{}
		}
		s.mu.Unlock()
		switch {
		case closed:
			_ = c.Close()
			return
		case full: // the next one may find a place
			_ = c.Close()
			continue
		}
		s.serving.Go(func() {
			x := &session{sink: s, conn: c, in: bufio.NewReaderSize(c, maxLine), out: bufio.NewWriter(c)}
			x.serve()
			// Whoever sees the end of it finds its place free.
			s.mu.Lock()
			delete(s.conns, c)
			s.mu.Unlock()
			_ = c.Close()
		})
	}
}

type session struct {
	sink *Sink
	conn net.Conn
	in   *bufio.Reader
	out  *bufio.Writer
	from string
	to   []string
}

var errQuit = errors.New("the client said goodbye")

func (x *session) serve() {
	x.say("220 " + x.sink.o.Name + " ESMTP")
	for {
		// Replies to pipelined commands go together. RFC 2920 §3.2.
		if x.in.Buffered() == 0 && x.out.Flush() != nil {
			return
		}
		line, err := x.line()
		if err != nil {
			return
		}
		if err := x.obey(string(line)); err != nil {
			_ = x.out.Flush()
			return
		}
	}
}

func (x *session) say(line string) { _, _ = x.out.WriteString(line + "\r\n") }

func (x *session) line() ([]byte, error) {
	if err := x.conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return nil, err
	}
	line, err := x.in.ReadSlice('\n')
	return bytes.TrimRight(line, "\r\n"), err
}

func (x *session) obey(line string) error {
	verb, rest, _ := strings.Cut(line, " ")
	switch strings.ToUpper(verb) {
	case "EHLO":
		for _, can := range []string{"PIPELINING", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES"} {
			x.say("250-" + can)
		}
		x.say("250 SIZE")
	case "HELO", "RSET", "NOOP":
		x.from, x.to = "", nil
		x.say("250 2.0.0 fine")
	case "LHLO":
		x.say("500 5.5.1 this is SMTP")
	case "MAIL":
		x.from, x.to = path(rest), nil
		x.say("250 2.1.0 fine")
	case "RCPT":
		if to := path(rest); x.sink.o.Unknown(to) {
			x.say("550 5.1.1 nobody of this name")
		} else {
			x.to = append(x.to, to)
			x.say("250 2.1.5 fine")
		}
	case "DATA":
		return x.data()
	case "QUIT":
		x.say("221 2.0.0 goodbye")
		return errQuit
	default:
		x.say("502 5.5.2 this is not done here")
	}
	return nil
}

func (x *session) data() error {
	if len(x.to) == 0 {
		x.say("554 5.5.1 for nobody")
		return nil
	}
	x.say("354 go on")
	if err := x.out.Flush(); err != nil {
		return err
	}
	m := Message{From: x.from, To: x.to}
	for {
		line, err := x.line()
		if err != nil {
			return err
		}
		if string(line) == "." {
			break
		}
		line = bytes.TrimPrefix(line, []byte(".")) // RFC 5321 §4.5.2
		m.Size += int64(len(line)) + 2
		if len(m.Head) < HeadOctets {
			m.Head = append(append(m.Head, line...), "\r\n"...)
		}
	}
	m.At = time.Now()
	x.sink.mu.Lock()
	full := x.sink.o.Most > 0 && len(x.sink.kept) >= x.sink.o.Most
	if !full {
		x.sink.kept = append(x.sink.kept, m)
	}
	n := len(x.sink.kept)
	x.sink.mu.Unlock()
	x.from, x.to = "", nil
	if full {
		x.say("452 4.3.1 there is no room for more")
		return nil
	}
	x.say(fmt.Sprintf("250 2.0.0 kept as %d", n))
	return nil
}

// path is the address in "FROM:<a> PARAMETERS".
func path(rest string) string {
	_, rest, _ = strings.Cut(rest, "<")
	address, _, _ := strings.Cut(rest, ">")
	return address
}
