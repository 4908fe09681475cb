package dnsx

import (
	"net/netip"
	"testing"
	"time"

	"github.com/miekg/dns"

	"sallyport/internal/dnsx/dnstest"
	"sallyport/internal/mail"
)

// server is a server of dnstest with what came to it.
type server struct {
	*dnstest.Server
	addr     netip.AddrPort
	udp, tcp count
}

// count is how many questions arrived over a network.
type count struct {
	s       *dnstest.Server
	network string
}

func (c count) Load() int64 { return int64(c.s.Asked(c.network)) }

type script = dnstest.Script

func serve(t testing.TB, play script) *server {
	t.Helper()
	s := dnstest.Serve(t, play)
	return &server{s, s.Addr, count{s, "udp"}, count{s, "tcp"}}
}

// reply is an honest answer of a recursive server, with records in the notation of
// zone files: "answer" ones first, then after "--" those of the authority section.
func reply(q *dns.Msg, records ...string) *dns.Msg {
	m := new(dns.Msg)
	m.SetReply(q)
	m.RecursionAvailable = true
	authority := false
	for _, text := range records {
		if text == "--" {
			authority = true
			continue
		}
		rr, err := dns.NewRR(text)
		if err != nil || rr == nil {
			m.Rcode = dns.RcodeNotZone // shows in the test as a failure
			return m
		}
		if authority {
			m.Ns = append(m.Ns, rr)
		} else {
			m.Answer = append(m.Answer, rr)
		}
	}
	return m
}

func pack(m *dns.Msg) []byte {
	m.Compress = true
	b, err := m.Pack()
	if err != nil {
		return []byte("cannot be packed: " + err.Error())
	}
	return b
}

func one(m *dns.Msg) [][]byte { return [][]byte{pack(m)} }

func withCode(m *dns.Msg, rcode int) *dns.Msg {
	m.Rcode = rcode
	return m
}

// zone answers from records, by "TYPE name"; what is not there is NXDOMAIN.
func zone(records map[string][]string) script {
	return func(_ string, q *dns.Msg) [][]byte {
		key := dns.TypeToString[q.Question[0].Qtype] + " " + q.Question[0].Name
		rrs, ok := records[key]
		if !ok {
			return one(withCode(reply(q, "--", "test. 300 SOA ns.test. admin.test. 1 2 3 4 60"), dns.RcodeNameError))
		}
		if len(rrs) == 0 {
			return one(reply(q, "--", "test. 300 SOA ns.test. admin.test. 1 2 3 4 60"))
		}
		return one(reply(q, rrs...))
	}
}

// quick are the limits of a test that waits for silence.
func quick() Limits {
	l := DefaultLimits()
	l.Query, l.Total = 300*time.Millisecond, 5*time.Second
	return l
}

func client(t testing.TB, l Limits, servers ...*server) *Client {
	t.Helper()
	o := Options{Limits: l, Now: time.Now}
	for _, s := range servers {
		o.Servers = append(o.Servers, Server{Addr: s.addr})
	}
	c, err := NewClient(o)
	check(t, err)
	return c
}

func domain(t testing.TB, s string) mail.Domain {
	t.Helper()
	d, err := mail.ParseDomain(s)
	check(t, err)
	return d
}

func name(t testing.TB, s string) Name {
	t.Helper()
	n, err := ParseName(s)
	check(t, err)
	return n
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
