package migrate

import (
	"path"
	"slices"
	"strings"
)

// Service is one logical line of master.cf. master(5).
type Service struct {
	Name, Type, Command string
	Chroot              bool
	Options             []string // what follows -o, as name=value
	Line                int      // of its first line, from 1
}

// ParseMaster parses master.cf: service, type, private, unprivileged, chroot, wake-up
// time, process limit, then the command with its arguments.
func ParseMaster(text string) (services []Service, faults []Fault) {
	for _, l := range logicalLines(text) {
		fields, ok := masterFields(l.text)
		switch {
		case l.orphan:
			faults = append(faults, Fault{l.number, l.text, "it continues a line that is not there"})
		case !ok || len(fields) < 8:
			faults = append(faults, Fault{l.number, l.text, "it is no service: it has too few fields, or a brace that is not closed"})
		default:
			services = append(services, Service{
				fields[0], fields[1], path.Base(fields[7]), fields[4] == "y", overrides(fields[8:]), l.number,
			})
		}
	}
	return services, faults
}

// masterFields splits at white space; braces keep it together. false: one is open.
func masterFields(text string) (fields []string, ok bool) {
	for text = strings.TrimSpace(text); text != ""; text = strings.TrimLeft(text, " \t") {
		end := strings.IndexAny(text, " \t")
		if text[0] == '{' {
			if end = strings.IndexByte(text, '}'); end < 0 {
				return nil, false
			}
			fields, text = append(fields, strings.TrimSpace(text[1:end])), text[end+1:]
			continue
		}
		if end < 0 {
			end = len(text)
		}
		fields, text = append(fields, text[:end]), text[end:]
	}
	return fields, true
}

// overrides returns the settings among the arguments of a command.
func overrides(args []string) (out []string) {
	for i := 0; i < len(args); i++ {
		switch a := args[i]; {
		case a == "-o" && i+1 < len(args):
			i++
			out = append(out, args[i])
		case strings.HasPrefix(a, "-o"):
			out = append(out, a[2:])
		}
	}
	return out
}

// Option returns what a service sets for itself; the last one counts.
func (s Service) Option(name string) (value string, given bool) {
	for _, o := range s.Options {
		if n, v, _ := strings.Cut(o, "="); strings.TrimSpace(n) == name {
			value, given = strings.TrimSpace(v), true
		}
	}
	return value, given
}

// readMaster parses master.cf, and says what lines are none.
func readMaster(text []byte, file string) (services []Service, verdicts []Verdict) {
	services, faults := ParseMaster(string(text))
	for _, f := range faults {
		verdicts = append(verdicts, Verdict{File: file, Line: f.Line, What: shown(f.Text), Topic: TopicDoors, Text: f.Why})
	}
	return services, verdicts
}

// service finds the service that a transport names.
func (im *importer) service(name string) (Service, bool) {
	i := slices.IndexFunc(im.services, func(s Service) bool { return s.Name == name && s.Type == "unix" })
	if i < 0 {
		return Service{}, false
	}
	return im.services[i], true
}

// own are the services by which the parts of Postfix speak with each other.
func own() []string {
	return []string{
		"pickup", "cleanup", "qmgr", "nqmgr", "tlsmgr", "trivial-rewrite", "bounce", "verify", "flush",
		"proxymap", "smtp", "relay", "showq", "error", "discard", "local", "virtual", "lmtp", "anvil",
		"scache", "postlogd", "tlsproxy", "dnsblog", "qmqpd", "smtpd",
	}
}

// masterVerdicts says what becomes of each service, and of each setting that it has for
// itself.
func (im *importer) masterVerdicts() (all []Verdict) {
	add := func(s Service, what string, n noted) {
		all = append(all, Verdict{File: im.master, Line: s.Line, What: shown(what), Kind: n.kind, Topic: n.topic, Text: n.text})
	}
	if im.master == "" {
		text := "only port 25 is opened, since master.cf is not beside main.cf; where people sign in, add listen.submission and listen.submissions"
		return []Verdict{{File: im.main, What: "master.cf", Kind: Lost, Topic: TopicDoors, Text: text}}
	}
	for _, s := range im.services {
		n, isDoor := im.doors.verdicts[s.Line]
		if !isDoor {
			n = im.judgeService(s)
		}
		add(s, s.Name+"/"+s.Type, n)
		for _, o := range s.Options {
			name, value, _ := strings.Cut(o, "=")
			add(s, s.Name+" -o "+strings.TrimSpace(name), im.judgeOverride(s, strings.TrimSpace(name), strings.TrimSpace(value)))
		}
	}
	return all
}

// judgeService says what becomes of a service that is no door.
func (im *importer) judgeService(s Service) noted {
	switch {
	case s.Command == "pickup" && im.sendmail != "":
		return noted{
			Carried, TopicDoors,
			"listen.sendmail, and [sendmail]: a user of this host sends as the account of his name in " + im.sendmail + " (docs/guides/application-relay.md)",
		}
	case s.Command == "pickup":
		return noted{
			Changed, TopicDoors,
			"programs of this host send by listen.sendmail, as an account each (docs/guides/application-relay.md)",
		}
	case s.Command == "pipe" && im.serves(s.Name):
		return noted{
			Lost, TopicDelivery,
			"no program runs on delivery: let it take mail by LMTP or SMTP, and name it as domain.NAME.deliver",
		}
	case s.Command == "pipe":
		return noted{Unneeded, TopicDelivery, "no line of main.cf or of transport_maps leads to it"}
	case s.Command == "spawn":
		return noted{Lost, TopicFilters, "no program is started for a connection here; what asked it is told of where it is named"}
	case s.Type == "inet":
		return noted{Lost, TopicDoors, "nothing here listens as " + shown(s.Command) + " does"}
	case s.Type == "pass" || contains(own(), s.Command):
		return noted{Unneeded, TopicOther, "a part of Postfix itself"}
	}
	return noted{Lost, TopicOther, "this importer does not know it"}
}

// serves reports whether mail is led to a service by its name.
func (im *importer) serves(name string) bool {
	for _, param := range []string{"local_transport", "mailbox_transport", "fallback_transport", "virtual_transport", "relay_transport", "default_transport", "content_filter"} {
		if t, _, _ := strings.Cut(im.value(param), ":"); t == name {
			return true
		}
	}
	for _, e := range im.transport {
		if t, _, _ := strings.Cut(e.Value, ":"); t == name {
			return true
		}
	}
	return false
}

// judgeOverride says what becomes of a setting of one service alone.
func (im *importer) judgeOverride(s Service, name, value string) noted {
	value, _ = im.p.expand(value, 0)
	if !contains([]string{"smtpd", "postscreen", "smtp", "lmtp"}, s.Command) {
		return noted{Unneeded, TopicOther, "it is about a part of Postfix itself"}
	}
	switch door := im.doors.verdicts[s.Line]; {
	case door.kind == Lost && door.topic == TopicFilters:
		return noted{Unneeded, TopicFilters, "it goes with a door that is not needed"}
	case name == "mynetworks" && onlyLoopback(value):
		return noted{Changed, TopicTrust, "no address is trusted, this host's own neither"}
	case name == "syslog_name":
		return noted{Unneeded, TopicDoors, "each door has a name of its own in the trace"}
	case name == "smtpd_tls_wrappermode" || name == "smtpd_tls_security_level" || name == "smtpd_sasl_auth_enable" || name == "smtpd_tls_auth_only":
		return noted{
			Unneeded, TopicDoors,
			"what a door demands goes with its kind: mx never signs in, submission and submissions always do, under TLS",
		}
	case name == "smtp_tls_wrappermode" && strings.EqualFold(value, "yes"):
		return noted{Carried, TopicTLS, "smtps:// wherever mail is led to this service"}
	case strings.HasSuffix(name, "_restrictions"):
		return im.judgeOwnRestrictions(value)
	case strings.HasPrefix(name, "milter_macro"):
		return noted{Unneeded, TopicFilters, "a milter is told of a door by what this server tells every milter"}
	}
	n := judge(name, value)
	if p, given := im.p.Value(name); given && p == value {
		return noted{Unneeded, n.topic, "main.cf says the same"}
	}
	if n.kind == Lost || name == "smtpd_milters" && value != "" {
		n.kind, n.text = Lost, "no setting is for one door alone; "+n.text
	}
	return n
}

// judgeOwnRestrictions says what is lost of the conditions of one door.
func (im *importer) judgeOwnRestrictions(value string) noted {
	for _, c := range im.conditions(value, 0) {
		if c == "permit_mynetworks" && !onlyLoopback(im.value("mynetworks")) {
			return noted{
				Lost, TopicTrust,
				"no address is ever trusted here; give each host that sends an account (docs/guides/application-relay.md)",
			}
		}
		if n := judgeCondition(c); n.kind == Lost {
			n.text = shown(c) + ": " + n.text
			return n
		}
	}
	return noted{Unneeded, TopicTrust, "strangers never relay, and senders are bound to their account, whatever is configured"}
}
