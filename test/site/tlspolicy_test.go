package site

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"sallyport/internal/dnsx"
	"sallyport/internal/node"
	"sallyport/internal/operate"
	"sallyport/internal/tlspolicy/mtasts"
	"sallyport/internal/tlspolicy/policytest"
	"sallyport/test/port"
)

// policyHost serves the MTA-STS policy of far.test over HTTPS on an address of
// loopback that is not ours, and returns its port. The mode may change.
func policyHost(t *testing.T, ca *policytest.Authority, mode *atomic.Value) uint16 {
	t.Helper()
	cert, err := ca.Issue(policytest.Leaf{Names: []string{"mta-sts.far.test"}})
	Must(t, err)
	ln, err := net.Listen("tcp", "127.9.9.8:0")
	Must(t, err)
	server := &http.Server{ErrorLog: log.New(io.Discard, "", 0), Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		fmt.Fprintf(w, "version: STSv1\nmode: %s\nmx: mail.far.test\nmax_age: 86400\n", mode.Load())
	})}
	go server.Serve(tls.NewListener(ln, &tls.Config{Certificates: []tls.Certificate{cert}}))
	t.Cleanup(func() { server.Close() })
	return netip.MustParseAddrPort(ln.Addr().String()).Port()
}

// G17: a domain that enforces TLS, and whose mail exchanger offers none, gets nothing
// in clear, from a policy that was fetched over real HTTPS and survives a restart; and
// gets its mail when it withdraws the policy.
func TestAnEnforcedPolicyHoldsMailBack(t *testing.T) {
	ca, err := policytest.NewAuthority()
	Must(t, err)
	file := filepath.Join(t.TempDir(), "ca.pem")
	Must(t, os.WriteFile(file, ca.PEM(), 0o600))
	var mode atomic.Value
	mode.Store("enforce")
	s := New(t, nil, "[mx]", `private = ["127.0.0.0/8"]`, "[tls_policy]", fmt.Sprintf("ca = %q", file))
	o := s.Options()
	o.PolicyPort = policyHost(t, ca, &mode)
	o.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		if strings.HasPrefix(address, "127.9.9.8:") {
			return (&net.Dialer{}).DialContext(ctx, network, address)
		}
		return s.Dial(ctx, network, address)
	}
	dns := &dnsx.Fake{
		Exchangers: map[string][]dnsx.MX{"far.test": {{Preference: 20, Host: Name(t, "mail.far.test")}}},
		Hosts:      map[string][]netip.Addr{"mail.far.test": {netip.MustParseAddr("127.9.9.9")}, "mta-sts.far.test": {netip.MustParseAddr("127.9.9.8")}},
		Texts:      map[string][]string{"_mta-sts.far.test": {"v=STSv1; id=1;"}},
	}
	o.Resolver = dns
	n, err := node.Open(t.Context(), s.Config, o)
	Must(t, err)
	s.Populate(n)
	r := s.Serve(n)
	c := s.SignIn(r, true, "alice@local.test")
	c.Send("alice@local.test", "From: alice@local.test\r\n\r\nA secret.\r\n", "friend@far.test")
	var waiting []operate.Message
	list := func(r *Running) []operate.Message {
		waiting = nil
		Must(t, r.Operator().QueueList(t.Context(), operate.Self(), operate.Select{Domain: "far.test"}, func(m operate.Message) error {
			waiting = append(waiting, m)
			return nil
		}))
		return waiting
	}
	Eventually(t, "the first attempt", func() bool { m := list(r); return len(m) == 1 && m[0].Recipients[0].Last != "" })
	const held = "451 4.7.5 the MTA-STS policy of far.test (enforce, id 1) is not met by mail.far.test"
	if last := waiting[0].Recipients[0].Last; !strings.HasPrefix(last, held) {
		t.Errorf("the answer is %q", last)
	}
	for _, m := range s.Sink.Kept() {
		if strings.Contains(string(m.Octets), "A secret.") {
			t.Fatal("the message went in clear")
		}
	}
	r.Stopped()
	began := time.Now() // what is known from before is what counts: the DNS does not answer
	dns.Change(func() { dns.Failures = map[string]error{"TXT _mta-sts.far.test": dnsx.ErrTimeout} })
	n, err = node.Open(t.Context(), s.Config, o)
	Must(t, err)
	r = s.Serve(n)
	retry := func() {
		_, err := r.Operator().QueueRetry(t.Context(), operate.Self(), operate.QueueChange{Select: operate.Select{Domain: "far.test"}})
		Must(t, err)
	}
	retry()
	Eventually(t, "an attempt after the restart", func() bool { m := list(r); return len(m) == 1 && m[0].Recipients[0].LastAt.After(began) })
	if last := waiting[0].Recipients[0].Last; !strings.HasPrefix(last, held) {
		t.Errorf("the restart forgot the policy: %q", last)
	}
	mode.Store("none")
	dns.Change(func() {
		dns.Texts["_mta-sts.far.test"], dns.Failures = []string{"v=STSv1; id=2;"}, nil
	})
	// An exchanger that just failed is left alone for as long as the failure took: an attempt within
	// that time is answered from memory, so that one is asked for until one is made.
	Eventually(t, "the message to be delivered", func() bool {
		retry()
		return len(list(r)) == 0
	})
}

// Our own policy is served over HTTPS as others fetch it; M11: nothing else is.
func TestOurOwnPolicyIsServed(t *testing.T) {
	at := port.Loopback(t)
	s := New(t, nil, "[tls_policy]", fmt.Sprintf("listen = [%q]", at), `mode = "enforce"`, `max_age = "9d"`)
	s.Start()
	client := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{TLSClientConfig: s.ClientTLS(), DisableKeepAlives: true}}
	for host, want := range map[string]int{"mta-sts.local.test": 200, "mta-sts.remote.test": 404, "local.test": 404} {
		req, err := http.NewRequestWithContext(t.Context(), "GET", "https://"+at+mtasts.Path, nil)
		Must(t, err)
		req.Host = host
		resp, err := client.Do(req)
		Must(t, err)
		text, err := io.ReadAll(resp.Body)
		Must(t, err)
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%s: %s", host, resp.Status)
		}
		if want != 200 {
			continue
		}
		p, err := mtasts.ParsePolicy(text)
		if err != nil || p.Mode != mtasts.ModeEnforce || p.MaxAge != 9*24*time.Hour || !p.Allows(dnsx.NameOf(s.Config.Hostname)) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// Mail programs are told the settings of each domain of ours, at an address of their own and at that
// of the policy, and the policy is not served where nobody asked for it.
func TestProgramsAreToldTheirSettings(t *testing.T) {
	at := port.Loopback(t)
	listen := fmt.Sprintf("listen = [%q]", at)
	for _, lines := range [][]string{{"[autoconfig]", listen}, {"[tls_policy]", listen, "[autoconfig]", listen}} {
		s := New(t, nil, lines...)
		n := s.Start()
		client := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{TLSClientConfig: s.ClientTLS(), DisableKeepAlives: true}}
		policy := map[bool]int{true: 200, false: 404}[len(lines) > 2]
		for url, want := range map[string]int{
			"autoconfig.local.test/mail/config-v1.1.xml": 200, "autoconfig.remote.test/mail/config-v1.1.xml": 404, "mta-sts.local.test" + mtasts.Path: policy,
			"ua-auto-config.local.test/.well-known/user-agent-configuration.json": 200,
		} {
			host, path, _ := strings.Cut(url, "/")
			req, err := http.NewRequestWithContext(t.Context(), "GET", "https://"+at+"/"+path, nil)
			Must(t, err)
			req.Host = host
			resp, err := client.Do(req)
			Must(t, err)
			text, err := io.ReadAll(resp.Body)
			Must(t, err)
			resp.Body.Close()
			if resp.StatusCode != want || want == 200 && !strings.HasPrefix(host, "mta-sts") && !strings.Contains(string(text), "local.test") {
				t.Errorf("%v: %s: %s %s", lines, url, resp.Status, text)
			}
		}
		n.Stopped()
	}
}
