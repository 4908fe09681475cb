package migrate

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// Service is one logical line of master.cf. master(5).
type Service struct {
	Name, Type, Command string
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
			services = append(services, Service{fields[0], fields[1], path.Base(fields[7]), overrides(fields[8:]), l.number})
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

// MasterVerdicts says what becomes of each service of a master.cf, and of each setting
// that a service has for itself. What it starts is not read by Import: the doors are
// main.cf's and this server's own.
func MasterVerdicts(text []byte, file string) (all []Verdict) {
	services, faults := ParseMaster(string(text))
	add := func(line int, what string, n noted) {
		all = append(all, Verdict{File: file, Line: line, What: what, Kind: n.kind, Word: n.kind.String(), Text: n.text})
	}
	for _, f := range faults {
		add(f.Line, shown(f.Text), noted{Lost, f.Why})
	}
	for _, s := range services {
		add(s.Line, shown(s.Name+"/"+s.Type), s.judge())
		for _, o := range s.Options {
			name, value, _ := strings.Cut(o, "=")
			add(s.Line, shown(s.Name+" -o "+strings.TrimSpace(name)), judgeOverride(strings.TrimSpace(name), strings.TrimSpace(value)))
		}
	}
	slices.SortStableFunc(all, func(a, b Verdict) int { return a.Line - b.Line })
	return all
}

// own are the services by which the parts of Postfix speak with each other.
func own() []string {
	return []string{"pickup", "cleanup", "qmgr", "nqmgr", "tlsmgr", "trivial-rewrite", "bounce", "verify", "flush", "proxymap", "smtp", "relay", "showq", "error", "discard", "local", "virtual", "lmtp", "anvil", "scache", "postlogd", "tlsproxy", "dnsblog", "qmqpd"}
}

// judge says what becomes of a service.
func (s Service) judge() noted {
	switch {
	case s.Command == "pipe":
		return noted{Lost, "no program runs on delivery: let it take mail by LMTP or SMTP, and name it as domain.NAME.deliver"}
	case s.Command == "spawn":
		return noted{Lost, "no program is started for a connection here"}
	case s.Type == "inet" && (s.Command == "smtpd" || s.Command == "postscreen"):
		return s.judgeDoor()
	case s.Type == "inet":
		return noted{Lost, fmt.Sprintf("nothing here listens as %s does", s.Command)}
	case s.Type == "pass" || slices.Contains(own(), s.Command):
		return noted{Unneeded, "a part of Postfix itself"}
	}
	return noted{Lost, "this importer does not know it"}
}

// judgeDoor says what becomes of a port on which strangers or people are received.
func (s Service) judgeDoor() noted {
	port := s.Name
	if i := strings.LastIndexByte(port, ':'); i >= 0 {
		port = port[i+1:]
	}
	switch port {
	case "smtp", "25":
		return noted{Carried, "[listen] mx: main.cf says at which addresses"}
	case "submission", "587":
		return noted{Carried, "[listen] submission, where there is a certificate: STARTTLS, then signing in, always"}
	case "smtps", "submissions", "465":
		return noted{Carried, "[listen] submissions, where there is a certificate: TLS from the first octet, and signing in, always"}
	}
	return noted{Lost, fmt.Sprintf("a further door at %s; every door is listed in [listen], as mx for strangers or submission for people. What a content filter gives back needs none here: filters are asked during the session", s.Name)}
}

// judgeOverride says what becomes of a setting of one service alone.
func judgeOverride(name, value string) noted {
	switch {
	case name == "syslog_name":
		return noted{Unneeded, "each door has a name of its own in the trace"}
	case name == "smtpd_tls_wrappermode" || name == "smtpd_tls_security_level" || name == "smtpd_sasl_auth_enable" || name == "smtpd_tls_auth_only":
		return noted{Unneeded, "what a door demands goes with its kind: mx never signs in, submission and submissions always do, under TLS"}
	case strings.HasSuffix(name, "_restrictions") && strings.Contains(value, "permit_mynetworks"):
		return noted{Lost, "no address is ever trusted here; give each host that sends an account (docs/guides/application-relay.md)"}
	}
	n := judge(Setting{Name: name, Value: value})
	if n.kind == Lost {
		n.text = "no setting is for one door alone; " + n.text
	}
	return n
}
