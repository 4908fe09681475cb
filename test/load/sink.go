// Package load drives a mail server hard and keeps exact accounts: a generator
// that knows which messages were acknowledged, and a sink that knows which arrived.
//
// It promises that an identifier stands among the acknowledged ones only if the
// server answered 2xx to the end of that message's data, and that the sink counts
// a message only once it has its last octet. Neither trusts the server: the sink
// also notes every octet that must not stand on the wire.
package load

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"
)

// IDField is the header field that carries the identifier of a generated message.
const IDField = "X-Load-ID: "

// SinkOptions say how a sink behaves. The zero value listens on any free loopback
// port, offers PIPELINING, counts and keeps no octets.
type SinkOptions struct {
	Listen   string // host:port; "": 127.0.0.1:0
	Chunking bool   // offer CHUNKING
	Keep     bool   // keep the octets of every message
	// Unknown reports whether a recipient is refused as nobody; nil: none is.
	Unknown func(recipient string) bool
}

// Received is one message at the sink.
type Received struct {
	From   string
	To     []string
	Octets []byte // dot-unstuffed; nil unless SinkOptions.Keep
	Dirty  string // the first octet fault of its connection so far, in words
	At     time.Time
}

// Sink is an SMTP server that accepts everything that it is not told to refuse, and stores counts.
type Sink struct {
	o  SinkOptions
	ln net.Listener
	wg sync.WaitGroup

	mu          sync.Mutex
	connections int
	messages    int
	ids         map[string]int
	kept        []Received
	dirty       []string
	open        map[net.Conn]struct{}
	closed      bool
}

// maxFaults bounds the octet faults that a sink remembers, sinkTimeout the time
// that it waits for a client.
const (
	maxFaults   = 100
	sinkTimeout = 5 * time.Minute
)

// NewSink starts a sink; it serves until Close.
func NewSink(o SinkOptions) (*Sink, error) {
	if o.Listen == "" {
		o.Listen = "127.0.0.1:0"
	}
	ln, err := net.Listen("tcp", o.Listen)
	if err != nil {
		return nil, err
	}
	s := &Sink{o: o, ln: ln, ids: map[string]int{}, open: map[net.Conn]struct{}{}}
	s.wg.Go(s.accept)
	return s, nil
}

// Addr returns the address that the sink listens on.
func (s *Sink) Addr() string { return s.ln.Addr().String() }

// Close stops the sink and ends its connections.
func (s *Sink) Close() error {
	err := s.ln.Close()
	s.mu.Lock()
	s.closed = true
	for c := range s.open {
		c.Close()
	}
	s.mu.Unlock()
	s.wg.Wait()
	return err
}

// Connections returns how many connections were ever accepted.
func (s *Sink) Connections() int { return s.count(&s.connections) }

// Messages returns how many messages arrived whole.
func (s *Sink) Messages() int { return s.count(&s.messages) }

func (s *Sink) count(n *int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return *n
}

// IDs returns how often each identifier arrived.
func (s *Sink) IDs() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make(map[string]int, len(s.ids))
	for id, n := range s.ids {
		out[id] = n
	}
	return out
}

// Kept returns the messages that arrived, if the sink keeps them.
func (s *Sink) Kept() []Received {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Received(nil), s.kept...)
}

// Faults returns what stood on the wire that must not: bare CR, bare LF, NUL.
func (s *Sink) Faults() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.dirty...)
}

func (s *Sink) accept() {
	for {
		c, err := s.ln.Accept()
		if err != nil {
			return
		}
		if !s.enter(c) {
			c.Close()
			return
		}
		s.wg.Go(func() {
			defer s.leave(c)
			(&sinkSession{s: s, c: c, br: bufio.NewReaderSize(c, 64<<10), bw: bufio.NewWriter(c)}).serve()
		})
	}
}

func (s *Sink) enter(c net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.connections++
	s.open[c] = struct{}{}
	return true
}

func (s *Sink) leave(c net.Conn) {
	s.mu.Lock()
	delete(s.open, c)
	s.mu.Unlock()
	c.Close()
}

// store counts a whole message.
func (s *Sink) store(r Received, id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.messages++
	if id != "" {
		s.ids[id]++
	}
	if s.o.Keep {
		s.kept = append(s.kept, r)
	}
}

func (s *Sink) fault(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.dirty) < maxFaults {
		s.dirty = append(s.dirty, what)
	}
}

// sinkSession is one connection to the sink.
type sinkSession struct {
	s     *Sink
	c     net.Conn
	br    *bufio.Reader
	bw    *bufio.Writer
	from  string
	to    []string
	chunk []byte // octets of BDAT so far
	dirty string
}

var errQuit = errors.New("load: client said QUIT")

func (x *sinkSession) serve() {
	x.say("220 sink.invalid ESMTP")
	for {
		if x.br.Buffered() == 0 && x.bw.Flush() != nil {
			return
		}
		line, err := x.line("command")
		if err != nil {
			return
		}
		if err := x.obey(string(line)); err != nil {
			x.bw.Flush()
			return
		}
	}
}

func (x *sinkSession) say(s string) { x.bw.WriteString(s + "\r\n") }

// line reads a line, and notes what is wrong with its octets. The slice is valid
// until the next read.
func (x *sinkSession) line(what string) ([]byte, error) {
	_ = x.c.SetReadDeadline(time.Now().Add(sinkTimeout))
	line, err := x.br.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		line, err = x.longLine(line, what)
	}
	if err != nil {
		return nil, err
	}
	body, ok := bytes.CutSuffix(line, []byte("\r\n"))
	if !ok {
		x.taint("a bare LF in " + what)
		body = line[:len(line)-1]
	}
	x.inspect(body, what)
	return line, nil
}

// maxSinkLine bounds a line; what a server takes may be longer than it should be
// (RFC 5321 §4.5.3.1.6), but not without end.
const maxSinkLine = 4 << 20

// longLine goes on with a line that the buffer does not hold.
func (x *sinkSession) longLine(begun []byte, what string) ([]byte, error) {
	long := append([]byte(nil), begun...)
	for {
		more, err := x.br.ReadSlice('\n')
		long = append(long, more...)
		switch {
		case err == nil:
			return long, nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, err
		case len(long) > maxSinkLine:
			x.taint("an endless line in " + what)
			return nil, err
		}
	}
}

func (x *sinkSession) inspect(body []byte, what string) {
	if bytes.IndexByte(body, '\r') >= 0 {
		x.taint("a bare CR in " + what)
	}
	if bytes.IndexByte(body, 0) >= 0 {
		x.taint("a NUL in " + what)
	}
}

func (x *sinkSession) taint(what string) {
	if x.dirty == "" {
		x.dirty = what
	}
	x.s.fault(what)
}

func (x *sinkSession) obey(line string) error {
	verb, arg, _ := strings.Cut(strings.TrimRight(line, "\r\n"), " ")
	switch strings.ToUpper(verb) {
	case "EHLO", "HELO":
		x.reset()
		x.greet(strings.EqualFold(verb, "EHLO"))
	case "MAIL":
		x.reset()
		x.from = path(arg)
		x.say("250 2.1.0 ok")
	case "RCPT":
		if to := path(arg); x.s.o.Unknown == nil || !x.s.o.Unknown(to) {
			x.to = append(x.to, to)
			x.say("250 2.1.5 ok")
		} else {
			x.say("550 5.1.1 there is nobody of that name")
		}
	case "DATA":
		return x.data()
	case "BDAT":
		return x.bdat(arg)
	case "RSET":
		x.reset()
		x.say("250 2.0.0 ok")
	case "NOOP":
		x.say("250 2.0.0 ok")
	case "QUIT":
		x.say("221 2.0.0 bye")
		return errQuit
	default:
		x.say("502 5.5.1 not here")
	}
	return nil
}

func (x *sinkSession) reset() { x.from, x.to, x.chunk = "", nil, nil }

func (x *sinkSession) greet(extended bool) {
	if !extended {
		x.say("250 sink.invalid")
		return
	}
	x.say("250-sink.invalid\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-ENHANCEDSTATUSCODES")
	if x.s.o.Chunking {
		x.say("250-CHUNKING")
	}
	x.say("250 SIZE 104857600")
}

// path cuts the address out of "FROM:<a> PARAMS".
func path(arg string) string {
	_, rest, _ := strings.Cut(arg, "<")
	p, _, _ := strings.Cut(rest, ">")
	return p
}

func (x *sinkSession) data() error {
	if len(x.to) == 0 {
		x.say("503 5.5.1 RCPT first")
		return nil
	}
	x.say("354 go ahead")
	if err := x.bw.Flush(); err != nil {
		return err
	}
	var kept []byte
	id := ""
	for {
		line, err := x.line("a message")
		if err != nil {
			return err
		}
		if string(line) == ".\r\n" {
			break
		}
		line = bytes.TrimPrefix(line, []byte("."))
		if id == "" && bytes.HasPrefix(line, []byte(IDField)) {
			id = strings.TrimSpace(string(line[len(IDField):]))
		}
		if x.s.o.Keep {
			kept = append(kept, line...)
		}
	}
	x.done(kept, id)
	return nil
}

// maxSinkChunk bounds a chunk, so that a wrong count costs no memory.
const maxSinkChunk = 128 << 20

func (x *sinkSession) bdat(arg string) error {
	count, last, _ := strings.Cut(arg, " ")
	n, err := strconv.Atoi(count)
	if err != nil || n < 0 || n+len(x.chunk) > maxSinkChunk {
		x.say("501 5.5.4 bad chunk")
		return errQuit
	}
	at := len(x.chunk)
	x.chunk = append(x.chunk, make([]byte, n)...)
	if _, err := io.ReadFull(x.br, x.chunk[at:]); err != nil {
		return err
	}
	if !strings.EqualFold(last, "LAST") {
		x.say(fmt.Sprintf("250 2.0.0 %d octets", n))
		return nil
	}
	octets := x.chunk
	text := bytes.ReplaceAll(octets, []byte("\r\n"), nil)
	x.inspect(text, "a chunk")
	if bytes.IndexByte(text, '\n') >= 0 {
		x.taint("a bare LF in a chunk")
	}
	_, rest, found := bytes.Cut(append([]byte("\r\n"), octets...), []byte("\r\n"+IDField))
	id := ""
	if found {
		line, _, _ := bytes.Cut(rest, []byte("\r\n"))
		id = string(line)
	}
	x.done(octets, id)
	return nil
}

func (x *sinkSession) done(octets []byte, id string) {
	r := Received{From: x.from, To: x.to, Dirty: x.dirty, At: time.Now()}
	if x.s.o.Keep {
		r.Octets = octets
	}
	x.s.store(r, id)
	x.reset()
	x.say("250 2.0.0 kept")
}
