package node

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"sallyport/internal/config"
	"sallyport/internal/directory"
	"sallyport/internal/mail"
)

// directories holds the one current directory snapshot. Transactions take it
// once and keep it.
type directories struct {
	base    directory.Config
	current atomic.Pointer[directory.Snapshot]
	change  sync.Mutex // held while the accounts are read and become the snapshot
}

func newDirectories(cfg config.Config, accounts []mail.Address) (*directories, error) {
	d := &directories{base: directoryConfig(cfg)}
	if err := readLists(cfg, d.base.Domains); err != nil {
		return nil, err
	}
	return d, d.set(accounts)
}

// set builds a snapshot of the configuration with these accounts.
func (d *directories) set(accounts []mail.Address) error {
	s, err := directory.NewSnapshot(d.base, accounts)
	if err != nil {
		return fmt.Errorf("directory: %w", err)
	}
	d.current.Store(s)
	return nil
}

func (d *directories) snapshot() *directory.Snapshot { return d.current.Load() }

// followAccounts rebuilds the snapshot whenever the account set changes.
func (n *Node) followAccounts(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-n.identity.Watch():
		}
		if err := n.refreshDirectory(ctx); err != nil && ctx.Err() == nil {
			// The former snapshot stays: it knows fewer or more accounts, and every
			// sign-in and claim asks identity itself.
			n.log.Error("the directory could not be rebuilt", "err", err)
		}
	}
}

// refreshDirectory rebuilds the snapshot from the accounts as they stand, one at a
// time, so that an older state never replaces a newer one.
func (n *Node) refreshDirectory(ctx context.Context) error {
	n.dirs.change.Lock()
	defer n.dirs.change.Unlock()
	addresses, err := accountAddresses(ctx, n.identity)
	if err != nil {
		return err
	}
	return n.dirs.set(addresses)
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
		out.Aliases = append(out.Aliases, directory.Alias{Address: a.Address, Targets: a.Targets, Posting: directory.PostingAnyone})
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
