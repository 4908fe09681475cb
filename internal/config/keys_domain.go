package config

import (
	"strings"

	"sallyport/internal/directory"
	"sallyport/internal/mail"
)

// Domain is a domain that we accept mail for. All fields below the quotas are about
// the server behind us, and zero where there is none.
type Domain struct {
	Name       mail.Domain
	Deliver    Delivery
	Postmaster mail.Address // zero: as Config.Postmaster says

	Quota      Quota // of each mailbox; 0: as Config.Mailbox says
	QuotaTotal Quota // of all together; 0: any amount

	TLS            mail.TLSMode
	CA             string // PEM file of the roots to trust; "": the system's
	Connections    int    // the most connections at once
	Messages       int    // the most messages on one connection
	Recipients     directory.Recipients
	RecipientsFile string // for RecipientsList
	CutThrough     bool   // the server behind us answers before we do

	// These two are zero where nothing of the domain comes from a directory.
	LDAPAccounts bool   // its accounts come from a directory
	LDAP         string // name of the directory that something of it comes from; "": none
}

const (
	// MaxRecipientsOctets is the largest recipients_file that is read.
	MaxRecipientsOctets = 64 << 20
	// MaxRecipients is how many names a recipients_file may hold.
	MaxRecipients = 1_000_000
)

func domainKeys() []entry[Domain] {
	return append([]entry[Domain]{
		parsed(Key{Path: "domain.NAME.deliver", Type: TypeDelivery, Required: true, Example: "maildir",
			Doc: `How mail for this domain of ours is delivered: "maildir", into the mailboxes below ` +
				`maildir.root; or to a server that stands behind this one, which is dialled as written here ` +
				`and nowhere else: "lmtp://host:port" (port 24 where none is given), "lmtp+unix:///path" of ` +
				`a socket, "smtp://host:port" (25) or "smtps://host:port" (465, TLS from the first octet). ` +
				`Where the name has several addresses, what one does not serve, or defers, is offered to another.`},
			parseDelivery, func(d *Domain) *Delivery { return &d.Deliver }),
		parsed(Key{Path: "domain.NAME.postmaster", Type: TypeAddress,
			Doc: "The address of ours that receives mail for postmaster and abuse of this domain; else what " +
				"the key postmaster says. Where neither says anything and a server stands behind this one, " +
				"postmaster is passed on to it without being asked about."},
			parseMailbox, func(d *Domain) *mail.Address { return &d.Postmaster }),
		parsed(Key{Path: "domain.NAME.tls", Type: TypeChoice,
			Doc: `How the connection to the server behind is secured: "none", "opportunistic" (STARTTLS ` +
				`where offered, certificate not checked; where that fails, clear text, which the trace ` +
				`notes) or "required" (STARTTLS and a certificate that verifies, or the mail waits). ` +
				`Without it: opportunistic. smtps:// always verifies; a socket has none.`},
			parseTLSMode, func(d *Domain) *mail.TLSMode { return &d.TLS }),
		parsed(Key{Path: "domain.NAME.ca", Type: TypePath, Min: "1", Max: "4096",
			Doc: "A PEM file of the certificates to trust for the server behind, instead of the system's."},
			parsePath, func(d *Domain) *string { return &d.CA }),
		count("domain.NAME.connections", "20", "1", "1000",
			"The most connections for deliveries to the server behind at once; never more than "+
				"limits.deliveries_per_domain are used. Domains with the same server behind share its "+
				"connections, and the first of them in the file says how many. Questions about recipients "+
				"have callout.connections of their own.",
			func(d *Domain) *int { return &d.Connections }),
		count("domain.NAME.messages", "100", "1", "100000", "The most messages on one connection.",
			func(d *Domain) *int { return &d.Messages }),
		parsed(Key{Path: "domain.NAME.recipients", Type: TypeChoice,
			Doc: `Who knows the recipients of a domain with a server behind: "callout", that server is asked ` +
				`at RCPT (see [callout]); "list", recipients_file names them; "ldap", a directory lists ` +
				`them: every address that an entry has in ldap.NAME.address or ldap.NAME.aliases; or ` +
				`"accounts", the accounts of this server. Aliases of this server exist in each case, and ` +
				`its accounts of the domain may sign in and send. Without it: list where there is a ` +
				`recipients_file, else callout. A Maildir domain always has accounts.`},
			parseRecipients, func(d *Domain) *directory.Recipients { return &d.Recipients }),
		parsed(Key{Path: "domain.NAME.recipients_file", Type: TypePath, Min: "1", Max: "4096",
			Doc: "A file with the recipients of this domain, one in a line, as a whole address or as what " +
				"stands before the @; lines that begin with # are comments. As Exchange exports it: UTF-16 " +
				"with its mark is read, smtp: may stand before an address, and lines of other kinds (SIP:, " +
				"X500:) and of other domains are passed over, but not if no address is left. At most " +
				"1000000 names. It is read at the start and at every reload."},
			parsePath, func(d *Domain) *string { return &d.RecipientsFile }),
		parsed(Key{Path: "domain.NAME.accounts", Type: TypeChoice, Default: "local",
			Doc: `Where the accounts of the domain come from: "local", they are made by commands; or "ldap", ` +
				`a directory has them and knows their passwords (see [ldap.NAME]). With "ldap" there may be ` +
				`accounts of our own beside, for printers, say; one whose address the directory has too is ` +
				`neither's, and can do nothing until it is in one place alone. SCRAM cannot be used with a ` +
				`directory's passwords: unless auth.mechanisms says otherwise, it is not offered then.`},
			parseAccounts, func(d *Domain) *bool { return &d.LDAPAccounts }),
		parsed(Key{Path: "domain.NAME.ldap", Type: TypeText, Max: "40",
			Doc: "The name of the directory's table, where accounts or recipients come from one; not needed where there is one alone."},
			parseDirectoryName, func(d *Domain) *string { return &d.LDAP }),
		parsed(Key{Path: "domain.NAME.cut_through", Type: TypeChoice, Default: "off",
			Doc: `Whether the server behind gets each message while its sender still waits, so that its ` +
				`answer becomes ours: "on" or "off". With it, what that server refuses is refused here, and ` +
				`while it cannot be reached mail for this domain alone is deferred with 451. A stranger's ` +
				`message has one such recipient; the others get 452 4.5.3 and come by themselves, so that ` +
				`each has an answer of its own.`},
			parseSwitch, func(d *Domain) *bool { return &d.CutThrough }),
	}, domainQuotaKeys()...)
}

func parseRecipients(text string) (r directory.Recipients, message, hint string) {
	switch text {
	case "accounts":
		return directory.RecipientsAccounts, "", ""
	case "list":
		return directory.RecipientsList, "", ""
	case "callout":
		return directory.RecipientsCallout, "", ""
	case "ldap":
		return directory.RecipientsDirectory, "", ""
	}
	return 0, "nobody of this name knows recipients", `write "callout", "list" (with recipients_file), "ldap" or "accounts"`
}

func parseAccounts(text string) (ldap bool, message, hint string) {
	switch text {
	case "local":
		return false, "", ""
	case "ldap":
		return true, "", ""
	}
	return false, "accounts come from nowhere of this name", `write "local" or "ldap"`
}

func parseDirectoryName(text string) (name, message, hint string) {
	if !isWord(text) {
		return "", "this is no name of a directory", `write it as in [ldap.office]: "office"`
	}
	return text, "", ""
}

// complete fills in what follows from other keys.
func (d *Domain) complete() {
	switch {
	case !d.Deliver.Behind():
		d.TLS, d.Recipients, d.Connections, d.Messages = mail.TLSUndecided, directory.RecipientsAccounts, 0, 0
		return
	case d.Deliver.Implicit:
		d.TLS = mail.TLSImplicit
	case d.Deliver.Path != "":
		d.TLS = mail.TLSNone
	case d.TLS == mail.TLSUndecided:
		d.TLS = mail.TLSOpportunistic
	}
	if d.Recipients == directory.RecipientsUnknown {
		d.Recipients = directory.RecipientsCallout
		if d.RecipientsFile != "" {
			d.Recipients = directory.RecipientsList
		}
	}
}

// settleDomain completes a domain and reports keys that contradict each other.
func (s *source) settleDomain(d *Domain, n *node) {
	if n.child("deliver") == nil || d.Deliver.Kind == directory.DeliverUnknown {
		return // reported already
	}
	if !d.Deliver.Behind() {
		for _, name := range []string{"tls", "ca", "connections", "messages", "recipients_file", "cut_through"} {
			if at := n.child(name); at != nil {
				s.faultAt(at, "no server stands behind this domain",
					`remove this key, or write deliver = "smtp://host:25" or "lmtp://host:24"`)
			}
		}
		if at := n.child("recipients"); at != nil && d.Recipients != directory.RecipientsAccounts {
			s.faultAt(at, "the recipients of a Maildir domain are its accounts and aliases", "remove this key")
		}
		d.complete()
		return
	}
	for _, k := range domainQuotaKeys() {
		_, name, _ := strings.Cut(k.Path, "NAME.")
		if at := n.child(name); at != nil {
			s.faultAt(at, "the mailboxes of this domain are not here", "remove this key; the server behind says how much they may hold")
		}
	}
	given := d.TLS
	d.complete()
	mode, ca := n.child("tls"), n.child("ca")
	switch {
	case mode != nil && d.Deliver.Path != "":
		s.faultAt(mode, "a socket has no TLS", "remove this key")
	case mode != nil && d.Deliver.Implicit && given != mail.TLSRequired:
		s.faultAt(mode, "an smtps:// server always has verified TLS", `remove this key, or write deliver = "smtp://…"`)
	}
	if ca != nil && d.TLS != mail.TLSRequired && d.TLS != mail.TLSImplicit {
		s.faultAt(ca, "no certificate is checked on this connection", `add tls = "required"`)
	}
	file := n.child("recipients_file")
	switch {
	case d.Recipients == directory.RecipientsList && file == nil:
		s.faultAt(n.child("recipients"), "this list has no file", "add recipients_file")
	case d.Recipients != directory.RecipientsList && file != nil:
		s.faultAt(file, "this file is not read", `write recipients = "list", or remove the key recipients`)
	}
}

// checkBehind reports a server behind us that is this one.
func (s *source) checkBehind(c *Config) {
	for i, d := range c.Domains {
		if at := s.domainAt[i].child("deliver"); at != nil && d.Deliver.Behind() && c.leadsHere(d.Deliver.Host, d.Deliver.Port) {
			s.faultAt(at, "this leads back to this server", "name the server that the mail shall go to")
		}
	}
}

// checkDomainFiles looks at the files that domains name.
func (s *source) checkDomainFiles(c *Config) {
	for i, d := range c.Domains {
		if n := s.domainAt[i].child("ca"); n != nil && d.CA != "" {
			s.checkCA(d.CA, n)
		}
		if n := s.domainAt[i].child("recipients_file"); n != nil && d.RecipientsFile != "" {
			if _, err := readRecipients(d.RecipientsFile, d.Name); err != nil {
				s.faultAt(n, "these recipients cannot be read: "+cause(err), "looked for "+d.RecipientsFile)
			}
		}
	}
}
