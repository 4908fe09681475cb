package config

import (
	"bytes"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"sallyport/internal/mail"
	"sallyport/internal/screen/access"
	"sallyport/internal/screen/dnsbl"
	"sallyport/internal/screen/geo"
)

// Screen says who is kept out on port 25 before a recipient of ours is taken.
type Screen struct {
	List string // file of the administrator's list; "": none
	// ASFile and CountryFile say to which autonomous system and country an address belongs; "":
	// nothing does.
	ASFile, CountryFile string
	RefuseAt            int
	Slow                time.Duration
	Timeout             time.Duration
	Greylist            time.Duration // that strangers are put off; 0: none is
}

// Places are the files that say where an address belongs, each once.
func (s Screen) Places() (all []string) {
	for _, p := range []string{s.ASFile, s.CountryFile} {
		if p != "" && !slices.Contains(all, p) {
			all = append(all, p)
		}
	}
	return all
}

func screenKeys() []entry[Screen] {
	place := func(key, what, line string, at func(*Screen) *string) entry[Screen] {
		return parsed(Key{Path: "screen." + key, Type: TypePath, Min: "1", Max: "4096",
			Doc: `A file in the form of MaxMind DB (.mmdb) that says to which ` + what + ` an address belongs, for lines of screen.list such as "` + line +
				`". When it changes it is read anew within half a minute; one that cannot be read ` +
				`leaves the old one in use, and is told in the log and by doctor.`},
			parsePath, at)
	}
	return []entry[Screen]{
		parsed(Key{Path: "screen.list", Type: TypePath, Min: "1", Max: "4096",
			Doc: `A file of parties that are refused, deferred, slowed or exempt on port 25, one a line: ` +
				`"refuse network 192.0.2.0/24 why". The first line that fits decides. ` +
				`[screen.md](screen.md) says what a line may hold. It is read at the start and at each ` +
				`reload.`},
			parsePath, func(c *Screen) *string { return &c.List }),
		place("as_file", "autonomous system", "defer as AS64500", func(c *Screen) *string { return &c.ASFile }),
		place("country_file", "country", "slow country ZZ", func(c *Screen) *string { return &c.CountryFile }),
		count("screen.refuse_at", "10", "1", "1000",
			"The score from which somebody is refused: the sum of the weights of the lists ([dnsbl]) "+
				"that have the client.",
			func(c *Screen) *int { return &c.RefuseAt }),
		duration("screen.slow", "5s", "1s", "30s", "How long each recipient waits of somebody whom a line of screen.list slows.",
			func(c *Screen) *time.Duration { return &c.Slow }),
		duration("screen.greylist", "0s", "0s", "1h",
			"How long the first mail of a sender is put off whom nobody here knows: a network, sender "+
				"and recipient that were never seen together get 450, and are taken when they come again "+
				"after so long and within a day; from then on all of the network is known for 60 days after "+
				"it last wrote. Not put off: whom the recipient wrote to, or got mail from that passed "+
				"DMARC, whom screen.list exempts, and mail to postmaster and abuse. 0s: nobody is; 5m does "+
				"where it is wanted. It delays honest first mails, and codes that people wait for.",
			func(c *Screen) *time.Duration { return &c.Greylist }),
		duration("screen.timeout", "10s", "1s", "30s",
			"How long all questions to the DNS about one recipient's sender may take; what is not "+
				"answered by then lists nobody.",
			func(c *Screen) *time.Duration { return &c.Timeout }),
	}
}

func dnsblKeys() []entry[dnsbl.List] {
	return []entry[dnsbl.List]{
		parsed(Key{Path: "dnsbl.NAME.of", Type: TypeChoice, Default: "client",
			Doc: `What the list knows about: "client", the address that connects; "sender", the domain of ` +
				`the envelope sender; "hello", the name of EHLO or HELO; "names", both of these, and an entry of ` +
				`each counts. NAME is the zone of a list in the ` +
				`DNS, as in [dnsbl."zen.example.net"]. Each is asked about everybody who writes to us on ` +
				`port 25, but for those whom screen.list exempts, and for mail to postmaster and abuse.`},
			parseListed, func(l *dnsbl.List) *dnsbl.Subject { return &l.Of }),
		count("dnsbl.NAME.weight", "10", "-1000", "1000",
			"What an entry adds to the score of screen.refuse_at. A list of the good has a negative "+
				"one.",
			func(l *dnsbl.List) *int { return &l.Weight }),
		list(Key{Path: "dnsbl.NAME.answers", Type: TypeNetworks,
			Doc: `Which answers are entries, where a list says different things by different addresses: ` +
				`["127.0.0.2/31", "127.0.0.4/32"]. Without it all of 127.0.0.0/8 but 127.0.0.1 and ` +
				`127.0.0.255, 127.0.1.255 and the like, by which lists refuse to answer. An error of a list (127.255.255.0/24), and anything outside ` +
				`127.0.0.0/8, never counts.`},
			parseAnswers, func(l *dnsbl.List) *[]netip.Prefix { return &l.Answers }),
	}
}

// parseAnswers reads what a list may answer. What it never may would list nobody, without a word.
func parseAnswers(text string) (p netip.Prefix, message, hint string) {
	if p, message, hint = parseNetwork(text); message == "" && !dnsbl.Answers(p) {
		return p, "no list answers this, so that nobody would be listed",
			`answers lie in 127.0.0.0/8, and those in 127.255.255.0/24 are errors; write them as "127.0.0.2/31"`
	}
	return p, message, hint
}

func parseListed(text string) (s dnsbl.Subject, message, hint string) {
	for _, s := range []dnsbl.Subject{dnsbl.Client, dnsbl.Sender, dnsbl.Hello, dnsbl.Names} {
		if s.String() == text {
			return s, "", ""
		}
	}
	return dnsbl.NoSubject, "this is nothing that a list knows about", `write "client", "sender", "hello" or "names"`
}

// MaxDNSBL is how many lists of others are asked about one visitor.
const MaxDNSBL = 20

// dnsbls reads the tables of lists that others keep.
func (s *source) dnsbls(n *node, c *Config) {
	s.named(n, func(name string, t *node) {
		var l dnsbl.List
		block(s, t, dnsblKeys(), &l)
		zone, err := mail.ParseDomain(name)
		switch {
		case err != nil:
			s.fault(t.key, s.literal(t.key), "this is no zone: "+reason(err), "write it as in ["+n.path+`."zen.example.net"]`)
			return
		case slices.ContainsFunc(c.DNSBL, func(o dnsbl.List) bool { return o.Zone == zone }):
			s.fault(t.key, s.literal(t.key), "this list stands here a second time", "its other spelling means the same: "+zone.ASCII())
			return
		case l.Weight == 0 && t.child("weight") != nil:
			s.faultAt(t.child("weight"), "a list without weight changes nothing", "remove the table, or give it a weight")
		}
		l.Zone = zone
		if c.DNSBL = append(c.DNSBL, l); len(c.DNSBL) == MaxDNSBL+1 {
			s.fault(t.key, s.literal(t.key), "these are more lists than are ever asked", "name at most twenty")
		}
	})
}

// maxAccessList bounds the file of screen.list, in octets.
const maxAccessList = 16 << 20

// ReadAccessList reads the file of screen.list. The error is an access.Faults where lines of
// it cannot be read.
func ReadAccessList(path string) (access.List, error) {
	text, err := readFile(path, maxAccessList)
	if err != nil {
		return access.List{}, err
	}
	return access.Parse(bytes.NewReader(text))
}

// checkScreen looks at the administrator's list, and at the files of places.
func (s *source) checkScreen(c *Config, root *node) {
	for key, p := range map[string]string{"as_file": c.Screen.ASFile, "country_file": c.Screen.CountryFile} {
		if p == "" {
			continue
		}
		if _, err := geo.Open([]string{p}, slog.New(slog.DiscardHandler)); err != nil {
			s.faultAt(root.child("screen", key), "this file cannot be read: "+cause(err), "looked for "+p)
		}
	}
	n := root.child("screen", "list")
	if n == nil || c.Screen.List == "" {
		return
	}
	list, err := ReadAccessList(c.Screen.List)
	var faults access.Faults
	switch {
	case err == nil:
		s.checkPlaces(c, list, n)
	case errors.As(err, &faults):
		for _, f := range faults {
			s.faults = append(s.faults, Fault{Position: Position{File: c.Screen.List, Line: f.Line, Column: 1}, Message: f.Text})
		}
	default:
		s.faultAt(n, "this list cannot be read: "+cause(err), "looked for "+c.Screen.List)
	}
}

// checkPlaces looks whether what the list asks of an address is said by a file.
func (s *source) checkPlaces(c *Config, list access.List, at *node) {
	if list.Asks(access.System) && c.Screen.ASFile == "" {
		s.faultAt(at, "it has lines about an autonomous system, and nothing says to which an address belongs",
			"name a file in screen.as_file")
	}
	if list.Asks(access.Country) && c.Screen.CountryFile == "" {
		s.faultAt(at, "it has lines about a country, and nothing says to which an address belongs", "name a file in screen.country_file")
	}
}
