package identity

import (
	"context"
	"net"
	"net/http"

	"sallyport/internal/autoconfig"
	"sallyport/internal/mail"
	"sallyport/internal/node/settings"
	"sallyport/internal/tlspolicy/mtasts"
)

// ServeWeb is the web server, which serves our own policy and the settings of mail programs, each
// where it is wanted, at every address of both, until ctx ends.
func (i *Identity) ServeWeb(ctx context.Context, listeners []net.Listener) error {
	return mtasts.Serve(ctx, i.policed, i.Policy, i.programs(), i.o.InForce, i.o.Logger, listeners...)
}

// Policy is the MTA-STS policy of every domain of ours.
func (i *Identity) Policy() mtasts.Policy {
	c := i.o.Config()
	return mtasts.Own(c.Hostname, c.TLSPolicy.Mode, c.TLSPolicy.MaxAge)
}

func (i *Identity) ours(d mail.Domain) bool { return i.o.Directory().IsOurs(d) }

// policed reports whether a domain has a policy of ours.
func (i *Identity) policed(d mail.Domain) bool {
	return len(i.o.Config().TLSPolicy.Listen) > 0 && i.ours(d)
}

// programs tells mail programs their settings, where that is wanted; nil elsewhere.
func (i *Identity) programs() http.Handler {
	if len(i.o.Config().Autoconfig.Listen) == 0 {
		return nil
	}
	return autoconfig.Server{Ours: i.ours, Settings: func(d mail.Domain) autoconfig.Settings { return settings.Programs(i.o.Config(), d) }}
}
