package sender

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"sallyport/internal/auth/dkim"
	"sallyport/internal/dnsx"
	"sallyport/internal/gate"
	"sallyport/internal/intake"
	"sallyport/internal/mail"
	"sallyport/internal/message"
)

// Mail of an account is signed with every key of the first author's domain of ours that
// has any, verifies, and lasts as long as is configured; strangers' mail never is.
func TestSigning(t *testing.T) {
	one, record := signingKey(t, "local.test", "s1")
	two, other := signingKey(t, "local.test", "s2")
	keys := map[string][]dkim.SigningKey{"local.test": {one, two}}
	on := true
	now := time.Unix(1_700_000_000, 0)
	s := Signer{
		On:    func() bool { return on },
		Ours:  func(d mail.Domain) bool { return strings.HasSuffix(d.ASCII(), "local.test") },
		Keys:  func(d mail.Domain) []dkim.SigningKey { return keys[d.ASCII()] },
		Lasts: func() time.Duration { return 6 * 24 * time.Hour }, Now: func() time.Time { return now }, Logger: slog.New(slog.DiscardHandler),
	}
	sign := func(account, from string) (intake.Finding, bool) {
		h, err := message.ParseHeader([]byte("From: " + from + "\r\nSubject: x\r\n\r\n"))
		must(t, err)
		m := intake.Message{Door: gate.DoorSubmission, Header: h, Stored: h}
		if account != "" {
			m.Account = mailbox(t, account)
		}
		look := s.Begin(m)
		if look == nil {
			return intake.Finding{}, false
		}
		look.Body([]byte("Hel"))
		look.Body([]byte("lo.\r\n"))
		f := look.Judge(t.Context(), intake.Content{})
		if f.Action != intake.Pass {
			t.Errorf("%s: %+v", from, f)
		}
		return f, true
	}
	for _, row := range []struct{ account, from, want string }{
		{"alice@local.test", "alice@local.test", "signed d=local.test s=s1,s2"},
		{"alice@local.test", "x@remote.test, a@bare.local.test, alice@local.test", "signed d=local.test s=s1,s2"},
		{"alice@local.test", "a@bare.local.test", "not signed: no key of bare.local.test is in use"},
		{"alice@local.test", "x@remote.test", ""},
		{"", "alice@local.test", ""},
	} {
		f, looked := sign(row.account, row.from)
		if got := note(f, "dkim"); got != row.want || looked != (row.want != "") {
			t.Errorf("%s from %s: %q, want %q", row.account, row.from, got, row.want)
		}
		if len(f.Fields) > 0 != strings.HasPrefix(row.want, "signed") {
			t.Errorf("%s: %q", row.from, f.Fields)
		}
	}
	f, _ := sign("alice@local.test", "alice@local.test")
	if !strings.Contains(string(f.Fields), "t=1700000000") || !strings.Contains(string(f.Fields), "x=1700518400") {
		t.Errorf("it lasts otherwise: %s", f.Fields)
	}
	h, err := message.ParseHeader([]byte(string(f.Fields) + "From: alice@local.test\r\nSubject: x\r\n\r\n"))
	must(t, err)
	check := dkim.NewCheck(h, dkim.DefaultLimits())
	check.Body([]byte("Hello.\r\n"))
	dns := &dnsx.Fake{Texts: map[string][]string{"s1._domainkey.local.test": {record}, "s2._domainkey.local.test": {other}}}
	results := check.Results(now, Keys{Resolver: dns, Time: time.Second}.Find(t.Context(), check.Names()))
	if len(results) != 2 || !results[0].Passed() || !results[1].Passed() {
		t.Errorf("it verifies as %v", results)
	}
	if got := (Keys{Resolver: dns}).Find(t.Context(), nil); got != nil {
		t.Errorf("no names are %v", got)
	}
	on = false
	if _, looked := sign("alice@local.test", "alice@local.test"); looked {
		t.Error("it is signed although that is off")
	}
}

// Where sender binding only reports, an author who is not the account's is vouched for in no
// other domain than the account's own.
func TestSigningOfNamesThatAreOnlyReported(t *testing.T) {
	local, _ := signingKey(t, "local.test", "s1")
	tenant, _ := signingKey(t, "tenant.test", "t1")
	keys := map[string][]dkim.SigningKey{"local.test": {local}, "tenant.test": {tenant}}
	s := Signer{
		On: func() bool { return true }, Ours: func(d mail.Domain) bool { return keys[d.ASCII()] != nil }, Keys: func(d mail.Domain) []dkim.SigningKey { return keys[d.ASCII()] },
		Lasts: func() time.Duration { return 0 }, Now: time.Now, Logger: slog.New(slog.DiscardHandler),
	}
	for _, row := range []struct {
		from     string
		notOwned []string
		want     string
	}{
		{"bob@tenant.test", nil, "signed d=tenant.test s=t1"}, // a delegate
		{"bob@tenant.test", []string{"bob@tenant.test"}, "not signed: the account has no address in tenant.test, and sender binding only reports"},
		{"bob@local.test", []string{"bob@local.test"}, "signed d=local.test s=s1"},
		{"bob@tenant.test, alice@local.test", []string{"bob@tenant.test"}, "signed d=local.test s=s1"},
		{"bob@tenant.test, al@tenant.test", []string{"bob@tenant.test"}, "signed d=tenant.test s=t1"}, // al is hers
	} {
		h, err := message.ParseHeader([]byte("From: " + row.from + "\r\nSubject: x\r\n\r\n"))
		must(t, err)
		m := intake.Message{Door: gate.DoorSubmission, Header: h, Stored: h, Account: mailbox(t, "alice@local.test")}
		for _, a := range row.notOwned {
			m.NotOwned = append(m.NotOwned, mailbox(t, a))
		}
		look := s.Begin(m)
		look.Body([]byte("x\r\n"))
		f := look.Judge(t.Context(), intake.Content{})
		if got := note(f, "dkim"); got != row.want || len(f.Fields) > 0 != strings.HasPrefix(row.want, "signed") {
			t.Errorf("%s, of it %v not hers: %q, want %q", row.from, row.notOwned, got, row.want)
		}
	}
}

// What cannot be signed is deferred, since unsigned it might be refused.
func TestASignatureThatFails(t *testing.T) {
	s := Signer{
		On: func() bool { return true }, Ours: func(mail.Domain) bool { return true }, Keys: func(mail.Domain) []dkim.SigningKey { return make([]dkim.SigningKey, 1) },
		Lasts: func() time.Duration { return 0 }, Now: time.Now, Logger: slog.New(slog.DiscardHandler),
	}
	h, err := message.ParseHeader([]byte("From: a@local.test\r\n\r\n"))
	must(t, err)
	look := s.Begin(intake.Message{Account: mailbox(t, "a@local.test"), Header: h, Stored: h})
	look.Body([]byte("x\r\n"))
	if f := look.Judge(t.Context(), intake.Content{}); f.Action != intake.Defer || f.Rule != "dkim-signing-failed" || note(f, "error") == "" {
		t.Errorf("%+v", f)
	}
}
