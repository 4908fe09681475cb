package walk

import (
	"strings"
	"sync"
	"testing"

	"github.com/miekg/dns"
)

// names is a name server at port 53; what does not stand in its zone does not exist.
type names struct {
	mu      sync.Mutex
	records map[string][]dns.RR
}

// add takes in more records, in the form of a zone file.
func (n *names) add(t *testing.T, zone string) {
	t.Helper()
	n.mu.Lock()
	defer n.mu.Unlock()
	z := dns.NewZoneParser(strings.NewReader(zone), ".", "")
	for rr, ok := z.Next(); ok; rr, ok = z.Next() {
		name := strings.ToLower(rr.Header().Name)
		n.records[name] = append(n.records[name], rr)
	}
	must(t, z.Err())
}

// ServeDNS answers one question, with what a CNAME leads to.
func (n *names) ServeDNS(w dns.ResponseWriter, q *dns.Msg) {
	n.mu.Lock()
	defer n.mu.Unlock()
	m := new(dns.Msg).SetReply(q)
	m.RecursionAvailable = true
	name, kind := strings.ToLower(q.Question[0].Name), q.Question[0].Qtype
	for range 8 {
		next := ""
		if _, ok := n.records[name]; !ok {
			m.Rcode = dns.RcodeNameError
		}
		for _, rr := range n.records[name] {
			switch rr := rr.(type) {
			case *dns.CNAME:
				m.Answer = append(m.Answer, rr)
				if kind != dns.TypeCNAME {
					next = strings.ToLower(rr.Target)
				}
			default:
				if rr.Header().Rrtype == kind {
					m.Answer = append(m.Answer, rr)
				}
			}
		}
		if name = next; name == "" {
			break
		}
	}
	_ = w.WriteMsg(m) // who does not wait gets none
}

func serveNames(t *testing.T, zone string) *names {
	t.Helper()
	n := &names{records: map[string][]dns.RR{}}
	n.add(t, zone)
	for _, network := range []string{"tcp", "udp"} {
		s := &dns.Server{Addr: "127.0.0.1:53", Net: network, Handler: n}
		up, down := make(chan struct{}), make(chan error, 1)
		s.NotifyStartedFunc = func() { close(up) }
		go func() { down <- s.ListenAndServe() }()
		select {
		case <-up:
		case err := <-down:
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Shutdown() })
	}
	return n
}
