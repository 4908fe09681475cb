package node

import (
	"context"
	"crypto/tls"
	"net/http"

	"sallyport/internal/autoconfig"
	"sallyport/internal/mail"
	"sallyport/internal/node/doors"
	"sallyport/internal/node/settings"
	"sallyport/internal/tlspolicy/mtasts"
)

// ownPolicy is the MTA-STS policy of every domain of ours.
func (n *Node) ownPolicy() mtasts.Policy {
	c := n.config()
	return mtasts.Own(c.Hostname, c.TLSPolicy.Mode, c.TLSPolicy.MaxAge)
}

// policyParts is the web server, which serves our own policy and the settings of mail programs,
// each where it is wanted, at every address of both.
func (n *Node) policyParts() []part {
	at := n.doors.Of(doors.ServicePolicies)
	if len(at) == 0 {
		return nil
	}
	return []part{{"web server", func(ctx context.Context) error {
		return mtasts.Serve(ctx, n.policed, n.ownPolicy, n.programs(), func() *tls.Config { return n.now().tls }, n.log, at...)
	}}}
}

// policed reports whether a domain has a policy of ours.
func (n *Node) policed(d mail.Domain) bool { return len(n.config().TLSPolicy.Listen) > 0 && n.ours(d) }

// programs tells mail programs their settings, where that is wanted; nil elsewhere.
func (n *Node) programs() http.Handler {
	if len(n.config().Autoconfig.Listen) == 0 {
		return nil
	}
	return autoconfig.Server{Ours: n.ours, Settings: func(d mail.Domain) autoconfig.Settings { return settings.Programs(n.config(), d) }}
}
