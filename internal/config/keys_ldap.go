package config

import (
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"sallyport/internal/directory"
	"sallyport/internal/ldap/terms"
)

// LDAP is one directory of an organisation.
type LDAP struct {
	Name         string
	Servers      []LDAPServer
	Clear        bool // without TLS, on this host
	CA           string
	BindDN       terms.DN // zero: nobody signs in to search
	PasswordFile string
	Base         terms.DN
	Filter       terms.Filter
	Address      terms.Attribute
	Aliases      []terms.Attribute
	Entry        terms.Attribute // "": none
	Groups       terms.Attribute
	Senders      []string // groups; none: everybody sends
	Receivers    []string // groups; none: everybody has a mailbox
	Every        time.Duration
	Timeout      time.Duration
	Connections  int
	Entries      int
}

// LDAPServer is one server of a directory.
type LDAPServer struct {
	Host     string
	Port     uint16
	Implicit bool // TLS from the first octet
}

// MaxDirectories is how many directories a configuration may name, and MaxServers how many
// servers each may have.
const (
	MaxDirectories = 8
	MaxServers     = 8
)

func ldapKeys() []entry[LDAP] {
	attribute := func(path, def, doc string, field func(*LDAP) *terms.Attribute) entry[LDAP] {
		return parsed(Key{Path: path, Type: TypeText, Default: def, Max: "100", Doc: doc}, parseAttribute, field)
	}
	groups := func(path, doc string, field func(*LDAP) *[]string) entry[LDAP] {
		return list(Key{Path: path, Type: TypeWords, Doc: doc}, parseGroup, field)
	}
	return slices.Concat(ldapServerKeys(), []entry[LDAP]{
		parsed(Key{Path: "ldap.NAME.base", Type: TypeText, Required: true, Max: "1000", Example: "ou=people,dc=example,dc=org",
			Doc: "The distinguished name below which people stand."},
			parseDN, func(l *LDAP) *terms.DN { return &l.Base }),
		parsed(Key{Path: "ldap.NAME.filter", Type: TypeText, Max: "1000", Default: "(objectClass=person)",
			Doc: "Which entries below ldap.NAME.base are people, as RFC 4515 writes a filter. Who does not pass it is not there: a filter is also how those are left out whom the directory has disabled."},
			parseFilter, func(l *LDAP) *terms.Filter { return &l.Filter }),
		attribute("ldap.NAME.address", "mail", "The attribute with the address of a person, which names the account and signs in. An entry has one such address in the domains of this directory; with several, it is passed over, which status tells, unless one is marked as in proxyAddresses of Exchange (SMTP: in capitals).",
			func(l *LDAP) *terms.Attribute { return &l.Address }),
		list(Key{Path: "ldap.NAME.aliases", Type: TypeWords,
			Doc: `Attributes with further addresses of a person, such as ["proxyAddresses"] or ["mailAlternateAddress"]: mail for them goes to the account, which may send as them. Whoever may write these attributes, and ldap.NAME.address, decides who sends as whom: they must not be people's own to change. postmaster and abuse are nobody's by this way, and an address that is an account's or an alias's already, or somebody else's with a detail behind "+", stays what it is.`},
			parseAttribute, func(l *LDAP) *[]terms.Attribute { return &l.Aliases }),
		attribute("ldap.NAME.entry", "entryUUID", `The attribute that names an entry for good: entryUUID, or objectGUID of Active Directory. When an address belongs to another entry than before, it is another person's now: app passwords, certificates, the forward, delegates, the role bulk, limits that were raised and what else is known of the former person end, and the mailbox stays. When an entry has another address than before, a freeze, a revoked password, limits and ways to sign in of its former account hold for the new one. Entries without it are told apart by their own names (the first part of the DN). In the first list after this key names another attribute nobody is another person for that.`,
			func(l *LDAP) *terms.Attribute { return &l.Entry }),
		attribute("ldap.NAME.groups", "memberOf", "The attribute of a person that says of which groups he is. Only ldap.NAME.senders and ldap.NAME.receivers ask for it.",
			func(l *LDAP) *terms.Attribute { return &l.Groups }),
		groups("ldap.NAME.senders", `Who may send: values of ldap.NAME.groups, such as ["cn=mail,ou=groups,dc=example,dc=org"]; distinguished names are compared as such, without regard to capitals. Without it everybody may. A group that had members and has none any more is a fault, and the former list stays.`,
			func(l *LDAP) *[]string { return &l.Senders }),
		groups("ldap.NAME.receivers", "Who has a mailbox and an account at all: values of ldap.NAME.groups. Without it everybody has. Only who receives can send, since bounces come to the sender.",
			func(l *LDAP) *[]string { return &l.Receivers }),
		duration("ldap.NAME.every", "5m", "10s", "1d", "How often the whole list of people is fetched. A list that ends in any error leaves the former one in force.",
			func(l *LDAP) *time.Duration { return &l.Every }),
		count("ldap.NAME.entries", "200000", "1", "10000000", "The most entries of a list; one that is longer is a fault.",
			func(l *LDAP) *int { return &l.Entries }),
	})
}

func ldapServerKeys() []entry[LDAP] {
	return []entry[LDAP]{
		list(Key{Path: "ldap.NAME.urls", Type: TypeURLs, Required: true, Example: "ldaps://ldap.example.org",
			Doc: `The servers of the directory, in the order in which they are tried: "ldaps://host:port" (port 636 where none is given) for TLS from the first octet, "ldap://host:port" (389) for StartTLS. The certificate must be good for the host as it is written here. At most 8.`},
			parseLDAPServer, func(l *LDAP) *[]LDAPServer { return &l.Servers }),
		parsed(Key{Path: "ldap.NAME.tls", Type: TypeChoice, Default: "required",
			Doc: `"required", or "off" for ldap:// to a loopback address alone, where passwords go in clear text.`},
			parseLDAPTLS, func(l *LDAP) *bool { return &l.Clear }),
		parsed(Key{Path: "ldap.NAME.ca", Type: TypePath, Min: "1", Max: "4096",
			Doc: "A PEM file of the certificates to trust for the directory, instead of the system's."},
			parsePath, func(l *LDAP) *string { return &l.CA }),
		parsed(Key{Path: "ldap.NAME.bind_dn", Type: TypeText, Max: "1000",
			Doc: "The distinguished name of the account that searches; it needs to read the attributes named below, and nothing else. Without it searches are anonymous."},
			parseDN, func(l *LDAP) *terms.DN { return &l.BindDN }),
		parsed(Key{Path: "ldap.NAME.password_file", Type: TypePath, Min: "1", Max: "4096",
			Doc: "A file with the password of ldap.NAME.bind_dn in its only line. Nobody but its owner and its group may have access (mode 0600 or 0640)."},
			parsePath, func(l *LDAP) *string { return &l.PasswordFile }),
		duration("ldap.NAME.timeout", "5s", "500ms", "30s", "How long the directory may take over one question, the connection included; then nobody can tell, and a sign-in gets 454.",
			func(l *LDAP) *time.Duration { return &l.Timeout }),
		count("ldap.NAME.connections", "4", "1", "100", "The most connections for searches at once, and as many again for passwords.",
			func(l *LDAP) *int { return &l.Connections }),
	}
}

func parseLDAPServer(text string) (s LDAPServer, message, hint string) {
	hint = `write it as "ldaps://ldap.example.org" or "ldap://ldap.example.org:389"`
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "":
		return s, "this is no URL of a directory", hint
	case strings.EqualFold(u.Scheme, "ldaps"):
		s = LDAPServer{Port: 636, Implicit: true}
	case strings.EqualFold(u.Scheme, "ldap"):
		s = LDAPServer{Port: 389}
	default:
		return s, "this kind of URL is unknown here: " + u.Scheme, hint
	}
	s.Host, s.Port, message = parseAuthority(text, s.Port)
	return s, message, hint
}

func parseLDAPTLS(text string) (clear bool, message, hint string) {
	switch text {
	case "required":
		return false, "", ""
	case "off":
		return true, "", ""
	}
	return false, "this is no way to secure a directory", `write "required", or "off" for a directory on this host`
}

func parseAttribute(text string) (a terms.Attribute, message, hint string) {
	a, err := terms.ParseAttribute(text)
	if err != nil {
		return "", err.Error(), `write it as "mail"`
	}
	return a, "", ""
}

// maxTerm is the most octets of a name, a filter or a group.
const maxTerm = 1000

func parseDN(text string) (d terms.DN, message, hint string) {
	d, err := terms.ParseDN(text)
	if err != nil || len(text) > maxTerm {
		return d, "this is no distinguished name", `write it as "ou=people,dc=example,dc=org"`
	}
	return d, "", ""
}

func parseFilter(text string) (f terms.Filter, message, hint string) {
	f, err := terms.ParseFilter(text)
	if err != nil || len(text) > maxTerm {
		return f, "this is no filter", `write it with its parentheses: "(objectClass=person)"`
	}
	return f, "", ""
}

// parseGroup takes any value that is one line.
func parseGroup(text string) (group, message, hint string) {
	if text == "" || len(text) > maxTerm || strings.ContainsFunc(text, func(c rune) bool { return c < ' ' || c == 0x7f }) {
		return "", "this is no group", `write it as "cn=mail,ou=groups,dc=example,dc=org"`
	}
	return text, "", ""
}

// directories reads the tables of the directories, in the order of the file.
func (s *source) directories(n *node, c *Config) {
	s.named(n, func(name string, t *node) {
		l := LDAP{Name: name}
		block(s, t, ldapKeys(), &l)
		if !isWord(name) {
			s.fault(t.key, s.literal(t.key), "this is no name of 1 to 40 letters, digits and hyphens", "write ["+n.path+".office]")
			return
		}
		s.settleLDAP(&l, t)
		if c.LDAP = append(c.LDAP, l); len(c.LDAP) == MaxDirectories+1 {
			s.fault(t.key, s.literal(t.key), "these are more directories than are asked", "name at most "+strconv.Itoa(MaxDirectories))
		}
	})
}

// settleLDAP reports keys of a directory that contradict each other.
func (s *source) settleLDAP(l *LDAP, t *node) {
	if urls := t.child("urls"); urls != nil && len(urls.items) == 0 {
		s.faultAt(urls, "this directory has no server", `write urls = ["ldaps://ldap.example.org"]`)
	}
	if len(l.Servers) > MaxServers {
		s.faultAt(t.child("urls"), "these are more servers than are tried", "name at most "+strconv.Itoa(MaxServers))
	}
	for _, server := range l.Servers {
		if !l.Clear {
			break
		}
		ip, err := netip.ParseAddr(server.Host)
		switch {
		case server.Implicit:
			s.faultAt(t.child("tls"), "an ldaps:// server has TLS", `remove this key, or write "ldap://"`)
		case err != nil || !ip.IsLoopback():
			s.faultAt(t.child("tls"), "passwords would cross the network in clear text", `"off" is for 127.0.0.1 and [::1] alone; remove this key`)
		}
	}
	bind, password := t.child("bind_dn"), t.child("password_file")
	switch {
	case bind != nil && password == nil:
		s.faultAt(bind, "this account has no password", "add password_file")
	case password != nil && bind == nil:
		s.faultAt(password, "nobody signs in with this password", "add bind_dn, or remove this key")
	}
}

// directoryOf returns the directory that a domain names, or the only one there is.
func (c *Config) directoryOf(d Domain) (l LDAP, ok bool) {
	if d.LDAP == "" && len(c.LDAP) == 1 { // there is no doubt
		return c.LDAP[0], true
	}
	i := slices.IndexFunc(c.LDAP, func(l LDAP) bool { return l.Name == d.LDAP })
	if i < 0 {
		return LDAP{}, false
	}
	return c.LDAP[i], true
}

// settleDirectories gives each domain that asks a directory its name, and reports where there
// is none.
func (s *source) settleDirectories(c *Config) {
	for i := range c.Domains {
		d, n := &c.Domains[i], s.domainAt[i]
		asks, at := d.AsksLDAP(), n.child("accounts")
		if at == nil {
			at = n.child("recipients")
		}
		named := n.child("ldap")
		l, ok := c.directoryOf(*d)
		switch {
		case !asks && named != nil:
			s.faultAt(named, "nothing of this domain comes from a directory", `add accounts = "ldap", or recipients = "ldap" for a domain with a server behind`)
		case !asks:
		case !ok && named != nil:
			s.faultAt(named, "there is no such directory", "add [ldap."+d.LDAP+"], or name one that there is")
		case !ok && len(c.LDAP) > 0:
			s.faultAt(at, "nothing says which of the directories", `add ldap = "`+c.LDAP[0].Name+`", say`)
		case !ok:
			s.faultAt(at, "there is no directory", "add [ldap.office] with urls and base")
		default:
			d.LDAP = l.Name
		}
	}
}

// checkLDAPFiles looks at the files that directories name.
func (s *source) checkLDAPFiles(c *Config, root *node) {
	for _, l := range c.LDAP {
		t := root.child("ldap", l.Name)
		if n := t.child("ca"); n != nil && l.CA != "" {
			s.checkCA(l.CA, n)
		}
		if n := t.child("password_file"); n != nil && l.PasswordFile != "" {
			if _, err := ReadPassword(l.PasswordFile); err != nil {
				s.faultAt(n, cause(err), secretHint(err, l.PasswordFile))
			}
		}
	}
}

// AsksLDAP reports whether something of the domain comes from a directory.
func (d Domain) AsksLDAP() bool {
	return d.LDAPAccounts || d.Recipients == directory.RecipientsDirectory
}
