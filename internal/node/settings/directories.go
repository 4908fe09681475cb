package settings

import (
	"context"
	"errors"
	"slices"

	"sallyport/internal/accounts"
	"sallyport/internal/config"
	"sallyport/internal/directory"
	"sallyport/internal/kit/pki"
	"sallyport/internal/ldap"
	"sallyport/internal/ldap/roll"
	"sallyport/internal/mail"
)

// Adopt makes the accounts of a directory what its list says.
type Adopt = func(context.Context, accounts.Listing, func(mail.Address, string) [][]byte) (accounts.Adopted, error)

// Adopting has a list say as well what a person may send by a configuration: as much as who gets another person's address.
func Adopting(cfg config.Config, adopt Adopt) Adopt {
	return func(ctx context.Context, l accounts.Listing, facts func(mail.Address, string) [][]byte) (accounts.Adopted, error) {
		l.Person = cfg.Budget.Person
		return adopt(ctx, l, facts)
	}
}

// Directories are the directories that a configuration names, and what is taken from each. The
// error is that of files that cannot be read.
func Directories(cfg config.Config) (all []roll.Source, err error) {
	var errs []error
	for _, l := range cfg.LDAP {
		o, err := directoryOptions(cfg, l)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		s := roll.Source{Name: l.Name, Senders: l.Senders, Receivers: l.Receivers, Every: l.Every}
		for _, d := range cfg.Domains {
			if d.LDAP == l.Name && d.LDAPAccounts {
				s.Accounts = append(s.Accounts, d.Name)
			}
			if d.LDAP == l.Name && d.Recipients == directory.RecipientsDirectory {
				s.Recipients = append(s.Recipients, d.Name)
			}
		}
		o.Domains = s.Accounts
		s.Options = o
		all = append(all, s)
	}
	return all, errors.Join(errs...)
}

func directoryOptions(cfg config.Config, l config.LDAP) (o ldap.Options, err error) {
	table := "ldap." + l.Name
	o = ldap.Options{
		User: l.BindDN, Base: l.Base, Filter: l.Filter, Address: l.Address, Aliases: l.Aliases, Entry: l.Entry,
		Limits: ldap.Limits{Timeout: l.Timeout, Connections: l.Connections, Entries: l.Entries},
	}
	for _, s := range l.Servers {
		security := ldap.SecurityStart
		switch {
		case s.Implicit:
			security = ldap.SecurityTLS
		case l.Clear:
			security = ldap.SecurityNone
		}
		o.Servers = append(o.Servers, ldap.Server{Host: s.Host, Port: s.Port, Security: security})
	}
	if o.Groups = slices.Concat(l.Senders, l.Receivers); len(o.Groups) > 0 {
		o.Group = l.Groups
		slices.Sort(o.Groups)
		o.Groups = slices.Compact(o.Groups) // each spelling stays: a list of people is told its own
	}
	if l.CA != "" {
		if o.CA, _, err = pki.Authorities(l.CA); err != nil {
			return o, cfg.Fault(table+".ca", err.Error(), "")
		}
	}
	if l.PasswordFile != "" {
		if o.Password, err = config.ReadPassword(l.PasswordFile); err != nil {
			return o, cfg.Fault(table+".password_file", err.Error(), "")
		}
	}
	return o, nil
}

// Mechanisms are those that are offered. SCRAM needs a verifier that a directory does not give, and
// programs that choose it do not fall back on a password: where accounts come from a directory
// it is not offered unless the configuration says so.
func Mechanisms(cfg config.Config) []string {
	if cfg.Auth.Mechanisms != nil || !slices.ContainsFunc(cfg.Domains, func(d config.Domain) bool { return d.LDAPAccounts }) {
		return cfg.Auth.Mechanisms
	}
	return slices.DeleteFunc(accounts.DefaultMechanisms(), func(m string) bool { return m == accounts.MechScram })
}
