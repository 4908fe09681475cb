package index

import (
	"crypto/sha256"
	"net/netip"
	"slices"
	"strings"

	"sallyport/internal/fact"
	"sallyport/internal/mail"
)

// Networks that count as one stranger.
const (
	strangerBits4 = 24
	strangerBits6 = 64
)

// Octets that stand for fields in index keys.
const (
	Queue   = 'q' // a queue identifier
	Message = 'm' // a Message-ID
	Mailbox = 'a' // an account, a sender or a recipient
	Peer    = 'p' // a client's address
	Conn    = 'c' // a connection, of facts about a message
	// Session is the connection once more, for facts that belong to no message: reading
	// the story of one message must not walk through the thousands that came over the
	// same connection.
	Session = 's'
	Remote  = 'r' // what a next hop called a message that it took
	// Envelope is the identifier that a sender gave a message's envelope.
	Envelope = 'e'
)

// What may be the name that a next hop gave a message, among the words of its answer: at least so long, and the longest
// of those, which tell most.
const (
	leastRemoteID = 6
	mostRemoteIDs = 2
)

// Term is a term as it stands in an index key: the address itself for
// peers, so that a network is a range; the identifier itself where we made it, which
// begins with the time; otherwise 64 bits of SHA-256 of the
// normalised text. A reader compares the fact itself, so a collision costs one
// read and shows nothing wrong.
type Term struct {
	field byte
	n     uint8
	key   [16]byte
}

// hashOctets is how much of a hash stands for a text.
const hashOctets = 8

// TextTerm is the term of a normalised text in one of the fields.
func TextTerm(field byte, normalised string) Term {
	t := Term{field: field, n: hashOctets}
	sum := sha256.Sum256([]byte(normalised))
	copy(t.key[:hashOctets], sum[:hashOctets])
	return t
}

// QueueTerm is the term of a message of ours.
func QueueTerm(id mail.ID) Term { return idTerm(Queue, id) }

// ConnTerm is the term of facts about messages that came over a connection.
func ConnTerm(conn string) Term { return connTerm(Conn, conn) }

// SessionTerm is the term of facts of a connection that belong to no message.
func SessionTerm(conn string) Term { return connTerm(Session, conn) }

// connTerm is made of the identifier of a connection. What came over none has a word in
// its place.
func connTerm(field byte, conn string) Term {
	if id, err := mail.ParseID(conn); err == nil {
		return idTerm(field, id)
	}
	return TextTerm(field, conn)
}

func idTerm(field byte, id mail.ID) Term {
	t := Term{field: field, n: idOctets}
	copy(t.key[:], id.Bytes())
	return t
}

// ordered reports whether the terms of the field come in an order of their own: facts are
// filed under identifiers as these are made.
func (t Term) ordered() bool {
	switch t.field {
	case Queue, Conn, Session:
		return true
	}
	return false
}

// earlier is the term as format 1 filed it, which made hashes of identifiers too.
func (t Term) earlier() Term {
	if t.n != idOctets {
		return t
	}
	id, err := mail.IDFromBytes(t.key[:t.n])
	if err != nil {
		return t
	}
	return TextTerm(t.field, id.String())
}

// PeerTerm is the term of a client.
func PeerTerm(a netip.Addr) Term {
	return Term{field: Peer, n: 16, key: address16(a)}
}

// Names of evidence in strangers' facts that are searched like the fields.
const (
	EvidenceSender = "sender"
	EvidencePeer   = "client"
	EvidenceConn   = "connection"
	EvidenceHello  = "hello"
	EvidenceReply  = "answer"
	EvidenceText   = "detail"
)

// AppendTerms appends what the fact is found by, each term once.
func AppendTerms(terms []Term, f *fact.Fact) []Term {
	start := len(terms)
	add := func(t Term) {
		for _, have := range terms[start:] {
			if have == t {
				return
			}
		}
		terms = append(terms, t)
	}
	for _, id := range [...]mail.ID{f.Queue, f.About} {
		if !id.IsZero() {
			add(QueueTerm(id))
		}
	}
	if id := MessageID(f.MessageID); id != "" {
		add(TextTerm(Message, id))
	}
	addAddress := func(s string) {
		if a := Address(s); a != "" {
			add(TextTerm(Mailbox, a))
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
	if id, ok := f.Find(fact.EvidenceEnvelope); ok {
		if id = EnvelopeID(id); id != "" {
			add(TextTerm(Envelope, id))
		}
	}
	if f.Peer.IsValid() {
		add(PeerTerm(f.Peer))
	}
	if f.Conn != "" {
		add(connTermOf(f))
	}
	if f.Kind == fact.KindOutcome && f.Reply.OK() && f.Remote != "" {
		for _, id := range RemoteIDs(f.Reply.Text) {
			add(TextTerm(Remote, id))
		}
	}
	if f.Summed() {
		appendGroupTerms(f, add, addAddress)
	}
	return terms
}

// connTermOf files a fact under its session when it belongs to no message.
func connTermOf(f *fact.Fact) Term {
	if f.Queue.IsZero() {
		return SessionTerm(f.Conn)
	}
	return ConnTerm(f.Conn)
}

// appendGroupTerms adds the samples of a fact that stands for several, and its
// network's first address, under which every client of the network finds it.
func appendGroupTerms(f *fact.Fact, add func(Term), addAddress func(string)) {
	if f.Network.IsValid() {
		add(PeerTerm(f.Network.Masked().Addr()))
	}
	for _, p := range f.Evidence {
		switch p.Name {
		case EvidenceSender:
			addAddress(p.Value)
		case EvidenceConn:
			add(SessionTerm(p.Value))
		case EvidencePeer:
			if a, err := netip.ParseAddr(p.Value); err == nil {
				add(PeerTerm(a))
			}
		}
	}
}

// Address is the form in which addresses are searched: the mailbox's key
// in lower case. What is no address is searched as it stands, for refused
// recipients need not be addresses. The null path is not searched.
func Address(s string) string {
	s = strings.TrimSpace(s)
	if n := len(s); n >= 2 && s[0] == '<' && s[n-1] == '>' {
		s = s[1 : n-1]
	}
	s = fact.Clean(s, fact.MaxAddress)
	// An ASCII address without quotes is its own key but for its case.
	if !mail.IsPlain(s) || strings.HasPrefix(s, `"`) || strings.Contains(s, "@[") {
		if a, err := mail.ParseAddress(s, mail.UTF8); err == nil {
			s = a.Key()
		}
	}
	return strings.ToLower(s)
}

// MessageID drops brackets and case: RFC 5322 §3.6.4 makes the identifier
// opaque, and people paste it with and without.
func MessageID(s string) string {
	s = strings.Trim(strings.TrimSpace(s), "<>")
	return strings.ToLower(fact.Clean(s, fact.MaxText))
}

// EnvelopeID is the form in which envelope identifiers are searched: without regard to case, since people copy them by hand.
// RFC 3461 §4.4 makes them opaque.
func EnvelopeID(s string) string {
	return strings.ToLower(fact.Clean(strings.TrimSpace(s), fact.MaxText))
}

// RemoteIDs returns the words of a next hop's answer that may be what it calls the message, in the form in which they
// are searched: they have a digit, and are no addresses and no names of hosts. Every program says it in words of its own.
func RemoteIDs(text string) []string {
	var ids []string
	for w := range strings.FieldsFuncSeq(text, func(r rune) bool { return !isRemoteID(r) && r != '@' }) {
		w = strings.Trim(w, "._+/-")
		if len(w) >= leastRemoteID && len(w) <= fact.MaxName && strings.ContainsAny(w, "0123456789") && !strings.Contains(w, "@") && strings.Count(w, ".") < 2 {
			ids = append(ids, strings.ToLower(w))
		}
	}
	slices.SortStableFunc(ids, func(a, b string) int { return len(b) - len(a) })
	return ids[:min(len(ids), mostRemoteIDs)]
}

func isRemoteID(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._+/-", r)
}

// Stranger is the network that counts as one stranger; zero without a client.
func Stranger(a netip.Addr) netip.Prefix {
	a = fact.PlainAddr(a)
	bits := strangerBits6
	if a.Is4() {
		bits = strangerBits4
	}
	return netip.PrefixFrom(a, bits).Masked()
}

// Peer returns the address of a client's term.
func (t Term) Peer() (netip.Addr, bool) {
	return netip.AddrFrom16(t.key).Unmap(), t.field == Peer
}
