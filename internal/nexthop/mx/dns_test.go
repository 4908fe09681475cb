package mx

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"sallyport/internal/dnsx"
	"sallyport/internal/dnsx/dnstest"
)

// nameServer is an independent DNS server on loopback, over UDP and TCP at one
// port, with records in the notation of zone files. Every name under broken.test
// fails, every other name without records does not exist.
func nameServer(t *testing.T, records ...string) netip.AddrPort {
	t.Helper()
	zone := map[dns.Question][]dns.RR{}
	names := map[string]bool{}
	for _, text := range records {
		rr, err := dns.NewRR(text)
		check(t, err)
		h := rr.Header()
		zone[dns.Question{Name: h.Name, Qtype: h.Rrtype, Qclass: h.Class}] = append(zone[dns.Question{Name: h.Name, Qtype: h.Rrtype, Qclass: h.Class}], rr)
		names[h.Name] = true
	}
	answer := dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetReply(q)
		m.Authoritative = true
		m.Answer = zone[q.Question[0]]
		switch name := q.Question[0].Name; {
		case strings.HasSuffix(name, "broken.test."):
			m.Rcode = dns.RcodeServerFailure
		case !names[name]:
			m.Rcode = dns.RcodeNameError
		}
		if w.LocalAddr().Network() == "udp" {
			m.Truncate(512)
		}
		w.WriteMsg(m)
	})
	ln, pc, err := dnstest.Listen()
	check(t, err)
	for _, s := range []*dns.Server{{Listener: ln, Handler: answer}, {PacketConn: pc, Handler: answer}} {
		ready := make(chan struct{})
		s.NotifyStartedFunc = func() { close(ready) }
		go s.ActivateAndServe()
		<-ready
		t.Cleanup(func() { s.Shutdown() })
	}
	return netip.MustParseAddrPort(ln.Addr().String())
}

// From the question to the delivery over real sockets: DNS over UDP, and over TCP
// where the answer is large, then SMTP under TLS.
func TestFromRealDNSToRealServers(t *testing.T) {
	records := []string{
		"x.test. 60 MX 10 dead.x.test.", "x.test. 60 MX 20 a.x.test.", "dead.x.test. 60 A 127.0.0.9", "a.x.test. 60 A 127.0.0.2",
		"null.test. 60 MX 0 .", "alone.test. 60 A 127.0.0.2", "inner.test. 60 MX 1 inner.inner.test.", "inner.inner.test. 60 A 192.168.0.1", "inner.inner.test. 60 AAAA ::1",
		"loop.test. 60 MX 1 mail.home.test.",
	}
	for range 40 { // too large for UDP
		records = append(records, "large.test. 60 MX 5 a.x.test.")
	}
	for _, c := range strings.Split("abcdefghijklmnopqrstuvwxyz", "") {
		records = append(records, "large.test. 60 MX 30 "+strings.Repeat(c, 40)+".large.test.")
	}
	w := newWorld(t)
	w.serve("127.0.0.2", selfSigned(t))
	client, err := dnsx.NewClient(dnsx.Options{
		Servers: []dnsx.Server{{Addr: nameServer(t, records...)}}, Limits: dnsx.DefaultLimits(), Now: time.Now,
	})
	check(t, err)
	o := w.options()
	o.Resolver = client
	targets := w.targets(o)
	for host, want := range map[string]string{
		"x.test": "250 2.0.0 " + w.at("a.x.test", "127.0.0.2"), "alone.test": "250 2.0.0 " + w.at("alone.test", "127.0.0.2"),
		"large.test": "250 2.0.0 " + w.at("a.x.test", "127.0.0.2"), "null.test": "556 5.1.10 null.test", "missing.test": "550 5.1.2 missing.test",
		"broken.test": "451 4.4.3 broken.test", "loop.test": "554 5.4.6 loop.test", "inner.test": "550 5.4.4 " + w.at("inner.inner.test", "192.168.0.1"),
	} {
		w.want(w.deliver(targets, "ann@"+host), want)
	}
}
