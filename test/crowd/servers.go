package crowd

import (
	"bufio"
	"net"
	"strings"
	"sync"
	"time"

	"sallyport/test/load"
)

// kind is how a destination treats its mail.
type kind uint8

const (
	kindHealthy     kind = iota
	kindAbsent           // nothing listens
	kindSilent           // takes connections and never speaks
	kindSlow             // speaks, but takes long for every reply
	kindDrip             // one octet of a reply now and then
	kindBusy             // 421 instead of a greeting
	kindDefers           // 451 to every recipient
	kindRefuses          // 550 to every recipient
	kindHangsUp          // drops the connection in the middle of the data
	kindBabbles          // a reply without end
	kindNamesSilent      // its name server says nothing
	kindNamesFail        // its name server fails
	kinds
)

// final reports whether mail to such a destination comes back at once.
func (k kind) final() bool { return k == kindRefuses }

// slowness is the pause of a slow server before each reply.
const slowness = 3 * time.Second

// arrivals is what all healthy servers together received.
type arrivals struct {
	mu sync.Mutex
	at map[string][]time.Time // by identifier
}

func (a *arrivals) note(id string) {
	now := time.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.at[id] = append(a.at[id], now)
}

func (a *arrivals) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.at)
}

// servers are the listeners of all destinations.
type servers struct {
	got *arrivals

	mu        sync.Mutex
	listeners []net.Listener
	open      map[net.Conn]struct{}
	closed    bool
	all       sync.WaitGroup
}

// listen serves one destination at addr.
func (s *servers) listen(addr string, k kind) error {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.listeners = append(s.listeners, ln)
	s.mu.Unlock()
	s.all.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil || !s.enter(c) {
				return
			}
			s.all.Go(func() {
				defer s.leave(c)
				(&peer{got: s.got, kind: k, c: c, br: bufio.NewReader(c)}).serve()
			})
		}
	})
	return nil
}

func (s *servers) enter(c net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		c.Close()
		return false
	}
	s.open[c] = struct{}{}
	return true
}

func (s *servers) leave(c net.Conn) {
	s.mu.Lock()
	delete(s.open, c)
	s.mu.Unlock()
	c.Close()
}

func (s *servers) close() {
	s.mu.Lock()
	s.closed = true
	for _, ln := range s.listeners {
		ln.Close()
	}
	for c := range s.open {
		c.Close()
	}
	s.mu.Unlock()
	s.all.Wait()
}

// peer is one connection to a destination.
type peer struct {
	got  *arrivals
	kind kind
	c    net.Conn
	br   *bufio.Reader
}

// patience bounds how long a peer waits for its client.
const patience = 10 * time.Minute

func (p *peer) serve() {
	_ = p.c.SetDeadline(time.Now().Add(patience))
	switch p.kind {
	case kindSilent:
		_, _ = p.br.ReadByte() // until the client gives up
		return
	case kindBusy:
		p.say("421 4.3.2 too busy")
		return
	case kindBabbles:
		for p.write("220-and another thing\r\n") {
		}
		return
	}
	if !p.say("220 crowd.invalid ESMTP") {
		return
	}
	for {
		line, err := p.br.ReadString('\n')
		if err != nil || !p.obey(strings.ToUpper(line)) {
			return
		}
	}
}

func (p *peer) obey(line string) bool {
	switch {
	case strings.HasPrefix(line, "EHLO"):
		return p.say("250-crowd.invalid") && p.say("250-PIPELINING") && p.say("250 8BITMIME")
	case strings.HasPrefix(line, "RCPT") && p.kind == kindDefers:
		return p.say("451 4.2.0 not now")
	case strings.HasPrefix(line, "RCPT") && p.kind == kindRefuses:
		return p.say("550 5.1.1 nobody of that name")
	case strings.HasPrefix(line, "DATA"):
		return p.data()
	case strings.HasPrefix(line, "QUIT"):
		p.say("221 bye")
		return false
	}
	return p.say("250 fine")
}

func (p *peer) data() bool {
	if p.kind == kindDefers || p.kind == kindRefuses {
		return p.say("503 5.5.1 no recipients")
	}
	if !p.say("354 go on") || p.kind == kindHangsUp {
		return false
	}
	id := ""
	for {
		line, err := p.br.ReadString('\n')
		if err != nil {
			return false
		}
		if line == ".\r\n" {
			break
		}
		if rest, ok := strings.CutPrefix(line, load.IDField); ok && id == "" {
			id = strings.TrimSpace(rest)
		}
	}
	p.got.note(id)
	return p.say("250 2.0.0 taken")
}

// say answers in the manner of its kind.
func (p *peer) say(line string) bool {
	switch p.kind {
	case kindSlow:
		time.Sleep(slowness)
	case kindDrip:
		for _, c := range []byte(line) {
			if !p.write(string(c)) {
				return false
			}
			time.Sleep(slowness / 6)
		}
		line = ""
	}
	return p.write(line + "\r\n")
}

func (p *peer) write(s string) bool {
	_, err := p.c.Write([]byte(s))
	return err == nil
}
