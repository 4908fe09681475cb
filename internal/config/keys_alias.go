package config

import (
	"strings"

	"sallyport/internal/directory"
	"sallyport/internal/mail"

	"github.com/pelletier/go-toml/v2/unstable"
)

// Alias is an address of ours that stands for others of ours, or, as a catch-all,
// for what nothing else has in a domain of ours.
type Alias struct {
	directory.Alias
	At Position
}

func aliasKey() Key {
	return Key{Path: "alias.NAME", Type: TypeAddresses, Min: "1", Max: "limits.alias_targets",
		Doc: `An address of ours that stands for others of ours, each with its domain. An alias may lead to ` +
			`further aliases, but never back. One that names itself beside others stands beside the account ` +
			`of its address, and gives the others a copy of its mail: "bob@example.org" = ` +
			`["bob@example.org", "alice@example.org"]. "@example.org" is a catch-all: it takes what people ` +
			`write to in that domain and no account, no alias, with or without a detail, and no role has.`}
}

// aliasKeys are those of an alias that is written as a table.
func aliasKeys() []entry[Alias] {
	targets := aliasKey()
	targets.Path, targets.Doc = "alias.NAME.to", "The same list."
	return []entry[Alias]{
		list(targets, parseMailbox, func(a *Alias) *[]mail.Address { return &a.Targets }),
		parsed(Key{Path: "alias.NAME.from", Type: TypeChoice, Default: "anyone",
			Doc: `Who may write to it: "anyone"; "accounts", only people who are signed in here; or ` +
				`"members", only the accounts that it leads to. Where aliases lead to one another, the rule ` +
				`of each holds. postmaster, abuse and a catch-all are always open to anyone.`},
			parsePosting, func(a *Alias) *directory.Posting { return &a.Posting }),
	}
}

func parsePosting(text string) (p directory.Posting, message, hint string) {
	p, err := directory.ParsePosting(text)
	if err != nil {
		return p, "nobody of this name writes to an alias", `write "anyone", "accounts" or "members"`
	}
	return p, "", ""
}

// key is unlike the key of any other alias; no address has an empty local-part.
func (a Alias) key() string {
	if !a.CatchAll.IsZero() {
		return "@" + a.CatchAll.ASCII()
	}
	return a.Address.Key()
}

func (a Alias) domain() mail.Domain {
	if !a.CatchAll.IsZero() {
		return a.CatchAll
	}
	return a.Address.Domain()
}

// aliases reads the table of aliases, whose keys are addresses, or "@" and a domain.
func (s *source) aliases(n *node, c *Config) {
	if n == nil {
		return
	}
	for _, name := range n.names {
		v := n.children[name]
		a, message, hint := parseAliasName(name)
		if message != "" {
			s.fault(v.key, s.literal(v.key), message, hint+`; an alias stands in quotes: "sales@example.org" = ["alice@example.org"]`)
			continue
		}
		a.At = s.position(v.key.offset)
		targets := v
		if v.kind == unstable.Table {
			block(s, v, aliasKeys(), &a)
			targets = v.child("to")
		} else {
			a.Posting = directory.PostingAnyone
			list(aliasKey(), parseMailbox, func(a *Alias) *[]mail.Address { return &a.Targets }).read(s, aliasKey(), v, &a)
		}
		if targets == nil || targets.kind == unstable.Array && len(targets.items) == 0 {
			s.fault(v.key, s.literal(v.key), "this alias has no targets", "name at least one address, or remove it")
		}
		c.Aliases = append(c.Aliases, a)
		s.aliasAt = append(s.aliasAt, v)
	}
}

func parseAliasName(name string) (a Alias, message, hint string) {
	domain, catchAll := strings.CutPrefix(name, "@")
	if !catchAll {
		a.Address, message, hint = parseMailbox(name)
		return a, message, hint
	}
	d, err := mail.ParseDomain(domain)
	if err != nil {
		return a, "this is no domain to catch all of: " + reason(err), `write it as "@example.org"`
	}
	a.CatchAll = d
	return a, "", ""
}
