package networks

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"sallyport/test/guide"
)

// reader follows the guide.
type reader struct {
	*world
	doc *guide.Guide
	s   *server
}

// gives runs a command line of the guide and wants its exit code, and some patterns in what it prints.
func (r *reader) gives(code int, line string, want ...string) string {
	r.t.Helper()
	none := filepath.Join(r.t.TempDir(), "resolv.conf") // no DNS, which is soon said
	if err := os.WriteFile(none, []byte("nameserver 127.0.0.1\n"), 0o644); err != nil {
		r.t.Fatal(err)
	}
	cmd := exec.Command("ip", "netns", "exec", r.name+"srv", "sh", "-eu", "-c", "mount --bind \"$1\" /etc/resolv.conf && exec sh -eu -c \"$2\"", "sh", none, line)
	cmd.Env = append(os.Environ(), "SALLYPORT_CONFIG="+r.s.Config, "PATH="+filepath.Dir(r.s.binary)+":"+os.Getenv("PATH"))
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		r.t.Fatalf("%s: %v", line, err)
	}
	if got := cmd.ProcessState.ExitCode(); got != code {
		r.t.Errorf("%s: exit code %d, want %d\n%s", line, got, code, out)
	}
	for _, pattern := range want {
		if !regexp.MustCompile(pattern).Match(out) {
			r.t.Errorf("%s: no %q in\n%s", line, pattern, out)
		}
	}
	return string(out)
}

// edit puts more into the configuration.
func (r *reader) edit(more string) {
	r.t.Helper()
	text, err := os.ReadFile(r.s.Config)
	if err == nil {
		err = os.WriteFile(r.s.Config, append(text, more...), 0o600)
	}
	if err != nil {
		r.t.Fatal(err)
	}
}

// device is a session of a device of the guide's network.
func device(from string, tls bool) session {
	return session{From: "10.20.0.7", To: host + ":587", Hello: "scanner", Sender: from, Rcpt: "x@example.net", TLS: tls, Body: "From: <" + from + ">\r\nSubject: scan\r\n\r\npage"}
}

// The guide to devices that can't sign in, word by word: the network of its block is that of the printers
// here, and a gateway that masquerades is what closes it.
func TestGuideNetworks(t *testing.T) {
	r := &reader{world: newWorld(t), doc: guide.Open(t, "networks.md"), s: prepare(t, "example.org", "new", "[route.\"*\"]\nto = \"smtp://127.0.0.1:2626\"\n")}
	r.doc.EveryCommand(nil)
	serve(t, r.world, r.s)
	for line := range strings.Lines(r.doc.Block("", 0)) {
		if strings.Contains(line, "account add") { // it asks on a terminal, twice
			line = "for ask in 1 2; do sleep 1; echo correct horse battery staple; done | script -qec '" + strings.TrimSpace(line) + "' /dev/null"
		}
		r.gives(0, line)
	}
	r.gives(0, "sallyport account add alice@example.org --generate && sallyport alias add helpdesk@example.org alice@example.org")
	r.gives(0, r.doc.Command("sallyport delegate add printers@example.org helpdesk@example.org"))
	r.edit(r.doc.Block("toml", 0))
	r.gives(0, "sallyport check")
	r.gives(0, "sallyport reload")
	explain := r.doc.Command("sallyport check --explain 'client=10.20.0.7 door=submission from=scanner@example.org to=x@example.net'")
	status, doctor := r.doc.Command("sallyport status"), r.doc.Command("sallyport doctor")
	r.doc.Says("Until then `sallyport status` says `waiting`, and why")
	r.gives(0, status, `signs in as printers@example\.org: waiting.*\n`)
	r.want("a device before anything is proven", r.client("dev", device("scanner@example.org", false))[0], false)
	r.gives(0, explain, "it is not proven that addresses of clients arrive as they are", "answer: 530 5.7.0 ")

	r.doc.Says("clients of three public networks wrote to port 25 with addresses of their own")
	r.public()
	r.gives(0, status, `signs in as printers@example\.org: open`)
	r.gives(0, explain, "answer: 250 ")
	for _, tls := range []bool{false, true} {
		for _, from := range []string{"printers@example.org", "scanner@example.org", "helpdesk@example.org"} {
			r.want(fmt.Sprintf("a device as %s, TLS %v", from, tls), r.client("dev", device(from, tls))[0], true)
		}
	}
	r.doc.Says("Whoever gives another sender is asked to sign in")
	if got := r.client("dev", device("boss@example.org", false))[0]; len(got.Codes) == 0 || got.Codes[0] != 530 {
		t.Errorf("another sender: %v", got.Codes)
	}
	r.wasClosed(status, doctor)
}

// wasClosed is the rest of the guide: a gateway makes strangers look like a printer.
func (r *reader) wasClosed(status, doctor string) {
	r.t.Helper()
	r.translate("snat to 10.20.0.9")
	r.in("srv", "ip", "route", "replace", "10.20.0.9", "via", "10.30.0.1")
	for i := range 4 {
		c := device("printers@example.org", false)
		c.From = "203.0.113.5"
		r.client("net", c, stranger("203.0.113.5", host+":25", fmt.Sprintf("x@d%d.invalid", i)))
	}
	r.doc.Says("its account is frozen, what it has in the queue is held, and you are told as of any incident")
	r.gives(0, status, `signs in as printers@example\.org: closed`)
	r.gives(1, doctor, "not trusted any more")
	r.want("a device after that", r.client("dev", device("printers@example.org", false))[0], false)
	r.gives(0, "sallyport account show printers@example.org", "frozen")
	r.gives(0, r.doc.Command("sallyport incident ls --open"), `printers@example\.org`)
	r.gives(0, r.doc.Command("sallyport incident show 7", "show 7", "show 1"), `10\.20\.0\.9`)
	r.gives(0, r.doc.Command("sallyport queue ls --account printers@example.org"), "held")

	r.translate("")
	r.public()
	r.gives(0, guide.Replaced(r.t, r.doc.Block("", 1), "release 7", "release 1"))
	r.gives(0, status, `signs in as printers@example\.org: open`)
	r.want("a device when a person opened it", r.client("dev", device("scanner@example.org", true))[0], true)
	r.gives(0, "sallyport incident ls --open", "there is no incident")
}
