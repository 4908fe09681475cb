package access

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"sallyport/internal/door"
	"sallyport/internal/fact"
	imap "sallyport/internal/imap/server"
	"sallyport/internal/mail"
	"sallyport/internal/pop3"
	"sallyport/internal/screen"
)

// refusalWriteTimeout bounds the sending of a refusal into an empty socket.
const refusalWriteTimeout = 100 * time.Millisecond

// Doors are the doors of one server. Their methods may be called concurrently, but one Change at a
// time is built and adopted.
type Doors struct {
	o     Options
	locks pop3.Locks // the mailboxes that have a session by POP3
	kinds [KindPOP3S + 1]atomic.Pointer[entry]
}

// New returns Doors of which none has a configuration yet.
func New(o Options) *Doors { return &Doors{o: o} }

// entry is one kind of door with one configuration. It is not changed once it is in force.
type entry struct {
	o        *Options
	kind     Kind
	cfg      Config
	secured  door.TLS // what cfg.TLS was made of
	entrance *door.Entrance
	imap     imap.Options // but for the backend
	pop3     pop3.Options
}

// KindError is that a kind of door cannot be as it is configured.
type KindError = door.KindError[Kind]

// Change is what Doors become.
type Change struct {
	doors *Doors
	next  map[Kind]*entry
}

// Build prepares what the next connection of each of the kinds meets, with a TLS configuration of
// its own, whose session tickets resume at no other kind of door. On an error, which joins a
// *KindError for each kind that it is unfit for, there is no Change.
func (d *Doors) Build(c Config, kinds ...Kind) (*Change, error) {
	change := &Change{doors: d, next: map[Kind]*entry{}}
	var errs []error
	for _, k := range kinds {
		e, err := d.entry(k, c)
		if err != nil {
			errs = append(errs, &KindError{Kind: k, Err: err})
			continue
		}
		change.next[k] = e
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return change, nil
}

func (d *Doors) entry(k Kind, c Config) (*entry, error) {
	if err := c.check(k); err != nil {
		return nil, err
	}
	e := &entry{o: &d.o, kind: k, cfg: c}
	last := d.kinds[k].Load()
	counted := &door.Tallies{}
	if last != nil {
		e.secured, counted = last.secured, last.entrance.Counted
	}
	e.secured = e.secured.Of(c.TLS, true)
	e.cfg.Limits.Door = c.Limits.Door.ForOurs()
	e.entrance = &door.Entrance{
		Name: k.String(), Admission: d.o.Admission, Limits: &e.cfg.Limits.Door, Balancers: c.Balancers, Stage: screen.StageFresh,
		Now: d.o.Now, Logger: d.o.Logger, Counted: counted, Engine: e,
	}
	if e.secured.Own() == nil {
		return e, nil // until there is a certificate everybody is turned away
	}
	return e, e.engines(&d.locks)
}

// engines prepares what speaks with clients.
func (e *entry) engines(locks *pop3.Locks) error {
	e.imap = imap.Options{
		Hostname: e.cfg.Hostname.ASCII(), TLS: e.secured.Own(), Implicit: e.kind.implicit(), Limits: e.cfg.Limits.IMAP,
		Logger: e.o.Logger, Now: e.o.Now, Memory: e.o.Memory, Version: e.cfg.Version,
	}
	e.pop3 = pop3.Options{
		Hostname: e.imap.Hostname, TLS: e.imap.TLS, Implicit: e.imap.Implicit, Limits: e.cfg.Limits.POP3, Locks: locks, Logger: e.o.Logger, Now: e.o.Now,
	}
	if e.kind.protocol() == KindPOP3.String() {
		tried := e.pop3
		tried.Backend = &pop3Backend{}
		return tried.Check()
	}
	tried := e.imap
	tried.Backend = &imapBackend{}
	return tried.Check()
}

// Adopt puts the change in force for the connections to come.
func (c *Change) Adopt() {
	for k, e := range c.next {
		c.doors.kinds[k].Store(e)
	}
}

// Has reports whether a kind of door was ever configured.
func (d *Doors) Has(k Kind) bool { return k.valid() && d.kinds[k].Load() != nil }

// Config returns the configuration of the next connection of a kind, as its door has it; false:
// it was never configured.
func (d *Doors) Config(k Kind) (Config, bool) {
	if !d.Has(k) {
		return Config{}, false
	}
	return d.kinds[k].Load().cfg, true
}

// Serve accepts connections of a kind from ln, until ctx is done. Then it closes ln, tells
// every client goodbye, and returns nil when all connections are closed. When others close
// ln, its sessions go on to their own ends, and Serve then returns an error that is net.ErrClosed.
// The kind must have a configuration.
func (d *Doors) Serve(ctx context.Context, k Kind, ln net.Listener) error {
	return door.Accept(ctx, ln, func() (*door.Entrance, func(context.Context, net.Conn, *sync.WaitGroup)) {
		e := d.kinds[k].Load()
		return e.entrance, e.admit
	})
}

// admit starts a connection, or turns it away.
func (e *entry) admit(ctx context.Context, nc net.Conn, conns *sync.WaitGroup) {
	if e.secured.Own() == nil {
		e.turnAway(nc, door.AddrPort(nc.RemoteAddr()).Addr(), door.RuleCertificateAwaited, "there is no certificate yet; try again later")
		return
	}
	e.entrance.Admit(ctx, nc, conns)
}

// TurnAway implements door.Engine.
func (e *entry) TurnAway(nc net.Conn, from netip.Addr) {
	e.turnAway(nc, from, door.RuleConnectionsCrowded, "too many connections; try again later")
}

// Headless implements door.Engine.
func (e *entry) Headless(balancer netip.Addr, why string) {
	e.o.Journal.Stranger(fact.Refused{
		At: e.o.Now(), Rule: door.RuleProxyHeader, Session: fact.Session{Peer: balancer.Unmap(), Door: e.kind.String()}, Detail: why,
	}.Fact())
}

// turnAway refuses a connection before it costs anything. Under implicit TLS a word in clear
// would only confuse.
func (e *entry) turnAway(nc net.Conn, from netip.Addr, rule, text string) {
	if !e.kind.implicit() && nc.SetWriteDeadline(e.o.Now().Add(refusalWriteTimeout)) == nil {
		word := "* BYE [UNAVAILABLE] " // RFC 5530 §3
		if e.kind.protocol() == KindPOP3.String() {
			word = "-ERR [SYS/TEMP] " // RFC 3206 §4
		}
		// It fits into the empty buffer of a fresh socket; if not, it is lost.
		_, _ = nc.Write([]byte(word + text + "\r\n"))
	}
	_ = nc.Close()
	e.entrance.Counted.Refused.Add(e.entrance, "connections refused")
	e.o.Journal.Stranger(fact.Refused{
		At: e.o.Now(), Rule: rule, Session: fact.Session{Peer: from.Unmap(), Door: e.kind.String()}, Reply: mail.R(421, "4.3.2", text),
	}.Fact())
}

// Serve implements door.Engine.
func (e *entry) Serve(ctx context.Context, nc net.Conn, from *door.Origin, p *door.Place) {
	r := &reader{o: e.o, kind: e.kind, origin: *from, place: p, limits: &e.cfg.Limits.Door, local: door.AddrPort(nc.LocalAddr()), raw: nc}
	r.visit = e.o.Desk.Visit(r)
	if e.kind.protocol() == KindPOP3.String() {
		options := e.pop3
		options.Backend, options.Handshake = &pop3Backend{reader: r}, r.handshake
		pop3.Serve(ctx, nc, &options)
	} else {
		options := e.imap
		options.Backend, options.Handshake = &imapBackend{reader: r}, r.handshake
		imap.Serve(ctx, nc, &options)
	}
	r.unserved()
}
