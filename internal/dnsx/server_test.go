package dnsx

import (
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"sallyport/internal/mail"
)

// server is a DNS server on loopback, over UDP and TCP at one port, that answers
// each question with the messages that its script returns: none for silence.
type server struct {
	addr     netip.AddrPort
	udp, tcp atomic.Int64 // questions that arrived
}

type script func(network string, q *dns.Msg) [][]byte

func serve(t testing.TB, play script) *server {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	pc, err := net.ListenPacket("udp", ln.Addr().String())
	check(t, err)
	s := &server{addr: netip.MustParseAddrPort(ln.Addr().String())}
	var wg sync.WaitGroup
	wg.Go(func() { s.packets(pc, play) })
	wg.Go(func() { s.streams(ln, play) })
	t.Cleanup(func() { pc.Close(); ln.Close(); wg.Wait() })
	return s
}

func (s *server) packets(pc net.PacketConn, play script) {
	buf := make([]byte, 4096)
	for {
		n, from, err := pc.ReadFrom(buf)
		if err != nil {
			return
		}
		q := new(dns.Msg)
		if q.Unpack(buf[:n]) != nil {
			continue
		}
		s.udp.Add(1)
		for _, wire := range play("udp", q) {
			pc.WriteTo(wire, from)
		}
	}
}

func (s *server) streams(ln net.Listener, play script) {
	for {
		nc, err := ln.Accept()
		if err != nil {
			return
		}
		s.stream(nc, play)
	}
}

func (s *server) stream(nc net.Conn, play script) {
	defer nc.Close()
	nc.SetDeadline(time.Now().Add(5 * time.Second))
	var length [2]byte
	if _, err := io.ReadFull(nc, length[:]); err != nil {
		return
	}
	buf := make([]byte, binary.BigEndian.Uint16(length[:]))
	if _, err := io.ReadFull(nc, buf); err != nil {
		return
	}
	q := new(dns.Msg)
	if q.Unpack(buf) != nil {
		return
	}
	s.tcp.Add(1)
	for _, wire := range play("tcp", q) {
		nc.Write(binary.BigEndian.AppendUint16(nil, uint16(len(wire))))
		nc.Write(wire)
	}
	io.Copy(io.Discard, nc) // until the client goes
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
