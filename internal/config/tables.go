package config

import (
	"slices"

	"sallyport/internal/budget/inflow"
	"sallyport/internal/filter/bounce"
)

// table is a part of the file: the keys in it, who reads it, and what reading needs.
// The list of tables is the one place that knows which there are; the reference, the
// readers and what is unknown at the top of the file are taken from it.
type table struct {
	name string // of its header; "": the top of the file
	keys []Key  // in the order of the reference, with their defaults
	// read takes the table into c; n is nil where it is missing, and its defaults
	// count.
	read func(s *source, n *node, c *Config)
	// late tables are read when the others are: they name what those define.
	late bool
}

// tables returns all tables, in the order of the reference.
func tables() []table {
	whole := func(c *Config) *Config { return c }
	return []table{
		{name: "", keys: keysOf(serverKeys()), read: (*source).top},
		{name: "listen", keys: slices.Concat(keysOf(listenKeys()), keysOf(sendmailListenKeys())), read: (*source).listen},
		plain("tls", tlsKeys, whole),
		{name: "acme", keys: keysOf(acmeKeys()), read: (*source).acme, late: true},
		plain("proxy", proxyKeys, func(c *Config) *Proxy { return &c.Proxy }),
		plain("submission", submissionKeys, func(c *Config) *Submission { return &c.Submission }),
		{name: "sendmail", keys: append(keysOf(sendmailKeys()), sendmailUserKey()), read: (*source).sendmail, late: true},
		plain("checkpassword", checkPasswordKeys, func(c *Config) *CheckPassword { return &c.CheckPassword }),
		plain("helpers", helpersKeys, func(c *Config) *Helpers { return &c.Helpers }),
		{name: "network", keys: keysOf(networkKeys()), read: (*source).networks, late: true},
		{name: "domain", keys: keysOf(domainKeys()), read: (*source).domains},
		{name: "alias", keys: append([]Key{aliasKey()}, keysOf(aliasKeys())...), read: (*source).aliases},
		{name: "ldap", keys: keysOf(ldapKeys()), read: (*source).directories},
		plain("callout", calloutKeys, func(c *Config) *Callout { return &c.Callout }),
		{name: "route", keys: keysOf(routeKeys()), read: (*source).routes},
		plain("mx", mxKeys, whole),
		plain("tls_policy", tlsPolicyKeys, func(c *Config) *TLSPolicy { return &c.TLSPolicy }),
		plain("autoconfig", autoconfigKeys, func(c *Config) *Autoconfig { return &c.Autoconfig }),
		plain("dmarc_report", dmarcReportKeys, func(c *Config) *DMARCReport { return &c.DMARCReport }),
		plain("forward", forwardKeys, func(c *Config) *Forward { return &c.Forward }),
		plain("budget", budgetKeys, func(c *Config) *Budget { return &c.Budget }),
		plain("inflow", inflowKeys, func(c *Config) *inflow.Limits { return &c.Inflow }),
		plain("hijack", hijackKeys, func(c *Config) *Hijack { return &c.Hijack }),
		plain("webhook", webhookKeys, func(c *Config) *Webhook { return &c.Webhook }),
		plain("return_path", returnPathKeys, func(c *Config) *ReturnPath { return &c.ReturnPath }),
		plain("dkim", dkimKeys, func(c *Config) *DKIM { return &c.DKIM }),
		plain("authentication", authenticationKeys, func(c *Config) *Authentication { return &c.Authentication }),
		plain("limits", limitKeys, func(c *Config) *Limits { return &c.Limits }),
		plain("retry", retryKeys, whole),
		plain("maildir", maildirKeys, whole),
		plain("mailbox", mailboxKeys, func(c *Config) *Mailbox { return &c.Mailbox }),
		plain("trace", traceKeys, whole),
		plain("auth", authKeys, whole),
		plain("screen", screenKeys, func(c *Config) *Screen { return &c.Screen }),
		{name: "dnsbl", keys: keysOf(dnsblKeys()), read: (*source).dnsbls},
		plain("oidc", oidcKeys, func(c *Config) *OIDC { return &c.OIDC }),
		plain("bounces", bouncesKeys, func(c *Config) *bounce.Policy { return &c.Bounces }),
		plain("rspamd", rspamdKeys, func(c *Config) *Rspamd { return &c.Rspamd }),
		{name: "milter", keys: keysOf(milterKeys()), read: (*source).milters},
		plain("metrics", metricsKeys, whole),
	}
}

// plain is a table of which every key goes into one field of its own.
func plain[T any](name string, entries func() []entry[T], into func(*Config) *T) table {
	return table{name: name, keys: keysOf(entries()), read: func(s *source, n *node, c *Config) { block(s, n, entries(), into(c)) }}
}

func keysOf[T any](entries []entry[T]) []Key {
	keys := make([]Key, len(entries))
	for i, e := range entries {
		keys[i] = e.Key
	}
	return keys
}

// Keys returns every key there is, in the order of the reference.
func Keys() []Key {
	var all []Key
	for _, t := range tables() {
		all = append(all, t.keys...)
	}
	return all
}

// tables reads every table of the file into c.
func (s *source) tables(root *node, c *Config) {
	for _, late := range []bool{false, true} {
		for _, t := range tables() {
			n := root
			if t.name != "" {
				n = s.table(root, t.name)
			}
			if t.late == late {
				t.read(s, n, c)
			}
		}
	}
}

// top reads the keys that stand in no table. A table's own reader reports its unknown
// keys, this one those of the top.
func (s *source) top(root *node, c *Config) {
	var inner []string
	for _, t := range tables() {
		inner = append(inner, t.name)
	}
	block(s, root, serverKeys(), c, inner...)
}

// listen reads the doors, of which that of the sendmail command belongs to it.
func (s *source) listen(n *node, c *Config) {
	block(s, n, listenKeys(), c, "sendmail")
	for _, e := range sendmailListenKeys() {
		if v := n.child(lastName(e.Path)); v != nil {
			e.read(s, e.Key, v, &c.Sendmail)
		}
	}
}
