// Package doors opens and serves every listener of the server: it says which addresses a
// configuration names, binds them, counts connections, and serves those for mail and those for
// mailboxes.
package doors

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"

	"sallyport/internal/access"
	"sallyport/internal/access/partner"
	"sallyport/internal/config"
	"sallyport/internal/directory"
	"sallyport/internal/door"
	"sallyport/internal/intake"
	"sallyport/internal/kit/allowance"
	"sallyport/internal/kit/listen"
	"sallyport/internal/kit/memory"
	localdoor "sallyport/internal/local/door"
	"sallyport/internal/mail"
	"sallyport/internal/node/datafolder"
	"sallyport/internal/node/settings"
	"sallyport/internal/node/settings/bounds"
	"sallyport/internal/operate"
	partnersocket "sallyport/internal/operate/partner"
	"sallyport/internal/signin"
	"sallyport/internal/smtp/server"
)

// Socket is a listener that somebody else bound.
type Socket = listen.Socket

// Options are what Doors are given before anything behind them is open.
type Options struct {
	settings.World
	Version string
	// Sockets and Early are listeners that are used instead of binding any.
	Sockets, Early []Socket
	Config         func() config.Config // the one in force
}

// Behind is what stands behind the doors.
type Behind struct {
	Data      *datafolder.Folder
	Desk      *signin.Desk
	Intake    *intake.Intake
	Directory func() *directory.Snapshot
	Operator  func() *operate.Operator
	// Clear reports whether a client may hand in mail in clear text.
	Clear func(netip.Addr) bool
}

// Doors are all doors of one server. One Change at a time is built and adopted.
type Doors struct {
	o  Options
	to Behind
	// admission counts the connections of all doors that take mail together, readers those of
	// the doors behind which mailboxes are read.
	admission *server.Admission
	readers   *door.Admission
	memory    *allowance.Budget // bounds what they hold of mail that is not judged yet
	listeners *listen.Set       // all that is bound

	posting *server.Doors
	reading *access.Doors
	kicker  *partner.Kicker // ends sessions at a server beside us
}

// New returns Doors that are closed, with nothing behind them.
func New(o Options) *Doors {
	counted := door.NewAdmissionOn(o.Processors.Count)
	d := &Doors{
		o: o, admission: server.NewAdmission(counted), readers: counted.Beside(),
		memory: allowance.New(o.Config().Limits.UnjudgedMemory),
	}
	d.listeners = listen.New(listen.Options{Sockets: o.Sockets, Early: o.Early, Bind: d.bind})
	return d
}

// Memory bounds what the doors hold of mail that is not judged yet.
func (d *Doors) Memory() *allowance.Budget { return d.memory }

// Narrow has the doors take less while memory is short, and hardly anything when there is none:
// nobody comes unless a silent connection goes, and of what is not judged yet little is held. While
// it is short alone, people of ours come as ever.
func (d *Doors) Narrow(l memory.Level) {
	posting, reading, part := door.ScarceNot, door.ScarceNot, int64(1)
	switch l {
	case memory.Enough:
	case memory.Short:
		posting, part = door.ScarceStrangers, shortPart
	default:
		posting, reading, part = door.ScarceAll, door.ScarceAll, 0
	}
	d.admission.Scarce(posting)
	d.readers.Scarce(reading)
	d.memory.Narrow(part)
}

// shortPart is how much of limits.unjudged_memory may be used while memory is short: one in so many.
const shortPart = 4

// Open gives the doors what stands behind them.
func (d *Doors) Open(b Behind) {
	d.to = b
	d.posting = server.NewDoors(b.Intake)
	d.reading = access.New(d.readingOptions(b))
	// The key of the server beside us is read each time.
	d.kicker = partner.NewKicker(partner.KickOptions{
		Socket: d.o.Config().CheckPassword.Kick,
		Key:    func() (string, error) { return config.ReadPassword(d.o.Config().CheckPassword.KickKeyFile) },
		Write:  b.Data.Trace.Write, Limits: partner.DefaultKickLimits(), Now: d.o.Now, Logger: d.o.Logger,
	})
}

// readingOptions are those of the doors behind which mailboxes are read.
func (d *Doors) readingOptions(b Behind) access.Options {
	return access.Options{
		Desk: b.Desk, Accounts: b.Data.Accounts, Journal: b.Data.Trace, Admission: d.readers,
		Mailboxes: d.mailboxes, Quota: b.Data.Quota.Of,
		Memory: d.memory, Now: d.o.Now, Logger: d.o.Logger,
	}
}

// Change is what the doors become.
type Change struct {
	adopt   []func()
	abandon []func()
}

// Adopt puts the change in force for the connections to come.
func (c *Change) Adopt() { all(c.adopt) }

// Abandon takes back what building did.
func (c *Change) Abandon() { all(c.abandon) }

func all(steps []func()) {
	for _, step := range steps {
		step()
	}
}

// Build prepares the doors of a configuration with a certificate (nil: there is none), and in a
// server that runs binds places that are new. All faults are told at once.
func (d *Doors) Build(ctx context.Context, cfg config.Config, secured *tls.Config, running bool) (*Change, error) {
	c, err := d.Present(cfg, secured)
	if listening, fault := d.listen(ctx, cfg, running); fault != nil {
		err = errors.Join(err, fault)
	} else if listening != nil {
		c.adopt, c.abandon = append(c.adopt, listening.Adopt), append(c.abandon, listening.Abandon)
	}
	if err != nil {
		c.Abandon()
		return nil, err
	}
	return c, nil
}

// Present prepares what the next connection of each door meets. There is a Change in any case,
// which on an error lacks doors.
func (d *Doors) Present(cfg config.Config, secured *tls.Config) (*Change, error) {
	c := &Change{}
	posting, err := d.posting.Build(d.serverConfig(cfg, secured), postingKinds(cfg)...)
	if err != nil {
		err = settings.Each(err, func(e *server.KindError) error { return cfg.Fault("listen."+e.Kind.String(), e.Err.Error(), "") })
	} else {
		c.adopt = append(c.adopt, posting.Adopt)
	}
	reading, fault := d.reading.Build(d.accessConfig(cfg, secured), readingKinds(cfg)...)
	if fault != nil {
		err = errors.Join(err,
			settings.Each(fault, func(e *access.KindError) error { return cfg.Fault("listen."+e.Kind.String(), e.Err.Error(), "") }))
	} else {
		c.adopt = append(c.adopt, reading.Adopt)
	}
	return c, err
}

// serverConfig is what the connections to come meet that bring mail, before the doors share it out.
func (d *Doors) serverConfig(cfg config.Config, secured *tls.Config) server.Config {
	return server.Config{
		Hostname: cfg.Hostname, TLS: secured, Awaiting: secured == nil && cfg.ACME.On(),
		Limits: bounds.Server(cfg), Admission: d.admission, Memory: d.memory,
		Logger: d.o.Logger, Now: d.o.Now, Notice: cfg.Notice, Balancers: cfg.Proxy.From,
		Mechanisms: d.to.Intake.Mechanisms, Unoffered: d.to.Intake.Unoffered, Clear: d.clear,
		UserID:   localdoor.UID,
		Unserved: d.to.Intake.Unserved,
	}
}

// clear reports whether a client may hand in mail in clear text: one of a network that counts
// now, and of whom no balancer speaks.
func (d *Doors) clear(c server.Conn) bool {
	return !c.Balancer.IsValid() && d.to.Clear(c.Remote.Addr().Unmap())
}

// Listen binds every door, the operator's socket and the web servers. On an error nothing
// stays bound.
func (d *Doors) Listen(ctx context.Context) error {
	cfg := d.o.Config()
	change, err := d.listeners.Build(ctx, places(cfg))
	if err != nil {
		return settings.Each(err, func(f *listen.Fault) error { return atPlace(cfg, f) })
	}
	change.Adopt()
	return nil
}

// Serve serves every door, and those that reloads add, until ctx ends.
func (d *Doors) Serve(ctx context.Context) error {
	return d.listeners.Serve(ctx, func(service string) func(context.Context, net.Listener) error {
		door := d.posting.Of(server.KindOf(service))
		reading := access.KindOf(service)
		switch {
		case d.reading.Has(reading):
			return func(ctx context.Context, ln net.Listener) error { return d.reading.Serve(ctx, reading, ln) }
		case door == nil:
			return nil // a part of its own
		case service == server.KindSendmail.String():
			return func(ctx context.Context, ln net.Listener) error { return localdoor.Serve(ctx, ln, door.Serve) }
		}
		return door.Serve
	})
}

// ServeOperator serves the socket of commands.
func (d *Doors) ServeOperator(ctx context.Context) error {
	return operate.Serve(ctx, d.listeners.Of(serviceAdmin)[0], d.to.Operator(), d.o.Logger)
}

// ServeHelpers serves the socket of helpers.
func (d *Doors) ServeHelpers(ctx context.Context) error {
	return operate.ServeHelpers(ctx, d.listeners.Of(serviceHelpers)[0], d.to.Operator(), d.o.Logger)
}

// ServePartner has the desk judge who signs in at a server beside us.
func (d *Doors) ServePartner(ctx context.Context) error {
	p := partner.New(partner.Options{Desk: d.to.Desk, Journal: d.to.Data.Trace, Now: d.o.Now, Rand: d.o.Rand, Logger: d.o.Logger})
	return partnersocket.Serve(ctx, d.listeners.Of(servicePartner)[0], p.SignIn, d.o.Logger)
}

// End ends the sessions that an account has at a server beside us.
func (d *Doors) End(account mail.Address) { d.kicker.End(account) }

// Close closes everything that is bound.
func (d *Doors) Close() error {
	err := d.listeners.Close()
	if d.kicker != nil {
		d.kicker.Close()
	}
	return err
}
