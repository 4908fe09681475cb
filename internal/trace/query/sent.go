package query

import (
	"context"
	"strings"
	"time"

	"sallyport/internal/fact"
	"sallyport/internal/mail"
	"sallyport/internal/trace/index"
)

// Sent reports whether a message with this Message-ID was accepted from an account of
// ours or sent on for one, as far as facts are kept. It reads a bounded number of them,
// newest first, and where they are more it reports true: in doubt something is ours.
func (r *Reader) Sent(ctx context.Context, messageID string) (bool, error) {
	if index.MessageID(messageID) == "" {
		return false, nil
	}
	return r.sent(ctx, Term{Field: FieldMessageID, Text: messageID})
}

// SentAs is Sent for a queue identifier.
func (r *Reader) SentAs(ctx context.Context, id mail.ID) (bool, error) {
	if id.IsZero() {
		return false, nil
	}
	return r.sent(ctx, Term{Field: FieldQueue, Text: id.String()})
}

func (r *Reader) sent(ctx context.Context, t Term) (bool, error) {
	q := Query{Terms: []Term{t}, Limit: r.bounds().Hits, Exact: true}
	s, err := r.newSearch(ctx, q)
	if err != nil {
		return false, err
	}
	a, err := s.answer(t)
	if err != nil {
		return false, err
	}
	for _, e := range a.Entries {
		if e.Part == 0 && (e.Fact.Kind == fact.KindAccept && e.Fact.Account != "" || e.Fact.Kind == fact.KindForward) {
			return true, nil
		}
	}
	return a.Older > 0, nil
}

// Submitted is how a message was handed in. The zero Submitted is not known any more.
type Submitted struct {
	Credentials []string // the identifiers of those with which the session was opened
	Session     fact.Session
	At          time.Time
}

// SubmittedWith returns how a message was handed in, and with what.
func (r *Reader) SubmittedWith(ctx context.Context, id mail.ID) (s Submitted, err error) {
	a, err := r.Query(ctx, Query{Terms: []Term{{Field: FieldQueue, Text: id.String()}}, Kinds: []fact.Kind{fact.KindAccept}})
	for _, e := range a.Entries {
		f := e.Fact
		if f.Queue != id {
			continue
		}
		if s.At.IsZero() {
			s.At, s.Session = f.At, fact.Session{Conn: f.Conn, Peer: f.Peer, Door: f.Door, Hello: f.Hello, TLS: f.TLS, Account: f.Account}
		}
		for _, p := range f.Evidence {
			if p.Name == fact.EvidenceCredential {
				s.Credentials = append(s.Credentials, strings.Fields(p.Value)...)
			}
		}
	}
	return s, err
}

// Since returns the time of the oldest fact that is kept; zero: there is none.
func (r *Reader) Since(ctx context.Context) (at time.Time, err error) {
	err = r.st.Facts(ctx, r.o.Log.Oldest(), r.st.FactHead()+1, func(_ uint64, raw []byte) (bool, error) {
		f, err := fact.Decode(raw)
		if err == nil {
			at = f.At
		}
		return err != nil, nil
	})
	return at, err
}
