package site

import (
	"net/netip"
	"strings"
	"testing"

	"sallyport/internal/dnsx"
	"sallyport/internal/node"
	"sallyport/internal/operate"
)

// A domain without a route is reached by its mail exchangers: the best of them that
// is not us.
func TestMailReachesADomainByItsMX(t *testing.T) {
	s := New(t, nil, "[mx]", `private = ["127.0.0.0/8"]`)
	o := s.Options()
	o.Resolver = &dnsx.Fake{
		Exchangers: map[string][]dnsx.MX{"far.test": {{Preference: 20, Host: Name(t, "mail.far.test")}, {Preference: 30, Host: Name(t, "mx.local.test")}}},
		Hosts:      map[string][]netip.Addr{"mail.far.test": {netip.MustParseAddr("127.9.9.9")}},
	}
	n, err := node.Open(t.Context(), s.Config, o)
	Must(t, err)
	s.Populate(n)
	r := s.Serve(n)
	c := s.SignIn(r, true, "alice@local.test")
	id := QueueID(c.Send("alice@local.test", "From: alice@local.test\r\nSubject: far\r\n\r\nHello, far away.\r\n", "friend@far.test"))
	r.Idle()
	arrived := false
	for _, m := range s.Sink.Kept() {
		arrived = arrived || strings.Contains(string(m.Octets), "Hello, far away.") && strings.Contains(string(m.Octets), id)
	}
	if !arrived {
		t.Error("the message is not at the mail exchanger")
	}
}

// What the DNS says can fail a message only where it says that nobody is there; it
// can never make us dial ourselves.
func TestTheDNSNeitherLosesNorTurnsMail(t *testing.T) {
	s := New(t, nil, "[mx]", `private = []`)
	o := s.Options()
	o.Resolver = &dnsx.Fake{
		Exchangers: map[string][]dnsx.MX{
			"null.test": {{Null: true}}, "turned.test": {{Preference: 1, Host: Name(t, "evil.test")}},
		},
		Hosts:    map[string][]netip.Addr{"evil.test": {netip.MustParseAddr("127.0.0.1")}},
		Failures: map[string]error{"MX silent.test": dnsx.ErrTimeout},
	}
	n, err := node.Open(t.Context(), s.Config, o)
	Must(t, err)
	s.Populate(n)
	r := s.Serve(n)
	c := s.SignIn(r, true, "alice@local.test")
	for _, domain := range []string{"silent.test", "turned.test", "null.test"} {
		c.Send("alice@local.test", "From: alice@local.test\r\n\r\nx\r\n", "friend@"+domain)
	}
	waiting := func(domain string) (found []operate.Message) {
		Must(t, r.Operator().QueueList(t.Context(), operate.Self(), operate.Select{Domain: domain}, func(m operate.Message) error {
			found = append(found, m)
			return nil
		}))
		return found
	}
	Eventually(t, "the silent domain to be tried, and the null MX to be final", func() bool {
		silent := waiting("silent.test")
		return len(waiting("null.test")) == 0 && len(silent) == 1 && silent[0].Recipients[0].Last != ""
	})
	if last := waiting("silent.test")[0].Recipients[0].Last; !strings.HasPrefix(last, "4") {
		t.Errorf("a silent DNS was answered with %q", last)
	}
	Eventually(t, "the domain that leads to ourselves to be tried", func() bool {
		turned := waiting("turned.test")
		return len(turned) == 0 || turned[0].Recipients[0].Last != ""
	})
	if s.Sink.Connections() > 0 {
		t.Error("something was sent although nobody may be dialled")
	}
}
