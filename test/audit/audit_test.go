package audit

import (
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"sallyport/internal/relayaudit/report"
)

// Five servers in one run: each open one relays, each closed one is closed, however it refuses.
// Then the same five the other way around.
func TestFiveServers(t *testing.T) {
	needsPeers(t)
	binary := built(t)
	for name, open := range map[string][]string{"two relay": {"Postfix", "OpenSMTPD"}, "three relay": {"Exim", "Sendmail", "Haraka"}} {
		t.Run(name, func(t *testing.T) {
			var args []string
			opened := map[string]bool{}
			for _, p := range all() {
				at := p.start(t, slices.Contains(open, p.name))
				args, opened[at] = append(args, at), slices.Contains(open, p.name)
			}
			run := audit(t, binary, args...)
			t.Log(run.Summary)
			if !strings.HasPrefix(run.Summary, "five servers, "+name+", ") || run.Code != 1 {
				t.Errorf("%s; exit %d", run.Summary, run.Code)
			}
			for i, s := range run.Servers {
				who := all()[i].name
				t.Logf("%s: %s, as strict in %d of %d, %+v", who, s.Words, s.AsStrict, s.Rows, s.Doors)
				want := map[bool]string{true: "open", false: "closed"}[opened[s.Asked]]
				if s.Verdict != want || hasCheck(s, "gone") || want == "closed" && hole(s) != "" {
					t.Errorf("%s (%s): %s, want %s; hole %q, gone %t", who, s.Asked, s.Verdict, want, hole(s), hasCheck(s, "gone"))
				}
				if want == "open" {
					atLeastNmap(t, s)
				}
			}
		})
	}
}

// A Postfix that relays for whoever an authority vouches for is open to anybody with a
// certificate, and closed to those without.
func TestAnyCertificate(t *testing.T) {
	needsPeers(t)
	binary := built(t)
	dir := folder(t, "authority")
	server, client, ca := certificates(t, dir)
	more := "mynetworks = 127.0.0.1/32\nsmtpd_tls_security_level = may\nsmtpd_tls_chain_files = " + server + "\nsmtpd_tls_CAfile = " + ca +
		"\nsmtpd_tls_ask_ccert = yes\nsmtpd_relay_restrictions = "
	open := postfix(t, more+"permit_tls_all_clientcerts, reject_unauth_destination\n")
	enrolled := postfix(t, more+"permit_tls_clientcerts, reject_unauth_destination\nrelay_clientcerts = inline:{ {00 = x} }\n")
	for _, c := range []struct {
		at, verdict string
		args        []string
	}{
		{open, "open", []string{"--client-cert-file", client}},
		{open, "closed", []string{"--client-cert"}}, // one that no authority vouches for
		{open, "closed", nil},
		{enrolled, "closed", []string{"--client-cert", "--client-cert-file", client}},
	} {
		s := audit(t, binary, append(c.args, c.at, "--ca", ca)...).Servers[0]
		if s.Verdict != c.verdict || c.verdict == "open" && hole(s) != "relay.certificate" {
			t.Errorf("%q: %s, %q; want %s", c.args, s.Verdict, hole(s), c.verdict)
		}
	}
}

// With an address at the server, one message shows whether it ends where none ends: Debian's
// Postfix does unless it is told not to.
func TestSmuggling(t *testing.T) {
	needsPeers(t)
	binary := built(t)
	for settings, want := range map[string]string{"": "smuggling", "smtpd_forbid_bare_newline = yes\n": ""} {
		s := audit(t, binary, postfix(t, "mynetworks = 127.0.0.1/32\n"+settings), "--deliver", "bob@postfix.test").Servers[0]
		if hole(s) != want || hasCheck(s, "smuggling.untold") {
			t.Errorf("%q: hole %q, want %q: %+v", settings, hole(s), want, s.Findings)
		}
	}
}

func hasCheck(s report.Server, check string) bool {
	return slices.ContainsFunc(s.Findings, func(f report.Finding) bool { return f.Check == check })
}

// hole returns the check of the first hole.
func hole(s report.Server) string {
	i := slices.IndexFunc(s.Findings, func(f report.Finding) bool { return f.Grade == "hole" })
	if i < 0 {
		return ""
	}
	return s.Findings[i].Check
}

// atLeastNmap compares the forms that were taken with those that nmap's script finds taken.
func atLeastNmap(t *testing.T, s report.Server) {
	t.Helper()
	_, number, _ := strings.Cut(s.Asked, ":")
	out, err := exec.Command("nmap", "-Pn", "-n", "-S", stranger, "-e", "lo", "-p", number, "--script", "+smtp-open-relay", "127.0.0.1").CombinedOutput()
	if err != nil {
		t.Fatalf("nmap: %v\n%s", err, out)
	}
	m := regexp.MustCompile(`open relay \((\d+)/16 tests\)`).FindSubmatch(out)
	if m == nil {
		t.Logf("nmap does not find %s open:\n%s", s.Asked, out)
		return
	}
	theirs, _ := strconv.Atoi(string(m[1]))
	ours := 0
	for _, row := range s.Laxer {
		if last := row.Said[len(row.Said)-1]; strings.Contains(row.Source, "nmap smtp-open-relay") && strings.HasPrefix(last.Back, "25") {
			ours++
		}
	}
	t.Logf("%s: nmap finds %d of 16 forms, the audit %d of them and %d in all", s.Asked, theirs, ours, s.Doors[0].Taken)
	// Its senders are at the name of its target, ours at that of the server: not each of its forms
	// is answered alike, but no server shows it more than us.
	if s.Doors[0].Taken < theirs {
		t.Errorf("%s: %d forms were taken, nmap finds %d", s.Asked, s.Doors[0].Taken, theirs)
	}
}
