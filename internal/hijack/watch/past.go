package watch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"sallyport/internal/fact"
	"sallyport/internal/hijack"
	"sallyport/internal/kit/codec"
	"sallyport/internal/mail"
	"sallyport/internal/screen"
	"sallyport/internal/store"
)

// pastVersion is the version of the record of what was learnt of the trace.
const pastVersion = 1

// pastEvery is how often it is told how far it is.
const pastEvery = 5 * time.Second

// pastMutations is after how much there is to write it is written at the latest, but for one message.
const pastMutations = 4000

// pastSkip is for how long a message teaches nothing after one that would have had its account
// contained: what a thief sent is nobody's habit.
const pastSkip = 24 * time.Hour

// learnt is how far the trace was learnt from.
type learnt struct {
	Version int    `json:"v"`
	Next    uint64 `json:"next"` // the fact with which it goes on
	End     uint64 `json:"end"`  // the one with which accounts began to be watched
}

// Past learns from the trace whom accounts wrote to, whence they signed in and what was their
// habit, where nobody watched them before: a data folder of an older version begins with its
// history. It is judged as it would have been at the time, and what would have had an account
// contained teaches nothing. It may be interrupted anywhere, goes on where it was, and does
// nothing where accounts have been watched. It returns before anything of that is used; nothing
// else may be asked of w meanwhile. Ways says where a message of an account to somebody goes now.
func (w *Watch) Past(ctx context.Context, ways func(account, to mail.Address) []Way) error {
	if w.Mode() == hijack.Off {
		return nil
	}
	r, err := w.pastRecord(ctx)
	if err != nil || r.Next >= r.End {
		return err
	}
	p := &past{
		w: w, ways: ways, record: r, accounts: map[string]*habit{}, sent: map[mail.ID]sending{},
		began: w.o.Now(), told: w.o.Now(), origins: map[string]bool{}, book: newPastBook(ctx, w.o.Store, w.o.Now()),
	}
	w.o.Logger.Info("the habits of accounts are learnt from the trace, since nobody watched them before", "facts", r.End-r.Next)
	err = w.o.Store.Facts(ctx, r.Next, r.End, func(seq uint64, raw []byte) (bool, error) {
		f, err := fact.Decode(raw)
		if err != nil {
			return true, nil // the trace tells of it
		}
		return true, p.fact(ctx, seq, f)
	})
	if err == nil {
		p.close()
		p.record.Next = r.End
		err = p.write(ctx)
	}
	if err != nil {
		if ctx.Err() == nil { // accounts will be watched from now on, and what is left is older than that
			p.record.Next = r.End
			m, _ := p.record.mutation()
			w.remember(ctx, m)
		}
		return fmt.Errorf("watch: learning from the trace: %w", err)
	}
	w.o.Logger.Info("the habits of accounts are learnt", "messages", p.messages, "correspondents", p.taught,
		"unusual", p.unusual, "took", w.o.Now().Sub(p.began).Round(time.Millisecond))
	return nil
}

// pastRecord reads how far the trace was learnt from. Where accounts were watched without such
// a record there is nothing to learn, and so it is where there is no trace yet.
func (w *Watch) pastRecord(ctx context.Context) (r learnt, err error) {
	v, err := w.o.Store.Get(ctx, []byte(keyPast))
	switch {
	case err == nil:
		err = errors.Join(codec.Decode(v, &r), codec.Version(r.Version, pastVersion))
		return r, err
	case !errors.Is(err, store.ErrNotFound):
		return r, err
	}
	r = learnt{Version: pastVersion, Next: 1, End: w.o.Store.FactHead() + 1}
	if most := uint64(w.o.Limits.PastFacts); r.End > most {
		r.Next = r.End - most
	}
	watched := store.Prefix([]byte(prefixState))
	watched.Limit = 1
	err = w.o.Store.Scan(ctx, watched, func(_, _ []byte) (bool, error) { r.Next = r.End; return false, nil })
	if err != nil {
		return r, err
	}
	m, err := r.mutation()
	if err != nil {
		return r, err
	}
	_, err = w.o.Store.Apply(ctx, store.Tx{Mutations: []store.Mutation{m}}, store.Durable)
	return r, err
}

func (r learnt) mutation() (store.Mutation, error) {
	value, err := json.Marshal(r)
	return store.Mutation{Key: []byte(keyPast), Value: value}, err
}

// habit is an account in its past.
type habit struct {
	*account
	address mail.Address
	params  hijack.Params
	skip    time.Time // until when it teaches nothing
	dirty   bool
}

// past is one run through the trace.
type past struct {
	w        *Watch
	ways     func(account, to mail.Address) []Way
	record   learnt
	book     *pastBook
	accounts map[string]*habit   // by the text of facts; nil: nobody's
	sent     map[mail.ID]sending // of the messages that were seen last
	priors   hijack.Priors

	open     fact.Fact // the message that is being read: its fact may be split
	to       []mail.Address
	messages int
	batch    int // messages and outcomes that are not written yet
	taught   int
	unusual  int
	began    time.Time
	told     time.Time
	also     []store.Mutation
	origins  map[string]bool // whence accounts signed in, since it was last written
}

// fact takes in one fact.
func (p *past) fact(ctx context.Context, seq uint64, f fact.Fact) error {
	if more := f.Kind == fact.KindAccept && f.Queue == p.open.Queue && !f.Queue.IsZero(); !more {
		p.close()
		if p.batch >= p.w.o.Limits.PastBatch || len(p.also)+len(p.book.pending) >= pastMutations {
			p.record.Next = seq
			if err := p.write(ctx); err != nil {
				return err
			}
		}
	}
	if f.Account == "" {
		return nil
	}
	switch f.Kind {
	case fact.KindAccept:
		if submitted(f.Door) {
			p.open = f
			for _, r := range f.Recipients {
				if a, err := mail.ParseAddress(r, mail.UTF8); err == nil {
					p.to = append(p.to, a)
				}
			}
		}
	case fact.KindOutcome:
		p.outcome(ctx, f)
	case fact.KindAuth:
		p.signIn(ctx, f)
	}
	return nil
}

// habit is the account of a fact; nil: it is nobody's any more, or teaches nothing now.
func (p *past) habit(ctx context.Context, f fact.Fact) *habit {
	h, met := p.accounts[f.Account]
	if !met {
		if a, err := mail.ParseAddress(f.Account, mail.UTF8); err == nil {
			if _, ours := p.w.o.Account(a); ours {
				h = &habit{account: &account{id: a.Key(), who: p.w.o.Key.Account(a.Key())}, address: a, params: p.w.params(a)}
				if err := h.load(ctx, p.w.o.Store); err != nil {
					h = nil
				}
			}
		}
		p.accounts[f.Account] = h
	}
	if h == nil || f.At.Before(h.skip) {
		return nil
	}
	return h
}

// close ends the message that is being read, and learns from it.
func (p *past) close() {
	f, to := p.open, p.to
	p.open, p.to = fact.Fact{}, nil
	if f.Queue.IsZero() || len(to) == 0 {
		return
	}
	h := p.habit(p.book.ctx, f)
	if h == nil {
		return
	}
	var prints []hijack.Fingerprint
	var ways []Way
	for _, a := range to {
		for _, way := range p.ways(h.address, a) {
			ways, prints = append(ways, way), append(prints, p.w.printOf(way))
		}
	}
	e := hijack.Submitted{At: f.At, Recipients: hijack.Classify(p.book, h.who, prints, f.At, h.params)}
	e.Recipients.Elsewhere = elsewhere(ways, prints)
	if p.messages%100 == 0 {
		p.priors = p.w.normal.site.Priors(h.params)
	}
	p.messages++
	p.batch++
	s, v := hijack.Advance(h.state, e, p.priors, h.params)
	if v.Contain {
		p.unusual++
		h.skip = f.At.Add(pastSkip)
		h.state, h.dirty = h.state.Cleared(h.params), true
		return
	}
	h.state, h.dirty = s, true
	p.w.normal.site = p.w.normal.site.Learn(e, v, h.params)
	p.taught += p.book.teach(hijack.Wrote(h.who, prints, f.At))
	if len(p.sent) >= p.w.o.Limits.PastSent {
		clear(p.sent)
	}
	p.sent[f.Queue] = sending{f.At, len(prints)}
}

// sending is when a message was sent, and to how many.
type sending struct {
	at         time.Time
	recipients int
}

// submitted reports whether an account itself sends what comes by a door, as facts name it.
func submitted(door string) bool {
	return door == "submission" || door == "submissions" || door == "sendmail"
}

// outcome learns what other servers said of recipients.
func (p *past) outcome(ctx context.Context, f fact.Fact) {
	m, seen := p.sent[f.Queue]
	refused := f.Rule == fact.RuleFailed
	if !seen || !refused && f.Rule != fact.RuleDelivered || refused && !f.Reply.OfRecipient() {
		return
	}
	h, n := p.habit(ctx, f), 0
	if h == nil {
		return
	}
	for _, r := range f.Recipients {
		a, err := mail.ParseAddress(r, mail.UTF8)
		if err != nil {
			continue // it names a mailbox of ours beside the address
		}
		ways := p.ways(h.address, a)
		if len(ways) != 1 || !ways[0].Mailbox.IsZero() {
			continue
		}
		if refused && p.book.settled(h.who, p.w.printOf(ways[0]), m.at) {
			continue // as of now it says nothing
		}
		n++
	}
	if n == 0 {
		return
	}
	e := hijack.Answered{At: f.At, Of: n, All: m.recipients}
	if refused {
		e.Refused = n
	}
	if s, v := hijack.Advance(h.state, e, p.priors, h.params); !v.Contain {
		h.state, h.dirty = s, true
	}
}

// signIn learns from where an account signs in.
func (p *past) signIn(ctx context.Context, f fact.Fact) {
	n := screen.Network(f.Peer)
	if !f.Reply.OK() || !n.IsValid() {
		return
	}
	if h := p.habit(ctx, f); h != nil {
		one := keyOf(prefixFrom, h.who, p.w.o.Key.Text("network", n.String()))
		if p.origins[string(one)] {
			return
		}
		p.origins[string(one)] = true
		_, also := p.w.origin(ctx, keyOf(prefixFrom, h.who), one, f.At)
		p.also = append(p.also, also...)
	}
}

// write writes what was learnt, and how far that is, in one act.
func (p *past) write(ctx context.Context) error {
	tx := store.Tx{Mutations: append(p.also, p.book.flush()...)}
	p.also, p.batch = nil, 0
	clear(p.origins)
	for _, h := range p.accounts {
		if h == nil || !h.dirty {
			continue
		}
		m, place := h.mutation()
		tx.Mutations, h.dirty = append(tx.Mutations, m), false
		h.vacate(place)
	}
	m, err := p.record.mutation()
	if err != nil {
		return err
	}
	tx.Mutations = append(tx.Mutations, m, store.Mutation{Key: []byte(keyNormal), Value: p.w.normal.site.Append(nil)})
	if _, err = p.w.o.Store.Apply(ctx, tx, store.Durable); err != nil {
		return err
	}
	if now := p.w.o.Now(); now.Sub(p.told) >= pastEvery {
		p.told = now
		p.w.o.Logger.Info("the habits of accounts are being learnt from the trace",
			"facts", p.record.End-p.record.Next, "messages", p.messages)
	}
	return nil
}
