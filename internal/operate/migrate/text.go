package migrate

import (
	"fmt"
	"strings"

	"sallyport/internal/kit/toml"
)

// text writes the configuration.
func (im *importer) text() []byte {
	var b strings.Builder
	fmt.Fprintf(&b,
		"# Imported from Postfix. Read the report, then: sallyport check -c THIS\n\nhostname = %s\ndata     = \"/var/lib/sallyport\"\n",
		toml.Quote(im.hostname))
	if im.detail != "" {
		fmt.Fprintf(&b, "detail   = %s\n", toml.Quote(im.detail))
	}
	if im.postmast != "" {
		fmt.Fprintf(&b, "postmaster = %s\n", toml.Quote(im.postmast))
	}
	b.WriteString("\n[listen]\n")
	for _, door := range []struct {
		key string
		at  []string
	}{{"mx", im.doors.mx}, {"submission", im.doors.submission}, {"submissions", im.doors.submissions}} {
		if len(door.at) > 0 {
			fmt.Fprintf(&b, "%s = %s\n", door.key, list(door.at))
		}
	}
	if im.sendmail != "" {
		fmt.Fprintf(&b, "sendmail = \"/run/sallyport/sendmail.sock\"\n\n[sendmail]\ndomain = %s\n", toml.Quote(im.sendmail))
	}
	if im.cert != "" {
		fmt.Fprintf(&b, "\n[tls]\ncert = %s\nkey  = %s\n", toml.Quote(im.cert), toml.Quote(im.key))
	}
	im.domainsText(&b)
	im.routesText(&b)
	for i, m := range im.milters {
		fmt.Fprintf(&b, "\n[milter.filter-%d]\naddress = %s\naccounts = \"on\"\n", i+1, toml.Quote(m.address))
		if m.accept {
			b.WriteString("down = \"accept\"\n")
		}
	}
	im.blocklistsText(&b)
	for _, t := range []struct {
		name string
		set  []setting
	}{{"limits", im.limits}, {"retry", im.retry}} {
		if len(t.set) > 0 {
			fmt.Fprintf(&b, "\n[%s]\n", t.name)
		}
		for _, s := range t.set {
			fmt.Fprintf(&b, "%s = %s\n", s.key, s.value)
		}
	}
	return []byte(b.String())
}

// How many addresses one account may forward to.
const (
	usualTargets = 5   // forward.targets where a file does not say it
	mostTargets  = 100 // the most that forward.targets may be
)

func (im *importer) domainsText(b *strings.Builder) {
	for _, d := range im.domains {
		fmt.Fprintf(b, "\n[domain.%s]\ndeliver = %s\n", toml.Quote(d.name), toml.Quote(d.deliver))
		if d.tls != "" && strings.HasPrefix(d.deliver, "smtp://") {
			fmt.Fprintf(b, "tls = %s\n", toml.Quote(d.tls))
		}
		if d.deliver != "maildir" && d.listed {
			fmt.Fprintf(b, "recipients_file = %s\n", toml.Quote(d.name+".recipients"))
		}
	}
	if len(im.aliases) > 0 {
		b.WriteString("\n[alias]\n")
		for _, a := range sortedAliases(im.aliases) {
			fmt.Fprintf(b, "%s = %s\n", toml.Quote(a), list(im.aliases[a]))
		}
	}
	if len(im.forwards) > 0 {
		most := 0
		for _, f := range im.forwards {
			most = max(most, len(f.Targets))
		}
		b.WriteString("\n[forward]\nexternal = \"on\"\n")
		if most > usualTargets {
			fmt.Fprintf(b, "targets = %d\n", min(most, mostTargets))
		}
	}
}

func (im *importer) routesText(b *strings.Builder) {
	for _, r := range im.routes {
		fmt.Fprintf(b, "\n[route.%s]\nto = %s\n", toml.Quote(r.domain), toml.Quote(r.to))
		if len(r.others) > 0 {
			fmt.Fprintf(b, "others = %s\n", list(r.others))
		}
		if r.tls != "" && strings.HasPrefix(r.to, "smtp://") {
			fmt.Fprintf(b, "tls = %s\n", toml.Quote(r.tls))
		}
		if r.user != "" {
			fmt.Fprintf(b, "user = %s\npassword_file = %s\n", toml.Quote(r.user), toml.Quote(r.file))
		}
	}
	if im.closed {
		b.WriteString("\n[mx]\ndelivery = \"off\"\n")
	}
	if im.validates {
		b.WriteString("\n[tls_policy]\ndns_validates = \"on\"\n")
	}
}

func list(items []string) string {
	quoted := make([]string, len(items))
	for i, s := range items {
		quoted[i] = toml.Quote(s)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}
