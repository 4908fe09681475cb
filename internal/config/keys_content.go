package config

import (
	"net/url"
	"slices"
	"strings"
	"time"
)

// Place is where a program listens.
type Place struct {
	Network string // "tcp", "unix", "http" or "https"; "": nowhere
	Address string // host:port, or the path of a socket
}

// Check is what all checks of content by other programs have in common.
type Check struct {
	Place
	Timeout time.Duration
	MaxSize int64 // octets of the largest message that is shown
	// AcceptDown takes messages when there is no answer; else they are deferred.
	AcceptDown  bool
	Accounts    bool // also what accounts submit
	Connections int  // at once
}

// Rspamd says whether and how an Rspamd is asked.
type Rspamd struct {
	Check
	PasswordFile string // "": no password
	// MarkOnly leaves spam in the inbox, with header fields that name it.
	MarkOnly bool
}

// Milter is one filter that is shown messages.
type Milter struct {
	Check
	Name   string
	Fields []string // that it may add beside X-…
}

func rspamdKeys() []entry[Rspamd] {
	return []entry[Rspamd]{
		parsed(Key{Path: "rspamd.url", Type: TypeURL,
			Doc: `Where an Rspamd listens that is asked about each message from outside when it has come ` +
				`whole: "http://127.0.0.1:11333", "https://host:port", or "unix:///path" of a socket, of ` +
				`its normal worker or its proxy. Without it none is asked.`},
			parseRspamd, func(r *Rspamd) *Place { return &r.Place }),
		parsed(Key{Path: "rspamd.password_file", Type: TypePath, Min: "1", Max: "4096",
			Doc: "A file with the password that Rspamd asks for in its only line. Nobody but its owner and " +
				"its group may have access (mode 0600 or 0640)."},
			parsePath, func(r *Rspamd) *string { return &r.PasswordFile }),
		parsed(Key{Path: "rspamd.spam", Type: TypeChoice, Default: "junk",
			Doc: `What becomes of mail from outside that Rspamd wants marked (add header, rewrite subject, ` +
				`quarantine): "junk", and mailboxes of ours keep it apart; or "field", and only the fields ` +
				`X-Spam and X-Spam-Status say so. What it rejects is refused, what it rejects softly is put ` +
				`off, what it wants discarded is held in the queue.`},
			parseSpam, func(r *Rspamd) *bool { return &r.MarkOnly }),
		duration("rspamd.timeout", "15s", "1s", "50s", "How long Rspamd may take over one message.",
			func(r *Rspamd) *time.Duration { return &r.Timeout }),
		size("rspamd.max_size", "20MiB", "1KiB", "1GiB",
			"The largest message that Rspamd is shown; larger ones are taken unseen, which the trace "+
				"notes.",
			func(r *Rspamd) *int64 { return &r.MaxSize }),
		parsed(Key{Path: "rspamd.down", Type: TypeChoice, Default: "defer", Doc: "What becomes of mail while Rspamd gives no answer: " + downDoc},
			parseDown, func(r *Rspamd) *bool { return &r.AcceptDown }),
		parsed(Key{Path: "rspamd.accounts", Type: TypeChoice, Default: "off", Doc: `Whether Rspamd is also asked about what accounts submit: "on" or "off". Such mail is ` +
			`refused, put off or held like any other, and never marked.`},
			parseSwitch, func(r *Rspamd) *bool { return &r.Accounts }),
		count("rspamd.connections", "20", "1", "1000",
			"The most connections to Rspamd at once; a message waits for one within rspamd.timeout.",
			func(r *Rspamd) *int { return &r.Connections }),
	}
}

const downDoc = `"defer", and the sender is told to try again (451); or "accept", unseen, which the trace notes. ` +
	`Where this server itself lacks what it takes to ask, mail is deferred in any case.`

func milterKeys() []entry[Milter] {
	return []entry[Milter]{
		parsed(Key{Path: "milter.NAME.address", Type: TypeURL, Required: true, Example: "unix:///run/filter/milter.sock",
			Doc: `Where a milter listens that is shown each message from outside when it has come whole: ` +
				`"tcp://host:port" or "unix:///path". Several are asked in the order of the file.`},
			parseMilter, func(m *Milter) *Place { return &m.Place }),
		list(Key{Path: "milter.NAME.fields", Type: TypeWords,
			Doc: `Header fields that the milter may add, beside all that begin with "X-": ` +
				`["DKIM-Signature"]. Others that it adds are left out, which the trace notes.`},
			parseFieldName, func(m *Milter) *[]string { return &m.Fields }),
		duration("milter.NAME.timeout", "15s", "1s", "50s", "How long the milter may take over one message.",
			func(m *Milter) *time.Duration { return &m.Timeout }),
		size("milter.NAME.max_size", "20MiB", "1KiB", "1GiB",
			"The largest message that the milter is shown; larger ones are taken unseen, which the "+
				"trace notes.",
			func(m *Milter) *int64 { return &m.MaxSize }),
		parsed(Key{Path: "milter.NAME.down", Type: TypeChoice, Default: "defer", Doc: "What becomes of mail while the milter gives no answer: " + downDoc},
			parseDown, func(m *Milter) *bool { return &m.AcceptDown }),
		parsed(Key{Path: "milter.NAME.accounts", Type: TypeChoice, Default: "off", Doc: `Whether the milter is also shown what accounts submit: "on" or "off".`},
			parseSwitch, func(m *Milter) *bool { return &m.Accounts }),
		count("milter.NAME.connections", "20", "1", "1000",
			"The most connections to the milter at once; a message waits for one within its timeout.",
			func(m *Milter) *int { return &m.Connections }),
	}
}

func parseRspamd(text string) (p Place, message, hint string) {
	return parsePlace(text, `write it as "http://127.0.0.1:11333" or "unix:///run/rspamd/worker.sock"`, "http", "https")
}

func parseMilter(text string) (p Place, message, hint string) {
	return parsePlace(text, `write it as "tcp://127.0.0.1:8891" or "unix:///run/filter/milter.sock"`, "tcp")
}

func parsePlace(text, hint string, schemes ...string) (Place, string, string) {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Opaque != "" || u.RawQuery != "" || u.Fragment != "" || u.ForceQuery:
		return Place{}, "this is no URL of a check", hint
	case u.User != nil:
		return Place{}, "a URL is no place for a password", hint
	case u.Scheme == "unix" && u.Host == "" && strings.HasPrefix(u.Path, "/") && len(u.Path) > 1 && len(u.Path) <= maxSocketPath:
		return Place{Network: "unix", Address: u.Path}, "", ""
	case u.Scheme == "unix":
		return Place{}, "this is no absolute path of a socket of at most 107 characters", hint
	case !slices.Contains(schemes, u.Scheme):
		return Place{}, "this kind of URL is unknown here: " + u.Scheme, hint
	case u.Path != "" && u.Path != "/":
		return Place{}, "this URL is only a host and a port", hint
	case u.Port() == "":
		return Place{}, "this URL has no port", hint
	}
	if _, message := parseHopHost(u.Hostname()); message != "" {
		return Place{}, message, hint
	}
	return Place{Network: u.Scheme, Address: u.Host}, "", ""
}

func parseSpam(text string) (only bool, message, hint string) {
	switch text {
	case "junk":
		return false, "", ""
	case "field":
		return true, "", ""
	}
	return false, "this is no way to treat spam", `write "junk" or "field"`
}

func parseDown(text string) (accept bool, message, hint string) {
	switch text {
	case "defer":
		return false, "", ""
	case "accept":
		return true, "", ""
	}
	return false, "this is nothing that can be done without an answer", `write "defer" or "accept"`
}

// parseFieldName takes a name of a header field that a filter may add. Those that say
// who wrote, whereto and by which way are nobody's to add.
func parseFieldName(text string) (name, message, hint string) {
	if text == "" || len(text) > mostFieldName || strings.ContainsFunc(text, func(c rune) bool { return c <= ' ' || c > '~' || c == ':' }) {
		return "", "this is no name of a header field", `write it as "DKIM-Signature"`
	}
	switch strings.ToLower(text) {
	case "from", "sender", "reply-to", "to", "cc", "bcc", "received", "return-path", "date", "message-id", "subject",
		"mime-version", "content-type", "content-transfer-encoding":
		return "", "no filter may add this field", "remove it"
	}
	return text, "", ""
}

// MaxMilters is how many milters a message may be shown.
const MaxMilters = 8

// milters reads the tables of the milters, in the order of the file.
func (s *source) milters(n *node, c *Config) {
	s.named(n, func(name string, t *node) {
		m := Milter{Name: name}
		block(s, t, milterKeys(), &m)
		if !isWord(name) {
			s.fault(t.key, s.literal(t.key), "this is no name of 1 to 40 letters, digits and hyphens", "write ["+n.path+".filter]")
			return
		}
		if c.Milters = append(c.Milters, m); len(c.Milters) == MaxMilters+1 {
			s.fault(t.key, s.literal(t.key), "these are more milters than are ever asked", "name at most eight")
		}
	})
}

func isWord(s string) bool {
	return s != "" && len(s) <= mostWord && !strings.ContainsFunc(s, func(c rune) bool {
		return c != '-' && c != '_' && (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z')
	})
}

// checkContent looks at the password of Rspamd.
func (s *source) checkContent(c *Config, root *node) {
	if n := root.child("rspamd", "password_file"); n != nil && c.Rspamd.PasswordFile != "" {
		if _, err := ReadPassword(c.Rspamd.PasswordFile); err != nil {
			s.faultAt(n, cause(err), secretHint(err, c.Rspamd.PasswordFile))
		}
	}
}
