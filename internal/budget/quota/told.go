package quota

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"sallyport/internal/budget/inflow"
	"sallyport/internal/kit/codec"
	"sallyport/internal/mail"
	"sallyport/internal/store"
)

// told is what is kept of a mailbox or a domain.
type told struct {
	Used   Usage     `json:"used"`
	Warned bool      `json:"warned,omitempty"` // the owner was told, and it was not emptier since
	Full   time.Time `json:"full,omitzero"`    // since when who adds to it is refused
}

// next decides what becomes of it: whether the owner is to be told now, and what is kept then.
func (t told) next(q Quota, warn, clear int) (tell bool, after told) {
	after = t
	s := q.Share(t.Used)
	if s < clear {
		after.Warned, after.Full = false, time.Time{}
	}
	if warn > 0 && s >= warn && !t.Warned {
		after.Warned, tell = true, true
	}
	return tell, after
}

func keyOf(l *line) []byte {
	if l.of == nil {
		return store.SpaceQuota.Key([]byte("domain/" + l.domain.ASCII()))
	}
	return store.SpaceQuota.Key([]byte("account/" + l.account.Key()))
}

func (k *Keeper) load(ctx context.Context) error {
	err := k.st.Scan(ctx, store.SpaceQuota.All(), func(key, value []byte) (bool, error) {
		var t told
		kind, name, _ := strings.Cut(strings.TrimPrefix(string(key), string(store.SpaceQuota)), "/")
		err := codec.Decode(value, &t)
		l := k.read(kind, name)
		if err != nil || l == nil {
			// To be told once more is better than not to be told.
			k.o.Logger.Error("what is known of how full a mailbox is does not read; it is looked at again",
				"key", mail.Printable(string(key), mail.ReplyShown), "err", err)
			return true, nil
		}
		l.told, l.written = t, t
		if l.of != nil {
			k.set(l, t.Used)
		}
		return true, nil
	})
	if err != nil {
		return fmt.Errorf("quota: reading what mailboxes hold: %w", err)
	}
	return nil
}

// read returns the line of a key; nil for what is none.
func (k *Keeper) read(kind, name string) *line {
	if kind == "domain" {
		if d, err := mail.ParseDomain(name); err == nil {
			return k.domain(d)
		}
		return nil
	}
	a, err := mail.ParseAddress(name, mail.UTF8)
	if err != nil || kind != "account" || a.Domain().IsZero() {
		return nil
	}
	return k.line(a)
}

// look has Run look at a line; the lock is held.
func (k *Keeper) look(l *line) {
	k.due[l] = true
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// refused notes since when a mailbox is full: who writes to it is put off at first, and refused
// for good when its owner let it be so for long. One with much room left is not full: the message
// was large.
func (k *Keeper) refused(l *line, v inflow.Verdict) {
	if v.OK {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	mailbox, domain, p, ok := k.quotas(l.account)
	q := mailbox
	if v.Rule == inflow.RuleDomainQuota {
		l, q = l.of, domain
	}
	if ok && l.told.Full.IsZero() && q.Share(l.used) >= p.Clear {
		l.told.Full = k.o.Now().UTC()
		k.look(l)
	}
}

// quotaOf returns the quota of a line.
func (k *Keeper) quotaOf(l *line) (q Quota, p *Policy, ok bool) {
	a := l.account
	if l.of == nil {
		var err error
		if a, err = mail.ParseAddress("postmaster@"+l.domain.ASCII(), mail.ASCII); err != nil {
			return Quota{}, nil, false
		}
	}
	mailbox, domain, p, ok := k.quotas(a)
	if l.of == nil {
		return domain, p, ok
	}
	return mailbox, p, ok
}

// Warning is what is to be told of a mailbox, or of a domain, that is nearly full.
type Warning struct {
	Account mail.Address // whose mailbox; zero: it is about Domain
	Domain  mail.Domain
	Subject string
	Text    string
	Marks   []store.Mutation // change in the act that queues it
}

// Tell tells somebody, in one act with the marks. ErrNobody: there is nobody, which is no fault.
type Tell func(ctx context.Context, w Warning) error

// ErrNobody is that nobody can be told.
var ErrNobody = errors.New("quota: nobody is told")

// Run looks at mailboxes, and tells of those that are nearly full, until ctx is done.
func (k *Keeper) Run(ctx context.Context, tell Tell) {
	look, sweep := time.NewTicker(k.o.Limits.Tell), time.NewTimer(0)
	defer look.Stop()
	defer sweep.Stop()
	for {
		select {
		case <-ctx.Done():
			// A stop that is in order keeps what is known.
			if err := k.write(context.WithoutCancel(ctx)); err != nil {
				k.o.Logger.Warn("how full mailboxes are was not kept; they are looked at again", "err", err)
			}
			return
		case <-k.wake:
		case <-look.C:
		case <-sweep.C:
			if err := k.sweep(ctx); err != nil && ctx.Err() == nil && !errors.Is(err, store.ErrLow) {
				k.o.Logger.Warn("not all mailboxes were looked at", "err", err)
			}
			sweep.Reset(k.o.Limits.Sweep)
		}
		k.tell(ctx, tell)
	}
}

// tell looks at every line of which something changed.
func (k *Keeper) tell(ctx context.Context, tell Tell) {
	k.mu.Lock()
	due := k.due
	k.due = map[*line]bool{}
	k.mu.Unlock()
	for l := range due {
		if err := k.tellOf(ctx, l, tell); err != nil && ctx.Err() == nil {
			if !errors.Is(err, store.ErrLow) {
				k.o.Logger.Error("the owner of a mailbox that is nearly full was not told; it is tried again",
					"account", l.account.String(), "domain", l.domain.String(), "err", err)
			}
			k.mu.Lock()
			k.due[l] = true // the next tick comes by it
			k.mu.Unlock()
		}
	}
}

// tellOf tells of one line, if that is due.
func (k *Keeper) tellOf(ctx context.Context, l *line, tell Tell) error {
	q, p, ok := k.quotaOf(l)
	if !ok {
		return nil
	}
	k.mu.Lock()
	now, after := l.told.next(q, p.Warn, p.Clear)
	stale := l.stale
	k.mu.Unlock()
	if l.of != nil && (now || stale && l.told.Warned) {
		// Not on what may have been counted twice.
		if _, err := k.known(ctx, l.account, time.Second, true); err != nil {
			return err
		}
	}
	k.mu.Lock()
	now, after = l.told.next(q, p.Warn, p.Clear)
	if !now {
		l.told = after
	}
	kept := after.Warned == l.written.Warned && after.Full.Equal(l.written.Full)
	k.mu.Unlock()
	switch {
	case !now && kept: // the figures alone are written with all others
		return nil
	case !now:
		return k.mark(ctx, l, after)
	}
	text, err := json.Marshal(after)
	if err != nil {
		return err
	}
	w := warning(l, q, after.Used)
	w.Marks = []store.Mutation{{Key: keyOf(l), Value: text}}
	switch err := tell(ctx, w); {
	case errors.Is(err, ErrNobody):
		return nil // it is looked at again when something changes
	case err != nil:
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	l.told.Warned, l.written = true, after
	return nil
}

func (k *Keeper) mark(ctx context.Context, l *line, t told) error {
	text, err := json.Marshal(t)
	if err != nil {
		return err
	}
	if _, err := k.st.Apply(ctx, store.Tx{Mutations: []store.Mutation{{Key: keyOf(l), Value: text}}}, store.Durable); err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	l.written = t
	return nil
}

// atOnce is how many lines are written in one act.
const atOnce = 1000

// write keeps what changed. It need not be durable: mailboxes are looked at again.
func (k *Keeper) write(ctx context.Context) error {
	k.mu.Lock()
	var all []store.Mutation
	lines := make([]*line, 0, len(k.lines)+len(k.domains))
	for _, m := range []map[string]*line{k.lines, k.domains} {
		for key, l := range m {
			switch {
			case l.told == l.written:
				continue
			case l.of != nil && l.told == (told{}):
				all = append(all, store.Mutation{Key: keyOf(l), Delete: true})
				l.written = told{}
				// Somebody may be adding to a mailbox with nothing in it, which counts.
				if l.way == (Usage{}) && l.looking == nil {
					delete(m, key)
				}
				continue
			}
			lines = append(lines, l)
		}
	}
	for _, l := range lines {
		text, err := json.Marshal(l.told)
		if err == nil {
			all, l.written = append(all, store.Mutation{Key: keyOf(l), Value: text}), l.told
		}
	}
	k.mu.Unlock()
	for part := range slices.Chunk(all, atOnce) {
		if _, err := k.st.Apply(ctx, store.Tx{Mutations: part}, store.Lazy); err != nil {
			return err
		}
	}
	return nil
}

// Moving plans that the owner of an account is not told again when it has another address, as a
// share in the act that renames it.
func (k *Keeper) Moving(from, to mail.Address) store.Planner {
	return func(ctx context.Context) (s store.Share, err error) {
		old, next := store.SpaceQuota.Key([]byte("account/"+from.Key())), store.SpaceQuota.Key([]byte("account/"+to.Key()))
		value, err := k.st.Get(ctx, old)
		if errors.Is(err, store.ErrNotFound) {
			return s, nil
		}
		if err != nil {
			return s, err
		}
		s.Mutations = []store.Mutation{{Key: old, Delete: true}, {Key: next, Value: bytes.Clone(value)}}
		s.Done = func(err error) error {
			if err == nil {
				k.moved(from, to)
			}
			return nil
		}
		return s, nil
	}
}

func (k *Keeper) moved(from, to mail.Address) {
	k.mu.Lock()
	defer k.mu.Unlock()
	was := k.lines[from.Key()]
	if was == nil {
		return
	}
	is := k.line(to)
	used := was.used
	is.told.Warned, is.told.Full = was.told.Warned, was.told.Full
	is.written = was.written
	k.set(was, Usage{})
	was.told, was.written = told{}, told{}
	k.set(is, used)
	is.counted = time.Time{}
}
