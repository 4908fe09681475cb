package crowd

import (
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/miekg/dns"
)

// names answers for the destinations, as an authoritative and recursive server in
// one. Domains of a silent or failing name server are answered so.
type names struct {
	hosts map[string]netip.Addr // "d17.test." to the address of its mail exchanger
	kinds map[string]kind
}

// serveNames serves until stop is called.
func serveNames(n names) (addr string, stop func(), err error) {
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	srv := &dns.Server{PacketConn: pc, Handler: dns.HandlerFunc(n.answer)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = srv.ActivateAndServe()
	}()
	return pc.LocalAddr().String(), func() {
		_ = srv.Shutdown()
		<-done
	}, nil
}

func (n names) answer(w dns.ResponseWriter, q *dns.Msg) {
	m := new(dns.Msg)
	m.SetReply(q)
	m.RecursionAvailable = true
	name := strings.ToLower(q.Question[0].Name)
	domain := strings.TrimPrefix(name, "mx.")
	switch n.kinds[domain] {
	case kindNamesSilent:
		return
	case kindNamesFail:
		m.Rcode = dns.RcodeServerFailure
	default:
		n.records(m, q.Question[0].Qtype, name, domain)
	}
	_ = w.WriteMsg(m)
}

func (n names) records(m *dns.Msg, qtype uint16, name, domain string) {
	ip, ok := n.hosts[domain]
	switch {
	case !ok:
		m.Rcode = dns.RcodeNameError
	case qtype == dns.TypeMX && name == domain:
		m.Answer = append(m.Answer, parse(fmt.Sprintf("%s 3600 IN MX 10 mx.%s", name, domain)))
	case qtype == dns.TypeA && name != domain:
		m.Answer = append(m.Answer, parse(fmt.Sprintf("%s 3600 IN A %s", name, ip)))
	}
}

func parse(text string) dns.RR {
	rr, err := dns.NewRR(text)
	if err != nil {
		return nil // the texts are ours
	}
	return rr
}
