package dnsx

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"

	"sallyport/internal/mail"
)

// question is a name and a type: one of those that answer.add takes.
type question struct {
	name  Name
	rtype uint16
}

func (q question) String() string { return dns.TypeToString[q.rtype] + " " + q.name.String() }

// answer is what a server said to a question, already within our rules.
type answer struct {
	mx    []MX
	addrs []netip.Addr
	txt   []string
	tlsa  []TLSA
	srv   []SRV
	hosts []Name        // of an address, for a question about that
	zone  bool          // there is a zone of this name, for a question about that
	alias Name          // where the name itself leads, for a question about that
	name  Name          // at which the data stands: the last alias
	ad    bool          // the server says that it validated
	ttl   time.Duration // as the server said; 0 also when it did not say
	err   error         // instead of data
}

// size is what the answer takes in memory, roughly.
func (a answer) size() int {
	n := 200 + len(a.addrs)*24
	for _, m := range a.mx {
		n += 64 + len(m.Host.text) + len(m.Odd.text) + len(m.Text)
	}
	for _, h := range a.hosts {
		n += 16 + len(h.text)
	}
	for _, t := range a.txt {
		n += 16 + len(t)
	}
	for _, t := range a.tlsa {
		n += 24 + len(t.Data)
	}
	for _, s := range a.srv {
		n += 24 + len(s.Target)
	}
	return n
}

var (
	// errTruncated asks for the same question over TCP. RFC 2181 §9.
	errTruncated = errors.New("the answer is truncated")
	// errNoEDNS is a server that did not understand the question. RFC 6891 §7.
	errNoEDNS = errors.New("the server did not understand the question")
)

const headerOctets = 12 // RFC 1035 §4.1.1

// answers reports whether wire is an answer to this very question: identifier,
// direction, kind and the question itself. RFC 5452 §9.1. What is not is no
// answer, and nothing more is read of it.
func answers(wire []byte, id uint16, q question) bool {
	if len(wire) < headerOctets || binary.BigEndian.Uint16(wire) != id {
		return false
	}
	response, opcode := wire[2]&0x80 != 0, wire[2]>>3&0xf
	if !response || opcode != dns.OpcodeQuery {
		return false
	}
	switch binary.BigEndian.Uint16(wire[4:]) {
	case 0:
		// A server that fails may leave the question out; that is all such an
		// answer can say.
		return wire[3]&0xf != dns.RcodeSuccess && wire[3]&0xf != dns.RcodeNameError
	case 1:
		return asks(wire, q)
	}
	return false
}

// asks reads the question that follows the header.
func asks(wire []byte, q question) bool {
	name, off, err := dns.UnpackDomainName(wire, headerOctets)
	if err != nil || len(wire) < off+4 || !strings.EqualFold(name, q.name.wire()) {
		return false
	}
	return binary.BigEndian.Uint16(wire[off:]) == q.rtype && binary.BigEndian.Uint16(wire[off+2:]) == dns.ClassINET
}

// readAnswer reads an answer for which answers holds. The error of the result is
// ErrNoName or ErrNoData only if the server said so and may.
func readAnswer(wire []byte, q question, l Limits) answer {
	if wire[2]&0x02 != 0 {
		return answer{err: errTruncated}
	}
	var m dns.Msg
	if err := unpack(&m, wire, l); err != nil {
		return answer{err: err}
	}
	if err := failure(m.Rcode); err != nil {
		return answer{err: err}
	}
	a := collect(&m, q, l)
	a.ad = m.AuthenticatedData
	return a
}

// unpack reads a whole message: as many records as its header says, and no more
// than we want.
func unpack(m *dns.Msg, wire []byte, l Limits) error {
	var counts [3]int
	sum := 0
	for i := range counts {
		counts[i] = int(binary.BigEndian.Uint16(wire[6+2*i:]))
		sum += counts[i]
	}
	if sum > l.Records {
		return fmt.Errorf("%w: it holds %d records", ErrMalformed, sum)
	}
	if err := m.Unpack(wire); err != nil {
		return fmt.Errorf("%w: %s", ErrMalformed, mail.Printable(err.Error(), mail.PieceShown))
	}
	if len(m.Answer) != counts[0] || len(m.Ns) != counts[1] || len(m.Extra) != counts[2] {
		return fmt.Errorf("%w: it holds fewer records than it says", ErrMalformed)
	}
	return nil
}

// failure parts what a server says about the name from what it says about itself.
// A code that we do not know is a failure.
func failure(rcode int) error {
	switch rcode {
	case dns.RcodeSuccess, dns.RcodeNameError:
		return nil
	case dns.RcodeFormatError, dns.RcodeNotImplemented, dns.RcodeBadVers:
		return errNoEDNS
	case dns.RcodeRefused, dns.RcodeNotAuth:
		return fmt.Errorf("%w: %s", ErrLame, dns.RcodeToString[rcode])
	case dns.RcodeServerFailure:
		return fmt.Errorf("%w: SERVFAIL", ErrServer)
	}
	return fmt.Errorf("%w: response code %d", ErrServer, rcode)
}

// collect follows the aliases and takes the records that were asked for.
func collect(m *dns.Msg, q question, l Limits) answer {
	name, ttl, err := lastAlias(m.Answer, q, l.Aliases)
	if err != nil {
		return answer{err: err}
	}
	a := answer{name: name}
	for _, rr := range m.Answer {
		if !owns(rr, name) || rr.Header().Rrtype != q.rtype {
			continue
		}
		if err := a.add(rr); err != nil {
			return answer{err: err}
		}
		ttl = min(ttl, lifetime(rr.Header().Ttl))
	}
	switch {
	case a.empty():
		return absent(m, ttl)
	case m.Rcode == dns.RcodeNameError:
		return answer{err: fmt.Errorf("%w: it gives records of a name that it says does not exist", ErrMalformed)}
	}
	a.ttl = ttl
	return a
}

func (a answer) empty() bool {
	return len(a.mx)+len(a.addrs)+len(a.txt)+len(a.tlsa)+len(a.srv)+len(a.hosts) == 0 && a.alias.IsZero() && !a.zone
}

// owns reports whether rr is a record of the name, in the class of the Internet.
func owns(rr dns.RR, name Name) bool {
	return rr.Header().Class == dns.ClassINET && strings.EqualFold(rr.Header().Name, name.wire())
}

// lastAlias follows CNAME records from the name asked for, unless they are what is
// asked for. RFC 1034 §3.6.2. Their number is bounded, and so is every loop.
func lastAlias(rrs []dns.RR, q question, most int) (Name, time.Duration, error) {
	name, ttl := q.name, lifetime(mostTTL)
	if q.rtype == dns.TypeCNAME {
		return name, ttl, nil
	}
	for range most + 1 {
		var next *dns.CNAME
		for _, rr := range rrs {
			c, ok := rr.(*dns.CNAME)
			if !ok || !owns(rr, name) {
				continue
			}
			if next != nil && !strings.EqualFold(next.Target, c.Target) {
				return Name{}, 0, fmt.Errorf("%w: two aliases for one name", ErrMalformed)
			}
			next = c
		}
		if next == nil {
			return name, ttl, nil
		}
		// RFC 2317 §4: aliases lead to names that no host has, and those count.
		name, ttl = nameFromWire(next.Target), min(ttl, lifetime(next.Hdr.Ttl))
	}
	return Name{}, 0, fmt.Errorf("%w: more than %d aliases, or a circle of them", ErrMalformed, most)
}

// absent reads an answer without data. RFC 2308 §2: NXDOMAIN, no data, or a
// referral, which is neither.
func absent(m *dns.Msg, ttl time.Duration) answer {
	var soa *dns.SOA
	referral := false
	for _, rr := range m.Ns {
		switch rr := rr.(type) {
		case *dns.SOA:
			soa = rr
		case *dns.NS:
			referral = true
		}
	}
	switch {
	case !m.RecursionAvailable && !m.Authoritative:
		return answer{err: fmt.Errorf("%w: it is neither recursive nor authoritative", ErrLame)}
	case soa == nil && referral && m.Rcode == dns.RcodeSuccess:
		return answer{err: fmt.Errorf("%w: it refers us elsewhere", ErrLame)}
	case soa == nil && len(m.Answer) > 0 && !m.RecursionAvailable:
		return answer{err: fmt.Errorf("%w: it does not follow the alias", ErrLame)}
	}
	a := answer{err: ErrNoData}
	if m.Rcode == dns.RcodeNameError {
		a.err = ErrNoName
	}
	// RFC 2308 §5: the lesser of the SOA's own TTL and its MINIMUM; without a SOA
	// the answer should not be kept.
	if soa != nil {
		a.ttl = min(ttl, lifetime(soa.Hdr.Ttl), lifetime(soa.Minttl))
	}
	return a
}

// mostTTL is the highest TTL, in seconds. RFC 2181 §8.
const mostTTL = 1<<31 - 1

// lifetime reads a TTL. RFC 2181 §8: one with the highest bit set is zero.
func lifetime(seconds uint32) time.Duration {
	if seconds > mostTTL {
		return 0
	}
	return time.Duration(seconds) * time.Second
}

// add takes one record of the type that was asked for.
func (a *answer) add(rr dns.RR) error {
	switch rr := rr.(type) {
	case *dns.MX:
		if m := exchanger(rr); !slices.Contains(a.mx, m) {
			a.mx = append(a.mx, m)
		}
		return nil
	case *dns.A:
		return a.addAddr(rr.A.To4())
	case *dns.AAAA:
		return a.addAddr(rr.AAAA)
	case *dns.TXT:
		if t := readTXT(rr); !slices.Contains(a.txt, t) {
			a.txt = append(a.txt, t)
		}
		return nil
	case *dns.TLSA:
		t, err := readTLSA(rr)
		if err == nil && !slices.Contains(a.tlsa, t) {
			a.tlsa = append(a.tlsa, t)
		}
		return err
	case *dns.SRV:
		if s := readSRV(rr); !slices.Contains(a.srv, s) {
			a.srv = append(a.srv, s)
		}
		return nil
	case *dns.PTR:
		if h := nameFromWire(rr.Ptr); !slices.Contains(a.hosts, h) {
			a.hosts = append(a.hosts, h)
		}
		return nil
	case *dns.CNAME:
		return a.addAlias(rr)
	case *dns.SOA:
		a.zone = true
		return nil
	}
	return fmt.Errorf("%w: a record of another kind than its type says", ErrMalformed)
}

// addAddr keeps an IPv4 address that stands in an AAAA record apart from the
// address itself: it is not unmapped.
func (a *answer) addAddr(octets []byte) error {
	ip, ok := netip.AddrFromSlice(octets)
	if !ok {
		return fmt.Errorf("%w: an address record without an address", ErrMalformed)
	}
	if !slices.Contains(a.addrs, ip) {
		a.addrs = append(a.addrs, ip)
	}
	return nil
}

func (a *answer) addAlias(rr *dns.CNAME) error {
	target := nameFromWire(rr.Target)
	if !a.alias.IsZero() && a.alias != target {
		return fmt.Errorf("%w: two aliases for one name", ErrMalformed)
	}
	a.alias = target
	return nil
}

// exchanger keeps a name that no host can have, so that the caller knows that
// there is an exchanger, of no use.
func exchanger(rr *dns.MX) MX {
	m := MX{Preference: rr.Preference, Null: rr.Mx == ".", Text: mail.Printable(rr.Mx, mail.MaxDomainOctets)}
	if m.Null {
		m.Text = rr.Mx
	}
	host, err := ParseName(rr.Mx)
	switch {
	case err == nil:
		m.Host, m.Text = host, host.String()
	case !m.Null:
		m.Odd = nameFromWire(rr.Mx)
	}
	return m
}
