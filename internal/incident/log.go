package incident

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"sallyport/internal/kit/codec"
	"sallyport/internal/mail"
	"sallyport/internal/store"
)

const (
	prefix       = string(store.SpaceIncidents)
	keyLast      = prefix + "last"
	prefixRecord = prefix + "record/"
	prefixOpen   = prefix + "open/"
	prefixKept   = prefix + "kept/"

	// recordVersion is the version of incidents that is written; no other is read.
	recordVersion = 1
)

// ErrNoSuch says that there is no incident of that number.
var ErrNoSuch = errors.New("incident: there is no such incident")

func recordKey(n uint64) []byte { return binary.BigEndian.AppendUint64([]byte(prefixRecord), n) }

func openKey(a mail.Address) []byte { return []byte(prefixOpen + a.Key()) }

func keptPrefix(n uint64) []byte { return binary.BigEndian.AppendUint64([]byte(prefixKept), n) }

// Log keeps incidents. All methods may be called concurrently.
type Log struct{ st store.Store }

// NewLog returns the log that a store keeps.
func NewLog(st store.Store) *Log { return &Log{st} }

type storedIncident struct {
	Version int `json:"v"`
	Incident
}

func encode(i Incident) ([]byte, error) {
	b, err := json.Marshal(storedIncident{recordVersion, i})
	if err != nil {
		return nil, fmt.Errorf("incident: encoding an incident: %w", err)
	}
	return b, nil
}

func decode(value []byte) (Incident, error) {
	var s storedIncident
	if err := codec.Decode(value, &s); err != nil {
		return Incident{}, fmt.Errorf("incident: reading an incident: %w", err)
	}
	if err := codec.Version(s.Version, recordVersion); err != nil {
		return Incident{}, fmt.Errorf("incident: reading an incident: %w", err)
	}
	return s.Incident, nil
}

// Raising plans the incident i as a share in the act that contains its account, or pauses
// what it is about. Where there is an open one already, i adds to that. into receives what was written.
func (l *Log) Raising(i Incident, into *Incident) store.Planner {
	return func(ctx context.Context) (store.Share, error) {
		if i.Account.IsZero() && i.Shared.IsZero() {
			return store.Share{}, errors.New("incident: no account")
		}
		open, was, err := l.get(ctx, i.openKey())
		if err != nil {
			return store.Share{}, err
		}
		if open != nil {
			old, value, err := l.record(ctx, was)
			if err != nil {
				return store.Share{}, err
			}
			*into = old.with(i)
			return l.share(*into, nil, holds(i.openKey(), open), holds(recordKey(was), value))
		}
		last, n, err := l.get(ctx, []byte(keyLast))
		if err != nil {
			return store.Share{}, err
		}
		next := i.bounded()
		next.Number, next.State = n+1, StateOpen
		*into = next
		number := codec.EncodeRevision(next.Number)
		return l.share(next, []store.Mutation{{Key: []byte(keyLast), Value: number}, {Key: i.openKey(), Value: number}},
			holds(i.openKey(), nil), holds([]byte(keyLast), last))
	}
}

// Closing plans the end of the account's open incident as a share in the act that sets the
// account free; into receives it. Where there is none, the share is empty.
func (l *Log) Closing(a mail.Address, s State, at time.Time, by, why string, into *Incident) store.Planner {
	return l.closing(Incident{Account: a}, s, at, by, why, into)
}

func (l *Log) share(i Incident, also []store.Mutation, that ...store.Precondition) (store.Share, error) {
	value, err := encode(i)
	if err != nil {
		return store.Share{}, err
	}
	return store.Share{Preconditions: that, Mutations: append(also, store.Mutation{Key: recordKey(i.Number), Value: value})}, nil
}

// holds requires of a key what was read from it; nil is its absence.
func holds(key, value []byte) store.Precondition {
	return store.Precondition{Key: key, Value: value, Absent: value == nil}
}

// get reads a number; a nil value: there is none.
func (l *Log) get(ctx context.Context, key []byte) (value []byte, n uint64, err error) {
	value, err = l.st.Get(ctx, key)
	if errors.Is(err, store.ErrNotFound) {
		return nil, 0, nil
	}
	if err == nil {
		n, err = codec.DecodeRevision(value)
	}
	if err != nil {
		err = fmt.Errorf("incident: reading %s: %w", mail.Printable(string(key), mail.ReplyShown), err)
	}
	return value, n, err
}

func (l *Log) record(ctx context.Context, n uint64) (Incident, []byte, error) {
	value, err := l.st.Get(ctx, recordKey(n))
	if errors.Is(err, store.ErrNotFound) {
		return Incident{}, nil, fmt.Errorf("%w: %d", ErrNoSuch, n)
	}
	if err != nil {
		return Incident{}, nil, fmt.Errorf("incident: %w", err)
	}
	i, err := decode(value)
	return i, value, err
}

// Get returns an incident, or ErrNoSuch.
func (l *Log) Get(ctx context.Context, n uint64) (Incident, error) {
	i, _, err := l.record(ctx, n)
	return i, err
}

// Open returns the account's open incident; false: it has none.
func (l *Log) Open(ctx context.Context, a mail.Address) (Incident, bool, error) {
	open, n, err := l.get(ctx, openKey(a))
	if err != nil || open == nil {
		return Incident{}, false, err
	}
	i, _, err := l.record(ctx, n)
	return i, err == nil, err
}

// List calls fn for each incident, the latest first, until it returns false.
func (l *Log) List(ctx context.Context, fn func(Incident) (more bool, err error)) error {
	r := store.Prefix([]byte(prefixRecord))
	r.Reverse = true
	return l.st.Scan(ctx, r, func(_, value []byte) (bool, error) {
		i, err := decode(value)
		if err != nil {
			return false, err
		}
		return fn(i)
	})
}

// ErrOpen says that an account has an open incident.
var ErrOpen = errors.New("incident: it is open")

// NoneOpen plans that an account has no open incident when an act is committed; the error is
// ErrOpen where it has one.
func (l *Log) NoneOpen(a mail.Address) store.Planner {
	return func(ctx context.Context) (store.Share, error) {
		open, n, err := l.get(ctx, openKey(a))
		if err == nil && open != nil {
			err = fmt.Errorf("%w: incident %d of %s", ErrOpen, n, a)
		}
		return store.Share{Preconditions: []store.Precondition{holds(openKey(a), nil)}}, err
	}
}

// Count returns how many incidents are open.
func (l *Log) Count(ctx context.Context) (open int, err error) {
	err = l.st.Scan(ctx, store.Prefix([]byte(prefixOpen)), func(_, _ []byte) (bool, error) {
		open++
		return true, nil
	})
	return open, err
}
