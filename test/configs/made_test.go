package configs

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
)

// hole is a kind of hole.
type hole string

const (
	none       hole = ""
	network    hole = "network"
	alias      hole = "alias"
	forward    hole = "forward"
	route      hole = "route"
	listener   hole = "listener"
	delegation hole = "delegation"
)

func holes() []hole { return []hole{network, alias, forward, route, listener, delegation} }

// made is a configuration that was made by chance.
type made struct {
	hole    hole
	text    string
	domains []string // ours, and the host name
	foreign []string // that it routes
	planted string   // the line of text that is the hole; "": a command makes it
}

// generate makes a configuration of a number; the same each time.
func generate(n int, h hole) made {
	r := rand.New(rand.NewPCG(uint64(n), 0))
	m := made{hole: h, domains: []string{fmt.Sprintf("mx%d.local.test", n)}}
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	plant := func(of hole, format string, args ...any) {
		if h == of {
			m.planted = fmt.Sprintf(format, args...)
			line("%s", m.planted)
		}
	}
	line("hostname = %q\ndata = \"data\"", m.domains[0])
	line("detail = %q", []string{"+", "-", "=", "off"}[r.IntN(4)])
	line("[listen]\nmx = [\"127.0.0.1:0\"]\nsubmission = [\"127.0.0.1:0\"]\nsubmissions = [\"127.0.0.1:0\"]")
	line("[tls]\ncert = \"tls/server.pem\"\nkey = \"tls/server.key\"")
	if h == listener {
		line("[proxy]")
		plant(listener, "from = [%q]", []string{"0.0.0.0/0", "127.0.0.0/8", "::/0"}[r.IntN(3)])
	}
	for i := range 1 + r.IntN(4) {
		d := fmt.Sprintf("d%d.test", i)
		m.domains = append(m.domains, d)
		line("[domain.%q]\ndeliver = \"maildir\"", d)
	}
	line("[alias]")
	for i, d := range m.domains[1:] {
		line("\"info%d@%s\" = [\"alice@d0.test\"]", i, d)
		if r.IntN(3) == 0 || h == forward {
			line("\"@%s\" = [\"bob@d0.test\"]", d)
		}
	}
	plant(alias, "\"leak@%s\" = [\"victim@outside.invalid\"]", m.domains[1])
	for i := range r.IntN(4) {
		f := fmt.Sprintf("far%d.test", i)
		m.foreign = append(m.foreign, f)
		line("[route.%q]\nto = \"smtp://127.0.0.1:9\"\ntls = \"none\"", f)
	}
	if r.IntN(3) == 0 {
		line("[route.\"*\"]\nto = \"smtp://127.0.0.1:9\"\ntls = \"none\"")
	}
	if plant(route, "[route.%q]", m.domains[len(m.domains)-1]); h == route {
		line("to = \"smtp://127.0.0.1:9\"\ntls = \"none\"")
	}
	line("[forward]\nexternal = \"on\"")
	if h == network || r.IntN(2) == 0 {
		line("[network.printers]\naccount = \"printers@d0.test\"")
		if plant(network, "from = [%q]", []string{"0.0.0.0/0", "::/0", "10.0.0.0/8", "127.0.0.0/16"}[r.IntN(4)]); h != network {
			line("from = [%q]", []string{"10.20.0.0/24", "192.168.4.0/23", "fd20::/64"}[r.IntN(3)])
		}
	}
	line("[mx]\ndelivery = \"off\"\n[hijack]\nmode = \"off\"\n[authentication]\ncheck = \"off\"")
	line("[limits]\ngreet_delay = \"0s\"\nmin_free = \"1MiB\"\n[auth]\nargon_memory = \"8MiB\"\nargon_rounds = 1\nscram_rounds = 4096")
	m.text = b.String()
	return m
}

// closed is the configuration without what was planted in its text.
func (m made) closed() string {
	text := strings.Replace(m.text, m.planted+"\n", "", 1)
	switch {
	case m.planted == "":
		return m.text
	case m.hole == network:
		return strings.Replace(text, "[network.printers]\naccount = \"printers@d0.test\"\n", "", 1)
	case m.hole == route:
		return strings.Replace(m.text, m.planted, "[route.\"planted.test\"]", 1)
	}
	return text
}

// ours reports whether a recipient is one of ours, by the list from which the text was made. A name with
// the dot of the root is the same name.
func (m made) ours(recipient string) bool {
	at := strings.LastIndex(recipient, "@")
	return at >= 0 && slices.Contains(m.domains, strings.ToLower(strings.TrimSuffix(recipient[at+1:], ".")))
}

// victims are recipients that nobody may reach without an account, in the forms by which servers
// were made to relay.
func (m made) victims() (all []string) {
	for _, d := range append([]string{"outside.invalid", "planted.test"}, m.foreign...) {
		all = append(all, "victim@"+d, `"victim@`+d+`"@elsewhere.invalid`, "victim%"+m.domains[1]+"@"+d)
	}
	for _, d := range m.domains {
		all = append(all, "victim@sub."+d, "victim@x"+d, "victim@"+d+".invalid", "victim%outside.invalid@sub."+d, "a@[127.0.0.1]", "postmaster@[10.0.0.1]", "bob@"+d+".")
	}
	return append(all, "victim", "@"+m.domains[1]+":victim@outside.invalid")
}
