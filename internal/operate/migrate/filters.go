package migrate

import (
	"strings"
)

// milter is a filter that each message is shown to.
type milter struct {
	address string
	accept  bool // while it gives no answer
}

// maxMilters is how many milters a message is shown to.
const maxMilters = 8

// filters carries over the milters.
func (im *importer) filters() {
	const name = "smtpd_milters"
	byDefault := strings.ToLower(im.value("milter_default_action"))
	for _, w := range Words(im.value(name)) {
		action, lost := byDefault, ""
		if strings.HasPrefix(w, "{") {
			parts := Words(strings.Trim(w, "{}"))
			if len(parts) == 0 {
				continue
			}
			w = parts[0]
			for _, p := range parts[1:] {
				if k, v, _ := strings.Cut(strings.Trim(p, "{}"), "="); strings.TrimSpace(k) == "default_action" {
					action = strings.ToLower(strings.TrimSpace(v))
				}
			}
		}
		address := im.milterAddress(w)
		switch {
		case address == "":
			lost = "it is no place of a milter"
		case len(im.milters) == maxMilters:
			lost = "eight milters are asked at most"
		}
		if lost != "" {
			im.beside(name, w, Lost, TopicFilters, "%s", lost)
			continue
		}
		im.milters = append(im.milters, milter{address, action == "accept"})
	}
	if im.given(name) && len(im.milters) > 0 {
		im.note(name, Carried, TopicFilters,
			"a [milter] each, shown what strangers and accounts send; signing with DKIM needs none, fields other than X-… are added only if the key fields lists them, and an Rspamd is better asked by [rspamd] (docs/guides/rspamd.md)")
	} else if im.given(name) {
		im.note(name, Unneeded, TopicFilters, "it names none")
	}
	switch v := byDefault; {
	case v == "accept" || v == "tempfail" || v == "":
		im.note("milter_default_action", Carried, TopicFilters, "down of each [milter]")
	default:
		im.note("milter_default_action", Changed, TopicFilters, "mail waits at its sender (451) while a milter gives no answer")
	}
	if v := im.value("non_smtpd_milters"); v == "" || v == im.value(name) {
		im.note("non_smtpd_milters", Unneeded, TopicFilters, "what this host sends is shown to the same milters")
	} else {
		im.note("non_smtpd_milters", Lost, TopicFilters, "milters are the same on every door; signing with DKIM needs none")
	}
}

// milterAddress writes the place of a milter as a URL.
func (im *importer) milterAddress(w string) string {
	kind, rest, _ := strings.Cut(w, ":")
	switch kind {
	case "inet", "inet6":
		host, port, two := strings.Cut(rest, "@") // Sendmail's port@host
		if two {
			host, port = port, host
			rest = host + ":" + port
		}
		if at := hostPort(rest, ""); at != "" && !strings.HasSuffix(at, ":") {
			return "tcp://" + at
		}
	case "unix", "local":
		if rest != "" {
			return "unix://" + im.path(rest, im.chrooted("smtpd"))
		}
	}
	return ""
}

// chrooted reports whether a program of Postfix runs in its queue's folder.
func (im *importer) chrooted(command string) bool {
	for _, s := range im.services {
		if s.Command == command {
			return s.Chroot
		}
	}
	return false
}

// path is where a name leads that a program of Postfix opens: below its queue's folder,
// unless it is whole and the program is not locked in there.
func (im *importer) path(name string, chroot bool) string {
	if strings.HasPrefix(name, "/") && !chroot {
		return name
	}
	queue := im.value("queue_directory")
	if strings.HasPrefix(name, queue+"/") {
		return name
	}
	return queue + "/" + strings.TrimLeft(name, "/")
}
