package node

import (
	"context"
	"fmt"
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

// buildDirectory makes the snapshot of a configuration with the accounts and the
// roster of now. In a reload, the caller holds dirs.change. Where what is stored does
// not go with the configuration, a reload is refused; at the start the commands that
// mend it work all the same, but no server can be run: see directoryFault.
func (n *Node) buildDirectory(ctx context.Context, next, last *generation) error {
	st, err := stateOf(next.cfg)
	if err != nil {
		return err
	}
	addresses, err := accountAddresses(ctx, n.identity)
	if err != nil {
		return err
	}
	n.returnPaths.Learn(addresses) // it only ever learns
	s, fault := st.build(n.roster.State(), addresses)
	if fault == nil && last != nil {
		_, _, fault = st.proven(n.roster.State(), addresses) // a start proves it in Listen
	}
	if fault != nil {
		fault = fmt.Errorf("the directory does not stand: %w", fault)
		if last != nil {
			return fault
		}
		// Until it is mended nothing is guessed.
		if s, err = directory.Unavailable(st.base); err != nil {
			return fmt.Errorf("directory: %w", err)
		}
	}
	next.then = append(next.then, func() {
		n.dirs.stated, n.dirs.fault = st, fault
		n.dirs.current.Store(s)
	})
	return nil
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
			// sign-in and claim asks the accounts itself.
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
