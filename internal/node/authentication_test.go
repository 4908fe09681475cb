package node

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"sallyport/internal/dnsx"
	"sallyport/internal/operate"
)

// authenticating is a site that asks a DNS about those who bring mail from loopback.
func authenticating(t *testing.T, more ...string) (*site, *running, *dnsx.Fake) {
	s := newSite(t, nil, append([]string{"[authentication]\ncheck = \"on\""}, more...)...)
	o := s.options()
	dns := &dnsx.Fake{
		Texts: map[string][]string{
			"good.test": {"v=spf1 ip4:127.0.0.1 -all"}, "_dmarc.good.test": {"v=DMARC1; p=reject"},
			"bad.test": {"v=spf1 -all"}, "_dmarc.bad.test": {"v=DMARC1; p=reject"},
			"junk.test": {"v=spf1 -all"}, "_dmarc.junk.test": {"v=DMARC1; p=quarantine"},
			"try.test": {"v=spf1 -all"}, "_dmarc.try.test": {"v=DMARC1; p=reject; t=y"},
			"gone.test": {"v=spf1 -all"}, "_dmarc.gone.test": {"v=DMARC1; p=none; np=reject"},
		},
		Failures: map[string]error{"TXT _dmarc.silent.test": dnsx.ErrTimeout, "TXT silent.test": dnsx.ErrTimeout, "TXT key._domainkey.local.test": dnsx.ErrTimeout},
		Hosts:    map[string][]netip.Addr{},
	}
	o.Resolver = dns
	n, err := Open(t.Context(), s.cfg, o)
	must(t, err)
	s.populate(n)
	return s, s.serve(n), dns
}

// bring sends one message from outside and returns the answer to its end.
func bring(t *testing.T, r *running, envelope, from string, more ...string) string {
	c := connect(t, r.Addrs().MX[0])
	c.ok("250", "EHLO client.test")
	c.ok("250", "MAIL FROM:<%s>", envelope)
	c.ok("250", "RCPT TO:<bob@local.test>")
	c.ok("354", "DATA")
	return c.say("%s", strings.Join(append(more, "From: "+from, "Subject: x", "Message-ID: <1@x.test>", "Date: Mon, 23 Nov 2026 10:00:00 +0000", "", "Hello.", "."), "\r\n"))
}

// Each policy of an author's domain, and our own, as the client meets it.
func TestSendersAreHeldAgainstTheirDomains(t *testing.T) {
	s, r, _ := authenticating(t)
	for _, c := range []struct{ envelope, from, want string }{
		{"a@good.test", "A <a@good.test>", "250"},
		{"a@good.test", "A <a@sub.good.test>", "250"},         // relaxed alignment
		{"a@good.test", "A <a@bad.test>", "550 5.7.26"},       // SPF passes, for another
		{"a@bad.test", "A <a@bad.test>", "550 5.7.26"},        // SPF fails
		{"a@junk.test", "A <a@junk.test>", "250"},             // into the junk folder
		{"a@try.test", "A <a@try.test>", "250"},               // a test is not applied
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
		{"a@good.test", "<a@good.test>, <a@try.test>, <a@nobody.test>", "250"},
		{"a@good.test", "<a@silent.test>, <a@good.test>", "250"},
		{"a@good.test", "<a@good.test>\r\nFrom: <a@bad.test.>", "550 5.7.26"},
		{"a@good.test", "<a@bad.test.>", "550 5.7.26"},                                                  // one dot at the end changes nothing
		{"a@good.test", "<a@1.x.test>, <a@2.x.test>, <a@3.x.test>, <a@4.x.test>, <a@good.test>", "250"}, // more than are asked: the same
		{"a@good.test", "<a@bad.test>, <a@2.x.test>, <a@3.x.test>, <a@4.x.test>, <a@good.test>", "550 5.7.26"},
		{"a@good.test", "\r\nSender: <bob@local.test>", "550 5.7.1"}, // shown where there is no author
		{"a@good.test", "undisclosed\r\nSender: <bob@local.test>", "550 5.7.1"},
		{"a@good.test", "<a@good.test>\r\nSender: <bob@local.test>", "250"},
		{"a@good.test", "<a@notlocal.test", "250"},       // unreadable, and not ours: into the junk folder
		{"a@good.test", "<a@local.test.example>", "250"}, // another's
	} {
		if got := bring(t, r, c.envelope, c.from); !strings.HasPrefix(got, c.want) {
			t.Errorf("MAIL FROM:<%s>, From: %s: %s, want %s", c.envelope, c.from, got, c.want)
		}
	}
	r.idle()
	junk, err := os.ReadDir(filepath.Join(s.cfg.Maildir.Root, "local.test", "bob", ".Junk", "new"))
	if err != nil || len(junk) != 3 {
		t.Errorf("%d messages in the junk folder, %v", len(junk), err)
	}
}

// Mail whose author some program reads as another's, under a policy that does not hold,
// is kept apart; what merely shows an address in a name is not.
func TestWhatProgramsMisreadIsKeptApart(t *testing.T) {
	s, r, _ := authenticating(t)
	in := func(folder string) int {
		r.idle()
		found, err := os.ReadDir(filepath.Join(s.cfg.Maildir.Root, "local.test", "bob", folder, "new"))
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		return len(found)
	}
	apart := 0
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
		before := in("")
		if got := bring(t, r, "a@good.test", c.from); !strings.HasPrefix(got, "250") {
			t.Errorf("%s: %s", c.from, got)
		}
		if c.junk {
			apart++
		} else {
			before++
		}
		if inbox, junk := in(""), in(".Junk"); inbox != before || junk != apart {
			t.Errorf("%s: %d in the inbox, %d in the junk folder; want %d, %d", c.from, inbox, junk, before, apart)
		}
	}
	if got := bring(t, r, "a@good.test", `"a\" <bob@local.test>" <a@good.test>`); !strings.HasPrefix(got, "550 5.7.1") {
		t.Error("in our own name:", got)
	}
}

// A domain that cannot be read hides nobody: what is left of it is judged, and whatever
// comes of that, such mail is kept apart at least. Valid fields are read however they
// are written.
func TestNoFormOfFromHidesAnAuthor(t *testing.T) {
	s, r, _ := authenticating(t)
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
		if got := bring(t, r, "a@good.test", from); !strings.HasPrefix(got, "550 5.7.26") {
			t.Errorf("From: %q: %s", from, got)
		}
	}
	junk := []string{
		"u@bad\xfc.test", "u@bad.test\xfc", "u@[192.0.2.1]", "u@[bad.test]", "u@192.0.2.1", "u@\xfc", "u@", "u", "<>", "", "List:;", "List: u;", "@bad.test",
		"u@bad.test (c", "u@xn--bad-.test", "x u@bad.test", "u@\"bad.test\"", "u@bad%2Etest", "=?utf-8?q?u=40bad.test?=", "u@=?utf-8?q?bad?=.test", "u@x\xfc.nobody.test",
		"<@bad.test:a@good.test>", "u@xx.good..test", "<a@good.test>\r\nFrom: a@nobody.test", "bad.test <a@good.test> <u@bad.test>",
	}
	for _, from := range junk {
		if got := bring(t, r, "a@good.test", from); !strings.HasPrefix(got, "250") {
			t.Errorf("From: %q: %s", from, got)
		}
	}
	for _, from := range []string{"A <a@good.test >", "a @good.test", "List: a@good.test;", "a(c)@my_host.good.test", "a@em--1.good.test", "a@xn--i-7iq.good.test", "M\xfcller <a@good.test>", "Smith, John <a@good.test>", "a@good.test."} {
		got := bring(t, r, "a@good.test", from)
		if !strings.HasPrefix(got, "250") {
			t.Fatalf("From: %q: %s", from, got)
		}
		wantEvidence(t, r, queueID(got), "dmarc", "pass from=")
	}
	r.idle()
	folder := filepath.Join(s.cfg.Maildir.Root, "local.test", "bob")
	for dir, want := range map[string]int{filepath.Join(folder, ".Junk", "new"): len(junk), filepath.Join(folder, "new"): 9} {
		if found, err := os.ReadDir(dir); err != nil || len(found) != want {
			t.Errorf("%d messages in %s, want %d, %v", len(found), dir, want, err)
		}
	}
}

// The field says what was found, in the place of one that a stranger brought, and
// the trace says the same.
func TestAuthenticationResults(t *testing.T) {
	s, r, _ := authenticating(t)
	got := bring(t, r, "a@good.test", "A <a@good.test>", "Authentication-Results: mx.local.test; dkim=pass header.d=bank.test")
	id := queueID(got)
	r.idle()
	text := onlyMail(t, s, "bob")
	want := "Authentication-Results: mx.local.test;\r\n\tspf=pass\r\n\tsmtp.mailfrom=good.test;\r\n\tdkim=none;\r\n\tdmarc=pass (p reject)\r\n\theader.from=good.test\r\n"
	if !strings.Contains(text, want) || strings.Contains(text, "bank.test") {
		t.Errorf("the message is\n%s", text)
	}
	wantEvidence(t, r, id, "spf", "pass domain=good.test by \"ip4:127.0.0.1\"")
	wantEvidence(t, r, id, "dmarc", "pass from=good.test policy=reject of=good.test")
}

// A signature of ours that cannot be verified now defers, and junk is another way.
func TestOurOwnName(t *testing.T) {
	hash := sha256.Sum256([]byte("Hello.\r\n"))
	signature := "DKIM-Signature: v=1; a=rsa-sha256; d=local.test; s=key; h=from; bh=" + base64.StdEncoding.EncodeToString(hash[:]) + "; b=YWJj"
	_, r, _ := authenticating(t)
	if got := bring(t, r, "a@good.test", "<bob@local.test>", signature); !strings.HasPrefix(got, "451 4.7.5") {
		t.Errorf("with a silent DNS: %s", got)
	}
	s, r, _ := authenticating(t, `own = "junk"`)
	if got := bring(t, r, "a@good.test", "<bob@local.test>"); !strings.HasPrefix(got, "250") {
		t.Errorf("with junk: %s", got)
	}
	r.idle()
	if junk, err := os.ReadDir(filepath.Join(s.cfg.Maildir.Root, "local.test", "bob", ".Junk", "new")); err != nil || len(junk) != 1 {
		t.Errorf("%d messages in the junk folder, %v", len(junk), err)
	}
	_, r, _ = authenticating(t, `own = "dmarc"`)
	if got := bring(t, r, "a@good.test", "<bob@local.test>"); !strings.HasPrefix(got, "250") {
		t.Errorf("left to DMARC: %s", got)
	}
	_, r, _ = authenticating(t, `apply = "off"`)
	got := bring(t, r, "a@bad.test", "<a@bad.test>")
	if !strings.HasPrefix(got, "250") {
		t.Fatalf("not applied: %s", got)
	}
	answer, err := r.Operator().Trace(t.Context(), root, operate.TraceQuery{Text: queueID(got)})
	if err != nil || len(answer.Entries) == 0 {
		t.Errorf("%v %v", answer, err)
	}
}

// The author's own signature counts wherever it stands and however large it is; and more
// signatures than are looked at, or too large ones, are no way around his policy.
func TestManySignatures(t *testing.T) {
	s, r, dns := authenticating(t)
	signed, key := signedBy(t, "bad.test")
	dns.Change(func() { dns.Texts["s1._domainkey.bad.test"] = []string{"v=spf1 -all", "junk", "more", "and more", key} })
	field, text := signed[:strings.Index(signed, "From:")], signed[strings.Index(signed, "From:"):]
	var others, mine strings.Builder
	for i := range 8 {
		others.WriteString(strings.Replace(field, "d=bad.test", "d=list"+strconv.Itoa(i)+".test", 1))
		mine.WriteString(strings.Replace(field, "s=s1", "s=x"+strconv.Itoa(i), 1))
	}
	huge := strings.Replace(field, "s=s1", "s=s1; z="+strings.Repeat("x|\r\n\t", 20_000), 1)
	other := strings.Replace(huge, "d=bad.test", "d=list.test", 1)
	sha1 := strings.Replace(strings.Replace(field, "a=ed25519-sha256", "a=rsa-sha1", 1), "d=bad.test", "d=list.test", 1)
	for _, c := range []struct{ name, text, want, folder string }{
		{"the ninth", others.String() + field + text, "250", "new"},
		{"behind a large one", other + sha1 + field + text, "250", "new"},
		{"behind eight others of its domain", mine.String() + field + text, "250", ".Junk/new"},
		{"too large", huge + text, "250", ".Junk/new"},
		{"of others alone", others.String() + other + sha1 + text, "550 5.7.26", ""},
		{"broken", strings.Replace(field, "s=s1", "s=s9", 1) + text, "550 5.7.26", ""},
	} {
		folder := filepath.Join(s.cfg.Maildir.Root, "local.test", "bob", c.folder)
		before, _ := os.ReadDir(folder)
		conn := connect(t, r.Addrs().MX[0])
		conn.ok("250", "EHLO client.test")
		conn.ok("250", "MAIL FROM:<a@good.test>")
		conn.ok("250", "RCPT TO:<bob@local.test>")
		conn.ok("354", "DATA")
		if got := conn.say("%s", c.text+"."); !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
		r.idle()
		if after, err := os.ReadDir(folder); c.folder != "" && (err != nil || len(after) != len(before)+1) {
			t.Errorf("%s: it is not in %s: %v", c.name, c.folder, err)
		}
	}
	found, err := filepath.Glob(filepath.Join(s.cfg.Maildir.Root, "local.test", "bob", "new", "*"))
	must(t, err)
	all := ""
	for _, f := range found {
		b, err := os.ReadFile(f)
		must(t, err)
		all += string(b)
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
	s := newSite(t, nil, "[authentication]\ncheck = \"on\"\ntime = \"3s\"")
	o := s.options()
	h := &hanging{Resolver: &dnsx.Fake{Texts: map[string][]string{"good.test": {"v=spf1 ip4:127.0.0.1 -all"}}}}
	o.Resolver = h
	n, err := Open(t.Context(), s.cfg, o)
	must(t, err)
	s.populate(n)
	r := s.serve(n)
	var slow sync.WaitGroup
	var done atomic.Int64
	for range 10 {
		slow.Go(func() {
			if got := bring(t, r, "a@hang.test", "<a@hang.test>"); !strings.HasPrefix(got, "250") {
				t.Errorf("with a hanging DNS: %s", got)
			}
			done.Add(1)
		})
	}
	eventually(t, "the DNS to be asked about each", func() bool { return h.asked.Load() >= 10 })
	if got := bring(t, r, "a@good.test", "<a@good.test>"); !strings.HasPrefix(got, "250") || done.Load() > 0 {
		t.Errorf("%s, after %d of those that wait for the DNS", got, done.Load())
	}
	slow.Wait()
}
