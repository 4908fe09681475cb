package incident

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"sallyport/internal/fact"
	"sallyport/internal/mail"
	"sallyport/internal/store"
)

// Kind is a kind of what accounts can have in common. The zero Kind is none.
type Kind string

// The kinds that there are.
const (
	KindNetwork Kind = "network" // that they come from
	KindTLS     Kind = "tls"     // the fingerprint of what their client offers in TLS
	KindText    Kind = "text"    // the gist of what they write
)

// Shared is something that many accounts have in common, and that is paused in their place.
// The zero Shared is none.
type Shared struct {
	Kind Kind   `json:"kind"`
	Text string `json:"text"`
}

// IsZero reports whether it is none.
func (s Shared) IsZero() bool { return s == Shared{} }

// String says it within a sentence: "the network 192.0.2.0/24".
func (s Shared) String() string {
	switch s.Kind {
	case KindNetwork:
		return "the network " + s.Text
	case KindTLS:
		return "the TLS fingerprint " + s.Text
	case KindText:
		return "the text " + s.Text
	}
	return "nothing"
}

// Remedy is what somebody can do who sent with it and is not to blame.
func (s Shared) Remedy() string {
	if s.Kind == KindTLS {
		return "send with a program that you used before, or ask the postmaster"
	}
	return "send from a network that you used before, or ask the postmaster"
}

// Of says what the incident is about: an account, or what is paused.
func (i Incident) Of() string {
	if i.Account.IsZero() && !i.Shared.IsZero() {
		return i.Shared.String()
	}
	return i.Account.String()
}

// More is the evidence beside what Reason says.
func (i Incident) More() []string {
	return slices.DeleteFunc(slices.Clone(i.Evidence), func(words string) bool { return words == i.Reason })
}

// openKey is the key of the open incident of what i is about. No account has a key without
// an at sign, and nothing that is shared has one with it.
func (i Incident) openKey() []byte {
	if i.Account.IsZero() && !i.Shared.IsZero() {
		return []byte(prefixOpen + "shared " + strings.ReplaceAll(string(i.Shared.Kind)+" "+i.Shared.Text, "@", "_"))
	}
	return openKey(i.Account)
}

// ErrShared says that an incident is about no account.
var ErrShared = errors.New("incident: it is about what accounts have in common, and about no account")

// Pause raises an incident of what many accounts have in common, in one act with what else
// is planned for it. No account is touched.
func (k Keeper) Pause(ctx context.Context, i Incident, by []fact.Pair, with ...store.Planner) (raised Incident, err error) {
	if i.Shared.IsZero() || !i.Account.IsZero() {
		return Incident{}, fmt.Errorf("%w: nothing to pause", ErrShared)
	}
	i.At = k.Now().UTC()
	if i.Since.IsZero() {
		i.Since = i.At
	}
	if err := k.Log.commit(ctx, append(with, k.telling("raised", by, k.Log.Raising(i, &raised), &raised))...); err != nil {
		return Incident{}, err
	}
	k.tell(raised)
	return raised, nil
}

// Resume ends the incident of what is paused, and the pause, in one act: a person decided it.
func (k Keeper) Resume(ctx context.Context, of Shared, who, why string, by ...fact.Pair) (closed Incident, err error) {
	about := Incident{Shared: of}
	plans := []store.Planner{k.telling(StateReleased.String(), by, k.Log.closing(about, StateReleased, k.Now().UTC(), who, why, &closed), &closed)}
	if k.Resuming != nil {
		plans = append(plans, k.Resuming(of))
	}
	if err := k.Log.commit(ctx, plans...); err != nil {
		return Incident{}, err
	}
	if closed.Number != 0 {
		k.tell(closed)
	}
	return closed, nil
}

// commit makes one act of what is planned, again where something came between.
func (l *Log) commit(ctx context.Context, plans ...store.Planner) error {
	for {
		tx, done, err := store.Tx{}.With(ctx, plans...)
		if err != nil {
			return err
		}
		_, err = l.st.Apply(ctx, tx, store.Durable)
		if err = errors.Join(err, done(err)); !isConflict(err) {
			return err
		}
	}
}

// Paused calls fn for each thing that is paused, until it fails.
func (l *Log) Paused(ctx context.Context, fn func(Incident) error) error {
	return l.st.Scan(ctx, store.Prefix([]byte(prefixOpen+"shared ")), func(k, _ []byte) (bool, error) {
		_, n, err := l.get(ctx, k)
		if err != nil {
			return false, err
		}
		i, _, err := l.record(ctx, n)
		if err != nil {
			return false, err
		}
		return true, fn(i)
	})
}

// closing plans the end of the open incident of what about is about, as Closing does.
func (l *Log) closing(about Incident, s State, at time.Time, by, why string, into *Incident) store.Planner {
	key := about.openKey()
	return func(ctx context.Context) (store.Share, error) {
		open, n, err := l.get(ctx, key)
		if err != nil || open == nil {
			return store.Share{Preconditions: []store.Precondition{holds(key, nil)}}, err
		}
		i, value, err := l.record(ctx, n)
		if err != nil {
			return store.Share{}, err
		}
		i.State, i.Closed, i.ClosedBy, i.ClosedFor = s, at, fact.Clean(by, maxText), fact.Clean(why, maxText)
		*into = i
		return l.share(i, []store.Mutation{{Key: key, Delete: true}}, holds(key, open), holds(recordKey(n), value))
	}
}

// accountsOf cuts the accounts of an incident to the bound.
func accountsOf(all []mail.Address) []mail.Address {
	return slices.Clone(all[:min(len(all), maxAccounts)])
}

// maxAccounts is how many accounts one incident of what they have in common names.
const maxAccounts = 64
