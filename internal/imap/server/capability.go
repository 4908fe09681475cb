package server

import (
	"context"
	"slices"
	"strings"

	imapwire "sallyport/internal/imap/wire"
)

// offer is an extension that can be offered.
type offer struct {
	name string
	// When it is offered: before sign-in, after it, or always.
	before, after bool
	verbs         []string // the commands that are not there without it
}

// offers are all extensions, in the order in which they are told.
var offers = []offer{
	{name: "IMAP4rev2", before: true, after: true},
	{name: "IMAP4rev1", before: true, after: true},
	{name: "SASL-IR", before: true, after: true},
	{name: "LITERAL-", before: true},
	{name: "LITERAL+", after: true},
	{name: "ID", before: true, after: true, verbs: []string{"ID"}},
	{name: "ENABLE", before: true, after: true},
	{name: "IDLE", before: true, after: true, verbs: []string{"IDLE"}},
	{name: "NAMESPACE", after: true, verbs: []string{"NAMESPACE"}},
	{name: "UIDPLUS", after: true},
	{name: "MOVE", after: true, verbs: []string{"MOVE"}},
	{name: "UNSELECT", after: true, verbs: []string{"UNSELECT"}},
	{name: "CHILDREN", after: true},
	{name: "LIST-EXTENDED", after: true},
	{name: "LIST-STATUS", after: true},
	{name: "SPECIAL-USE", after: true},
	{name: "CREATE-SPECIAL-USE", after: true},
	{name: "STATUS=SIZE", after: true},
	{name: "ESEARCH", after: true},
	{name: "SEARCHRES", after: true},
	{name: "WITHIN", after: true},
	{name: "SORT", after: true, verbs: []string{"SORT"}},
	{name: "ESORT", after: true},
	{name: "THREAD=ORDEREDSUBJECT", after: true},
	{name: "THREAD=REFERENCES", after: true},
	{name: "MULTIAPPEND", after: true},
	{name: "REPLACE", after: true},
	{name: "COMPRESS=DEFLATE", after: true, verbs: []string{"COMPRESS"}},
	{name: "UTF8=ACCEPT", after: true},
	{name: "BINARY", after: true},
	{name: "OBJECTID", after: true},
	{name: "PREVIEW", after: true},
	{name: "QUOTA", after: true, verbs: []string{"GETQUOTA", "GETQUOTAROOT"}},
	{name: "QUOTA=RES-STORAGE", after: true},
	{name: "QUOTA=RES-MESSAGE", after: true},
	{name: "CONDSTORE", after: true},
	{name: "QRESYNC", after: true},
	{name: "UIDONLY", after: true},
	{name: "UIDBATCHES", after: true, verbs: []string{"UIDBATCHES"}},
}

// Removable returns the names of the extensions that can be switched off, for everybody or for an
// account, in capitals and in the order in which they are told. What they rest on stays: IMAP4rev1.
func Removable() []string {
	var names []string
	for _, o := range offers {
		if o.name != "IMAP4rev1" {
			names = append(names, strings.ToUpper(o.name))
		}
	}
	return names
}

// offered reports whether an extension is on offer to this client.
func (c *conn) offered(name string) bool {
	name = strings.ToUpper(name)
	if c.without[name] || slices.ContainsFunc(c.o.Without, func(w string) bool { return strings.EqualFold(w, name) }) {
		return false
	}
	// What rests on it goes with it. RFC 7162 §3.2: QRESYNC contains CONDSTORE.
	if strings.HasPrefix(name, "QUOTA=") {
		return c.offered("QUOTA")
	}
	return name != "QRESYNC" || c.offered("CONDSTORE")
}

// missing reports whether a command belongs to an extension that this client is not offered.
func (c *conn) missing(verb string) bool {
	for _, o := range offers {
		if slices.Contains(o.verbs, verb) && !c.offered(o.name) {
			return true
		}
	}
	return false
}

// capabilities lists what is offered now. RFC 9051 §6.1.1.
func (c *conn) capabilities() string {
	var out []string
	for _, o := range offers {
		again := c.deflated && o.name == "COMPRESS=DEFLATE" // RFC 4978 §3: there is none on top of it
		if (c.signedIn && o.after || !c.signedIn && o.before) && c.offered(o.name) && !again {
			out = append(out, o.name)
		}
	}
	if c.signedIn {
		return strings.Join(append(out, "APPENDLIMIT="+decimal(c.o.Limits.MessageOctets)), " ")
	}
	if c.tls == nil && c.o.TLS != nil {
		out = append(out, "STARTTLS")
	}
	mechanisms := c.mechanisms()
	if !slices.Contains(mechanisms, "PLAIN") {
		out = append(out, "LOGINDISABLED")
	}
	for _, m := range mechanisms {
		out = append(out, "AUTH="+m)
	}
	return strings.Join(out, " ")
}

// identify answers ID. RFC 2971.
func (c *conn) identify(ctx context.Context, a imapwire.ID) result {
	c.sess.Program(ctx, a.Fields)
	b := append([]byte(nil), `* ID ("name" "sallyport"`...)
	if c.o.Version != "" && c.signedIn {
		b = append(b, ` "version" `...)
		b = imapwire.AppendString(b, c.o.Version, false)
	}
	c.Line(string(b), ")")
	return ok("pleased to meet you")
}

// enable answers ENABLE; what was not offered is no fault. RFC 5161 §3.1: it is left out.
func (c *conn) enable(ctx context.Context, names []string) result {
	var done []string
	turn := func(name string, on *bool) {
		if c.offered(name) {
			*on = true
			done = append(done, name)
		}
	}
	for _, name := range names {
		switch name {
		case "CONDSTORE":
			turn(name, &c.enabled.condstore)
		case "QRESYNC": // RFC 7162 §3.2.3
			if turn(name, &c.enabled.qresync); c.enabled.qresync {
				c.enabled.condstore = true
			}
		case "UIDONLY": // RFC 9586 §3.1
			turn(name, &c.enabled.uidOnly)
		case "UTF8=ACCEPT":
			turn(name, &c.enabled.utf8)
		case "IMAP4REV2": // RFC 9051 §5.1: its names are UTF-8
			if turn("IMAP4rev2", &c.enabled.rev2); c.enabled.rev2 {
				c.enabled.utf8 = true
			}
		}
	}
	c.Line("* ENABLED", prefixed(done))
	c.heed(ctx)
	return ok("enabled")
}

// prefixed joins words with a blank before each.
func prefixed(words []string) string {
	out := ""
	for _, w := range words {
		out += " " + w
	}
	return out
}
