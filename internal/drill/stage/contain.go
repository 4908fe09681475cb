package stage

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"

	"sallyport/internal/config"
	"sallyport/internal/directory"
	"sallyport/internal/kit/pki"
	"sallyport/internal/mail"
)

// Balancer is the address of this host that names clients of other networks, by the PROXY
// protocol; connections from any other are what they are.
const Balancer = "127.0.0.2"

// Sinks are the servers to which all mail goes.
type Sinks struct {
	Outside string // for everybody else's domains
	Behind  string // in place of servers behind us
}

// Contained returns the configuration of the rehearsal: whatever of cfg is about this server
// alone, in the folder dir. Listeners are on free ports of loopback; every way out leads to
// a sink. Left out are other programs and services (LDAP, OpenID, webhook, ACME, Rspamd, milters,
// DNS lists), what serves others (metrics, policies, the sendmail socket) and reports.
func Contained(cfg config.Config, dir string, sinks Sinks) (config.Config, error) {
	files := pki.In(filepath.Join(dir, "tls"))
	base, err := config.Parse(filepath.Join(dir, "rehearsal.toml"), []byte(baseText(cfg, files, sinks)))
	if err != nil {
		return base, fmt.Errorf("the configuration of the rehearsal does not stand: %w", err)
	}
	c := base
	c.Postmaster, c.Notice, c.Detail = cfg.Postmaster, cfg.Notice, cfg.Detail
	c.Aliases, c.Callout, c.Forward, c.Budget, c.Hijack, c.Submission = cfg.Aliases, cfg.Callout, cfg.Forward, cfg.Budget, cfg.Hijack, cfg.Submission
	c.Limits, c.Retry, c.Auth, c.Bounces, c.ReturnPath, c.DKIM = cfg.Limits, cfg.Retry, cfg.Auth, cfg.Bounces, cfg.ReturnPath, cfg.DKIM
	c.Authentication, c.Inflow, c.Mailbox = cfg.Authentication, cfg.Inflow, cfg.Mailbox
	c.Auth.Mechanisms = base.Auth.Mechanisms // the stand-ins have passwords, and no provider
	c.Limits.GreetDelay = 0                  // it is waited for by the clock, which goes ahead
	c.Trace.Keep, c.Trace.KeepStrangers = cfg.Trace.Keep, cfg.Trace.KeepStrangers
	c.Proxy.From = []netip.Prefix{netip.MustParsePrefix(Balancer + "/32")}
	c.Domains = nil
	for _, d := range cfg.Domains {
		contained, err := domain(d, sinks)
		if err != nil {
			return c, err
		}
		c.Domains = append(c.Domains, contained)
	}
	if len(c.Domains) == 0 { // they may all be in the data folder, which nobody looks into
		c.Domains = base.Domains
	}
	return c, nil
}

// baseText has what is the rehearsal's own; all else is at its default.
func baseText(cfg config.Config, files pki.Files, sinks Sinks) string {
	var b strings.Builder
	fmt.Fprintf(&b, "hostname = %q\ndata = \"data\"\n[listen]\n", cfg.Hostname.ASCII())
	for name, at := range map[string][]netip.AddrPort{"mx": cfg.Listen.MX, "submission": cfg.Listen.Submission, "submissions": cfg.Listen.Submissions} {
		if len(at) > 0 {
			fmt.Fprintf(&b, "%s = [\"127.0.0.1:0\"]\n", name)
		}
	}
	if cfg.TLS.Cert != "" || cfg.ACME.On() {
		fmt.Fprintf(&b, "[tls]\ncert = %q\nkey = %q\n", files.Cert, files.Key)
	}
	fmt.Fprintf(&b,
		"[route.\"*\"]\nto = \"smtp://%s\"\ntls = \"none\"\n[mx]\ndelivery = \"off\"\n[authentication]\ncheck = \"off\"\n[trace]\norigin = \"drill\"\ncheckpoint_every = \"1s\"\n[domain.\"ours.drill.test\"]\ndeliver = \"maildir\"\n",
		sinks.Outside)
	return b.String()
}

// domain is one of ours whose mail goes to a mailbox as before, or to the sink that stands in
// for the server behind it.
func domain(d config.Domain, sinks Sinks) (config.Domain, error) {
	to := "maildir"
	if d.Deliver.Behind() {
		to = "smtp://" + sinks.Behind
	}
	c, err := config.NewDomain(d.Name, to)
	if err != nil {
		return c, err
	}
	c.Postmaster, c.Quota, c.QuotaTotal = d.Postmaster, d.Quota, d.QuotaTotal
	if !d.Deliver.Behind() {
		return c, nil
	}
	c.TLS, c.Connections, c.Messages, c.CutThrough = mail.TLSNone, d.Connections, d.Messages, d.CutThrough
	switch d.Recipients {
	case directory.RecipientsList, directory.RecipientsAccounts: // no list of somebody's has the stand-ins
		c.Recipients = directory.RecipientsAccounts
	}
	return c, nil
}
