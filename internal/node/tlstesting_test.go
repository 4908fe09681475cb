package node

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
	"sallyport/internal/tlspolicy/policytest"
)

// RFC 8461 §5: a policy in testing mode, fetched over real HTTPS, holds no mail back from
// an exchanger that does not meet it, and the domain is told what would have been.
func TestATestingPolicyReportsAndHoldsNothingBack(t *testing.T) {
	ca, err := policytest.NewAuthority()
	must(t, err)
	file := filepath.Join(t.TempDir(), "ca.pem")
	must(t, os.WriteFile(file, ca.PEM(), 0o600))
	var mode atomic.Value
	mode.Store("testing")
	s := newSite(t, nil, "[mx]", `private = ["127.0.0.0/8"]`, "[tls_policy]", fmt.Sprintf("ca = %q", file), `report_account = "alice@local.test"`)
	o := s.options()
	o.PolicyPort = policyHost(t, ca, &mode)
	var shift atomic.Int64
	ahead := time.Until(time.Now().UTC().Truncate(24 * time.Hour).Add(36 * time.Hour)) // noon, not in the past
	o.Now = func() time.Time { return time.Now().Add(ahead + time.Duration(shift.Load())) }
	o.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		if strings.HasPrefix(address, "127.9.9.8:") {
			return (&net.Dialer{}).DialContext(ctx, network, address)
		}
		return s.dial(ctx, network, address)
	}
	o.Resolver = &dnsx.Fake{
		Exchangers: map[string][]dnsx.MX{"far.test": {{Preference: 20, Host: name(t, "mail.far.test")}}},
		Hosts:      map[string][]netip.Addr{"mail.far.test": {netip.MustParseAddr("127.9.9.9")}, "mta-sts.far.test": {netip.MustParseAddr("127.9.9.8")}},
		Texts:      map[string][]string{"_mta-sts.far.test": {"v=STSv1; id=1;"}, "_smtp._tls.far.test": {"v=TLSRPTv1; rua=mailto:reports@far.test"}},
	}
	n, err := Open(t.Context(), s.cfg, o)
	must(t, err)
	s.populate(n)
	r := s.serve(n)
	c := s.signIn(r, true, "bob@local.test")
	c.send("bob@local.test", "From: bob@local.test\r\n\r\nNo secret.\r\n", "friend@far.test")
	eventually(t, "the message to be delivered all the same", func() bool {
		for _, m := range s.sink.Kept() {
			if strings.Contains(string(m.Octets), "No secret.") {
				return true
			}
		}
		return false
	})
	r.idle()
	n.tlsResults.Flush(t.Context())
	shift.Store(int64(24 * time.Hour))
	n.tlsResults.Send(t.Context())
	r.idle()
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
