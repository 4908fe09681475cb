package sender

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"sallyport/internal/auth/dkim"
	"sallyport/internal/auth/spf"
	"sallyport/internal/dnsx"
	"sallyport/internal/dnsx/dnstest"
	"sallyport/internal/gate"
	"sallyport/internal/intake"
	"sallyport/internal/kit/workers"
	"sallyport/internal/mail"
	"sallyport/internal/message"
)

// resolving is our own resolver over a name server with these records.
func resolving(t *testing.T, edit func(*dnsx.Limits), records ...string) (*dnsx.Client, *dnstest.Server) {
	t.Helper()
	zone, err := dnstest.NewZone(records...)
	if err != nil {
		t.Fatal(err)
	}
	server := dnstest.Serve(t, zone.Play)
	l := dnsx.DefaultLimits()
	if edit != nil {
		edit(&l)
	}
	c, err := dnsx.NewClient(dnsx.Options{Servers: []dnsx.Server{{Addr: server.Addr}}, Limits: l, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	return c, server
}

// strange is a message that a stranger brings.
type strange struct {
	peer, hello, sender, from string
	more                      []string // header fields
}

func checker(t *testing.T, r dnsx.Resolver) Authenticator {
	return Authenticator{
		Hostname: domainOf(t, "mx.local.test"), Ours: func(d mail.Domain) bool { return d.ASCII() == "local.test" },
		Policy:   func() Policy { return Policy{Check: true, Apply: true, Own: OwnRefuse, Time: 20 * time.Second} },
		Resolver: func() dnsx.Resolver { return r }, Keys: func() Keys { return Keys{Resolver: r} },
		DKIM: dkim.DefaultLimits(), SPF: spf.DefaultLimits(), Crew: workers.New(time.Second), Now: time.Now,
	}
}

// judged is what becomes of a message, and what is said about it in one line.
func judged(t *testing.T, a Authenticator, s strange) (intake.Finding, string) {
	t.Helper()
	raw := strings.Join(append(s.more, "From: "+s.from, "Subject: x", "", ""), "\r\n")
	h, err := message.ParseHeader([]byte(raw))
	if err != nil {
		t.Fatal(err)
	}
	sender, err := mail.ParseReversePath("<"+s.sender+">", mail.UTF8)
	if err != nil {
		t.Fatal(err)
	}
	m := intake.Message{Door: gate.DoorMX, Peer: netip.MustParseAddr(s.peer), Hello: s.hello, Envelope: mail.Envelope{From: sender}, Header: h, Stored: h}
	look := a.Begin(m)
	look.Body([]byte("Hello.\r\n"))
	f := look.Judge(t.Context(), intake.Content{})
	return f, strings.Join(strings.Fields(string(f.Fields)), " ")
}

// A name server that fails above the author's own record, for a stranger's own names, or for
// some names of the author's organization, which the stranger may choose, saves no forged
// message from that record; nor does it cost an honest one anything that something speaks for.
func TestAFailingDNSSavesNobodyFromAPolicy(t *testing.T) {
	r, _ := resolving(t, nil,
		`_dmarc.a2.test. TXT "v=DMARC1; p=reject"`, "SERVFAIL _dmarc.test.",
		`_dmarc.shop.a3.test. TXT "v=DMARC1; p=reject"`, "SERVFAIL _dmarc.a3.test.", `bounce.a3.test. TXT "v=spf1 +all"`, `shop.a3.test. TXT "v=spf1 ip4:192.0.2.1 -all"`,
		`evil.test. TXT "v=spf1 +all"`,
		`lame.test. TXT "v=spf1 +all"`, "SERVFAIL _dmarc.lame.test.", "SERVFAIL x._domainkey.lame.test.", "SERVFAIL lamer.test.",
		`_dmarc.a4.test. TXT "v=DMARC1; p=reject"`, "SERVFAIL lost.a4.test.", "SERVFAIL _dmarc.lost.a4.test.", "SERVFAIL gone._domainkey.a4.test.", `bounce.a4.test. TXT "v=spf1 +all"`,
		`_dmarc.a5.test. TXT "v=DMARC1; p=reject; t=y"`, "SERVFAIL lost.a5.test.",
		`_dmarc.a6.test. TXT "v=DMARC1; p=quarantine; t=y"`, "SERVFAIL lost.a6.test.",
	)
	a := checker(t, r)
	signed := "DKIM-Signature: v=1; a=rsa-sha256; d=lame.test; s=x; h=from; bh=yZQq1c8wjBl0fZ4Wc/oraMCAG1mZJv5v/hlvyFy+t6A=; b=AAAA"
	for _, c := range []struct {
		strange
		want intake.Action
		says string
	}{
		{strange{"192.0.2.1", "h.evil.test", "x@evil.test", "u@a2.test", nil}, intake.Refuse, "dmarc=fail"},
		{strange{"192.0.2.1", "h.evil.test", "", "u@a2.test", nil}, intake.Refuse, "dmarc=fail"},
		{strange{"192.0.2.1", "h.evil.test", "x@lame.test", "u@a2.test", nil}, intake.Refuse, "dmarc=fail"},
		{strange{"192.0.2.1", "h.evil.test", "x@lamer.test", "u@a2.test", nil}, intake.Refuse, "spf=temperror"},
		{strange{"192.0.2.1", "h.evil.test", "x@evil.test", "u@a2.test", []string{signed}}, intake.Refuse, "dkim=temperror"},
		{strange{"192.0.2.1", "h.evil.test", "x@evil.test", "u@shop.a3.test", nil}, intake.Refuse, "dmarc=fail"},
		{strange{"192.0.2.1", "h.a3.test", "x@shop.a3.test", "u@shop.a3.test", nil}, intake.Pass, "dmarc=pass"},
		{strange{"192.0.2.1", "h.a3.test", "x@bounce.a3.test", "u@shop.a3.test", nil}, intake.Pass, "dmarc=temperror"},
		{strange{"192.0.2.1", "h.evil.test", "x@lost.a4.test", "u@a4.test", nil}, intake.Junk, "dmarc=temperror"},
		{strange{"192.0.2.1", "lost.a4.test", "", "u@a4.test", nil}, intake.Junk, "dmarc=temperror"},
		{strange{"192.0.2.1", "h.evil.test", "x@evil.test", "u@a4.test", []string{strings.NewReplacer("lame", "a4", "s=x", "s=gone").Replace(signed)}}, intake.Junk, "dmarc=temperror"},
		{strange{"192.0.2.1", "h.evil.test", "x@evil.test", "u@lost.a4.test", nil}, intake.Junk, "dmarc=temperror"},
		{strange{"192.0.2.1", "h.a4.test", "x@bounce.a4.test", "u@lost.a4.test", nil}, intake.Pass, "dmarc=temperror"},
		{strange{"192.0.2.1", "h.a4.test", "x@bounce.a4.test", "u@a4.test", nil}, intake.Pass, "dmarc=pass"},
		{strange{"192.0.2.1", "h.evil.test", "x@lost.a5.test", "u@a5.test", nil}, intake.Junk, "dmarc=temperror"},
		{strange{"192.0.2.1", "h.evil.test", "x@lost.a6.test", "u@a6.test", nil}, intake.Pass, "dmarc=temperror"},
	} {
		f, words := judged(t, a, c.strange)
		if f.Action != c.want || !strings.Contains(words, c.says) {
			t.Errorf("%+v: action %v by %q, %s", c.strange, f.Action, f.Rule, words)
		}
	}
}

// slowSender does not answer for the domain slow.test before it is asked whether the author's
// domain exists.
type slowSender struct {
	dnsx.Resolver
	asked chan struct{}
	once  *sync.Once
}

// TXT implements dnsx.Resolver.
func (s slowSender) TXT(ctx context.Context, n dnsx.Name) (dnsx.Answer[string], error) {
	switch n.String() {
	case "nobody.victim.test":
		s.once.Do(func() { close(s.asked) })
	case "slow.test":
		select {
		case <-s.asked:
		case <-ctx.Done():
		}
		return dnsx.Answer[string]{}, context.DeadlineExceeded
	}
	return s.Resolver.TXT(ctx, n)
}

// A stranger whose own domain takes all the time that a message has is not past the policy
// for names that do not exist. RFC 9989 §4.7, np.
func TestASlowSenderHidesNoMissingAuthor(t *testing.T) {
	r, _ := resolving(t, nil, `_dmarc.victim.test. TXT "v=DMARC1; p=reject; sp=none; np=reject"`)
	a := checker(t, slowSender{r, make(chan struct{}), new(sync.Once)})
	a.Policy = func() Policy { return Policy{Check: true, Apply: true, Own: OwnRefuse, Time: 5 * time.Second} }
	f, words := judged(t, a, strange{"192.0.2.1", "h.evil.test", "x@slow.test", "u@nobody.victim.test", nil})
	if f.Action != intake.Refuse || !strings.Contains(words, "dmarc=fail (p reject)") {
		t.Errorf("action %v by %q, %s", f.Action, f.Rule, words)
	}
}

// Keys are found behind an alias to a name that no host has. RFC 2317, RFC 6376 §3.6.2.
func TestKeysBehindOddAliases(t *testing.T) {
	r, _ := resolving(t, nil, "x._domainkey.a.test. CNAME k/1+y.keys.test.", `k/1+y.keys.test. TXT "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="`)
	n := dkim.KeyName{Selector: "x", Domain: domainOf(t, "a.test")}
	if got := (Keys{Resolver: r}).Find(t.Context(), []dkim.KeyName{n})[n]; len(got.Records) != 1 || got.Temporary {
		t.Errorf("%+v", got)
	}
}

// SPF of the client's name is asked about and told beside that of the sender, and decides
// nothing; where there is no sender it is what DMARC goes by. RFC 7208 §2.3, §2.4.
func TestSPFOfHello(t *testing.T) {
	r, _ := resolving(t, nil,
		`good.test. TXT "v=spf1 ip4:192.0.2.1 -all"`, `_dmarc.good.test. TXT "v=DMARC1; p=reject"`, `h.good.test. TXT "v=spf1 ip4:192.0.2.1 -all"`,
		`h.bad.test. TXT "v=spf1 -all"`, "SERVFAIL h.dead.test.",
	)
	a := checker(t, r)
	for _, c := range []struct {
		strange
		want intake.Action
		says string
	}{
		{strange{"192.0.2.1", "h.good.test", "x@good.test", "u@good.test", nil}, intake.Pass, "spf=pass smtp.mailfrom=good.test; spf=pass smtp.helo=h.good.test; dkim=none; dmarc=pass"},
		{strange{"192.0.2.1", "h.bad.test", "x@good.test", "u@good.test", nil}, intake.Pass, "spf=pass smtp.mailfrom=good.test; spf=fail smtp.helo=h.bad.test; dkim=none; dmarc=pass"},
		{strange{"192.0.2.1", "h.dead.test", "x@good.test", "u@good.test", nil}, intake.Pass, "spf=pass smtp.mailfrom=good.test; spf=temperror smtp.helo=h.dead.test; dkim=none"},
		{strange{"192.0.2.1", "h.none.test", "x@good.test", "u@good.test", nil}, intake.Pass, "spf=pass smtp.mailfrom=good.test; dkim=none"},
		{strange{"192.0.2.1", "[192.0.2.1]", "x@good.test", "u@good.test", nil}, intake.Pass, "spf=pass smtp.mailfrom=good.test; dkim=none"},
		{strange{"192.0.2.1", "localhost", "x@good.test", "u@good.test", nil}, intake.Pass, "spf=pass smtp.mailfrom=good.test; dkim=none"},
		{strange{"192.0.2.2", "h.good.test", "x@good.test", "u@good.test", nil}, intake.Refuse, "spf=fail smtp.mailfrom=good.test; spf=fail smtp.helo=h.good.test"},
		// A good name of the client speaks for no sender's author.
		{strange{"192.0.2.1", "h.good.test", "x@bad.test", "u@good.test", nil}, intake.Refuse, "spf=none smtp.mailfrom=bad.test; spf=pass smtp.helo=h.good.test"},
		{strange{"192.0.2.1", "h.good.test", "", "u@good.test", nil}, intake.Pass, "spf=pass smtp.helo=h.good.test; dkim=none; dmarc=pass"},
		{strange{"192.0.2.1", "h.good.test.", "", "u@good.test", nil}, intake.Pass, "spf=pass smtp.helo=h.good.test.; dkim=none; dmarc=pass"},
		{strange{"192.0.2.1", "h.bad.test", "", "u@good.test", nil}, intake.Refuse, "spf=fail smtp.helo=h.bad.test; dkim=none; dmarc=fail"},
	} {
		f, words := judged(t, a, c.strange)
		if f.Action != c.want || !strings.Contains(words, c.says) {
			t.Errorf("%+v: action %v by %q, %s", c.strange, f.Action, f.Rule, words)
		}
		noted, named := false, c.sender != "" && strings.HasSuffix(c.hello, ".test")
		for _, n := range f.Notes {
			noted = noted || n.Name == "spf of HELO"
		}
		if noted != named {
			t.Errorf("%+v: %v", c.strange, f.Notes)
		}
	}
}

// Strangers whose mail costs as many slow questions as can be made, from one network,
// take no answer from honest senders elsewhere: those are judged, the good passes and the
// forged is refused. What the flood itself had no room for is deferred, never let in.
func TestAFloodOfExpensiveSendersStarvesNobody(t *testing.T) {
	zone, err := dnstest.NewZone("SILENCE *.slow.test.", `_dmarc.victim.test. TXT "v=DMARC1; p=reject"`,
		`good.test. TXT "v=spf1 a:h.good.test -all"`, "h.good.test. A 198.51.100.7", `_dmarc.good.test. TXT "v=DMARC1; p=reject"`)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 60 {
		rr, err := dns.NewRR(fmt.Sprintf(`m%d.evil.test. TXT "v=spf1 include:a%d.slow.test include:b%d.slow.test -all"`, i, i, i))
		if err != nil {
			t.Fatal(err)
		}
		zone.Add(rr)
	}
	l := dnsx.DefaultLimits()
	l.Query, l.Total, l.Wait, l.Network, l.ZoneFailures = time.Second, time.Second, 300*time.Millisecond, 8, 1000
	server := dnstest.Serve(t, zone.Play)
	r, err := dnsx.NewClient(dnsx.Options{Servers: []dnsx.Server{{Addr: server.Addr}}, Limits: l, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	a := checker(t, r)
	var flood sync.WaitGroup
	var mu sync.Mutex
	actions := map[intake.Action]int{}
	for i := range 60 {
		flood.Go(func() {
			f, _ := judged(t, a, strange{"203.0.113.5", "h.evil.test", fmt.Sprintf("x@m%d.evil.test", i), fmt.Sprintf("u@f%d.slow.test", i), nil})
			mu.Lock()
			defer mu.Unlock()
			actions[f.Action]++
			if f.Action == intake.Defer && (f.Rule != RuleExhausted || f.Reply.Code != 451) {
				t.Errorf("%+v", f)
			}
		})
	}
	time.Sleep(100 * time.Millisecond)
	for i := range 10 {
		f, words := judged(t, a, strange{"198.51.100.7", "h.good.test", "x@good.test", "u@good.test", nil})
		if f.Action != intake.Pass || !strings.Contains(words, "dmarc=pass") {
			t.Errorf("an honest message %d: action %v by %q, %s", i, f.Action, f.Rule, words)
		}
		f, words = judged(t, a, strange{fmt.Sprintf("198.51.%d.7", i), "h.good.test", "x@evil.test", "u@victim.test", nil})
		if f.Action != intake.Refuse {
			t.Errorf("a forged message %d: action %v by %q, %s", i, f.Action, f.Rule, words)
		}
	}
	flood.Wait()
	if actions[intake.Defer] == 0 || actions[intake.Defer]+actions[intake.Pass] != 60 {
		t.Errorf("the flood: %v", actions)
	}
	t.Logf("the flood: %v", actions)
}

// A forged message is let in by nobody's being asked: neither by the sender's own flood,
// nor by those of others.
func TestOwnExhaustionOpensNothing(t *testing.T) {
	r, _ := resolving(t, func(l *dnsx.Limits) {
		l.Strangers, l.Network, l.Message, l.Waiting, l.NetworkWaiting, l.Wait = 1, 1, 1, 1, 1, 50*time.Millisecond
		l.Query, l.Total = time.Second, time.Second
	}, "SILENCE *.slow.test.", `_dmarc.victim.test. TXT "v=DMARC1; p=reject"`)
	a := checker(t, r)
	blocked := make(chan struct{})
	go func() {
		defer close(blocked)
		_, _ = r.TXT(dnsx.NewShare(netip.MustParseAddr("203.0.113.5")).Context(context.Background()), dnsx.NameOf(domainOf(t, "x.slow.test")))
	}()
	time.Sleep(50 * time.Millisecond)
	f, words := judged(t, a, strange{"192.0.2.1", "h.evil.test", "x@evil.test", "u@victim.test", nil})
	if f.Action != intake.Defer || f.Rule != RuleExhausted || f.Reply.Code != 451 {
		t.Errorf("action %v by %q, %s", f.Action, f.Rule, words)
	}
	<-blocked
}

// Where our own name servers answer nothing, forged mail is deferred, and honest mail
// with it; where the author's own zone alone fails, honest mail is not held up by that. A
// host for which nobody named a server takes mail as it comes.
func TestOurOwnMuteServersOpenNothing(t *testing.T) {
	play := map[string]dnstest.Script{
		"silence": func(string, *dns.Msg) [][]byte { return nil },
		"REFUSED": func(_ string, q *dns.Msg) [][]byte {
			wire, _ := new(dns.Msg).SetRcode(q, dns.RcodeRefused).Pack()
			return [][]byte{wire}
		},
	}
	forged := strange{"192.0.2.1", "h.evil.test", "x@evil.test", "u@victim.test", nil}
	honest := strange{"192.0.2.1", "h.good.test", "x@good.test", "u@good.test", nil}
	for how, script := range play {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			server := dnstest.Serve(t, script)
			l := dnsx.DefaultLimits()
			l.Query, l.Rounds = 200*time.Millisecond, 1
			for _, assumed := range []bool{false, true} {
				r, err := dnsx.NewClient(dnsx.Options{Servers: []dnsx.Server{{Addr: server.Addr, Assumed: assumed}}, Limits: l, Now: time.Now})
				if err != nil {
					t.Fatal(err)
				}
				a := checker(t, r)
				for _, s := range []strange{forged, honest} {
					f, words := judged(t, a, s)
					deferred := f.Action == intake.Defer && f.Rule == RuleExhausted && strings.Contains(f.Reply.String(), "the DNS does not answer here")
					if deferred == assumed || assumed && f.Action != intake.Pass {
						t.Errorf("assumed %v, %+v: action %v by %q, %s, %s", assumed, s, f.Action, f.Rule, f.Reply, words)
					}
				}
			}
		})
	}
	r, _ := resolving(t, func(l *dnsx.Limits) { l.Query, l.Rounds = 200*time.Millisecond, 1 }, "SILENCE good.test.", "SILENCE *.good.test.")
	if f, words := judged(t, checker(t, r), honest); f.Action != intake.Pass || !strings.Contains(words, "dmarc=temperror") {
		t.Errorf("of a zone that is silent: action %v by %q, %s", f.Action, f.Rule, words)
	}
}
