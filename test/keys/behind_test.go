package keys

import (
	"crypto/tls"
	"io"
	"log"
	"net"
	"sync"
	"testing"

	"github.com/emersion/go-smtp"

	"sallyport/internal/kit/pki"
)

// behind is a server behind us, which offers STARTTLS and notes how it is used.
type behind struct {
	at   string
	hold chan struct{} // a message is answered when this is closed

	mu       sync.Mutex
	arrived  int   // messages
	secured  int   // of them under TLS
	sessions []int // the messages of each connection that brought any
	open     int   // connections in which a message is under way
	most     int   // of them at once
}

// serveBehind starts one with that certificate.
func serveBehind(t *testing.T, files pki.Files) *behind {
	t.Helper()
	cert, err := tls.LoadX509KeyPair(files.Cert, files.Key)
	must(t, err)
	return listenBehind(t, "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert}})
}

// serveBehindAt starts one at an address, without TLS.
func serveBehindAt(t *testing.T, at string) *behind {
	t.Helper()
	return listenBehind(t, at, nil)
}

func listenBehind(t *testing.T, at string, secure *tls.Config) *behind {
	t.Helper()
	ln, err := net.Listen("tcp", at)
	must(t, err)
	b := &behind{at: ln.Addr().String(), hold: make(chan struct{})}
	srv := smtp.NewServer(b)
	srv.Domain, srv.TLSConfig = "behind.test", secure
	srv.ErrorLog = log.New(io.Discard, "", 0)
	go func() { _ = srv.Serve(ln) }()
	t.Cleanup(func() { _ = srv.Close() })
	return b
}

// NewSession implements smtp.Backend.
func (b *behind) NewSession(c *smtp.Conn) (smtp.Session, error) {
	return &session{b: b, c: c, place: -1}, nil
}

func (b *behind) is(want func() bool) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return want()
}

type session struct {
	b     *behind
	c     *smtp.Conn
	place int // in sessions; -1: none yet
}

func (s *session) Reset()                               {}
func (s *session) Logout() error                        { return nil }
func (s *session) Mail(string, *smtp.MailOptions) error { return nil }
func (s *session) Rcpt(string, *smtp.RcptOptions) error { return nil }

// Data implements smtp.Session.
func (s *session) Data(r io.Reader) error {
	s.b.enter(s, +1)
	_, err := io.Copy(io.Discard, r)
	<-s.b.hold
	s.b.enter(s, -1)
	return err
}

func (b *behind) enter(s *session, by int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.open += by
	b.most = max(b.most, b.open)
	if by > 0 {
		return
	}
	if s.place < 0 {
		s.place = len(b.sessions)
		b.sessions = append(b.sessions, 0)
	}
	b.sessions[s.place]++
	b.arrived++
	if _, ok := s.c.TLSConnectionState(); ok {
		b.secured++
	}
}
