package config

import (
	"fmt"

	"sallyport/internal/directory"
	"sallyport/internal/mail"
)

// Directory returns what the file says of the directory, without the recipients that
// recipients_file of a domain names.
func (c Config) Directory() directory.Config {
	out := directory.Config{
		Hostname: c.Hostname, Postmaster: c.Postmaster, Literals: c.Literals, Detail: c.Detail,
		MaxExpansion: c.Limits.AliasTargets, MaxDepth: c.Limits.AliasDepth,
		ForwardExternal: c.Forward.External, ForwardTargets: c.Forward.Targets,
	}
	for _, d := range c.Domains {
		out.Domains = append(out.Domains, d.Directory())
	}
	for _, a := range c.Aliases {
		out.Aliases = append(out.Aliases, a.Alias)
	}
	for _, r := range c.Routes {
		out.Routes = append(out.Routes, r.Route)
	}
	return out
}

// FullDirectory returns what Directory does, with the recipients that files name. The
// error says where the file that cannot be read is named.
func (c Config) FullDirectory() (directory.Config, error) {
	out := c.Directory()
	for i, d := range c.Domains {
		if d.Recipients != directory.RecipientsList {
			continue
		}
		list, err := readRecipients(d.RecipientsFile, d.Name)
		if err != nil {
			return out, fmt.Errorf("%s: %w", c.At("domain."+d.Name.ASCII()+".recipients_file"), err)
		}
		out.Domains[i].List = list
	}
	return out, nil
}

// Directory returns the domain as the directory knows it, without its list.
func (d Domain) Directory() directory.Domain {
	out := directory.Domain{Name: d.Name, Deliver: d.Deliver.Kind, Postmaster: d.Postmaster}
	// Until a directory was asked nobody knows who exists.
	out.Unlisted = d.AsksLDAP()
	if !d.Deliver.Behind() {
		return out
	}
	out.Server = directory.Server{
		LMTP: d.Deliver.Kind == directory.DeliverLMTP, Path: d.Deliver.Path, Host: d.Deliver.Host,
		Port: d.Deliver.Port, TLS: d.TLS, CA: d.CA,
	}
	out.Recipients, out.CutThrough = d.Recipients, d.CutThrough
	return out
}

// DirectoryDomain returns a domain with a way of delivery as the directory knows it, with
// the defaults of all its other keys: what a table with nothing but deliver gives. The
// error is that of ParseDelivery.
func DirectoryDomain(name mail.Domain, deliver string) (directory.Domain, error) {
	d, err := NewDomain(name, deliver)
	return d.Directory(), err
}

// Where returns where the file states an entry of the directory; false where it does not.
func (c Config) Where(s directory.Subject) (Position, bool) {
	switch s.Kind {
	case directory.KindDomain:
		for _, d := range c.Domains {
			if d.Name.String() == s.Name {
				return c.At("domain." + s.Name), true
			}
		}
	case directory.KindAlias:
		for _, a := range c.Aliases {
			if a.Subject() == s {
				return a.At, true
			}
		}
	case directory.KindRoute:
		return c.At("route." + s.Name), true
	case directory.KindNetwork:
		return c.At("network." + s.Name + ".from"), true
	}
	return Position{}, false
}
