package doors

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"

	"sallyport/internal/access"
	"sallyport/internal/config"
	"sallyport/internal/directory"
	"sallyport/internal/mail"
	"sallyport/internal/mailbox"
	"sallyport/internal/node/settings/bounds"
)

// errNotHere is that an account's mail is kept somewhere else.
var errNotHere = errors.New("the mail of this domain is not kept here")

// mailboxes opens those of an account whose mail is kept here.
func (d *Doors) mailboxes(ctx context.Context, account mail.Address) (*mailbox.User, error) {
	if d, ours := d.to.Directory().Domain(account.Domain()); !ours || d.Deliver != directory.DeliverMaildir {
		return nil, fmt.Errorf("%w: %s", errNotHere, account.Domain())
	}
	return d.to.Data.Mail.User(ctx, account)
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

// accessConfig is what the connections to come meet that read.
func (d *Doors) accessConfig(cfg config.Config, secured *tls.Config) access.Config {
	return access.Config{
		Hostname: cfg.Hostname, TLS: secured, Awaiting: secured == nil && cfg.ACME.On(), Limits: bounds.Access(cfg),
		Balancers: cfg.Proxy.From, Version: d.o.Version,
	}
}
