package mx

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"sallyport/internal/dnsx"
	"sallyport/internal/mail"
)

// validating is a resolver on loopback that says of all its answers that they are
// secure, for one exchanger with TLSA records of any octets.
func validating(t *testing.T, port uint16, records ...string) *dnsx.Client {
	t.Helper()
	tlsa := fmt.Sprintf("_%d._tcp.mx.x.test.", port)
	answer := dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetReply(q)
		m.RecursionAvailable, m.AuthenticatedData = true, true
		h := dns.RR_Header{Name: q.Question[0].Name, Rrtype: q.Question[0].Qtype, Class: dns.ClassINET, Ttl: 60}
		switch {
		case h.Name == "x.test." && h.Rrtype == dns.TypeMX:
			m.Answer = []dns.RR{&dns.MX{Hdr: h, Preference: 10, Mx: "mx.x.test."}}
		case h.Name == "mx.x.test." && h.Rrtype == dns.TypeA:
			m.Answer = []dns.RR{&dns.A{Hdr: h, A: net.IPv4(127, 0, 0, 2)}}
		case h.Name == tlsa && h.Rrtype == dns.TypeTLSA:
			for _, r := range records {
				m.Answer = append(m.Answer, &dns.RFC3597{Hdr: h, Rdata: hex.EncodeToString([]byte(r))})
			}
		}
		w.WriteMsg(m)
	})
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	check(t, err)
	ready := make(chan struct{})
	s := &dns.Server{PacketConn: pc, Handler: answer, NotifyStartedFunc: func() { close(ready) }}
	go s.ActivateAndServe()
	<-ready
	t.Cleanup(func() { s.Shutdown() })
	c, err := dnsx.NewClient(dnsx.Options{
		Servers: []dnsx.Server{{Addr: netip.MustParseAddrPort(pc.LocalAddr().String()), Validating: true}}, Limits: dnsx.DefaultLimits(), Now: time.Now,
	})
	check(t, err)
	return c
}

// TLSA records that cannot be used, of an odd length or of values that nobody knows,
// stop no mail and let none go in clear: RFC 7672 §2.2 wants TLS with any certificate.
// Beside a record that can be used they say nothing.
func TestUnusableTLSARecordsOverTheWire(t *testing.T) {
	digest := strings.Repeat("d", sha256.Size)
	odd := map[string]string{
		"a digest that lacks an octet": "\x03\x01\x01" + digest[1:],
		"a digest with one too many":   "\x03\x01\x01" + digest + "d",
		"a digest of another length":   "\x03\x01\x02" + digest,
		"no octets":                    "", "one octet": "\x03", "two octets": "\x03\x01", "three octets": "\x03\x01\x01", "half a digest": "\x02\x00\x01" + digest[:16],
		"PKIX-TA": "\x00\x01\x01" + digest, "PKIX-EE": "\x01\x01\x01" + digest, "an unknown usage": "\xff\x01\x01" + digest,
		"an unknown selector": "\x03\x09\x01" + digest, "an unknown matching": "\x03\x01\x07" + digest,
		"a certificate that is none": "\x03\x00\x00\x30\x82\x01", "a key that is none": "\x03\x01\x00k",
	}
	var all []string
	for _, r := range odd {
		all = append(all, r)
	}
	try := func(t *testing.T, kind, want, report string, records func(*policyWorld, []byte) []string) {
		t.Helper()
		w := newPolicyWorld(t)
		cfg := w.certificate(kind)
		var spki []byte
		if cfg != nil {
			sum := sha256.Sum256(cfg.Certificates[0].Leaf.RawSubjectPublicKeyInfo)
			spki = sum[:]
		}
		w.serveMX(cfg, false)
		client := validating(t, w.port, records(w, spki)...)
		out, said := w.send(mail.TLSAsUsual, func(o *Options) { o.Resolver = client })
		if !strings.HasPrefix(out.Reply.String(), want) || said != report {
			t.Errorf("%s server: %s, reported %q; want %s, %q", kind, out.Reply, said, want, report)
		}
		if want == "250" && (out.TLS == "" || out.Policy == "") {
			t.Errorf("%s server: no evidence: %+v", kind, out)
		}
		if want != "250" && w.took["127.0.0.2 a@x.test"] > 0 {
			t.Errorf("%s server: it was taken", kind)
		}
	}
	for name, r := range odd {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			alone := func(*policyWorld, []byte) []string { return []string{r} }
			try(t, "stranger", "250", "tlsa", alone)
			try(t, "none", "451 4.7.5", "tlsa starttls-not-supported", alone)
		})
	}
	t.Run("all, and one that is right", func(t *testing.T) {
		try(t, "stranger", "250", "tlsa", func(_ *policyWorld, spki []byte) []string { return append(all, "\x03\x01\x01"+string(spki)) })
	})
	t.Run("all, and one of another key", func(t *testing.T) {
		try(t, "right", "451 4.7.5", "tlsa certificate-not-trusted", func(*policyWorld, []byte) []string { return append([]string{"\x03\x01\x01" + digest}, all...) })
	})
}
