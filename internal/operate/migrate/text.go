package migrate

import (
	"fmt"
	"sort"
	"strings"
)

// text writes the configuration.
func (im *importer) text() []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "# Imported from Postfix. Read the report, then: sallyport check -c THIS\n\nhostname = %s\ndata     = \"/var/lib/sallyport\"\n", quote(im.hostname))
	if im.detail != "" {
		fmt.Fprintf(&b, "detail   = %s\n", quote(im.detail))
	}
	fmt.Fprintf(&b, "\n[listen]\nmx = %s\n", list(im.listen))
	if im.cert != "" {
		fmt.Fprintf(&b, "submission  = %s\nsubmissions = %s\n", list(ports(im.listen, ":587")), list(ports(im.listen, ":465")))
		fmt.Fprintf(&b, "\n[tls]\ncert = %s\nkey  = %s\n", quote(im.cert), quote(im.key))
	}
	for _, d := range im.domains {
		fmt.Fprintf(&b, "\n[domain.%s]\ndeliver = %s\n", quote(d.name), quote(d.deliver))
		if len(d.list) > 0 && d.deliver != "maildir" {
			file := d.name + ".recipients"
			im.secrets[file] = strings.Join(d.list, "\n") + "\n"
			fmt.Fprintf(&b, "recipients_file = %s\n", quote(file))
		}
	}
	if len(im.order) > 0 {
		b.WriteString("\n[alias]\n")
		sort.Strings(im.order)
		for _, a := range im.order {
			fmt.Fprintf(&b, "%s = %s\n", quote(a), list(im.aliases[a]))
		}
	}
	for _, r := range im.routes {
		fmt.Fprintf(&b, "\n[route.%s]\nto = %s\n", quote(r.domain), quote(r.to))
		if r.tls != "" {
			fmt.Fprintf(&b, "tls = %s\n", quote(r.tls))
		}
		if r.user != "" {
			fmt.Fprintf(&b, "user = %s\npassword_file = %s\n", quote(r.user), quote(r.file))
		}
	}
	if im.size != "" {
		fmt.Fprintf(&b, "\n[limits]\nmessage_size = %s\n", im.size)
	}
	return []byte(b.String())
}

// ports gives each address another port.
func ports(at []string, port string) []string {
	out := make([]string, len(at))
	for i, a := range at {
		out[i] = strings.TrimSuffix(a, ":25") + port
	}
	return out
}

func list(items []string) string {
	quoted := make([]string, len(items))
	for i, s := range items {
		quoted[i] = quote(s)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

// quote writes a basic string of TOML.
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < 0x20 || r == 0x7f:
			fmt.Fprintf(&b, "\\u%04X", r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}
