package site

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"sallyport/internal/dnsx"
	"sallyport/internal/node"
)

// askers are strangers of so many domains, each with SPF and DMARC records that speak for
// loopback, or against it.
func askers(t *testing.T, n int, spf string) (dns *dnsx.Fake, all []string) {
	dns = &dnsx.Fake{Texts: map[string][]string{}, Exchangers: map[string][]dnsx.MX{}, Hosts: map[string][]netip.Addr{"mail.far.test": {netip.MustParseAddr("127.9.9.9")}}}
	for i := range n {
		d := fmt.Sprintf("client%d.test", i)
		dns.Texts[d], dns.Texts["_dmarc."+d] = []string{spf}, []string{"v=DMARC1; p=none"}
		dns.Exchangers[d] = []dnsx.MX{{Preference: 1, Host: Name(t, "mail.far.test")}}
		all = append(all, "asker@"+d)
	}
	return dns, all
}

// A support desk answers twenty strangers who wrote to it within a few minutes: with a DMARC
// pass nobody waits and nothing is contained, without one it is judged as before.
func TestASupportDeskAnswersStrangers(t *testing.T) {
	for _, row := range []struct {
		spf   string
		known bool
	}{{"v=spf1 ip4:127.0.0.1 -all", true}, {"v=spf1 -all", false}} {
		t.Run(row.spf, func(t *testing.T) {
			s := New(t, nil, "[authentication]\ncheck = \"on\"", "[hijack]\nmode = \"enforce\"\nhold = \"1h\"", "[mx]", `private = ["127.0.0.0/8"]`)
			o := s.Options()
			dns, strangers := askers(t, 20, row.spf)
			o.Resolver = dns
			n, err := node.Open(t.Context(), s.Config, o)
			Must(t, err)
			s.Populate(n)
			r := s.Serve(n)
			outside := Connect(t, r.Addrs().MX[0])
			outside.OK("250", "EHLO client.test")
			for _, who := range strangers {
				if got := outside.Send(who, "From: <"+who+">\r\nSubject: help\r\n\r\nHelp!\r\n", "bob@local.test"); !strings.HasPrefix(got, "250") {
					t.Fatal(got)
				}
			}
			desk := s.SignIn(r, true, "bob@local.test")
			taken, contained := 0, false
			for _, who := range strangers {
				got := desk.Send("bob@local.test", "From: bob@local.test\r\nSubject: Re: help\r\n\r\nTurn it off and on.\r\n", who)
				if !strings.HasPrefix(got, "250") {
					contained = strings.HasPrefix(got, "550 5.7.13")
					break
				}
				taken++
			}
			answers := func() (n int) {
				for _, m := range s.Sink.Kept() {
					if strings.Contains(string(m.Octets), "Turn it off and on.") {
						n++
					}
				}
				return n
			}
			if row.known {
				if taken != len(strangers) {
					t.Fatalf("%d answers were taken, then: contained %v", taken, contained)
				}
				Eventually(t, "all answers to be delivered", func() bool { return answers() == len(strangers) })
				return
			}
			if !contained || answers() > 0 {
				t.Errorf("%d answers were taken, contained %v, %d left", taken, contained, answers())
			}
		})
	}
}
