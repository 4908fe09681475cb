package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"sallyport/internal/kit/toml"
	"sallyport/internal/mail"
)

// Template is what a new configuration is made from.
type Template struct {
	Hostname    mail.Domain
	Domain      mail.Domain // zero: none yet
	Data        string
	Cert, Key   string // both empty: no TLS yet, and so no submission
	MX          string // IP:port; 0.0.0.0 stands for [::] as well with Both; "": written as a comment
	Submission  string
	Submissions string
	IMAP, IMAPS string
	POP3, POP3S string
	Both        bool              // all addresses of IPv6 beside those of IPv4
	Sendmail    string            // socket of the sendmail command; "": written as a comment
	Users       map[string]string // accounts of this host's users, by name or uid
	Routes      []TemplateRoute
	NoMX        bool     // mail for domains without a route waits
	Hijack      string   // how accounts are watched; "": as by default
	Preamble    []string // comment lines at the head
}

// TemplateRoute is one route of a Template.
type TemplateRoute struct {
	Domain string // or "*"
	To     string
}

// Text returns a commented configuration file. Whatever the Template leaves out
// is shown as a comment, so that nothing is open that was not asked for.
func (t Template) Text() []byte {
	var b strings.Builder
	for _, line := range t.Preamble {
		b.WriteString(strings.TrimRight("# "+line, " ") + "\n")
	}
	fmt.Fprintf(&b, "\nhostname = %s   # the name of this server, in the DNS too\n", toml.Quote(t.Hostname.ASCII()))
	fmt.Fprintf(&b, "data     = %s   # queue, accounts, trace and mailboxes\n", toml.Quote(t.Data))
	b.WriteString("\n[listen]\n")
	t.listenLine(&b, "mx         ", t.MX, "0.0.0.0:25", "the world; never relays")
	t.listenLine(&b, "submission ", t.Submission, "0.0.0.0:587", "STARTTLS, then AUTH; needs [tls] or [acme]")
	t.listenLine(&b, "submissions", t.Submissions, "0.0.0.0:465", "TLS from the first octet; needs [tls] or [acme]")
	t.listenLine(&b, "imap       ", t.IMAP, "0.0.0.0:143", "mailboxes: STARTTLS, then sign-in; needs [tls] or [acme]")
	t.listenLine(&b, "imaps      ", t.IMAPS, "0.0.0.0:993", "mailboxes: TLS from the first octet; needs [tls] or [acme]")
	t.listenLine(&b, "pop3       ", t.POP3, "0.0.0.0:110", "the same by POP3")
	t.listenLine(&b, "pop3s      ", t.POP3S, "0.0.0.0:995", "the same by POP3, TLS from the first octet")
	listenText(&b, "sendmail   ", t.Sendmail, "/run/sallyport/sendmail.sock", "programs of this host; see [sendmail]")
	b.WriteString("\n")
	if t.Cert != "" {
		fmt.Fprintf(&b, "[tls]\ncert = %s\nkey  = %s\n", toml.Quote(t.Cert), toml.Quote(t.Key))
	} else {
		b.WriteString("# [tls]\n# cert = \"/etc/ssl/certs/mail.pem\"     # the chain, own certificate first\n# key  = \"/etc/ssl/private/mail.key\"   # mode 0600 or 0640\n# or obtained and renewed by the server itself:\n# [acme]\n# agree  = \"yes\"                       # to the terms of Let's Encrypt\n")
		t.challengeLine(&b)
	}
	if !t.Domain.IsZero() {
		fmt.Fprintf(&b,
			"\n# A domain of ours: its mail is delivered here, and its accounts may send.\n[domain.%s]\ndeliver = \"maildir\"\n",
			toml.Quote(t.Domain.ASCII()))
	}
	if t.Hijack != "" {
		fmt.Fprintf(&b, "\n# What follows when an account behaves as if somebody else used it.\n[hijack]\nmode = %s\n", toml.Quote(t.Hijack))
	}
	t.users(&b)
	d := "example.org"
	if !t.Domain.IsZero() {
		d = t.Domain.ASCII()
	}
	fmt.Fprintf(&b, "\n# Addresses that stand for others of ours.\n[alias]\n# \"sales@%s\" = [\"alice@%s\"]\n", d, d)
	b.WriteString("\n# The next hop of other domains; \"*\" is a smarthost. Only signed-in accounts' mail goes\n# there. A domain without a route is reached by its MX records.\n")
	if len(t.Routes) == 0 {
		b.WriteString("# [route.\"*\"]\n# to = \"smtps://smart.example.net\"\n# user = \"me\"\n# password_file = \"smarthost.password\"\n")
	}
	for _, r := range t.Routes {
		fmt.Fprintf(&b, "[route.%s]\nto = %s\n", toml.Quote(r.Domain), toml.Quote(r.To))
	}
	if t.NoMX {
		b.WriteString("\n# Mail for domains without a route waits: nothing leaves this host by itself.\n[mx]\ndelivery = \"off\"\n\n# Nor is the DNS asked about those who bring mail.\n[authentication]\ncheck = \"off\"\n")
		b.WriteString("\n# Whoever tries this out comes from this host, and one mailbox stands for many. Elsewhere the\n# defaults bound what one place brings into one mailbox.\n[inflow]\nshare_messages   = 1000000\nshare_size       = \"4GiB\"\nmailbox_messages = 1000000\nmailbox_size     = \"4GiB\"\n")
	}
	return []byte(b.String())
}

// users writes whose accounts the users of this host send as.
func (t Template) users(b *strings.Builder) {
	if len(t.Users) == 0 {
		return
	}
	b.WriteString("\n# Users of this host who may send by 'sallyport sendmail', by name or uid.\n[sendmail.users]\n")
	for _, name := range slices.Sorted(maps.Keys(t.Users)) {
		fmt.Fprintf(b, "%s = %s\n", toml.Quote(name), toml.Quote(t.Users[name]))
	}
}

// listenText writes a listener that is one text.
func listenText(b *strings.Builder, name, path, example, meaning string) {
	mark := ""
	if path == "" {
		mark, path = "# ", example
	}
	fmt.Fprintf(b, "%s%s = %s   # %s\n", mark, name, toml.Quote(path), meaning)
}

// listenLine writes a listener, as a comment where there is none.
func (t Template) listenLine(b *strings.Builder, name, addr, example, meaning string) {
	mark := ""
	if addr == "" {
		mark, addr = "# ", example
	}
	fmt.Fprintf(b, "%s%s = [%s]   # %s\n", mark, name, t.addresses(addr), meaning)
}

// addresses are the members of a list: an address, and the same of IPv6 beside all of IPv4.
func (t Template) addresses(addr string) string {
	if port, all := strings.CutPrefix(addr, "0.0.0.0:"); all && t.Both {
		return toml.Quote(addr) + ", " + toml.Quote("[::]:"+port)
	}
	return toml.Quote(addr)
}

// challengeLine writes, as a comment, where the challenges of an authority would be answered.
func (t Template) challengeLine(b *strings.Builder) {
	fmt.Fprintf(b, "# listen = [%s]   # where its challenges are answered\n", t.addresses("0.0.0.0:80"))
}
