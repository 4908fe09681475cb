package sequence

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
)

// sink is a remote server that looks at every octet it is sent. It knows just
// enough SMTP to be spoken to; it offers PIPELINING and, on every second
// connection, CHUNKING.
type sink struct {
	mu     sync.Mutex
	count  map[string]int
	faults []string
	conns  int
	ln     net.Listener
}

func startSink(t *testing.T) *sink {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	s := &sink{count: map[string]int{}, ln: ln}
	t.Cleanup(func() { _ = ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.conns++
			chunking := s.conns%2 == 0
			s.mu.Unlock()
			go s.serve(c, chunking)
		}
	}()
	return s
}

func (s *sink) copies(id string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count[id]
}

func (s *sink) problems() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.faults
}

func (s *sink) faultf(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.faults) < 10 {
		s.faults = append(s.faults, "sink: "+fmt.Sprintf(format, args...))
	}
}

func (s *sink) serve(c net.Conn, chunking bool) {
	defer c.Close()
	r := bufio.NewReader(c)
	say := func(line string) { _, _ = io.WriteString(c, line+"\r\n") }
	say("220 sink.test")
	var message []byte
	for {
		line, err := r.ReadBytes('\n')
		if err != nil {
			return
		}
		s.look(line)
		verb, rest, _ := bytes.Cut(bytes.TrimRight(line, "\r\n"), []byte(" "))
		switch string(bytes.ToUpper(verb)) {
		case "EHLO":
			if chunking {
				_, _ = io.WriteString(c, "250-sink.test\r\n250-CHUNKING\r\n")
			} else {
				_, _ = io.WriteString(c, "250-sink.test\r\n")
			}
			_, _ = io.WriteString(c, "250-8BITMIME\r\n250-SMTPUTF8\r\n250-DSN\r\n250 PIPELINING\r\n")
		case "DATA":
			say("354 go")
			s.readData(r)
			say("250 ok")
		case "BDAT":
			var n int
			last := ""
			_, _ = fmt.Sscanf(string(rest), "%d %s", &n, &last)
			chunk := make([]byte, n)
			if _, err := io.ReadFull(r, chunk); err != nil {
				return
			}
			message = append(message, chunk...)
			if last != "" {
				s.arrived(message)
				message = nil
			}
			say("250 ok")
		case "QUIT":
			say("221 bye")
			return
		case "MAIL", "RCPT", "RSET", "NOOP":
			say("250 ok")
		default:
			s.faultf("unknown command %q", line)
			say("500 what")
		}
	}
}

func (s *sink) readData(r *bufio.Reader) {
	var message []byte
	for {
		line, err := r.ReadBytes('\n')
		if err != nil {
			return
		}
		s.look(line)
		if string(line) == ".\r\n" {
			break
		}
		message = append(message, bytes.TrimPrefix(line, []byte("."))...)
	}
	s.arrived(message)
}

// look holds the fifth invariant against one line with its end.
func (s *sink) look(line []byte) {
	body, ok := bytes.CutSuffix(line, []byte("\r\n"))
	if !ok || bytes.ContainsAny(body, "\r\n\x00") {
		s.faultf("a bare CR, a bare LF or a NUL left us: %q", line)
	}
}

func (s *sink) arrived(message []byte) {
	for _, line := range bytes.SplitAfter(message, []byte("\n")) {
		if len(line) > 0 {
			s.look(line)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count[queueID(message)]++
}
