package node

import (
	"net/netip"
	"strings"
	"testing"

	"sallyport/internal/dnsx"
	"sallyport/internal/mail"
	"sallyport/internal/operate"
)

func name(t *testing.T, s string) dnsx.Name {
	t.Helper()
	d, err := mail.ParseDomain(s)
	must(t, err)
	return dnsx.NameOf(d)
}

// A domain without a route is reached by its mail exchangers: the best of them that
// is not us.
func TestMailReachesADomainByItsMX(t *testing.T) {
	s := newSite(t, nil, "[mx]", `private = ["127.0.0.0/8"]`)
	o := s.options()
	o.Resolver = &dnsx.Fake{
		Exchangers: map[string][]dnsx.MX{"far.test": {{Preference: 20, Host: name(t, "mail.far.test")}, {Preference: 30, Host: name(t, "mx.local.test")}}},
		Hosts:      map[string][]netip.Addr{"mail.far.test": {netip.MustParseAddr("127.9.9.9")}},
	}
	n, err := Open(t.Context(), s.cfg, o)
	must(t, err)
	s.populate(n)
	r := s.serve(n)
	c := s.signIn(r, true, "alice@local.test")
	id := queueID(c.send("alice@local.test", "From: alice@local.test\r\nSubject: far\r\n\r\nHello, far away.\r\n", "friend@far.test"))
	r.idle()
	arrived := false
	for _, m := range s.sink.Kept() {
		arrived = arrived || strings.Contains(string(m.Octets), "Hello, far away.") && strings.Contains(string(m.Octets), id)
	}
	if !arrived {
		t.Error("the message is not at the mail exchanger")
	}
}

// What the DNS says can fail a message only where it says that nobody is there; it
// can never make us dial ourselves.
func TestTheDNSNeitherLosesNorTurnsMail(t *testing.T) {
	s := newSite(t, nil, "[mx]", `private = []`)
	o := s.options()
	o.Resolver = &dnsx.Fake{
		Exchangers: map[string][]dnsx.MX{
			"null.test": {{Null: true}}, "turned.test": {{Preference: 1, Host: name(t, "evil.test")}},
		},
		Hosts:    map[string][]netip.Addr{"evil.test": {netip.MustParseAddr("127.0.0.1")}},
		Failures: map[string]error{"MX silent.test": dnsx.ErrTimeout},
	}
	n, err := Open(t.Context(), s.cfg, o)
	must(t, err)
	s.populate(n)
	r := s.serve(n)
	c := s.signIn(r, true, "alice@local.test")
	for _, domain := range []string{"silent.test", "turned.test", "null.test"} {
		c.send("alice@local.test", "From: alice@local.test\r\n\r\nx\r\n", "friend@"+domain)
	}
	waiting := func(domain string) (found []operate.Message) {
		must(t, r.Operator().QueueList(t.Context(), root, operate.Select{Domain: domain}, func(m operate.Message) error {
			found = append(found, m)
			return nil
		}))
		return found
	}
	eventually(t, "the silent domain to be tried, and the null MX to be final", func() bool {
		silent := waiting("silent.test")
		return len(waiting("null.test")) == 0 && len(silent) == 1 && silent[0].Recipients[0].Last != ""
	})
	if last := waiting("silent.test")[0].Recipients[0].Last; !strings.HasPrefix(last, "4") {
		t.Errorf("a silent DNS was answered with %q", last)
	}
	eventually(t, "the domain that leads to ourselves to be tried", func() bool {
		turned := waiting("turned.test")
		return len(turned) == 0 || turned[0].Recipients[0].Last != ""
	})
	if s.sink.Connections() > 0 {
		t.Error("something was sent although nobody may be dialled")
	}
}
