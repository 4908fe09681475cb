package node

import (
	"context"
	"sync"
	"sync/atomic"

	"sallyport/internal/config"
	"sallyport/internal/directory"
)

// directories holds the one current directory snapshot. Transactions take it
// once and keep it.
type directories struct {
	stated  stated // guarded by change
	fault   error  // why no directory stands that a server could be run on; guarded by change
	current atomic.Pointer[directory.Snapshot]
	change  sync.Mutex // held while accounts and roster are read and become the snapshot
}

func (d *directories) snapshot() *directory.Snapshot { return d.current.Load() }

// followAccounts rebuilds the snapshot whenever the accounts or the roster change.
func (n *Node) followAccounts(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-n.identity.Watch():
		case <-n.roster.Watch():
		}
		if err := n.refreshDirectory(ctx); err != nil && ctx.Err() == nil {
			// The former snapshot stays: it knows fewer or more accounts, and every
			// sign-in and claim asks identity itself.
			n.log.Error("the directory could not be rebuilt", "err", err)
		}
	}
}

func directoryConfig(cfg config.Config) directory.Config {
	out := directory.Config{
		Hostname: cfg.Hostname, Postmaster: cfg.Postmaster, Literals: cfg.Literals, Detail: cfg.Detail,
		MaxExpansion: cfg.Limits.AliasTargets, MaxDepth: cfg.Limits.AliasDepth,
		ForwardExternal: cfg.Forward.External, ForwardTargets: cfg.Forward.Targets,
	}
	for _, d := range cfg.Domains {
		out.Domains = append(out.Domains, domainOf(d))
	}
	for _, a := range cfg.Aliases {
		out.Aliases = append(out.Aliases, aliasOf(a))
	}
	for _, r := range cfg.Routes {
		out.Routes = append(out.Routes, directory.Route{
			Domain: r.Domain, Host: r.Host, Port: r.Port, TLS: routeTLS(r.TLS), CA: r.CA, User: r.User, PasswordFile: r.PasswordFile,
		})
	}
	return out
}

// routeTLS maps what is not known to the strictest mode.
func routeTLS(m config.TLSMode) directory.TLS {
	switch m {
	case config.TLSNone:
		return directory.TLSNone
	case config.TLSOpportunistic:
		return directory.TLSOpportunistic
	case config.TLSImplicit:
		return directory.TLSImplicit
	}
	return directory.TLSRequired
}
