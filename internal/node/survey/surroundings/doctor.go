// Package surroundings examines the surroundings of a configured server for the doctor: its
// listeners, the DNS, next hops, filters, files, and DNS blocklists.
package surroundings

import (
	"context"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"sallyport/internal/config"
	"sallyport/internal/dnsx"
	"sallyport/internal/filter"
	"sallyport/internal/filter/sender"
	"sallyport/internal/ldap/roll"
	"sallyport/internal/mail"
	"sallyport/internal/message"
	"sallyport/internal/nexthop/mx"
	"sallyport/internal/nexthop/named"
	"sallyport/internal/node/settings"
	"sallyport/internal/operate"
	"sallyport/internal/operate/doctor"
	"sallyport/internal/operate/doctor/gather"
	"sallyport/internal/trust/guard"
)

// Options say how far a doctor looks.
type Options struct {
	Logger *slog.Logger
	// Keys are the keys that sign mail; KeysFault says why they are not known, "": they are.
	Keys      []operate.DKIMKey
	KeysFault string
	// Outbound is a domain whose mail exchanger's port 25 is tried; "": none.
	Outbound string
	// Domains are those of ours that were added at run time; the configuration's need not
	// be among them.
	Domains []string
	Server  doctor.ServerFacts
	Queue   doctor.QueueFacts
	Telling doctor.TellingFacts
	// Filling are the mailboxes that are nearly full; nil: none is.
	Filling *operate.Filling
	// Damage is what the disk has damaged and nobody has acknowledged yet.
	Damage []doctor.DamageFacts
	// Obtained is what there is of a certificate that an authority gives; nil: not known.
	Obtained *operate.Obtained
	// Tokens are the routes of the running server whose mail waits for a token.
	Tokens []operate.TokenTrouble
	// Networks are how trusted networks fare in the running server.
	Networks []guard.Report
	// Directories are what the server has of them; not known unless Queue is.
	Directories []roll.Report
}

// Gather looks at a configuration's surroundings, as package gather promises.
func Gather(ctx context.Context, cfg config.Config, d Options) doctor.Facts {
	now := time.Now()
	g := gather.Options{
		Now: now, Hostname: cfg.Hostname, Own: mx.OwnAddresses(cfg.Literals, d.Logger),
		Domains: ourDomains(cfg, d.Domains), Listeners: doctorListeners(cfg),
		Behind: doctorHops(cfg), Tokens: doctorTokens(cfg, d.Tokens),
		Certificate: doctorCertificate(cfg, d.Obtained), Signs: cfg.DKIM.Sign, KeysFault: d.KeysFault,
		Helpers: doctorHelpers(cfg), Data: cfg.Data, MinFree: cfg.Limits.Free(),
		Connections: cfg.Limits.Connections, Files: doctorFiles(cfg), Outbound: d.Outbound, Port: 25,
		Dial: named.Dialer(), Server: d.Server, Queue: d.Queue, Telling: d.Telling,
		Limits: gather.DefaultLimits(), Hub: hasHub(cfg),
	}
	g.Provider, g.AskProvider = cfg.OIDC.Issuer, askProvider(cfg)
	for _, k := range d.Keys {
		g.Keys = append(g.Keys, gather.Key{
			Domain: k.Domain, Selector: k.Selector, Name: k.Name, Algorithm: k.Algorithm, State: k.State,
			Text: k.Text, Zone: k.Zone,
		})
	}
	resolver, err := dnsx.System(cfg.MX.DNS, cfg.TLSPolicy.Validated, time.Now)
	if err != nil {
		g.ResolverError = err.Error()
	} else {
		g.Resolver, g.Find = resolver, sender.Keys{Resolver: resolver, Time: g.Limits.Look}.Find
	}
	f := gather.Gather(ctx, g)
	f.Directories = doctorDirectories(ctx, cfg, d.Directories, d.Queue.Known)
	f.Damage = d.Damage
	if d.Filling != nil {
		for _, m := range d.Filling.First {
			f.Mailboxes = append(f.Mailboxes, doctor.MailboxFacts{
				Whose: m.Account + m.Domain, Domain: m.Account == "", Share: m.Share, Quota: m.Quota.String(),
			})
		}
	}
	for _, n := range d.Networks {
		f.Networks = append(f.Networks, doctor.NetworkFacts{
			Name: n.Name, Account: n.Account, Closed: n.State == guard.StateClosed, Why: n.Why,
		})
	}
	f.Others = append(f.Others, examineReturnPath(cfg, f.Now)...)
	f.Others = append(f.Others, examineBinding(cfg)...)
	f.Others = append(f.Others, examinePlaces(cfg.Screen.Places(), f.Now)...)
	if resolver != nil {
		f.Others = append(f.Others, examinePrograms(ctx, resolver, cfg, ourDomains(cfg, d.Domains), g.Limits.Look)...)
		f.Others = append(f.Others, examineLists(ctx, resolver, cfg.DNSBL, g.Limits.Look)...)
	}
	return f
}

// hasHub reports whether all mail for others leaves by a next hop.
func hasHub(cfg config.Config) bool {
	return slices.ContainsFunc(cfg.Routes, func(r config.Route) bool { return r.Domain.IsZero() })
}

// ourDomains are those of the configuration, and then others, each once.
func ourDomains(cfg config.Config, more []string) (all []mail.Domain) {
	for _, d := range cfg.Domains {
		all = append(all, d.Name)
	}
	for _, name := range more {
		if d, err := mail.ParseDomain(name); err == nil && !slices.Contains(all, d) {
			all = append(all, d)
		}
	}
	return all
}

func doctorListeners(cfg config.Config) (all []gather.Listener) {
	for _, door := range cfg.Listen.Doors() {
		for _, a := range door.At {
			all = append(all, gather.Listener{Door: door.Name, At: a, TLS: door.Implicit})
		}
	}
	return all
}

// doctorHops are the servers behind us and the next hops of routes.
func doctorHops(cfg config.Config) (all []gather.Hop) {
	for _, d := range cfg.Domains {
		switch to := d.Deliver; {
		case to.Behind() && to.Path != "":
			all = append(all, gather.Hop{For: "domain " + d.Name.ASCII(), Network: "unix", At: to.Path})
		case to.Behind():
			all = append(all, gather.Hop{
				For: "domain " + d.Name.ASCII(), Network: "tcp",
				At: net.JoinHostPort(to.Host, strconv.Itoa(int(to.Port))), TLS: to.Implicit,
			})
		}
	}
	for _, r := range cfg.Routes {
		all = append(all, gather.Hop{
			For: "route " + r.Name(), Network: "tcp", At: net.JoinHostPort(r.Host, strconv.Itoa(int(r.Port))),
			TLS: r.TLS == mail.TLSImplicit,
		})
		for _, h := range r.Others {
			all = append(all, gather.Hop{
				For: "route " + r.Name() + ", the next", Network: "tcp", At: net.JoinHostPort(h.Host, strconv.Itoa(int(h.Port))), TLS: h.Implicit,
			})
		}
	}
	return all
}

// doctorHelpers are an Rspamd and the milters. One whose options cannot be read is told of
// by the check of the configuration.
func doctorHelpers(cfg config.Config) (all []gather.Helper) {
	o, err := settings.Checks(cfg, message.DefaultLimits())
	if r := o.Rspamd; r != nil && err == nil {
		all = append(all, gather.Helper{For: "rspamd", At: r.Address, Defers: r.Scope.Down == filter.DownDefer, Ask: r.Client().Ping})
	}
	for _, m := range o.Milters {
		all = append(all, gather.Helper{
			For: "milter " + m.Name, At: m.Address, Defers: m.Scope.Down == filter.DownDefer,
			Ask: m.Client().Ping,
		})
	}
	return all
}

func doctorCertificate(cfg config.Config, obtained *operate.Obtained) gather.Certificate {
	c := gather.Certificate{Policies: len(cfg.TLSPolicy.Listen) > 0}
	for _, d := range cfg.ACME.Names {
		c.Names = append(c.Names, d.ASCII())
	}
	if !cfg.ACME.On() {
		c.File, c.Key = cfg.TLS.Cert, cfg.TLS.Key
		return c
	}
	c.Authority = cfg.ACME.Directory
	if obtained != nil {
		c.Chain, c.Fault, c.Next = obtained.Chain, obtained.Fault, obtained.Next
	}
	return c
}

// doctorFiles are the files that the server uses.
func doctorFiles(cfg config.Config) []gather.File {
	all := []gather.File{
		{Path: cfg.Data, What: "the data folder", Secret: true, OwnOnly: true}, {Path: cfg.File, What: "the configuration"},
		{Path: cfg.StoreDir(), What: "the store", Later: true},
		{Path: cfg.CheckpointDir(), What: "the checkpoints of the trace", Later: true},
		{Path: cfg.Maildir.Root, What: "the mailboxes", Later: true},
	}
	tokens, _ := filepath.Glob(filepath.Join(cfg.TokensDir(), "*")) // the pattern is a good one
	for _, t := range tokens {
		all = append(all, gather.File{Path: t, What: "a refresh token that was given", Secret: true, OwnOnly: true})
	}
	keys, _ := filepath.Glob(filepath.Join(cfg.KeysDir(), "*")) // the pattern is a good one
	for _, k := range keys {
		all = append(all, gather.File{Path: k, What: "a key of the server's own", Secret: true, OwnOnly: true})
	}
	if cfg.TLS.Key != "" {
		all = append(all, gather.File{Path: cfg.TLS.Key, What: "the certificate's key", Secret: true})
	}
	for _, r := range cfg.Routes {
		for _, secret := range []gather.File{
			{Path: r.PasswordFile, What: "a password file"}, {Path: r.Token.SecretFile, What: "a client's secret"},
			{Path: r.Token.RefreshFile, What: "a refresh token"}, {Path: r.CertKey, What: "the key of a route's certificate"},
		} {
			if secret.Path != "" && !slices.ContainsFunc(all, func(f gather.File) bool { return f.Path == secret.Path }) {
				secret.Secret = true
				all = append(all, secret)
			}
		}
	}
	all = append(all, gather.File{Path: cfg.Socket(), What: "the operator's socket", Socket: true})
	if p := cfg.Sendmail.Socket; p != "" {
		all = append(all, gather.File{Path: p, What: "the socket of the sendmail command", Socket: true})
	}
	if p := cfg.Helpers.Socket; p != "" {
		all = append(all, gather.File{Path: p, What: "the socket of helpers", Socket: true})
	}
	if p := cfg.CheckPassword.Socket; p != "" {
		all = append(all, gather.File{Path: p, What: "the socket of sallyport checkpassword", Socket: true})
	}
	if p := cfg.Webhook.KeyFile; p != "" {
		all = append(all, gather.File{Path: p, What: "the key of the webhook", Secret: true})
	}
	for _, l := range cfg.LDAP {
		if l.PasswordFile != "" {
			all = append(all, gather.File{Path: l.PasswordFile, What: "a password file", Secret: true})
		}
	}
	if p := cfg.OIDC.AskSecretAt; p != "" {
		all = append(all, gather.File{Path: p, What: "the secret at the OpenID provider", Secret: true})
	}
	if p := cfg.Rspamd.PasswordFile; p != "" {
		all = append(all, gather.File{Path: p, What: "a password file", Secret: true})
	}
	return all
}
