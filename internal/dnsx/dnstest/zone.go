package dnstest

import (
	"fmt"
	"strings"

	"github.com/miekg/dns"
)

// Fault is what a zone does about a name instead of answering.
type Fault int

// The faults, of which the zero is none.
const (
	Silence Fault = iota + 1
	Failure       // SERVFAIL
)

// Zone answers as a recursive server does that knows these records and no others.
type Zone struct {
	Records map[string][]dns.RR // by name: lower case, with the last dot
	// Faults befall a question for which there is no record, by "TYPE name.", by
	// "name.", and by "*.name." for everything below a name.
	Faults map[string]Fault
	// TCP says that over UDP there is nothing but the advice to ask over TCP.
	TCP bool
	// Answers is called before each answer, and may wait; nil: nothing.
	Answers func(q dns.Question)
}

// NewZone reads records as a zone file has them. Its faults are whatever is read as
// "SILENCE key" or "SERVFAIL key".
func NewZone(records ...string) (*Zone, error) {
	z := &Zone{Records: map[string][]dns.RR{}, Faults: map[string]Fault{}}
	for _, text := range records {
		if key, ok := strings.CutPrefix(text, "SILENCE "); ok {
			z.Faults[key] = Silence
			continue
		}
		if key, ok := strings.CutPrefix(text, "SERVFAIL "); ok {
			z.Faults[key] = Failure
			continue
		}
		rr, err := dns.NewRR(text)
		if err != nil || rr == nil {
			return nil, fmt.Errorf("%q is no record: %v", text, err)
		}
		z.Add(rr)
	}
	return z, nil
}

// Add takes one more record.
func (z *Zone) Add(rr dns.RR) {
	name := strings.ToLower(rr.Header().Name)
	z.Records[name] = append(z.Records[name], rr)
}

// Play is the zone's Script.
func (z *Zone) Play(network string, q *dns.Msg) [][]byte {
	if z.Answers != nil {
		z.Answers(q.Question[0])
	}
	m := z.answer(q)
	if m == nil {
		return nil
	}
	if network == "udp" {
		size := dns.MinMsgSize
		if o := q.IsEdns0(); o != nil {
			size = int(o.UDPSize())
		}
		if z.TCP {
			m.Answer, m.Ns, m.Truncated = nil, nil, true
		}
		m.Truncate(size)
	}
	m.Compress = true
	wire, err := m.Pack()
	if err != nil {
		return nil
	}
	return [][]byte{wire}
}

// answer follows the aliases; nil for silence.
func (z *Zone) answer(q *dns.Msg) *dns.Msg {
	m := new(dns.Msg).SetReply(q)
	m.RecursionAvailable = true
	name, qtype := strings.ToLower(q.Question[0].Name), q.Question[0].Qtype
	for range 20 {
		next := ""
		for _, rr := range z.Records[name] {
			cname, alias := rr.(*dns.CNAME)
			if alias && qtype != dns.TypeCNAME {
				next = strings.ToLower(cname.Target)
			}
			if alias || rr.Header().Rrtype == qtype {
				m.Answer = append(m.Answer, rr)
			}
		}
		if next == "" {
			break
		}
		name = next
	}
	if n := len(m.Answer); n > 0 && m.Answer[n-1].Header().Rrtype == qtype {
		return m
	}
	switch z.fault(name, qtype) {
	case Silence:
		return nil
	case Failure:
		m.Answer, m.Rcode = nil, dns.RcodeServerFailure
		return m
	}
	if len(z.Records[name]) == 0 && name != "." {
		m.Rcode = dns.RcodeNameError
	}
	m.Ns = []dns.RR{&dns.SOA{Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeSOA, Class: dns.ClassINET, Ttl: 60}, Ns: "ns.", Mbox: "admin.", Minttl: 60}}
	return m
}

func (z *Zone) fault(name string, qtype uint16) Fault {
	if f := z.Faults[dns.TypeToString[qtype]+" "+name]; f != 0 {
		return f
	}
	if f := z.Faults[name]; f != 0 {
		return f
	}
	for rest := name; rest != ""; {
		_, rest, _ = strings.Cut(rest, ".")
		if f := z.Faults["*."+rest]; f != 0 {
			return f
		}
	}
	return 0
}
