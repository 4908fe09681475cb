package consent

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"sallyport/internal/dnsx"
	"sallyport/internal/dnsx/dnstest"
)

var noon = time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC) // a table of one value

// Consent is asked of a real name server, at the name that the address and the DNS agree on.
func TestAsk(t *testing.T) {
	t.Parallel()
	const ptr = "25.2.0.192.in-addr.arpa. 60 IN PTR "
	for name, c := range map[string]struct {
		ip      string
		records []string
		why     string // part of the refusal; "": none
		advice  string
	}{
		"loopback":              {"127.0.0.1", nil, "", ""},
		"mapped loopback":       {"::ffff:127.0.0.1", nil, "", ""},
		"private":               {"10.1.2.3", nil, "", ""},
		"unique local":          {"fd00::1", nil, "", ""},
		"no reverse name":       {"192.0.2.25", nil, "reverse name", "reverse name (PTR)"},
		"no record":             {"192.0.2.25", []string{ptr + "mx.test.", "mx.test. 60 IN A 192.0.2.25"}, "TXT record", `mx.test. IN TXT "sallyport-audit until=2026-12-13"`},
		"another record":        {"192.0.2.25", []string{ptr + "mx.test.", "mx.test. 60 IN A 192.0.2.25", `mx.test. 60 IN TXT "v=spf1 -all"`}, "no record begins", `IN TXT`},
		"consent":               {"192.0.2.25", []string{ptr + "mx.test.", "mx.test. 60 IN A 192.0.2.25", `mx.test. 60 IN TXT "v=spf1 -all"`, `mx.test. 60 IN TXT "sallyport-audit until=2026-12-01"`}, "", ""},
		"it does not lead back": {"192.0.2.25", []string{ptr + "mx.test.", "mx.test. 60 IN A 192.0.2.26", `mx.test. 60 IN TXT "sallyport-audit until=2026-12-01"`}, "does not lead back", "lead back"},
		"the second name":       {"192.0.2.25", []string{ptr + "a.test.", ptr + "mx.test.", "a.test. 60 IN A 192.0.2.1", "mx.test. 60 IN A 192.0.2.25", `mx.test. 60 IN TXT "sallyport-audit until=2026-12-01"`}, "", ""},
		"ended":                 {"192.0.2.25", []string{ptr + "mx.test.", "mx.test. 60 IN A 192.0.2.25", `mx.test. 60 IN TXT "sallyport-audit until=2026-11-28"`}, "has ended", "until="},
		"IPv6":                  {"2001:db8::25", []string{"5.2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa. 60 IN PTR mx.test.", "mx.test. 60 IN AAAA 2001:db8::25", `mx.test. 60 IN TXT "sallyport-audit until=2026-12-01"`}, "", ""},
		"no address at all":     {"0.0.0.0", nil, "no address of a server", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			zone, err := dnstest.NewZone(c.records...)
			if err != nil {
				t.Fatal(err)
			}
			server := dnstest.Serve(t, zone.Play)
			dns, err := dnsx.System([]netip.AddrPort{server.Addr}, false, time.Now)
			if err != nil {
				t.Fatal(err)
			}
			err = Ask(t.Context(), dns, netip.MustParseAddr(c.ip), noon)
			var r *Refusal
			switch {
			case c.why == "" && err != nil:
				t.Errorf("refused: %v", err)
			case c.why == "":
			case !errors.As(err, &r):
				t.Errorf("allowed, or another error: %v", err)
			case !strings.Contains(r.Why, c.why) || !strings.Contains(r.Advice, c.advice):
				t.Errorf("why %q, advice %q", r.Why, r.Advice)
			}
			if !needed(netip.MustParseAddr(c.ip)) && server.Asked() > 0 {
				t.Error("the DNS was asked about an address of our own network")
			}
		})
	}
}

// A consent has one form, and an end that is not far.
func TestGiven(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		Record(noon):                                "",
		"sallyport-audit until=2026-11-29":          "",
		"sallyport-audit   until=2026-12-01":        "",
		"sallyport-audit until=2026-11-28":          "has ended",
		"sallyport-audit until=2027-02-27":          "",
		"sallyport-audit until=2027-03-02":          "longer than one may be",
		"sallyport-audit":                           "must read",
		"sallyport-audit until=tomorrow":            "must read",
		"sallyport-audit until=2026-12-01 and more": "must read",
		"sallyport-audits until=2026-12-01":         "no record",
		"x sallyport-audit until=2026-12-01":        "no record",
		"":                                          "no record",
	} {
		if got := Given([]string{"v=spf1 -all", text}, noon); (got == "") != (want == "") || !strings.Contains(got, want) {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
