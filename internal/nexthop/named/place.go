package named

import (
	"context"
	"log/slog"
	"net"
	"strconv"
	"time"

	"sallyport/internal/directory"
	"sallyport/internal/mail"
	"sallyport/internal/smtp/client"
)

// RoutePlace is where a route leads.
func RoutePlace(r directory.Route, l Limits) Place {
	return Place{
		Network: "tcp", Address: net.JoinHostPort(r.Host, strconv.Itoa(int(r.Port))), Host: r.Host, TLS: r.TLS, CA: r.CA,
		User: r.User, PasswordFile: r.PasswordFile, Limits: l,
	}
}

// ServerPlace is where a server behind us is.
func ServerPlace(s directory.Server, l Limits) Place {
	p := Place{Ours: true, LMTP: s.LMTP, Network: "tcp", Address: s.String(), Host: s.Host, TLS: s.TLS, CA: s.CA, Limits: l}
	if s.Path != "" {
		p.Network, p.Host = "unix", "localhost"
	}
	return p
}

// DefaultMeans are the Means of a server that was told nothing else.
func DefaultMeans(hello mail.Domain, dial func(ctx context.Context, network, addr string) (net.Conn, error),
	now func() time.Time, log *slog.Logger) Means {
	return Means{Hello: hello, Dial: dial, Timeouts: client.DefaultTimeouts(), SMTP: client.DefaultLimits(), Now: now, Logger: log}
}
