package pop3

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"sync"
	"time"

	"sallyport/internal/mailbox"
)

// Options is what the engine is told about a connection. It is not changed while it is used.
type Options struct {
	Backend  Backend
	Hostname string // in the greeting
	// TLS is used for STLS and implicit TLS. Nil: neither is to be had, and nobody signs in.
	TLS *tls.Config
	// Implicit: TLS comes first (pop3s). RFC 8314 §3.3.
	Implicit bool
	// Handshake puts TLS on top of a connection and says what is known of the client's offer;
	// its deadline is set. Nil: the handshake of crypto/tls.
	Handshake func(ctx context.Context, raw net.Conn, cfg *tls.Config) (conn *tls.Conn, offer string, err error)
	// Locks keeps a mailbox to one session; it is shared by all connections of a server.
	Locks  *Locks
	Limits Limits
	Logger *slog.Logger
	// Now is the clock; the deadlines of sockets follow it.
	Now func() time.Time
}

var (
	errNoTLS = errors.New("pop3: implicit TLS needs a TLS configuration")
	errNeeds = errors.New("pop3: backend, host name, locks, logger and clock are required")
)

// Check says what is missing: an engine that was told too little must not run.
func (o *Options) Check() error {
	switch {
	case o.Implicit && o.TLS == nil:
		return errNoTLS
	case o.Backend == nil || o.Hostname == "" || o.Locks == nil || o.Logger == nil || o.Now == nil:
		return errNeeds
	}
	return o.Limits.check()
}

// Locks says which mailboxes have a session. Its zero value is ready; it is safe for use by many
// goroutines. RFC 1939 §8.
type Locks struct {
	mu   sync.Mutex
	held map[*mailbox.User]bool
}

// take reports whether the mailbox had no session, and has one now.
func (l *Locks) take(u *mailbox.User) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held[u] {
		return false
	}
	if l.held == nil {
		l.held = map[*mailbox.User]bool{}
	}
	l.held[u] = true
	return true
}

func (l *Locks) give(u *mailbox.User) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.held, u)
}
