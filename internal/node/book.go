package node

import (
	"context"
	"fmt"

	"sallyport/internal/config"
	"sallyport/internal/directory"
	"sallyport/internal/directory/book"
	"sallyport/internal/directory/roster"
	"sallyport/internal/mail"
	"sallyport/internal/operate"
)

// openBook reads the roster; buildDirectory makes the first directory.
func (n *Node) openBook(ctx context.Context, _ keys) (err error) {
	n.roster, err = roster.Open(ctx, n.store, roster.Options{Limits: roster.DefaultLimits(), Logger: n.log})
	if err != nil {
		return err
	}
	n.book = book.New(book.Options{
		Accounts: n.identity, Roster: n.roster, Learn: n.returnPaths.Learn, Serving: func() bool { return n.started.Load() != nil }, Logger: n.log,
	})
	return nil
}

// buildDirectory makes the directory of a configuration with the accounts and the roster
// of now. Where they do not go together, a reload is refused; at a start the commands that
// mend it work all the same, but no server can be run: see Listen.
func (n *Node) buildDirectory(ctx context.Context, next, last *generation) error {
	st, err := stated(next.cfg)
	if err != nil {
		return err
	}
	d, err := n.book.Build(ctx, st, last == nil)
	if err != nil {
		return err
	}
	next.then = append(next.then, d.Adopt)
	next.undo = append(next.undo, d.Abandon)
	return nil
}

// BuildDirectory builds the directory of a configuration, without running it, and
// proves it closed. What is stored beside it, stored tells; nil: nothing is. The error
// says what does not go together, or who could relay, and how it is mended.
func BuildDirectory(ctx context.Context, cfg config.Config, stored *operate.Client) (book.Judged, error) {
	st, err := stated(cfg)
	if err != nil {
		return book.Judged{}, err
	}
	var entries []roster.Stored
	var accounts []mail.Address
	if stored != nil {
		if entries, accounts, err = stored.Stored(ctx); err != nil {
			return book.Judged{}, err
		}
	}
	s, err := roster.Import(entries)
	if err != nil {
		return book.Judged{}, err
	}
	return st.Judge(s, accounts)
}

// stated is what a configuration states of the directory.
func stated(cfg config.Config) (book.Stated, error) {
	st := book.Stated{
		Config: directoryConfig(cfg), Ways: map[mail.Domain]string{},
		Where: func(s directory.Subject) (string, bool) {
			at, ok := position(cfg, s)
			return at.String(), ok
		},
		Domain: func(name mail.Domain, way string) (directory.Domain, error) {
			d, err := config.NewDomain(name, way)
			return domainOf(d), err
		},
		Way: func(text string) (string, error) {
			d, err := config.ParseDelivery(text)
			return d.String(), err
		},
	}
	for _, d := range cfg.Domains {
		st.Ways[d.Name] = d.Deliver.String()
	}
	return st, readLists(cfg, st.Config.Domains)
}

// position is where the configuration states an entry; false where it does not.
func position(cfg config.Config, s directory.Subject) (config.Position, bool) {
	switch s.Kind {
	case directory.KindDomain:
		for _, d := range cfg.Domains {
			if d.Name.String() == s.Name {
				return cfg.At("domain." + s.Name), true
			}
		}
	case directory.KindAlias:
		for _, a := range cfg.Aliases {
			if aliasOf(a).Subject() == s {
				return a.At, true
			}
		}
	case directory.KindRoute:
		return cfg.At("route." + s.Name), true
	}
	return config.Position{}, false
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

func aliasOf(a config.Alias) directory.Alias {
	return directory.Alias{Address: a.Address, CatchAll: a.CatchAll, Targets: a.Targets, Posting: postingOf(a.From)}
}

// postingOf maps what is not known to what the directory refuses.
func postingOf(a config.Audience) directory.Posting {
	switch a {
	case config.FromAnyone:
		return directory.PostingAnyone
	case config.FromAccounts:
		return directory.PostingAccounts
	case config.FromMembers:
		return directory.PostingMembers
	}
	return directory.PostingUnknown
}

// domainOf is a domain of ours as the directory knows it, without its list.
func domainOf(d config.Domain) directory.Domain {
	out := directory.Domain{Name: d.Name, Deliver: deliverOf(d.Deliver.Kind), Postmaster: d.Postmaster}
	if !d.Deliver.Behind() {
		return out
	}
	out.Server = directory.Server{
		LMTP: d.Deliver.Kind == config.DeliverLMTP, Path: d.Deliver.Path, Host: d.Deliver.Host, Port: d.Deliver.Port,
		TLS: routeTLS(d.TLS), CA: d.CA,
	}
	out.Recipients, out.CutThrough = recipientsOf(d.Recipients), d.CutThrough
	return out
}

// readLists reads the files of recipients into the domains, which stand in the order
// of the configuration.
func readLists(cfg config.Config, domains []directory.Domain) error {
	for i, d := range cfg.Domains {
		if d.Recipients != config.RecipientsList {
			continue
		}
		list, err := config.ReadRecipients(d.RecipientsFile, d.Name)
		if err != nil {
			return fmt.Errorf("%s: %w", cfg.At("domain."+d.Name.ASCII()+".recipients_file"), err)
		}
		domains[i].List = list
	}
	return nil
}

// deliverOf and recipientsOf map what is not known to what the directory refuses.
func deliverOf(k config.DeliveryKind) directory.Deliver {
	switch k {
	case config.DeliverMaildir:
		return directory.DeliverMaildir
	case config.DeliverLMTP:
		return directory.DeliverLMTP
	case config.DeliverSMTP:
		return directory.DeliverSMTP
	}
	return directory.DeliverUnknown
}

func recipientsOf(r config.Recipients) directory.Recipients {
	switch r {
	case config.RecipientsAccounts:
		return directory.RecipientsAccounts
	case config.RecipientsList:
		return directory.RecipientsList
	case config.RecipientsCallout:
		return directory.RecipientsCallout
	}
	return directory.RecipientsUnknown
}
