package config

import (
	"sallyport/internal/mail"
)

// Sendmail says who of this host's users may send by the sendmail command, and as
// whom. Without an entry nobody may.
type Sendmail struct {
	Socket string                  // where the command finds the server; "": nowhere
	Domain mail.Domain             // where a user's name is an account of the same name; zero: nowhere
	Users  map[string]mail.Address // by user name, or uid in digits
}

func sendmailListenKeys() []entry[Sendmail] {
	return []entry[Sendmail]{
		parsed(Key{Path: "listen.sendmail", Type: TypeSocket, Restart: "the sendmail commands that run know the socket by its path", Min: "1", Max: "4096",
			Doc: "The UNIX socket of the sendmail command, such as /run/sallyport/sendmail.sock, where the " +
				"command looks by itself. Every user of this host may open it (mode 0666, in a folder of " +
				"mode 0755 that is made where it is missing; nobody but root and the server's user may be " +
				"able to write into a folder on the way to it, or other users' commands do not trust it), " +
				"and is known by the uid that the kernel tells. Without it there is no such door."},
			parsePath, func(s *Sendmail) *string { return &s.Socket }),
	}
}

func sendmailKeys() []entry[Sendmail] {
	return []entry[Sendmail]{
		parsed(Key{Path: "sendmail.domain", Type: TypeHost,
			Doc: "A domain of ours where each user of this host sends as the account of that name, if " +
				"there is such an account: alice as alice@ this domain. A name with capitals or signs other " +
				"than - _ . matches nothing. Without it, only those of sendmail.users may send."},
			parseSendmailDomain, func(s *Sendmail) *mail.Domain { return &s.Domain }),
	}
}

func sendmailUserKey() Key {
	return Key{Path: "sendmail.users.NAME", Type: TypeAddress,
		Doc: "The account that a user of this host sends as, by name or by uid in digits; it comes before sendmail.domain."}
}

func parseSendmailDomain(text string) (mail.Domain, string, string) {
	d, err := mail.ParseHostname(text)
	if err != nil {
		return d, "this is no domain: " + reason(err), `write it as "example.org"`
	}
	return d, "", ""
}

// sendmail reads who may use the sendmail command, and as whom.
func (s *source) sendmail(n *node, c *Config) {
	block(s, n, sendmailKeys(), &c.Sendmail, "users")
	if n == nil {
		return
	}
	s.checkOursDomain(c, n.child("domain"), c.Sendmail.Domain)
	users := s.table(n, "users")
	if users == nil {
		return
	}
	c.Sendmail.Users = map[string]mail.Address{}
	for _, name := range users.names {
		v := users.children[name]
		var a mail.Address
		parsed(sendmailUserKey(), parseMailbox, func(a *mail.Address) *mail.Address { return a }).read(s, sendmailUserKey(), v, &a)
		s.checkOurs(c, v, a)
		if name == "" || len(name) > mostUnixName {
			s.fault(v.key, s.literal(v.key), "this is no user's name", `write "www-data", or the uid in quotes`)
			continue
		}
		c.Sendmail.Users[name] = a
	}
}

// checkOursDomain reports a domain that must be one of our own and is not.
func (s *source) checkOursDomain(c *Config, n *node, d mail.Domain) {
	if n != nil && !d.IsZero() && !c.ours(d) {
		s.faultAt(n, "this domain is none of ours", `the domains are those with a [domain."…"] table`)
	}
}
