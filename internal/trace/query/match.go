package query

import (
	"fmt"
	"net/netip"
	"strings"

	"sallyport/internal/fact"
	"sallyport/internal/mail"
	"sallyport/internal/store"
	"sallyport/internal/trace/index"
)

// matcher decides whether a fact is found by a term.
type matcher struct {
	term    index.Term
	network netip.Prefix // for clients
	all     bool         // every fact
	conn    bool         // connections have two terms
	session index.Term
}

func newMatcher(t Term) (matcher, error) {
	m := matcher{}
	switch t.Field {
	case FieldQueue:
		id, err := mail.ParseID(strings.TrimSpace(t.Text))
		if err != nil {
			return m, err
		}
		m.term = index.QueueTerm(id)
	case FieldMessageID:
		m.term = index.TextTerm(index.Message, index.MessageID(t.Text))
	case FieldAddress:
		// The reader may write a domain in its own script; facts do not.
		s := strings.Trim(strings.TrimSpace(t.Text), "<>")
		if a, err := mail.ParseAddress(s, mail.UTF8); err == nil {
			s = a.Key()
		}
		m.term = index.TextTerm(index.Mailbox, index.Address(s))
	case FieldPeer:
		p, err := parseNetwork(t.Text)
		if err != nil {
			return m, err
		}
		m.network = p
	case FieldRemote:
		ids := index.RemoteIDs(t.Text)
		if len(ids) != 1 {
			return m, fmt.Errorf("trace: %s is nothing that a server calls a message", mail.Printable(t.Text, mail.ValueShown))
		}
		m.term = index.TextTerm(index.Remote, ids[0])
	case FieldEnvelope:
		id := index.EnvelopeID(t.Text)
		if id == "" {
			return m, fmt.Errorf("trace: an envelope id is not empty")
		}
		m.term = index.TextTerm(index.Envelope, id)
	case FieldAll:
		m.all = true
	case FieldConn:
		s := fact.Clean(strings.TrimSpace(t.Text), fact.MaxName)
		m.conn, m.term, m.session = true, index.ConnTerm(s), index.SessionTerm(s)
	default:
		return m, fmt.Errorf("trace: no field %q", t.Field)
	}
	return m, nil
}

// matches asks for the same terms that the index is made of.
func (m matcher) matches(f *fact.Fact, terms []index.Term) bool {
	if m.all {
		return true
	}
	for _, t := range terms {
		switch {
		case m.network.IsValid():
			if a, ok := t.Peer(); ok && m.network.Contains(a) {
				return true
			}
		case t == m.term || m.conn && t == m.session:
			return true
		}
	}
	if f.Peer.IsValid() {
		return false // all that the fact stands for came from that one client
	}
	return m.network.IsValid() && f.Network.IsValid() && m.network.Overlaps(f.Network)
}

// keyRange is the index entries of a term, or of a network, in one section of the index.
type keyRange struct {
	store.Range
	in        index.Section
	strangers bool
	wide      bool // not in the order of the log
}

// sections returns the parts of the index in which the term's entries are, in the order of the log.
func (s *search) sections(m matcher) ([]index.Section, error) {
	t := m.term
	if m.network.IsValid() {
		t = index.PeerTerm(m.network.Addr())
	}
	return s.from.o.Log.Layout().Sections(s.ctx, s.from.st, t)
}

// ranges returns where in a section of the index the term's entries are.
func (m matcher) ranges(in index.Section, after, before uint64) []keyRange {
	if m.network.IsValid() {
		return m.peerRanges(in, after, before)
	}
	terms := []index.Term{m.term}
	if m.conn {
		terms = append(terms, m.session)
	}
	var list []keyRange
	for _, t := range terms {
		for _, strangers := range []bool{false, true} {
			if rng, ok := in.Range(t, strangers, after, before); ok {
				list = append(list, keyRange{Range: rng, in: in, strangers: strangers})
			}
		}
	}
	return list
}

func (m matcher) peerRanges(in index.Section, after, before uint64) []keyRange {
	first, last := m.network.Addr(), lastAddress(m.network)
	var list []keyRange
	add := func(first, last netip.Addr, strangers bool) {
		if rng, ok := in.Between(index.PeerTerm(first), index.PeerTerm(last), strangers, after, before); ok {
			list = append(list, keyRange{Range: rng, in: in, strangers: strangers, wide: first != last})
		}
	}
	add(first, last, false)
	add(first, last, true)
	// Strangers are also found under the first address of their network.
	if base := index.Stranger(first).Addr(); base != first {
		add(base, base, true)
	}
	return list
}

// mappedBits stand before an address of IPv4 that is written as one of IPv6. RFC 4291 §2.5.5.2.
const mappedBits = 96

// lastAddress is the greatest address of a network.
func lastAddress(p netip.Prefix) netip.Addr {
	b := p.Addr().As16()
	bits := p.Bits()
	if p.Addr().Is4() {
		bits += mappedBits
	}
	for i := bits; i < 8*len(b); i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	a := netip.AddrFrom16(b)
	if p.Addr().Is4() {
		return a.Unmap()
	}
	return a
}

// parseNetwork reads an address or a network.
func parseNetwork(s string) (netip.Prefix, error) {
	s = strings.TrimSpace(s)
	if p, err := netip.ParsePrefix(s); err == nil {
		if p.Addr().Is4In6() && p.Bits() >= mappedBits {
			p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-mappedBits)
		}
		return p.Masked(), nil
	}
	a, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("trace: %s is no IP address or network", mail.Printable(s, fact.MaxName))
	}
	a = fact.PlainAddr(a)
	return netip.PrefixFrom(a, a.BitLen()), nil
}
