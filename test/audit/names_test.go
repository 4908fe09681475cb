package audit

import (
	"strings"
	"testing"

	"sallyport/internal/relayaudit/report"
	"sallyport/test/load/rig"
)

// hash is the form of a password that takes a while to compare with; which password, nobody knows.
const hash = "$6$rounds=200000$saltsaltsaltsalt$" + "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789./abcdefghijklmnopqrstuv"

// An Exim that compares passwords of those who are there alone answers sooner where nobody is; one that
// compares either way does not. Likewise for names at RCPT, where it takes them all.
func TestTimesOfNames(t *testing.T) {
	needsPeers(t)
	binary := built(t)
	plain := func(condition string) string {
		return "plain:\n  driver = plaintext\n  public_name = PLAIN\n  server_prompts = :\n  server_condition = " + condition + "\n  server_set_id = $auth2\n"
	}
	people := "bob@exim.test: " + hash + "\nnobody: " + hash + "\n"
	everybody := "  accept domains = +local_domains\n"
	for name, c := range map[string]struct {
		rules, authenticators string
		check                 string
	}{
		"only those who are there": {"", plain("${lookup{$auth2}lsearch{PEOPLE}{${if crypteq{$auth3}{$value}}}fail}"), "timing"},
		"either way":               {"", plain("${if crypteq{$auth3}{${lookup{$auth2}lsearch{PEOPLE}{$value}{${lookup{nobody}lsearch{PEOPLE}{$value}}}}}}"), ""},
		"all names, one slower":    {"  warn local_parts = bob : postmaster\n       set acl_m0 = ${run{/bin/sleep 0.03}{y}{n}}\n" + everybody, "", "timing"},
		"all names alike":          {everybody, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := audit(t, binary, exim(t, "", c.rules, c.authenticators, people), "--account", "bob@exim.test").Servers[0]
			if s.Verdict != "closed" || hasCheck(s, "timing") != (c.check != "") || hasCheck(s, "auth.names") {
				t.Errorf("%s: %s", s.Verdict, checks(s))
			}
			for _, f := range s.Findings {
				if f.Check == "timing" {
					t.Log(f.Detail)
				}
			}
		})
	}
}

// Our own server refuses wrong passwords in the same time and the same words, at a door that the
// world asks.
func TestOurTimesTellNothing(t *testing.T) {
	needsPeers(t)
	binary := built(t)
	s, err := rig.Prepare(t.Context(), rig.Options{Dir: t.TempDir(), Binary: binary, Remote: "127.0.0.1:9"})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Stop() })
	r := audit(t, binary, s.Listen.Submission[0]+"/submission", "--account", s.Accounts[0].Address).Servers[0]
	if hasCheck(r, "timing") || hasCheck(r, "auth.names") || hasCheck(r, "enumeration") {
		t.Errorf("%s: %s", r.Verdict, checks(r))
	}
}

// A Postfix without a list of who is there bounces to whoever is named as the sender, which comes
// to the auditor's own address; one with a list refuses at RCPT; a Haraka that takes every name and
// throws it away sends nothing back.
func TestBackscatter(t *testing.T) {
	needsPeers(t)
	binary := built(t)
	for name, c := range map[string]struct {
		start func(t *testing.T, back string) string
		check string // "": nothing of the kind
		code  int
	}{
		"Postfix that bounces": {func(t *testing.T, back string) string {
			return postfix(t,
				"mynetworks = 127.0.0.1/32\nlocal_recipient_maps =\nlocal_transport = local\ntransport_maps = inline:{ {elsewhere.test = smtp:["+strings.Replace(back, ":", "]:", 1)+"} }\n")
		}, "backscatter", 1},
		"Postfix that knows": {func(t *testing.T, _ string) string { return postfixOf(t, false) }, "", 0},
		"Haraka": {func(t *testing.T, _ string) string {
			t.Setenv("YES_REALLY_DO_DISCARD", "1") // or its plugin puts everything off
			return harakaOf(t, false)
		}, "bounces.none", 0},
	} {
		t.Run(name, func(t *testing.T) {
			back, _ := address(t)
			run := audit(t, binary, c.start(t, back), "--deliver", "auditor@elsewhere.test", "--await", back, "--await-for", "15s")
			s := run.Servers[0]
			for _, check := range []string{"backscatter", "bounces.none", "bounces", "bounces.late"} {
				if hasCheck(s, check) != (check == c.check) {
					t.Errorf("%s: %s", s.Verdict, checks(s))
				}
			}
			if holes := c.check == "backscatter"; holes != (hole(s) == "backscatter") {
				t.Errorf("hole %q", hole(s))
			}
			for _, f := range s.Findings {
				if f.Check == c.check {
					t.Log(f.Detail, f.Said[len(f.Said)-1])
				}
			}
		})
	}
}

func checks(s report.Server) string {
	var all []string
	for _, f := range s.Findings {
		all = append(all, f.Grade+" "+f.Check+" "+f.Detail)
	}
	return strings.Join(all, "; ")
}
