package survey_test

import (
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport/internal/bind"
	"sallyport/internal/directory/book"
	"sallyport/internal/directory/explain"
	"sallyport/internal/kit/pki"
	"sallyport/internal/node/datafolder/foldertest"
	"sallyport/internal/node/survey"
	"sallyport/internal/operate"
	"sallyport/internal/returnpath"
	"sallyport/test/site"
)

func question(t *testing.T, text string) explain.Question {
	t.Helper()
	q, err := explain.Parse(text)
	site.Must(t, err)
	return q
}

// A transaction is walked through the configuration and what is stored beside it: who has an account, whether that
// may send, what a command added, and what a client's address is.
func TestExplain(t *testing.T) {
	s := site.New(t, nil)
	n := s.Open()
	defer n.Close()
	s.Populate(n)
	stored := operate.Direct(n.Operator())
	_, err := stored.DomainAdd(t.Context(), operate.DomainAdd{Name: "added.test", Deliver: "maildir"})
	site.Must(t, err)
	_, err = stored.AccountFreeze(t.Context(), operate.AccountReason{Address: "bob@local.test", Reason: "x"})
	site.Must(t, err)
	for text, want := range map[string]string{
		"auth=alice@local.test from=alice@local.test to=x@far.test":  "submission-relay",
		"auth=bob@local.test from=bob@local.test to=x@far.test":      "account-frozen",
		"from=x@far.test to=alice@local.test":                        "mx-local",
		"from=x@far.test to=nobody@local.test":                       "no-such-user",
		"from=x@far.test to=postmaster@added.test client=127.0.0.1":  "",
		"from=x@far.test to=y@elsewhere.test client=192.0.2.1":       "relay-denied",
		"auth=none@local.test from=none@local.test to=x@far.test":    "",
		"from=alice@local.test to=bob@local.test client=203.0.113.9": "mx-own-sender",
		// As a client may write it, who pastes what it said.
		"from=<x@far.test.> to=<alice@local.test.>": "mx-local",
		"from=<> to=Postmaster":                     "mx-local",
	} {
		a, err := survey.Explain(t.Context(), s.Config, stored, question(t, text))
		if err != nil || want != "" && string(a.Rule) != want || len(a.Steps) == 0 {
			t.Errorf("%s: %s, want %s, %v", text, a.Rule, want, err)
		}
		told := ""
		for _, step := range a.Steps {
			told += fmt.Sprint(step) + "\n"
		}
		if strings.Contains(text, "added.test") && (!strings.Contains(told, "sallyport domain add") || !strings.Contains(told, "this host; no address gives a right")) {
			t.Errorf("%s: %s", text, told)
		}
	}
	// Without what is stored there is no account, and so nobody to receive.
	if a, err := survey.Explain(t.Context(), s.Config, nil, question(t, "from=x@far.test to=alice@local.test")); err != nil || string(a.Rule) == "mx-local" {
		t.Errorf("without a store: %s, %v", a.Rule, err)
	}
	d, err := survey.Directory(t.Context(), s.Config, stored)
	a := foldertest.Address(t, "x@added.test")
	if err != nil || !d.Snapshot.IsOurs(a.Domain()) || d.Proof.Witness != nil || d.Proof.Classes == 0 {
		t.Errorf("%+v, %v", d.Proof, err)
	}
}

// A client of a trusted network is explained as its account, unless something bars the address.
func TestExplainANetwork(t *testing.T) {
	s := site.New(t, nil, "[network.printers]\nfrom = [\"192.0.2.0/24\"]\naccount = \"alice@local.test\"\n[proxy]\nfrom = [\"198.51.100.0/24\"]\n")
	n := s.Open()
	defer n.Close()
	s.Populate(n)
	stored := operate.Direct(n.Operator())
	const ask = "door=submission from=alice@local.test to=x@far.test client="
	if a, err := survey.Explain(t.Context(), s.Config, stored, question(t, ask+"192.0.2.7")); err != nil || string(a.Rule) != "network-unproven" && string(a.Rule) != "submission-relay" {
		t.Errorf("a device: %s, %v", a.Rule, err)
	}
	if a, err := survey.Explain(t.Context(), s.Config, nil, question(t, ask+"203.0.113.7")); err != nil || string(a.Rule) != "sign-in-required" {
		t.Errorf("somebody else: %s, %v", a.Rule, err)
	}
	r, err := survey.Networks(s.Config)
	if err != nil || r.Addresses == 0 || r.Witness != nil {
		t.Errorf("%+v, %v", r, err)
	}
	s.Config.Networks[0].From = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	if _, err := survey.Networks(s.Config); err == nil || !strings.Contains(err.Error(), "this is open") {
		t.Errorf("a wide network: %v", err)
	}
	if _, err := survey.Directory(t.Context(), s.Config, nil); err == nil {
		t.Error("a directory with a wide network is closed")
	}
	risks, err := survey.Risks(s.Config, mustJudge(t, s))
	if err != nil || len(risks) == 0 || risks[0].At == "" || risks[0].Text == "" {
		t.Errorf("risks %+v, %v", risks, err)
	}
}

func mustJudge(t *testing.T, s *site.Site) (j book.Judged) {
	t.Helper()
	j, _ = survey.Directory(t.Context(), s.Config, nil)
	return j
}

// What a check warns of: how senders are bound, a certificate that ends, and how far signing has come.
func TestWarnings(t *testing.T) {
	dir := t.TempDir()
	site.Must(t, pki.In(dir).Ensure("a test", pki.Names{Hosts: []string{"mx.local.test"}}, time.Now()))
	cfg := foldertest.Load(t, dir, "listen.submission = [\"127.0.0.1:0\"]\ntls.cert = \"server.pem\"\ntls.key = \"server.key\"\n[return_path]\nsign = \"require\"\n")
	if w := survey.CertificateWarning(cfg, time.Now()); w != "" {
		t.Errorf("of a new certificate: %q", w)
	}
	if w := survey.CertificateWarning(cfg, time.Now().AddDate(20, 0, 0)); w == "" {
		t.Error("nothing is said of one that ended")
	}
	if w := survey.BindingWarning(cfg); w != "" {
		t.Errorf("of binding: %q", w)
	}
	if cfg.Submission.SenderBinding = bind.Report; survey.BindingWarning(cfg) == "" {
		t.Error("nothing is said of binding that only reports")
	}
	now := time.Now().UTC().Truncate(time.Second)
	site.Must(t, os.MkdirAll(cfg.KeysDir(), 0o700))
	site.Must(t, returnpath.NoteIn(cfg.KeysDir()).Begin(now))
	if r, err := survey.ReturnPath(cfg); err != nil || r == nil || r.Sign != "require" || !r.Since.Equal(now) || !r.RefusesFrom.After(now) {
		t.Errorf("%+v, %v", r, err)
	}
	if cfg = foldertest.Load(t, dir, ""); survey.CertificateWarning(cfg, now) != "" {
		t.Error("a certificate that there is not is warned of")
	}
	if r, err := survey.ReturnPath(cfg); r != nil || err != nil {
		t.Errorf("where nothing is signed: %+v, %v", r, err)
	}
}

// Accounts that a configuration names and that are none are warned of, each at its line: an alias always, and one that
// is not there once there are any.
func TestAccountsThatAreNone(t *testing.T) {
	s := site.New(t, nil, `[network.printers]
from = ["10.20.0.0/24"]
account = "both@local.test"
[network.scanners]
from = ["10.21.0.0/24"]
account = "scan@local.test"
[network.doors]
from = ["10.22.0.0/24"]
account = "alice@local.test"
[tls_policy]
report_account = "both@local.test"
[sendmail.users]
"www-data" = "gone@local.test"
`)
	told := func(stored *operate.Client) (all []string) {
		judged, err := survey.Directory(t.Context(), s.Config, stored)
		site.Must(t, err)
		risks, err := survey.Risks(s.Config, judged)
		site.Must(t, err)
		for _, r := range risks {
			if strings.Contains(r.Text, "account") {
				all = append(all, strings.TrimPrefix(r.At, s.Dir+"/")+" "+r.Text)
			}
		}
		return all
	}
	at := func(key string) string {
		return strings.TrimPrefix(s.Config.At(key).String(), s.Dir+"/")
	}
	never := []string{
		at("network.printers.account") + " both@local.test is an alias, and never an account: no client of the network printers is taken for it",
		at("tls_policy.report_account") + " both@local.test is an alias, and never an account: no report about TLS leaves",
	}
	if got := told(nil); !slices.Equal(got, never) {
		t.Errorf("without a store: %q", got)
	}
	n := s.Open()
	defer n.Close()
	s.Populate(n)
	want := []string{
		never[0],
		at("network.scanners.account") + " there is no account scan@local.test: no client of the network scanners is taken for it",
		at("sendmail.users.www-data") + " there is no account gone@local.test: the user www-data of this host sends nothing",
		never[1],
	}
	if got := told(operate.Direct(n.Operator())); !slices.Equal(got, want) {
		t.Errorf("with accounts: %q", got)
	}
	for _, key := range []string{"network.printers.account", "tls_policy.report_account", "sendmail.users.www-data"} {
		if s.Config.At(key).Line == 0 {
			t.Errorf("%s has no line", key)
		}
	}
}
