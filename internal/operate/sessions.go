package operate

import (
	"cmp"
	"context"
	"slices"
	"time"

	"sallyport/internal/fact"
	"sallyport/internal/trace/query"
)

// Session is a connection to which an account signed in, and that is still open.
type Session struct {
	Account string    `json:"account"`
	Since   time.Time `json:"since"`
	Conn    string    `json:"conn"` // what the trace finds it by
	Door    string    `json:"door"`
	Peer    string    `json:"peer,omitempty"`
	Hello   string    `json:"hello,omitempty"`
	TLS     string    `json:"tls,omitempty"`
}

// SessionsAsk asks for the open sessions of an account; "": of all.
type SessionsAsk struct {
	Account string `json:"account,omitempty"`
}

// Sessions calls fn for each open session, by account and age.
func (op *Operator) Sessions(_ context.Context, _ Caller, r SessionsAsk, fn func(Session) error) error {
	of, err := op.sessionsOf(r.Account)
	if err != nil {
		return err
	}
	for _, s := range of {
		if err := fn(s); err != nil {
			return err
		}
	}
	return nil
}

func (op *Operator) sessionsOf(account string) (all []Session, err error) {
	if account != "" {
		a, err := parseAccount(account)
		if err != nil {
			return nil, err
		}
		account = a.String()
	}
	if op.o.Sessions == nil {
		return nil, nil
	}
	for since, s := range op.o.Sessions() {
		if account != "" && s.Account != account {
			continue
		}
		v := Session{Account: s.Account, Since: since, Conn: s.Conn, Door: s.Door, Hello: s.Hello, TLS: s.TLS}
		if s.Peer.IsValid() {
			v.Peer = s.Peer.String()
		}
		all = append(all, v)
	}
	slices.SortFunc(all, func(a, b Session) int {
		return cmp.Or(cmp.Compare(a.Account, b.Account), a.Since.Compare(b.Since), cmp.Compare(a.Conn, b.Conn))
	})
	return all, nil
}

// Sessions calls Operator.Sessions.
func (c *Client) Sessions(ctx context.Context, r SessionsAsk, fn func(Session) error) error {
	return stream(ctx, c, "sessions", r, fn)
}

// LastSignIn is when an account signed in the last time, and from where.
type LastSignIn struct {
	At   time.Time `json:"at"`
	Door string    `json:"door"`
	Peer string    `json:"peer,omitempty"` // "" at the door of sendmail, and where several were summed up
}

// signInsRead is how many sign-ins, good and bad, are looked at for the last good one.
const signInsRead = 200

// lastSignIn asks the trace for the last sign-in of an account that was right; nil: it has
// none among the last ones that it keeps.
func (op *Operator) lastSignIn(ctx context.Context, account string) (*LastSignIn, error) {
	answer, err := op.o.Facts.Query(ctx, query.Query{
		Terms: []query.Term{{Field: query.FieldAddress, Text: account}}, Kinds: []fact.Kind{fact.KindAuth}, Limit: signInsRead,
	})
	if err != nil {
		return nil, err
	}
	for _, e := range slices.Backward(answer.Entries) {
		f := e.Fact
		if !f.Reply.OK() || f.Account != account {
			continue
		}
		last := LastSignIn{At: f.At, Door: f.Door}
		if f.Summed() {
			last.At = f.Until
		}
		if f.Peer.IsValid() {
			last.Peer = f.Peer.String()
		}
		return &last, nil
	}
	return nil, nil
}
