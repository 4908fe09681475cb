package trace

import (
	"crypto/sha256"
	"net/netip"
	"strings"

	"sallyport/internal/fact"
	"sallyport/internal/mail"
)

// Field says what a search term is.
type Field string

const (
	FieldQueue     Field = "queue id"
	FieldMessageID Field = "message-id"
	FieldAddress   Field = "address" // account, sender or recipient
	FieldPeer      Field = "client"  // IP address or network
	FieldConn      Field = "connection"
)

// Octets that stand for fields in index keys. indexSession is the connection once
// more, for facts that belong to no message: reading the story of one message
// must not walk through the thousands that came over the same connection.
const (
	indexQueue   = 'q'
	indexMessage = 'm'
	indexAddress = 'a'
	indexPeer    = 'p'
	indexConn    = 'c'
	indexSession = 's'
)

// indexTerm is a term as it stands in an index key: the address itself for
// peers, so that a network is a range; otherwise 64 bits of SHA-256 of the
// normalised text. A reader compares the fact itself, so a collision costs one
// read and shows nothing wrong.
type indexTerm struct {
	field byte
	n     uint8
	key   [16]byte
}

func textTerm(field byte, normalised string) indexTerm {
	t := indexTerm{field: field, n: 8}
	sum := sha256.Sum256([]byte(normalised))
	copy(t.key[:8], sum[:8])
	return t
}

func peerTerm(a netip.Addr) indexTerm {
	return indexTerm{field: indexPeer, n: 16, key: address16(a)}
}

// Names of evidence in strangers' facts that are searched like the fields.
const (
	evidenceSender = "sender"
	evidencePeer   = "client"
	evidenceConn   = "connection"
	evidenceHello  = "hello"
	evidenceReply  = "answer"
	evidenceText   = "detail"
)

// appendTerms appends what the fact is found by, each term once.
func appendTerms(terms []indexTerm, f *fact.Fact) []indexTerm {
	start := len(terms)
	add := func(t indexTerm) {
		for _, have := range terms[start:] {
			if have == t {
				return
			}
		}
		terms = append(terms, t)
	}
	for _, id := range [...]mail.ID{f.Queue, f.About} {
		if !id.IsZero() {
			add(textTerm(indexQueue, id.String()))
		}
	}
	if id := normalMessageID(f.MessageID); id != "" {
		add(textTerm(indexMessage, id))
	}
	addAddress := func(s string) {
		if a := normalAddress(s); a != "" {
			add(textTerm(indexAddress, a))
		}
	}
	// An outcome's recipient may be the mailbox behind an alias, which the
	// acceptance did not name.
	for _, s := range [...]string{f.Account, f.Sender, f.Recipient} {
		addAddress(s)
	}
	for _, s := range f.Recipients {
		addAddress(s)
	}
	if path, ok := f.Find(fact.EvidenceReturnPath); ok {
		addAddress(path)
	}
	if f.Peer.IsValid() {
		add(peerTerm(f.Peer))
	}
	if f.Conn != "" {
		add(connTerm(f))
	}
	if f.Summed() {
		appendGroupTerms(f, add, addAddress)
	}
	return terms
}

// connTerm files a fact under its session when it belongs to no message.
func connTerm(f *fact.Fact) indexTerm {
	if f.Queue.IsZero() {
		return textTerm(indexSession, f.Conn)
	}
	return textTerm(indexConn, f.Conn)
}

// appendGroupTerms adds the samples of a fact that stands for several, and its
// network's first address, under which every client of the network finds it.
func appendGroupTerms(f *fact.Fact, add func(indexTerm), addAddress func(string)) {
	if f.Network.IsValid() {
		add(peerTerm(f.Network.Masked().Addr()))
	}
	for _, p := range f.Evidence {
		switch p.Name {
		case evidenceSender:
			addAddress(p.Value)
		case evidenceConn:
			add(textTerm(indexSession, p.Value))
		case evidencePeer:
			if a, err := netip.ParseAddr(p.Value); err == nil {
				add(peerTerm(a))
			}
		}
	}
}

// normalAddress is the form in which addresses are searched: the mailbox's key
// in lower case. What is no address is searched as it stands, for refused
// recipients need not be addresses. The null path is not searched.
func normalAddress(s string) string {
	s = strings.TrimSpace(s)
	if n := len(s); n >= 2 && s[0] == '<' && s[n-1] == '>' {
		s = s[1 : n-1]
	}
	s = fact.Clean(s, fact.MaxAddress)
	// An ASCII address without quotes is its own key but for its case.
	if !fact.IsPlain(s) || strings.HasPrefix(s, `"`) || strings.Contains(s, "@[") {
		if a, err := mail.ParseAddress(s, mail.UTF8); err == nil {
			s = a.Key()
		}
	}
	return strings.ToLower(s)
}

// normalMessageID drops brackets and case: RFC 5322 §3.6.4 makes the identifier
// opaque, and people paste it with and without.
func normalMessageID(s string) string {
	s = strings.Trim(strings.TrimSpace(s), "<>")
	return strings.ToLower(fact.Clean(s, fact.MaxText))
}
