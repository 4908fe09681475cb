package node

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
	"sallyport/internal/mail"
	"sallyport/internal/operate"
	"sallyport/internal/tlspolicy/mtasts"
	"sallyport/internal/tlspolicy/policytest"
)

// policyHost serves the MTA-STS policy of far.test over HTTPS on an address of
// loopback that is not ours, and returns its port. The mode may change.
func policyHost(t *testing.T, ca *policytest.Authority, mode *atomic.Value) uint16 {
	t.Helper()
	cert, err := ca.Issue(policytest.Leaf{Names: []string{"mta-sts.far.test"}})
	must(t, err)
	ln, err := net.Listen("tcp", "127.9.9.8:0")
	must(t, err)
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
	must(t, err)
	file := filepath.Join(t.TempDir(), "ca.pem")
	must(t, os.WriteFile(file, ca.PEM(), 0o600))
	far, err := mail.ParseDomain("far.test")
	must(t, err)
	var mode atomic.Value
	mode.Store("enforce")
	s := newSite(t, nil, "[mx]", `private = ["127.0.0.0/8"]`, "[tls_policy]", fmt.Sprintf("ca = %q", file))
	o := s.options()
	o.PolicyPort = policyHost(t, ca, &mode)
	o.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		if strings.HasPrefix(address, "127.9.9.8:") {
			return (&net.Dialer{}).DialContext(ctx, network, address)
		}
		return s.dial(ctx, network, address)
	}
	dns := &dnsx.Fake{
		Exchangers: map[string][]dnsx.MX{"far.test": {{Preference: 20, Host: name(t, "mail.far.test")}}},
		Hosts:      map[string][]netip.Addr{"mail.far.test": {netip.MustParseAddr("127.9.9.9")}, "mta-sts.far.test": {netip.MustParseAddr("127.9.9.8")}},
		Texts:      map[string][]string{"_mta-sts.far.test": {"v=STSv1; id=1;"}},
	}
	o.Resolver = dns
	n, err := Open(t.Context(), s.cfg, o)
	must(t, err)
	s.populate(n)
	r := s.serve(n)
	c := s.signIn(r, true, "alice@local.test")
	c.send("alice@local.test", "From: alice@local.test\r\n\r\nA secret.\r\n", "friend@far.test")
	var waiting []operate.Message
	list := func(r *running) []operate.Message {
		waiting = nil
		must(t, r.Operator().QueueList(t.Context(), root, operate.Select{Domain: "far.test"}, func(m operate.Message) error {
			waiting = append(waiting, m)
			return nil
		}))
		return waiting
	}
	eventually(t, "the first attempt", func() bool { m := list(r); return len(m) == 1 && m[0].Recipients[0].Last != "" })
	if last := waiting[0].Recipients[0].Last; !strings.HasPrefix(last, "451 4.7.5 the MTA-STS policy of far.test (enforce, id 1) is not met by mail.far.test") {
		t.Errorf("the answer is %q", last)
	}
	for _, m := range s.sink.Kept() {
		if strings.Contains(string(m.Octets), "A secret.") {
			t.Fatal("the message went in clear")
		}
	}
	r.stopped()
	if n, err = Open(t.Context(), s.cfg, o); err != nil {
		t.Fatal(err)
	}
	r = s.serve(n)
	if found := n.now().ways.Exchangers().Policy(t.Context(), far); found.Policy.Mode.String() != "enforce" {
		t.Errorf("the restart forgot the policy: %+v", found)
	}
	mode.Store("none")
	dns.Change(func() { dns.Texts["_mta-sts.far.test"] = []string{"v=STSv1; id=2;"} })
	_, err = r.Operator().QueueRetry(t.Context(), root, operate.QueueChange{Select: operate.Select{Domain: "far.test"}})
	must(t, err)
	eventually(t, "the message to be delivered", func() bool { return len(list(r)) == 0 })
}

// Our own policy is served over HTTPS as others fetch it; M11: nothing else is.
func TestOurOwnPolicyIsServed(t *testing.T) {
	s := newSite(t, nil, "[tls_policy]", `listen = ["127.0.0.1:0"]`, `mode = "enforce"`, `max_age = "9d"`)
	n := s.open()
	r := s.serve(n)
	client := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{TLSClientConfig: s.clientTLS(), DisableKeepAlives: true}}
	for host, want := range map[string]int{"mta-sts.local.test": 200, "mta-sts.remote.test": 404, "local.test": 404} {
		req, err := http.NewRequestWithContext(t.Context(), "GET", "https://"+r.listeners.Of(servicePolicies)[0].Addr().String()+mtasts.Path, nil)
		must(t, err)
		req.Host = host
		resp, err := client.Do(req)
		must(t, err)
		text, err := io.ReadAll(resp.Body)
		must(t, err)
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%s: %s", host, resp.Status)
		}
		if want != 200 {
			continue
		}
		p, err := mtasts.ParsePolicy(text)
		if err != nil || p.Mode != mtasts.ModeEnforce || p.MaxAge != 9*24*time.Hour || !p.Allows(dnsx.NameOf(s.cfg.Hostname)) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// Mail programs are told the settings of each domain of ours, at an address of their own and at that
// of the policy, and the policy is not served where nobody asked for it.
func TestProgramsAreToldTheirSettings(t *testing.T) {
	for _, lines := range [][]string{
		{"[autoconfig]", `listen = ["127.0.0.1:0"]`},
		{"[tls_policy]", `listen = ["127.0.0.1:0"]`, "[autoconfig]", `listen = ["127.0.0.1:0"]`},
	} {
		s := newSite(t, nil, lines...)
		n := s.open()
		r := s.serve(n)
		at := r.listeners.Of(servicePolicies)
		if len(at) != 1 {
			t.Fatalf("%v: %d listeners", lines, len(at))
		}
		client := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{TLSClientConfig: s.clientTLS(), DisableKeepAlives: true}}
		policy := map[bool]int{true: 200, false: 404}[len(lines) > 2]
		for url, want := range map[string]int{
			"autoconfig.local.test/mail/config-v1.1.xml": 200, "autoconfig.remote.test/mail/config-v1.1.xml": 404, "mta-sts.local.test" + mtasts.Path: policy,
			"ua-auto-config.local.test/.well-known/user-agent-configuration.json": 200,
		} {
			host, path, _ := strings.Cut(url, "/")
			req, err := http.NewRequestWithContext(t.Context(), "GET", "https://"+at[0].Addr().String()+"/"+path, nil)
			must(t, err)
			req.Host = host
			resp, err := client.Do(req)
			must(t, err)
			text, err := io.ReadAll(resp.Body)
			must(t, err)
			resp.Body.Close()
			if resp.StatusCode != want || want == 200 && !strings.HasPrefix(host, "mta-sts") && !strings.Contains(string(text), "local.test") {
				t.Errorf("%v: %s: %s %s", lines, url, resp.Status, text)
			}
		}
	}
}
