package migrate

import (
	"fmt"
	"slices"
	"strings"

	"sallyport/internal/mail"
)

// Result is what came out of an import.
type Result struct {
	Lines   []Verdict         // of main.cf in its order, then of the tables
	Config  []byte            // a configuration; it may still lack what the Lines say
	Secrets map[string]string // files beside it: name and content
	People  []string          // accounts to make
}

// domain is a domain of ours in the making.
type domain struct {
	name, deliver, recipients string
	list                      []string // recipients known by a list
}

// importer gathers what the configuration says.
type importer struct {
	p     Params
	main  string
	read  Files
	notes map[string]noted
	extra []Verdict

	hostname  string
	domains   []*domain
	aliases   map[string][]string
	order     []string // of the aliases
	routes    []route
	local     []string // domains whose names are those of the system's users
	loopback  []string // names of this host for itself, such as localhost, that are local too
	users     []string // local-parts that alias_maps names
	people    []string
	secrets   map[string]string
	listen    []string
	cert, key string
	detail    string
	size      string
}

type route struct{ domain, to, tls, user, file string }

// Import reads main.cf with the tables that it names. dir is the folder that it was in,
// and host the name of the host that it ran on.
func Import(main []byte, file, dir, host string, read Files) Result {
	settings, faults := ParseMain(string(main))
	im := &importer{p: NewParams(settings, dir, host), main: file, read: read, notes: map[string]noted{}, aliases: map[string][]string{}, secrets: map[string]string{}}
	for _, step := range []func(){im.server, im.tls, im.localDomains, im.virtualDomains, im.relayDomains, im.virtualAliases, im.localAliases, im.residents, im.transports, im.relayhost} {
		step()
	}
	r := Result{Config: im.text(), Secrets: im.secrets, People: im.people}
	for _, f := range faults {
		r.Lines = append(r.Lines, Verdict{File: file, Line: f.Line, What: shown(f.Text), Kind: Lost, Text: f.Why})
	}
	for _, s := range settings {
		r.Lines = append(r.Lines, im.verdict(s))
	}
	slices.SortStableFunc(r.Lines, func(a, b Verdict) int { return a.Line - b.Line })
	r.Lines = append(r.Lines, im.extra...)
	for i := range r.Lines {
		r.Lines[i].Word = r.Lines[i].Kind.String()
	}
	return r
}

func (im *importer) verdict(s Setting) Verdict {
	v := Verdict{File: im.main, Line: s.Line, What: s.Name}
	if last, _ := im.p.Given(s.Name); last.Line != s.Line {
		v.Kind, v.Text = Unneeded, fmt.Sprintf("line %d sets it again, and the last one counts", last.Line)
		return v
	}
	n, ok := im.notes[s.Name]
	switch {
	case ok:
	case im.named(s.Name):
		n = noted{Unneeded, "a name of your own, which other lines refer to: it was put in there"}
	default:
		n = judge(s)
	}
	v.Kind, v.Text = n.kind, n.text
	return v
}

// named reports whether another setting refers to a parameter of the administrator's
// own.
func (im *importer) named(name string) bool {
	if judgePostfixs(name) {
		return false
	}
	for _, s := range im.p.set {
		if s.Name != name && (strings.Contains(s.Value, "$"+name) || strings.Contains(s.Value, "{"+name) || strings.Contains(s.Value, "("+name)) {
			return true
		}
	}
	return false
}

// judgePostfixs reports whether a parameter is one of Postfix's own that judge knows.
func judgePostfixs(name string) bool {
	return !strings.HasPrefix(judge(Setting{Name: name}).text, "this importer does not know it")
}

func (im *importer) note(name string, k Kind, format string, a ...any) {
	im.notes[name] = noted{k, fmt.Sprintf(format, a...)}
}

func (im *importer) entry(e Entry, k Kind, format string, a ...any) {
	im.extra = append(im.extra, Verdict{File: e.File, Line: e.Line, What: shown(e.Key), Kind: k, Text: fmt.Sprintf(format, a...)})
}

// value expands a parameter, and says where that has no end.
func (im *importer) value(name string) string {
	v, ok := im.p.Value(name)
	if !ok {
		im.note(name, Lost, "its value refers to itself, or cannot be expanded")
	}
	return v
}

func (im *importer) server() {
	im.hostname = im.value("myhostname")
	if d, err := mail.ParseHostname(im.hostname); err != nil || !strings.Contains(im.hostname, ".") {
		im.note("myhostname", Lost, "%q is no host name with a domain; write your own as hostname", im.hostname)
	} else {
		im.hostname = d.ASCII()
		im.note("myhostname", Carried, "hostname")
	}
	im.interfaces()
	switch d := im.value("recipient_delimiter"); {
	case d == "":
		im.detail = "off"
		im.note("recipient_delimiter", Carried, `detail = "off"`)
	case strings.Contains("+-=", d[:1]):
		im.detail = d[:1]
		im.note("recipient_delimiter", Carried, "detail = %q", d[:1])
	default:
		im.note("recipient_delimiter", Lost, "%q parts no detail here; the characters are + - =", d)
	}
	if s, ok := im.p.Given("message_size_limit"); ok {
		var n int64
		if v := im.value("message_size_limit"); func() bool { _, err := fmt.Sscan(v, &n); return err == nil }() && n >= 1<<16 && n <= 1<<30 {
			im.size = fmt.Sprint(n)
			im.note(s.Name, Carried, "limits.message_size")
		} else {
			im.note(s.Name, Lost, "%q is no bound here (64 KiB to 1 GiB): the default is used", v)
		}
	}
}

func (im *importer) interfaces() {
	all := map[string][]string{"ipv4": {"0.0.0.0:25"}, "ipv6": {"[::]:25"}}
	protocols := Words(im.value("inet_protocols"))
	if slices.Contains(protocols, "all") {
		protocols = []string{"ipv4", "ipv6"}
	}
	v := Words(im.value("inet_interfaces"))
	switch {
	case slices.Contains(v, "all"):
		for _, p := range protocols {
			im.listen = append(im.listen, all[p]...)
		}
	case len(v) == 1 && v[0] == "loopback-only":
		im.listen = []string{"127.0.0.1:25"}
	default:
		for _, a := range v {
			switch {
			case a == "localhost":
				im.listen = append(im.listen, "127.0.0.1:25")
			case strings.Contains(a, ":"):
				im.listen = append(im.listen, "["+strings.Trim(a, "[]")+"]:25")
			case strings.Trim(a, "0123456789.") == "":
				im.listen = append(im.listen, a+":25")
			default:
				im.note("inet_interfaces", Lost, "%s is no address; write the addresses into listen.mx", a)
			}
		}
	}
	if _, failed := im.notes["inet_interfaces"]; !failed {
		im.note("inet_interfaces", Carried, "listen.mx")
	}
}

func (im *importer) tls() {
	im.cert, im.key = im.value("smtpd_tls_cert_file"), im.value("smtpd_tls_key_file")
	if im.key == "" || im.key == im.cert {
		im.key = im.cert
	}
	if _, ok := im.p.Given("smtpd_tls_chain_files"); ok {
		if w := Words(im.value("smtpd_tls_chain_files")); im.cert == "" && len(w) > 0 {
			im.cert, im.key = w[0], w[0]
			im.note("smtpd_tls_chain_files", Carried, "tls.cert and tls.key, of the first file %s", w[0])
		} else {
			im.note("smtpd_tls_chain_files", Lost, "one certificate and key is all that [tls] takes")
		}
	}
	if im.cert == "none" || im.cert == "" {
		im.cert, im.key = "", ""
		return
	}
	im.note("smtpd_tls_cert_file", Carried, "tls.cert; listen.submission and listen.submissions are opened, where people sign in")
	im.note("smtpd_tls_key_file", Carried, "tls.key (nobody but its owner and its group may have access)")
}

// shown is a text of a file, fit for a terminal.
func shown(s string) string { return strings.Trim(mail.Printable(s, 80), `"`) }
