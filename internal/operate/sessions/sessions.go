// Package sessions tells an operator who is signed in, and when an account signed in last.
package sessions

import (
	"cmp"
	"context"
	"iter"
	"slices"
	"time"

	"sallyport/internal/fact"
	"sallyport/internal/operate/call"
	"sallyport/internal/trace/query"
)

// Facts is what Actions need of package trace/query.
type Facts interface {
	Query(ctx context.Context, q query.Query) (query.Answer, error)
}

// Open are the open sessions of accounts, with when they signed in.
type Open = func() iter.Seq2[time.Time, fact.Session]

// Options are what Actions act on. All are needed but Open.
type Options struct {
	Open  Open // nil: there are none
	Facts Facts
}

// Actions are what an operator can do with sessions.
type Actions struct{ o Options }

// New returns Actions.
func New(o Options) *Actions { return &Actions{o} }

// Client calls them.
type Client struct{ *call.Client }

// Routes lead to the actions.
func Routes(routes *call.Routes, op *Actions) { call.Listing(routes, "sessions", op.Sessions) }

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
func (op *Actions) Sessions(_ context.Context, _ call.Caller, r SessionsAsk, fn func(Session) error) error {
	of, err := op.SessionsOf(r.Account)
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

// SessionsOf returns the open sessions of an account, or of all, by account and age.
func (op *Actions) SessionsOf(account string) (all []Session, err error) {
	if account != "" {
		a, err := call.ParseAccount(account)
		if err != nil {
			return nil, err
		}
		account = a.String()
	}
	if op.o.Open == nil {
		return nil, nil
	}
	for since, s := range op.o.Open() {
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

// Sessions calls Actions.Sessions.
func (c Client) Sessions(ctx context.Context, r SessionsAsk, fn func(Session) error) error {
	return call.Stream(ctx, c.Client, "sessions", r, fn)
}

// LastSignIn is when an account signed in the last time, and from where.
type LastSignIn struct {
	At   time.Time `json:"at"`
	Door string    `json:"door"`
	Peer string    `json:"peer,omitempty"` // "" at the door of sendmail, and where several were summed up
}

// signInsRead is how many sign-ins, good and bad, are looked at for the last good one.
const signInsRead = 200

// LastSignIn asks the trace for the last sign-in of an account that was right; nil: it has
// none among the last ones that it keeps.
func (op *Actions) LastSignIn(ctx context.Context, account string) (*LastSignIn, error) {
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
