package fact

import (
	"net/netip"
	"time"

	"sallyport/internal/mail"
)

// Fact is one thing that happened. Fields that do not apply stay zero. Texts may
// come from a peer as they are: Encode makes them printable and bounds them.
type Fact struct {
	At    time.Time // when it happened, to the microsecond
	Until time.Time // last time, in a fact that stands for several; zero otherwise
	Kind  Kind
	Rule  string // which rule decided

	Conn      string  // identifier of the connection
	Queue     mail.ID // the message
	About     mail.ID // in a notification: the message that it reports on
	MessageID string  // with or without angle brackets

	Account    string // who signed in, or whose account it is about
	Sender     string // envelope sender: an address, or "<>"
	Recipient  string // the one recipient that it is about
	Recipients []string

	Peer    netip.Addr   // who connected to us
	Network netip.Prefix // in a fact that stands for several: whence they came
	Door    string       // "mx", "submission", …
	Hello   string       // argument of EHLO

	Reply  mail.Reply // what we answered, or what the remote answered us
	Remote string     // who answered us: "mx.example [192.0.2.1]:25"
	TLS    string     // protocol and cipher, "" for clear text

	Size  int64 // octets
	Count int   // how many, in the sense of the kind
	Text  string

	Bundle mail.ID // KindRefusals: the bodies of strangers' facts that it stands for
	Digest string  // KindRefusals: hash over those bodies, base64

	// Part numbers what Split made of one fact: 0 is the first, or the whole. What counts
	// messages counts part 0; what counts recipients counts those of every part.
	Part int

	Evidence []Pair // what the rule saw, in its order
	Cut      int    // how many Recipients and Evidence pairs did not fit
}

// EvidenceBalancer names the balancer that passed a connection on. Facts about
// strangers keep it when they are summed up.
const EvidenceBalancer = "balancer"

// EvidenceCredential names the credentials with which a session was opened, separated by
// blanks: what the account has to sign in with, by names that are never used again.
const EvidenceCredential = "credential"

// EvidenceReturnPath names the signed return path with which a message left; it is
// found by that address, too.
const EvidenceReturnPath = "return path"

// EvidenceEnvelope names the envelope identifier (ENVID) that a sender gave a message, and by which a notification tells
// him of it; the message is found by it, too. RFC 3461 §4.4.
const EvidenceEnvelope = "envelope id"

// RuleReportFailed is the rule of an outcome: a report that this server wrote was refused for
// good, or did not arrive in time. It tells nothing of whose account it left in the name of.
const RuleReportFailed = "report-failed"

// Pair is one piece of evidence: "new recipients" and "4 of 4".
type Pair struct{ Name, Value string }

// Evidenced returns f with one more piece of evidence; f itself keeps its own.
func (f Fact) Evidenced(name, value string) Fact {
	n := len(f.Evidence)
	f.Evidence = append(f.Evidence[:n:n], Pair{name, value})
	return f
}

// Find returns the value of the first piece of evidence of that name.
func (f Fact) Find(name string) (string, bool) {
	for _, p := range f.Evidence {
		if p.Name == name {
			return p.Value, true
		}
	}
	return "", false
}

// Summed reports whether the fact stands for several of strangers.
func (f *Fact) Summed() bool { return !f.Until.IsZero() }

// Split returns f as several facts when it names more recipients than one fact
// holds, so that each of them can be found; otherwise f alone. The evidence
// stays with the first.
func (f Fact) Split() []Fact {
	if len(f.Recipients) <= MaxRecipients {
		return []Fact{f}
	}
	all := f.Recipients
	var parts []Fact
	for len(all) > 0 {
		n := min(len(all), MaxRecipients)
		f.Recipients = all[:n:n]
		parts = append(parts, f)
		f.Evidence, all = nil, all[n:]
		f.Part++
	}
	return parts
}

// EncodeAll encodes each fact, after Split: what store.Tx.Facts takes.
func EncodeAll(facts ...Fact) [][]byte {
	var out [][]byte
	for _, f := range facts {
		for _, part := range f.Split() {
			out = append(out, part.Encode())
		}
	}
	return out
}

// Normal returns f as Encode writes it and Decode returns it.
func (f Fact) Normal() Fact {
	n, err := Decode(f.Encode())
	if err != nil {
		return f
	}
	return n
}
