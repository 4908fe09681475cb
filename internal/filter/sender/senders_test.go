package sender

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sallyport/internal/auth/dkim"
	"sallyport/internal/auth/dmarc"
	"sallyport/internal/dnsx"
	"sallyport/internal/gate"
	"sallyport/internal/intake"
	"sallyport/internal/mail"
	"sallyport/internal/message"
)

// desk is an Authenticator that asks a DNS about those who bring mail from 127.0.0.1.
type desk struct {
	Authenticator
	t      *testing.T
	dns    *dnsx.Fake
	policy Policy
}

func newDesk(t *testing.T) *desk {
	dns := &dnsx.Fake{
		Texts: map[string][]string{
			"good.test": {"v=spf1 ip4:127.0.0.1 -all"}, "_dmarc.good.test": {"v=DMARC1; p=reject"},
			"bad.test": {"v=spf1 -all"}, "_dmarc.bad.test": {"v=DMARC1; p=reject"},
			"junk.test": {"v=spf1 -all"}, "_dmarc.junk.test": {"v=DMARC1; p=quarantine"},
			"try.test": {"v=spf1 -all"}, "_dmarc.try.test": {"v=DMARC1; p=reject; t=y"},
			"trial.test": {"v=spf1 -all"}, "_dmarc.trial.test": {"v=DMARC1; p=quarantine; t=y"},
			"gone.test": {"v=spf1 -all"}, "_dmarc.gone.test": {"v=DMARC1; p=none; np=reject"},
		},
		Failures: map[string]error{"TXT _dmarc.silent.test": dnsx.ErrTimeout, "TXT silent.test": dnsx.ErrTimeout, "TXT key._domainkey.local.test": dnsx.ErrTimeout},
		Hosts:    map[string][]netip.Addr{},
	}
	d := &desk{Authenticator: checker(t, dns), t: t, dns: dns, policy: Policy{Check: true, Apply: true, Own: OwnRefuse, Time: 20 * time.Second}}
	d.Authenticator.Policy = func() Policy { return d.policy }
	return d
}

// gives is what becomes of a message as it is written, and what the client is told: "550
// 5.7.1 ...", "250" or, into the junk folder, "junk".
func (d *desk) gives(envelope, text string) (string, intake.Finding) {
	d.t.Helper()
	end := strings.Index(text, "\r\n\r\n") + 4
	h, err := message.ParseHeader([]byte(text[:end]))
	must(d.t, err)
	from, err := mail.ParseReversePath("<"+envelope+">", mail.UTF8)
	must(d.t, err)
	look := d.Begin(intake.Message{
		Door: gate.DoorMX, Peer: netip.MustParseAddr("127.0.0.1"), Hello: "client.test", Envelope: mail.Envelope{From: from}, Header: h, Stored: h,
	})
	look.Body([]byte(text[len(h.Raw()):]))
	f := look.Judge(d.t.Context(), intake.Content{})
	switch f.Action {
	case intake.Pass:
		return "250", f
	case intake.Junk:
		return "junk", f
	}
	return f.Reply.String(), f
}

// bring is one message of an author from outside, after more header fields.
func (d *desk) bring(envelope, from string, more ...string) string {
	d.t.Helper()
	got, _ := d.gives(envelope, authored(from, more...))
	return got
}

func authored(from string, more ...string) string {
	return strings.Join(append(more, "From: "+from, "Subject: x", "Message-ID: <1@x.test>", "Date: Mon, 23 Nov 2026 10:00:00 +0000", "", "Hello.", ""), "\r\n")
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// note returns what a finding notes under a name.
func note(f intake.Finding, name string) string {
	for _, n := range f.Notes {
		if n.Name == name {
			return n.Value
		}
	}
	return ""
}

// Each policy of an author's domain, and our own, as the client meets it.
func TestSendersAreHeldAgainstTheirDomains(t *testing.T) {
	d := newDesk(t)
	for _, c := range []struct{ envelope, from, want string }{
		{"a@good.test", "A <a@good.test>", "250"},
		{"a@good.test", "A <a@sub.good.test>", "250"},         // relaxed alignment
		{"a@good.test", "A <a@bad.test>", "550 5.7.26"},       // SPF passes, for another
		{"a@bad.test", "A <a@bad.test>", "550 5.7.26"},        // SPF fails
		{"a@junk.test", "A <a@junk.test>", "junk"},            // into the junk folder
		{"a@try.test", "A <a@try.test>", "junk"},              // a test of reject is quarantine
		{"a@trial.test", "A <a@trial.test>", "250"},           // and one of quarantine nothing
		{"a@gone.test", "A <a@gone.test>", "250"},             // p=none
		{"a@gone.test", "A <a@nowhere.gone.test>", "550"},     // np=reject: there is no such name
		{"a@nobody.test", "A <a@nobody.test>", "250"},         // no policy
		{"a@silent.test", "A <a@silent.test>", "250"},         // the DNS is silent: nothing is held against it
		{"a@good.test", "Boss <bob@local.test>", "550 5.7.1"}, // our own name, without our signature
		{"", "Mailer <postmaster@local.test>", "550 5.7.1"},   // the null path is no way around
		{"a@good.test", "\"bob@local.test\" <a@good.test>", "250"},
		{"a@good.test", "a@good.test, bob@local.test", "550 5.7.1"},
		{"a@good.test", "<bob@local.test> <a@good.test>", "550 5.7.1"}, // unreadable, but some show it
		{"a@good.test", "<bob@local.test.>", "550 5.7.1"},
		{"a@good.test", "bob@local.test..", "550 5.7.1"},
		{"a@good.test", "bob@LOCAL . test", "550 5.7.1"},
		{"a@good.test", "bob@local.\r\n test", "550 5.7.1"},
		{"a@good.test", "<bob@(our) local(own).(one)test>", "550 5.7.1"},
		{"a@good.test", "bob@local(a \\) b).test", "550 5.7.1"},
		{"a@good.test", "<bob@loc\u00adal.test>", "550 5.7.1"},
		{"a@good.test", "bob@local\u3002test", "550 5.7.1"},
		{"a@good.test", "bob@\uff4cocal.test", "550 5.7.1"},
		{"a@good.test", "=?utf-8?q?bob=40local=2Etest?=", "550 5.7.1"},
		{"a@good.test", "=?utf-8?b?PGJvYkBsb2NhbC50ZXN0Pg==?=", "550 5.7.1"},
		{"a@good.test", "bob@=?utf-8?q?local?=.test", "550 5.7.1"},
		{"a@good.test", "staff: bob@local.test;", "550 5.7.1"},
		{"a@good.test", "bob@\"local.test\"", "550 5.7.1"},
		{"a@good.test", "bob@local.\\test", "550 5.7.1"},
		{"a@good.test", "<a@good.test>\r\nFrom: bob@local.test", "550 5.7.1"},
		{"a@good.test", "<a@good.test>\r\nFrom : bob@local.test", "550 5.7.1"},
		{"a@good.test", "<a@good.test>\r\nFROM\r\n : bob@local.test", "550 5.7.1"},
		{"a@good.test", "<a@good.test>, <a@bad.test>", "550 5.7.26"}, // a second author is no way around a policy
		{"a@good.test", "<a@good.test>\r\nFrom: <a@bad.test>", "550 5.7.26"},
		{"a@good.test", "<a@bad.test>\r\nFrom: <a@good.test>", "550 5.7.26"},
		{"a@good.test", "<a@good.test>, <a@trial.test>, <a@nobody.test>", "250"},
		{"a@good.test", "<a@good.test>, <a@try.test>, <a@nobody.test>", "junk"},
		{"a@good.test", "<a@silent.test>, <a@good.test>", "250"},
		{"a@good.test", "<a@good.test>\r\nFrom: <a@bad.test.>", "550 5.7.26"},
		{"a@good.test", "<a@bad.test.>", "550 5.7.26"},                                                   // one dot at the end changes nothing
		{"a@good.test", "<a@1.x.test>, <a@2.x.test>, <a@3.x.test>, <a@4.x.test>, <a@good.test>", "junk"}, // more than are asked: the same
		{"a@good.test", "<a@bad.test>, <a@2.x.test>, <a@3.x.test>, <a@4.x.test>, <a@good.test>", "550 5.7.26"},
		{"a@good.test", "\r\nSender: <bob@local.test>", "550 5.7.1"}, // shown where there is no author
		{"a@good.test", "undisclosed\r\nSender: <bob@local.test>", "550 5.7.1"},
		{"a@good.test", "<a@good.test>\r\nSender: <bob@local.test>", "250"},
		{"a@good.test", "<a@notlocal.test", "junk"},      // unreadable, and not ours: into the junk folder
		{"a@good.test", "<a@local.test.example>", "250"}, // another's
	} {
		if got := d.bring(c.envelope, c.from); !strings.HasPrefix(got, c.want) {
			t.Errorf("MAIL FROM:<%s>, From: %s: %s, want %s", c.envelope, c.from, got, c.want)
		}
	}
}

// Mail whose author some program reads as another's, under a policy that does not hold,
// is kept apart; what merely shows an address in a name is not.
func TestWhatProgramsMisreadIsKeptApart(t *testing.T) {
	d := newDesk(t)
	for _, c := range []struct {
		from string
		junk bool
	}{
		{`(\) <u@bad.test>) a@good.test`, true},
		{`"a\" <u@bad.test>" <a@good.test>`, true},
		{"\"x\r\n <u@bad.test>\" <a@good.test>", true},
		{`a@(u@bad.test)good.test`, true},
		{`"u@bad.test,"@good.test`, true},
		{`=?utf-8?q?u=40bad.test=2C?= <a@good.test>`, true},
		{`"u@bad.test" <a@good.test>`, false},
		{`=?utf-8?q?u=40bad.test?= <a@good.test>`, false},
		{`"a\" <u@nobody.test>" <a@good.test>`, false}, // without a policy
		{`"a\" <u@good.test>" <a@good.test>`, false},
	} {
		want := "250"
		if c.junk {
			want = "junk"
		}
		if got := d.bring("a@good.test", c.from); got != want {
			t.Errorf("%s: %s, want %s", c.from, got, want)
		}
	}
	if got := d.bring("a@good.test", `"a\" <bob@local.test>" <a@good.test>`); !strings.HasPrefix(got, "550 5.7.1") {
		t.Error("in our own name:", got)
	}
}

// A domain that cannot be read hides nobody: what is left of it is judged, and whatever
// comes of that, such mail is kept apart at least. Valid fields are read however they
// are written.
func TestNoFormOfFromHidesAnAuthor(t *testing.T) {
	d := newDesk(t)
	label := strings.Repeat("a", 64)
	for _, from := range []string{
		"u@em--1.bad.test", "u@xn--i-7iq.bad.test", "u@xn--.bad.test", "u@my_host.bad.test", "u@-x.bad.test", "u@x-.bad.test", "u@bad.test.1",
		"u@bad..test", "u@.bad.test", "u@bad.test..", "u@x..bad.test", "u@x\xfc.bad.test", "u@\xfc.\xfc.bad.test", "u@x.\xfc.bad.test",
		"u@" + label + ".bad.test", "u@" + strings.Repeat("a.", 200) + "bad.test", "u@x\x01.bad.test", "u@bad.test\x7f",
		"u@bad\u3002test", "u@bad\uff61test", "u@\uff42ad.test", "u@b\u00adad.test", "u@bad.test\u00a0", "u@x%y.bad.test", "u@x/y.bad.test", "u@x'.bad.test",
		"<u@bad.test >", "u @bad.test", "u@ bad . test", "List: u@bad.test;", "List: a@good.test, u@bad.test;", "(c)u(c)@(c)bad(c).(c)test(c)", "<\r\n u@bad.test\r\n >",
		"\"a b\".c@bad.test", "u..v@bad.test", "<@good.test:u@bad.test>", "Smith, John <u@bad.test>", "M\xfcller <u@bad.test>", "u@bad.test <v@bad.test>",
		"<u@bad.test", "a@good.test <u@bad.test", "<a@good.test>, <u@bad.test> x",
	} {
		if got := d.bring("a@good.test", from); !strings.HasPrefix(got, "550 5.7.26") {
			t.Errorf("From: %q: %s", from, got)
		}
	}
	junk := []string{
		"u@bad\xfc.test", "u@bad.test\xfc", "u@[192.0.2.1]", "u@[bad.test]", "u@192.0.2.1", "u@\xfc", "u@", "u", "<>", "", "List:;", "List: u;", "@bad.test",
		"u@bad.test (c", "u@xn--bad-.test", "x u@bad.test", "u@\"bad.test\"", "u@bad%2Etest", "=?utf-8?q?u=40bad.test?=", "u@=?utf-8?q?bad?=.test", "u@x\xfc.nobody.test",
		"<@bad.test:a@good.test>", "u@xx.good..test", "<a@good.test>\r\nFrom: a@nobody.test", "bad.test <a@good.test> <u@bad.test>",
	}
	for _, from := range junk {
		if got := d.bring("a@good.test", from); got != "junk" {
			t.Errorf("From: %q: %s", from, got)
		}
	}
	for _, from := range []string{"A <a@good.test >", "a @good.test", "List: a@good.test;", "a(c)@my_host.good.test", "a@em--1.good.test", "a@xn--i-7iq.good.test", "M\xfcller <a@good.test>", "Smith, John <a@good.test>", "a@good.test."} {
		if got, f := d.gives("a@good.test", authored(from)); got != "250" || !strings.HasPrefix(note(f, "dmarc"), "pass from=") {
			t.Errorf("From: %q: %s, %q", from, got, note(f, "dmarc"))
		}
	}
}

// A signature of ours that cannot be verified now defers, and junk is another way.
func TestOurOwnName(t *testing.T) {
	hash := sha256.Sum256([]byte("Hello.\r\n"))
	signature := "DKIM-Signature: v=1; a=rsa-sha256; d=local.test; s=key; h=from; bh=" + base64.StdEncoding.EncodeToString(hash[:]) + "; b=YWJj"
	d := newDesk(t)
	if got := d.bring("a@good.test", "<bob@local.test>", signature); !strings.HasPrefix(got, "451 4.7.5") {
		t.Errorf("with a silent DNS: %s", got)
	}
	for own, want := range map[Own]string{OwnRefuse: "550 5.7.1", OwnJunk: "junk", OwnDMARC: "250"} {
		d.policy.Own = own
		if got := d.bring("a@good.test", "<bob@local.test>"); !strings.HasPrefix(got, want) {
			t.Errorf("own %d: %s, want %s", own, got, want)
		}
	}
	d.policy.Apply = false
	if got := d.bring("a@bad.test", "<a@bad.test>"); got != "250" {
		t.Errorf("not applied: %s", got)
	}
}

// The author's own signature counts wherever it stands and however large it is; and more
// signatures than are looked at, or too large ones, are no way around his policy.
func TestManySignatures(t *testing.T) {
	d := newDesk(t)
	signed, key := signedBy(t, "bad.test")
	d.dns.Change(func() {
		d.dns.Texts["s1._domainkey.bad.test"] = []string{"v=spf1 -all", "junk", "more", "and more", key}
	})
	field, text := signed[:strings.Index(signed, "From:")], signed[strings.Index(signed, "From:"):]
	var others, mine strings.Builder
	for i := range 8 {
		others.WriteString(strings.Replace(field, "d=bad.test", "d=list"+strconv.Itoa(i)+".test", 1))
		mine.WriteString(strings.Replace(field, "s=s1", "s=x"+strconv.Itoa(i), 1))
	}
	huge := strings.Replace(field, "s=s1", "s=s1; z="+strings.Repeat("x|\r\n\t", 20_000), 1)
	other := strings.Replace(huge, "d=bad.test", "d=list.test", 1)
	sha1 := strings.Replace(strings.Replace(field, "a=ed25519-sha256", "a=rsa-sha1", 1), "d=bad.test", "d=list.test", 1)
	all := ""
	for _, c := range []struct{ name, text, want string }{
		{"the ninth", others.String() + field + text, "250"},
		{"behind a large one", other + sha1 + field + text, "250"},
		{"behind eight others of its domain", mine.String() + field + text, "junk"},
		{"too large", huge + text, "junk"},
		{"of others alone", others.String() + other + sha1 + text, "550 5.7.26"},
		{"broken", strings.Replace(field, "s=s1", "s=s9", 1) + text, "550 5.7.26"},
	} {
		got, f := d.gives("a@good.test", c.text)
		if !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
		if got != "250" {
			continue
		}
		all += strings.Join(strings.Fields(string(f.Fields)), " ")
	}
	if strings.Contains(all, "unknown") || !strings.Contains(all, "header.a=rsa-sha1") || !strings.Contains(all, "dkim=pass") || !strings.Contains(all, "dkim=policy") {
		t.Errorf("the results are\n%s", all)
	}
}

// hanging is a DNS that never answers about some names.
type hanging struct {
	dnsx.Resolver
	asked atomic.Int64
}

func (h *hanging) TXT(ctx context.Context, n dnsx.Name) (dnsx.Answer[string], error) {
	if strings.HasSuffix(n.String(), "hang.test") {
		h.asked.Add(1)
		<-ctx.Done()
		return dnsx.Answer[string]{}, context.Cause(ctx)
	}
	return h.Resolver.TXT(ctx, n)
}

// A DNS that hangs about one domain keeps no other mail waiting, and nothing is held
// against those of whom it does not tell.
func TestAHangingDNSKeepsNobodyElse(t *testing.T) {
	d := newDesk(t)
	h := &hanging{Resolver: d.dns}
	d.Resolver, d.Keys, d.policy.Time = func() dnsx.Resolver { return h }, func() Keys { return Keys{Resolver: h} }, 2*time.Second
	var slow sync.WaitGroup
	var done atomic.Int64
	for range 10 {
		slow.Go(func() {
			if got := d.bring("a@hang.test", "<a@hang.test>"); !strings.HasPrefix(got, "250") {
				t.Errorf("with a hanging DNS: %s", got)
			}
			done.Add(1)
		})
	}
	for h.asked.Load() < 10 {
		time.Sleep(time.Millisecond)
	}
	if got := d.bring("a@good.test", "<a@good.test>"); !strings.HasPrefix(got, "250") || done.Load() > 0 {
		t.Errorf("%s, after %d of those that wait for the DNS", got, done.Load())
	}
	slow.Wait()
}

// What a stranger brings is verified, a silent DNS delays nothing, and whatever comes
// out is evidence.
func TestStrangersSignaturesAreVerified(t *testing.T) {
	d := newDesk(t)
	signed, key := signedBy(t, "far.test")
	for _, row := range []struct{ text, failure, want string }{
		{signed, "", "pass d=far.test s=s1 a=ed25519-sha256"},
		{strings.Replace(signed, "Hello", "Jello", 1), "", "fail d=far.test"},
		{strings.Replace(signed, "s=s1", "s=s2", 1), "TXT s2._domainkey.far.test", "temperror d=far.test s=s2"},
		{strings.Replace(signed, "s=s1", "s=s3", 1), "", "permerror d=far.test s=s3"},
		{"From: x@far.test\r\n\r\nx\r\n", "", "none"},
	} {
		d.dns.Change(func() {
			d.dns.Texts["s1._domainkey.far.test"] = []string{key}
			if row.failure != "" {
				d.dns.Failures[row.failure] = dnsx.ErrTimeout
			}
		})
		if got, f := d.gives("x@far.test", row.text); got != "250" || !strings.HasPrefix(note(f, "dkim"), row.want) {
			t.Errorf("%s, %q, want %q", got, note(f, "dkim"), row.want)
		}
	}
}

// signedBy returns a message that a domain signed, and the text of its key record.
func signedBy(t *testing.T, domain string) (string, string) {
	t.Helper()
	k, record := signingKey(t, domain, "s1")
	text := "From: x@" + domain + "\r\nSubject: hi\r\n\r\nHello\r\n"
	h, err := message.ParseHeader([]byte(text[:strings.Index(text, "\r\n\r\n")+4]))
	must(t, err)
	work := dkim.NewSigning(h, []dkim.SigningKey{k})
	work.Body([]byte("Hello\r\n"))
	fields, err := work.Fields(time.Now(), 0)
	must(t, err)
	return string(fields) + text, record
}

// signingKey is a new key of a domain, and the text of its record.
func signingKey(t *testing.T, domain, selector string) (dkim.SigningKey, string) {
	t.Helper()
	public, secret, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	k, err := dkim.NewSigningKey(dkim.KeyName{Selector: selector, Domain: domainOf(t, domain)}, secret)
	must(t, err)
	record, err := dkim.Record(public)
	must(t, err)
	return k, record
}

// Who is not asked about is not looked at: our own people, other doors, and anybody while
// the check is off.
func TestWhoIsNotChecked(t *testing.T) {
	d := newDesk(t)
	h, err := message.ParseHeader([]byte("From: a@bad.test\r\n\r\n"))
	must(t, err)
	stranger := intake.Message{Door: gate.DoorMX, Header: h, Stored: h}
	if d.Begin(stranger) == nil {
		t.Error("a stranger is not looked at")
	}
	account, door := stranger, stranger
	account.Account = mailbox(t, "alice@local.test")
	door.Door = gate.DoorSubmission
	if d.Begin(account) != nil || d.Begin(door) != nil {
		t.Error("our own people are looked at")
	}
	d.policy.Check = false
	if d.Begin(stranger) != nil {
		t.Error("somebody is looked at")
	}
}

func mailbox(t *testing.T, s string) mail.Address {
	t.Helper()
	a, err := mail.ParseAddress(s, mail.UTF8)
	must(t, err)
	return a
}

// What is told to domains says what was done and why; a report about mail that passes is
// told to nobody, since reports about reports would never end.
func TestObservations(t *testing.T) {
	d := newDesk(t)
	var seen []Observation
	d.Observe = func(o Observation) { seen = append(seen, o) }
	for _, c := range []struct {
		envelope, from, subject string
		apply                   bool
		done                    dmarc.Policy
		override                string
		told                    string // disposition, SPF and DKIM; "": nothing
	}{
		{"a@good.test", "<a@good.test>", "x", true, dmarc.PolicyNone, "", "pass pass fail"},
		{"a@good.test", "<a@bad.test>", "x", true, dmarc.PolicyReject, "", "reject fail fail"},
		{"a@good.test", "<a@bad.test>", "x", false, dmarc.PolicyNone, overrideLocal, "none fail fail"},
		{"a@junk.test", "<a@junk.test>", "x", true, dmarc.PolicyQuarantine, "", "quarantine fail fail"},
		{"a@try.test", "<a@try.test>", "x", true, dmarc.PolicyQuarantine, overrideTest, "quarantine fail fail"},
		{"a@trial.test", "<a@trial.test>", "x", true, dmarc.PolicyNone, overrideTest, "none fail fail"},
		{"a@try.test", "<a@try.test>", "x", false, dmarc.PolicyNone, overrideLocal, "none fail fail"},
		{"a@good.test", "<a@good.test>, <a@bad.test>", "x", true, dmarc.PolicyReject, "", "reject fail fail"},
		{"a@good.test", "<bob@local.test>", "x", true, 0, "", ""},
		{"a@nobody.test", "<a@nobody.test>", "x", true, 0, "", ""},
		{"a@good.test", "<a@good.test>", "Report Domain: local.test Submitter: good.test Report-ID: <1@good.test>", true, 0, "", ""},
		{"a@good.test", "<a@bad.test>", "Report Domain: local.test Submitter: bad.test Report-ID: <1@bad.test>", true, dmarc.PolicyReject, "", "reject fail fail"},
	} {
		seen, d.policy.Apply = nil, c.apply
		d.gives(c.envelope, strings.Replace(authored(c.from), "Subject: x", "Subject: "+c.subject, 1))
		if c.told == "" {
			if len(seen) != 0 {
				t.Errorf("%+v: told %+v", c, seen)
			}
			continue
		}
		if len(seen) != 1 || seen[0].Done != c.done || seen[0].Override != c.override {
			t.Errorf("%+v: told %+v", c, seen)
			continue
		}
		r := seen[0].Record()
		e := r.Row.Evaluated
		if got := e.Disposition + " " + e.SPF + " " + e.DKIM; got != c.told || r.Row.Source != "127.0.0.1" || r.Row.Count != 1 || r.Identifiers.EnvelopeFrom == "" || len(r.Results.SPF) != 1 ||
			(c.override != "") != (len(e.Reasons) == 1 && e.Reasons[0].Type == c.override) {
			t.Errorf("%+v: it reads %+v", c, r)
		}
	}
}

// A record names few signatures, those that passed first, and says where the DNS was silent.
func TestRecords(t *testing.T) {
	o := Observation{Peer: netip.MustParseAddr("::ffff:192.0.2.1"), DMARC: dmarc.Result{Verdict: dmarc.TempError, Author: domainOf(t, "a.test"), AlignedDKIM: true}}
	for i := range 9 {
		s := dkim.Result{Status: dkim.StatusFail, Key: dkim.KeyName{Selector: "s" + strconv.Itoa(i), Domain: domainOf(t, "a.test")}}
		if i == 8 {
			s.Status = dkim.StatusPass
		}
		o.DKIM = append(o.DKIM, s, dkim.Result{Status: dkim.StatusPass})
	}
	r := o.Record()
	if e := r.Row.Evaluated; r.Row.Source != "192.0.2.1" || e.DKIM != "pass" || e.SPF != "fail" || len(e.Reasons) != 1 || e.Reasons[0].Comment != "the DNS did not answer" {
		t.Errorf("%+v", r)
	}
	if d := r.Results.DKIM; len(d) != maxReported || d[0].Selector != "s8" || d[0].Result != "pass" || d[1].Selector != "s0" || len(r.Results.SPF) != 0 || r.Identifiers.EnvelopeFrom != "" {
		t.Errorf("%+v", r.Results)
	}
}

// Where there are many signatures, those that passed are told first, and those that were
// not looked at last.
func TestWhatIsTold(t *testing.T) {
	var all []dkim.Result
	for i := range maxTold + 5 {
		all = append(all, dkim.Result{Status: dkim.StatusFail, Unseen: i < 10, Key: dkim.KeyName{Selector: strconv.Itoa(i)}})
	}
	all[maxTold+4].Status = dkim.StatusPass
	got := told(all)
	if len(got) != maxTold || !got[0].Passed() || got[1].Key.Selector != "10" || got[maxTold-1].Key.Selector != "4" || len(notes(all)) != maxTold {
		t.Errorf("%v", got)
	}
	if got := told(all[:maxTold]); got[0].Key.Selector != "0" {
		t.Errorf("what there is room for is in another order: %v", got)
	}
}
