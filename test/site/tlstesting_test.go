package site

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"sallyport/internal/dnsx"
	"sallyport/internal/node"
	"sallyport/internal/tlspolicy/policytest"
)

// RFC 8461 §5: a policy in testing mode, fetched over real HTTPS, holds no mail back from
// an exchanger that does not meet it, and the domain is told what would have been.
func TestATestingPolicyReportsAndHoldsNothingBack(t *testing.T) {
	ca, err := policytest.NewAuthority()
	Must(t, err)
	file := filepath.Join(t.TempDir(), "ca.pem")
	Must(t, os.WriteFile(file, ca.PEM(), 0o600))
	var mode atomic.Value
	mode.Store("testing")
	s := New(t, nil, "[mx]", `private = ["127.0.0.0/8"]`, "[tls_policy]", fmt.Sprintf("ca = %q", file), `report_account = "alice@local.test"`)
	o := s.Options()
	o.PolicyPort = policyHost(t, ca, &mode)
	clock := newDays()
	o.Now = clock.now
	o.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		if strings.HasPrefix(address, "127.9.9.8:") {
			return (&net.Dialer{}).DialContext(ctx, network, address)
		}
		return s.Dial(ctx, network, address)
	}
	o.Resolver = &dnsx.Fake{
		Exchangers: map[string][]dnsx.MX{"far.test": {{Preference: 20, Host: Name(t, "mail.far.test")}}},
		Hosts:      map[string][]netip.Addr{"mail.far.test": {netip.MustParseAddr("127.9.9.9")}, "mta-sts.far.test": {netip.MustParseAddr("127.9.9.8")}},
		Texts:      map[string][]string{"_mta-sts.far.test": {"v=STSv1; id=1;"}, "_smtp._tls.far.test": {"v=TLSRPTv1; rua=mailto:reports@far.test"}},
	}
	n, err := node.Open(t.Context(), s.Config, o)
	Must(t, err)
	s.Populate(n)
	r := s.Serve(n)
	c := s.SignIn(r, true, "bob@local.test")
	c.Send("bob@local.test", "From: bob@local.test\r\n\r\nNo secret.\r\n", "friend@far.test")
	Eventually(t, "the message to be delivered all the same", func() bool {
		for _, m := range s.Sink.Kept() {
			if strings.Contains(string(m.Octets), "No secret.") {
				return true
			}
		}
		return false
	})
	r.Idle()
	clock.begin(s, r, o, 24*time.Hour)
	Eventually(t, "the report", func() bool { return len(reports(s)) > 0 })
	got := reports(s)
	if len(got) != 1 {
		t.Fatalf("%d reports, want one", len(got))
	}
	_, doc := readReport(t, got[0])
	first := doc["policies"].([]any)[0].(map[string]any)
	policy := first["policy"].(map[string]any)
	details := first["failure-details"].([]any)[0].(map[string]any)
	if policy["policy-type"] != "sts" || !strings.Contains(fmt.Sprint(policy["policy-string"]), "mode: testing") || details["result-type"] != "starttls-not-supported" ||
		details["receiving-mx-hostname"] != "mail.far.test" || first["summary"].(map[string]any)["total-failure-session-count"] != 1.0 {
		t.Errorf("report %v", doc)
	}
}
