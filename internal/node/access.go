package node

import (
	"context"
	"errors"
	"fmt"

	"sallyport/internal/access"
	"sallyport/internal/access/partner"
	"sallyport/internal/config"
	"sallyport/internal/directory"
	"sallyport/internal/mail"
	"sallyport/internal/mailbox"
	"sallyport/internal/node/settings"
	"sallyport/internal/operate"
)

func (n *Node) openAccess(context.Context) error {
	n.access = access.New(access.Options{
		Desk: n.desk, Accounts: n.data.Accounts, Journal: n.data.Trace, Admission: n.readers, Mailboxes: n.mailboxes, Quota: n.data.Quota.Of,
		Memory: n.memory, Now: n.o.Now, Logger: n.log,
	})
	return nil
}

// openPartner prepares who ends sessions at the server beside us. Its key is read each time.
func (n *Node) openPartner(context.Context) error {
	n.kicker = partner.NewKicker(partner.KickOptions{
		Socket: n.config().CheckPassword.Kick, Key: func() (string, error) { return config.ReadPassword(n.config().CheckPassword.KickKeyFile) },
		Write: n.data.Trace.Write, Limits: partner.DefaultKickLimits(), Now: n.o.Now, Logger: n.log,
	})
	return nil
}

// servePartner has the desk judge who signs in at a server beside us.
func (n *Node) servePartner(ctx context.Context) error {
	p := partner.New(partner.Options{Desk: n.desk, Journal: n.data.Trace, Now: n.o.Now, Rand: n.o.Rand, Logger: n.log})
	return operate.ServePartner(ctx, n.listeners.Of(servicePartner)[0], p.SignIn, n.log)
}

// errNotHere is that an account's mail is kept somewhere else.
var errNotHere = errors.New("the mail of this domain is not kept here")

// mailboxes opens those of an account whose mail is kept here.
func (n *Node) mailboxes(ctx context.Context, account mail.Address) (*mailbox.User, error) {
	if d, ours := n.book.Snapshot().Domain(account.Domain()); !ours || d.Deliver != directory.DeliverMaildir {
		return nil, fmt.Errorf("%w: %s", errNotHere, account.Domain())
	}
	return n.data.Mail.User(ctx, account)
}

// readingKinds are the kinds of doors behind which mailboxes are read.
func readingKinds(cfg config.Config) (kinds []access.Kind) {
	for _, door := range cfg.Listen.Doors() {
		if k := access.KindOf(door.Name); k != access.KindUnknown && len(door.At) > 0 {
			kinds = append(kinds, k)
		}
	}
	return kinds
}

// buildAccess prepares the configurations of the doors behind which mailboxes are read.
func (n *Node) buildAccess(_ context.Context, next, _ *generation) error {
	c := access.Config{
		Hostname: next.cfg.Hostname, TLS: next.tls, Awaiting: next.tls == nil && next.cfg.ACME.On(), Limits: settings.Access(next.cfg),
		Balancers: next.cfg.Proxy.From, Version: n.o.Version,
	}
	change, err := n.access.Build(c, readingKinds(next.cfg)...)
	if err != nil {
		return settings.Each(err, func(e *access.KindError) error { return next.cfg.Fault("listen."+e.Kind.String(), e.Err.Error(), "") })
	}
	next.then = append(next.then, change.Adopt)
	return nil
}
