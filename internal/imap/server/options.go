package server

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"time"

	"sallyport/internal/kit/allowance"
)

// Options is what the engine is told about a connection. It is not changed while it is used.
type Options struct {
	Backend  Backend
	Hostname string // in the greeting
	// TLS is used for STARTTLS and implicit TLS. Nil: neither is to be had, and nobody signs in.
	TLS *tls.Config
	// Implicit: TLS comes first (imaps). RFC 8314 §3.2.
	Implicit bool
	// Handshake puts TLS on top of a connection and says what is known of the client's offer;
	// its deadline is set. Nil: the handshake of crypto/tls.
	Handshake func(ctx context.Context, raw net.Conn, cfg *tls.Config) (conn *tls.Conn, offer string, err error)
	Limits    Limits
	Logger    *slog.Logger
	// Now is the clock; the deadlines of sockets follow it.
	Now func() time.Time
	// Memory bounds long commands, together with what else is held; nil: nothing does.
	Memory *allowance.Budget
	// Without names extensions that nobody is offered.
	Without []string
	// Version is told by ID; may be empty.
	Version string
}

var (
	errNoTLS = errors.New("imap: implicit TLS needs a TLS configuration")
	errNeeds = errors.New("imap: backend, host name, logger and clock are required")
)

// Check says what is missing: an engine that was told too little must not run.
func (o *Options) Check() error {
	switch {
	case o.Implicit && o.TLS == nil:
		return errNoTLS
	case o.Backend == nil || o.Hostname == "" || o.Logger == nil || o.Now == nil:
		return errNeeds
	}
	return o.Limits.check()
}
