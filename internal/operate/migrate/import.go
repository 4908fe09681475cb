package migrate

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"sallyport/internal/mail"
)

// Source is what is imported.
type Source struct {
	Main     []byte // main.cf
	MainFile string // as the report names it
	// Master is master.cf; nil where it is not there.
	Master     []byte
	MasterFile string
	Dir        string // the folder, as config_directory
	Host       string // the name of the host that it ran on
	Read       Files
}

// Result is what came out of an import.
type Result struct {
	Lines     []Verdict         // of main.cf in its order, then of master.cf, then of the tables
	Config    []byte            // a configuration; it may still lack what the Lines say
	Secrets   map[string]string // files beside it: name and content
	People    []string          // accounts to make, to receive and to send
	Forwards  []Forward         // forwards to add when the accounts are there
	Delegates []Delegate        // rights to add when the accounts are there
}

// Forward leads an account's mail on to other servers.
type Forward struct {
	Account string   `json:"account"`
	Targets []string `json:"targets"`
	Keep    bool     `json:"keep"`
}

// Delegate is an account that may send as an address.
type Delegate struct {
	Account string `json:"account"`
	Address string `json:"address"`
}

// Lost counts what could not be carried over, by topic, and all of it.
func (r Result) Lost() (by map[Topic]int, all int) {
	by = map[Topic]int{}
	for _, v := range r.Lines {
		if v.Kind == Lost {
			by[v.Topic]++
			all++
		}
	}
	return by, all
}

// importer gathers what the configuration says.
type importer struct {
	p        Params
	main     string
	read     Files
	services []Service
	master   string // the file of the services; "": there is none
	notes    map[string]noted
	extra    []Verdict

	hostname string
	origin   string     // the domain of names without one; "": none
	domains  []*domain  // ours, in order
	gone     []string   // domains of ours that could not be carried over
	loopback []string   // names of this host for itself, such as localhost, that are local too
	virtual  aliasTable // virtual_alias_maps
	local    aliasTable // alias_maps, by name
	boxes    map[string]bool
	boxesAll bool              // nobody lists the mailboxes: every address may be one
	users    map[string]bool   // local users; nil where nobody lists them
	homes    map[string]string // of people among them
	relayed  map[string]bool   // relay_recipient_maps
	relayAll bool

	transport map[string]Entry // transport_maps, by key

	aliases   map[string][]string
	forwards  map[string]Forward
	people    []string
	delegates []Delegate
	secrets   map[string]string
	routes    []route
	doors     doors
	milters   []milter
	// blocklists are those of [dnsbl], and score that of screen.refuse_at.
	blocklists []blocklist
	score      int
	limits     []setting
	retry      []setting
	cert, key  string
	detail     string
	validates  bool
	postmast   string
	sendmail   string // the domain of the users of this host; "": no such door
	closed     bool   // mail for others has no way out of its own
}

type route struct {
	domain, to, tls, user, file, hop string
	others, hops                     []string // that stand behind to, and as Postfix writes them
}

// setting is one line of a table.
type setting struct{ key, value string }

// Import reads a configuration of Postfix with the tables that it names.
func Import(src Source) Result {
	settings, faults := ParseMain(string(src.Main))
	im := &importer{p: NewParams(settings, src.Dir, src.Host), main: src.MainFile, read: src.Read, notes: map[string]noted{},
		aliases: map[string][]string{}, forwards: map[string]Forward{}, secrets: map[string]string{}, transport: map[string]Entry{}, homes: map[string]string{}}
	var ofMaster []Verdict
	if src.Master != nil {
		im.master = src.MasterFile
		im.services, ofMaster = readMaster(src.Master, src.MasterFile)
	}
	for _, step := range []func(){im.server, im.bounds, im.tls, im.listeners, im.greeter, im.restrictions, im.filters,
		im.readTables, im.classes, im.localUsers, im.ownForwards, im.transports, im.deliveries, im.relayhost, im.outwardTLS, im.passwords,
		im.nullClient, im.virtualAliases, im.localAliases, im.mailboxes, im.catchLocal, im.breakCircles, im.senders, im.roles, im.lists, im.checkCatchAlls, im.oldMailboxes} {
		step()
	}
	r := Result{Secrets: im.secrets, People: im.people, Delegates: im.delegates}
	for _, a := range slices.Sorted(maps.Keys(im.forwards)) {
		r.Forwards = append(r.Forwards, im.forwards[a])
	}
	r.Config = im.text()
	for _, f := range faults {
		r.Lines = append(r.Lines, Verdict{File: src.MainFile, Line: f.Line, What: shown(f.Text), Topic: TopicOther, Text: f.Why})
	}
	for _, s := range settings {
		r.Lines = append(r.Lines, im.verdict(s))
	}
	slices.SortStableFunc(r.Lines, func(a, b Verdict) int { return a.Line - b.Line })
	ofMaster = append(ofMaster, im.masterVerdicts()...)
	slices.SortStableFunc(ofMaster, func(a, b Verdict) int { return a.Line - b.Line })
	r.Lines = append(r.Lines, ofMaster...)
	r.Lines = append(r.Lines, im.extra...)
	for i := range r.Lines {
		r.Lines[i].Word = r.Lines[i].Kind.String()
	}
	return r
}

func (im *importer) verdict(s Setting) Verdict {
	v := Verdict{File: im.main, Line: s.Line, What: s.Name, Topic: TopicOther}
	if last, _ := im.p.Given(s.Name); last.Line != s.Line {
		v.Kind, v.Text = Unneeded, fmt.Sprintf("line %d sets it again, and the last one counts", last.Line)
		return v
	}
	n, ok := im.notes[s.Name]
	switch {
	case ok:
	case im.named(s.Name):
		n = noted{Unneeded, TopicOther, "a name of your own, which other lines refer to: it was put in there"}
	case im.ofService(s.Name):
		n = judge("smtp"+s.Name[strings.IndexByte(s.Name, '_'):], s.Value)
	default:
		if n = judge(s.Name, s.Value); n.kind == Lost && im.value(s.Name) == "" {
			n = judge(s.Name, "")
		}
	}
	v.Kind, v.Topic, v.Text = n.kind, n.topic, n.text
	return v
}

// ofService reports whether a parameter is that of a service of master.cf, such as
// slow_destination_rate_delay.
func (im *importer) ofService(name string) bool {
	return slices.ContainsFunc(im.services, func(s Service) bool {
		rest, found := strings.CutPrefix(name, s.Name+"_")
		return found && !known(name) && known("smtp_"+rest)
	})
}

// named reports whether another setting refers to a parameter of the administrator's
// own.
func (im *importer) named(name string) bool {
	if known(name) {
		return false
	}
	if contains(Words(im.value("smtpd_restriction_classes")), name) {
		return true
	}
	for _, s := range im.p.set {
		if s.Name != name && (strings.Contains(s.Value, "$"+name) || strings.Contains(s.Value, "{"+name) || strings.Contains(s.Value, "("+name)) {
			return true
		}
	}
	return slices.ContainsFunc(im.services, func(s Service) bool {
		return slices.ContainsFunc(s.Options, func(o string) bool { return strings.Contains(o, "$"+name) || strings.Contains(o, "{"+name) })
	})
}

func (im *importer) note(name string, k Kind, t Topic, format string, a ...any) {
	im.notes[name] = noted{k, t, fmt.Sprintf(format, a...)}
}

// beside adds a verdict about a part of a parameter.
func (im *importer) beside(name, part string, k Kind, t Topic, format string, a ...any) {
	s, _ := im.p.Given(name)
	im.extra = append(im.extra, Verdict{
		File: im.main, Line: s.Line, What: name + ": " + shown(part), Kind: k, Topic: t,
		Text: fmt.Sprintf(format, a...),
	})
}

func (im *importer) entry(e Entry, k Kind, t Topic, format string, a ...any) {
	im.extra = append(im.extra, Verdict{File: e.File, Line: e.Line, What: shown(e.Key), Kind: k, Topic: t, Text: fmt.Sprintf(format, a...)})
}

// value expands a parameter, and says where that has no end.
func (im *importer) value(name string) string {
	v, ok := im.p.Value(name)
	if !ok {
		im.note(name, Lost, TopicOther, "its value refers to itself, or cannot be expanded")
	}
	return v
}

func (im *importer) yes(name string) bool { return strings.EqualFold(im.value(name), "yes") }

func (im *importer) given(name string) bool {
	_, ok := im.p.Given(name)
	return ok
}

// host reads what the host is called: by its whole name, which mydomain or myorigin give
// where myhostname is only its beginning.
func (im *importer) host() {
	im.hostname = im.value("myhostname")
	if !strings.Contains(im.hostname, ".") {
		whole := im.hostname + "." + im.value("mydomain")
		if !im.given("mydomain") {
			whole = im.myorigin()
		}
		if d, err := mail.ParseHostname(whole); err == nil && strings.HasPrefix(strings.ToLower(whole), strings.ToLower(im.hostname)+".") {
			im.hostname = d.ASCII()
			im.note("myhostname", Changed, TopicOther, "hostname = %q: its whole name", im.hostname)
			return
		}
	}
	if d, err := mail.ParseHostname(im.hostname); err != nil || !strings.Contains(im.hostname, ".") {
		im.note("myhostname", Lost, TopicOther,
			"%s is no host name with a domain; write your own as hostname",
			mail.Printable(im.hostname, mail.ValueShown))
	} else {
		im.hostname = d.ASCII()
		im.note("myhostname", Carried, TopicOther, "hostname")
	}
}

// delimitersShown is how many characters of recipient_delimiter a line of the report shows.
const delimitersShown = 10

// server reads what the host is called, and what parts a detail.
func (im *importer) server() {
	im.host()
	switch d := im.value("recipient_delimiter"); {
	case d == "":
		im.detail = "off"
		im.note("recipient_delimiter", Carried, TopicRecipients, `detail = "off"`)
	case !strings.ContainsAny(d, "+-="):
		im.detail = "off"
		im.note("recipient_delimiter", Lost, TopicRecipients,
			`%s parts no detail here; the characters are + - =: detail = "off"`,
			mail.Printable(d, delimitersShown))
	default:
		im.detail = d[strings.IndexAny(d, "+-="):][:1]
		im.note("recipient_delimiter", Carried, TopicRecipients, "detail = %q", im.detail)
		if rest := strings.ReplaceAll(d, im.detail, ""); rest != "" {
			im.beside("recipient_delimiter", rest, Lost, TopicRecipients,
				"one character parts a detail here, and %q was taken: addresses that use %s for a detail are refused",
				im.detail, mail.Printable(rest, delimitersShown))
		}
	}
	if s, ok := im.p.Given("mynetworks"); ok && onlyLoopback(im.value("mynetworks")) {
		im.notes[s.Name] = noted{
			Changed, TopicTrust,
			"no address is trusted, this host's own neither: programs of this host send by the sendmail command, or sign in (docs/guides/application-relay.md)",
		}
	}
}

func onlyLoopback(list string) bool {
	for _, w := range Words(list) {
		w = strings.Trim(w, "[]")
		if !strings.HasPrefix(w, "127.") && !strings.HasPrefix(w, "::1") && !strings.HasPrefix(strings.ToLower(w), "::ffff:127.") {
			return false
		}
	}
	return true
}

// shown is a text of a file, fit for a terminal.
func shown(s string) string {
	if len(s) > 1 && s[0] == '"' && s[len(s)-1] == '"' {
		s = s[1 : len(s)-1]
	}
	quoted := mail.Printable(s, mail.ValueShown)
	return strings.ReplaceAll(quoted[1:len(quoted)-1], `\"`, `"`)
}
