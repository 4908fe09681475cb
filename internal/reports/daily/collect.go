package daily

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"sallyport/internal/mail"
	"sallyport/internal/store"
)

// dayFormat writes a day in a key. Days are UTC. RFC 8460 §4.1, RFC 9990 §3.1.1.3
const dayFormat = "2006-01-02"

// day is how long one lasts.
const day = 24 * time.Hour

const (
	// sentKeep is for how many days it is known how many reports left.
	sentKeep = 7
	// daysKept is of how many days that are over it is kept at most what is to be reported.
	daysKept = 7
	// maxMark bounds the mutations that say that a report has left.
	maxMark = 100
)

// Kind is how a form counts, and where. All fields are required.
type Kind[T any] struct {
	// Name is what a report is called in the log.
	Name string
	// Counted begins the keys of what is counted, behind which day and domain stand; Sent
	// those of how many reports left on a day. Neither may begin with the other.
	Counted, Sent string
	// Merge adds to a tally what a later one of the same domain and day counted.
	Merge func(t *T, later T)
	// Weight is how much a tally counts.
	Weight func(T) int
}

// Room bounds what is kept of what is counted; beyond it is only counted as lost.
type Room struct {
	Domains int   // of one day
	Octets  int64 // of one day, in the store
	Rows    int   // of all domains, that wait in memory for the store
}

// tallies are what was counted and is not in the store yet.
type tallies[T any] struct {
	of   map[string]*T // by key
	rows int
	lost int // what domains beyond the bounds would have counted
}

// Count has add count something about a domain, on the day that it is now. add is told
// how many rows there is room for, and returns how many it took. Nothing is counted while
// nobody answers for reports.
func (r *Reports[T]) Count(d mail.Domain, add func(t *T, room int) (took int)) {
	if d.IsZero() || r.force.Load() == nil {
		return
	}
	key := r.o.Kind.Counted + r.o.Now().UTC().Format(dayFormat) + "/" + d.ASCII()
	r.mu.Lock()
	defer r.mu.Unlock()
	t := r.fresh.of[key]
	if t == nil {
		if len(r.fresh.of) >= r.o.Room.Domains {
			r.fresh.lost++
			return
		}
		t = new(T)
		r.fresh.of[key] = t
	}
	r.fresh.rows += add(t, r.o.Room.Rows-r.fresh.rows)
}

// Flush moves what was counted into the store; a crash loses what was counted since. The end of ctx, which is that of the
// server, does not stop it: what it has taken is nowhere else.
func (r *Reports[T]) Flush(ctx context.Context) {
	ctx = context.WithoutCancel(ctx)
	r.mu.Lock()
	fresh := r.fresh
	r.fresh = tallies[T]{of: map[string]*T{}}
	r.mu.Unlock()
	if len(fresh.of) == 0 {
		return
	}
	all := r.measure(ctx)
	for key, t := range fresh.of {
		if err := r.keep(ctx, key, *t, all); err != nil {
			r.log.Warn("what was counted is not kept", "domain", r.about(key), "err", err)
			fresh.lost += r.o.Kind.Weight(*t)
		}
	}
	if fresh.lost > 0 {
		r.log.Warn("not all that was counted will be reported", "count", fresh.lost)
	}
}

// about is the day and domain that a key is about.
func (r *Reports[T]) about(key string) string { return strings.TrimPrefix(key, r.o.Kind.Counted) }

// errFull says that a day has as much as is kept.
var errFull = errors.New("daily: too much in one day")

// kept is what the store holds of one day.
type kept struct {
	domains int
	octets  int64
}

// measure returns what the store holds of each day. What cannot be measured is as if it
// were not there: it is better to count too much than nothing.
func (r *Reports[T]) measure(ctx context.Context) map[string]kept {
	days := map[string]kept{}
	err := r.o.Store.Scan(ctx, store.Prefix([]byte(r.o.Kind.Counted)), func(key, value []byte) (bool, error) {
		at, _, _ := strings.Cut(r.about(string(key)), "/")
		k := days[at]
		days[at] = kept{k.domains + 1, k.octets + int64(len(value))}
		return true, nil
	})
	if err != nil {
		r.log.Warn("what is kept cannot be measured", "err", err)
	}
	return days
}

func (r *Reports[T]) keep(ctx context.Context, key string, t T, all map[string]kept) error {
	at, _, _ := strings.Cut(r.about(key), "/")
	k := all[at]
	old, err := r.o.Store.Get(ctx, []byte(key))
	switch {
	case errors.Is(err, store.ErrNotFound) && k.domains >= r.o.Room.Domains:
		return errFull
	case errors.Is(err, store.ErrNotFound):
		k.domains++
	case err != nil:
		return err
	default:
		var before T
		if json.Unmarshal(old, &before) == nil { // what cannot be read is begun anew
			r.o.Kind.Merge(&before, t)
			t = before
		}
	}
	value, err := json.Marshal(t)
	if err != nil {
		return err
	}
	if k.octets += int64(len(value) - len(old)); k.octets > r.o.Room.Octets {
		return errFull
	}
	if err = r.apply(ctx, store.Mutation{Key: []byte(key), Value: value}); err == nil {
		all[at] = k
	}
	return err
}

func (r *Reports[T]) apply(ctx context.Context, m ...store.Mutation) error {
	_, err := r.o.Store.Apply(ctx, store.Tx{Mutations: m}, store.Lazy)
	return err
}

// over returns what is kept of days before today, the oldest first. Keys that are none of
// ours are forgotten.
func (r *Reports[T]) over(ctx context.Context, now time.Time) (all []Due, err error) {
	var bad []string
	prefix := r.o.Kind.Counted
	err = r.o.Store.Scan(ctx, store.Range{From: []byte(prefix), To: []byte(prefix + now.Format(dayFormat))}, func(key, _ []byte) (bool, error) {
		at, name, _ := strings.Cut(r.about(string(key)), "/")
		begin, err := time.Parse(dayFormat, at)
		d, wrong := mail.ParseDomain(name)
		if err != nil || wrong != nil {
			bad = append(bad, string(key))
			return true, nil
		}
		all = append(all, Due{Domain: d, Day: begin, key: string(key)})
		return true, nil
	})
	for _, key := range bad {
		r.forget(ctx, key)
	}
	return all, err
}

// errDamaged says that a tally cannot be read.
var errDamaged = errors.New("daily: what was counted cannot be read")

// load returns a tally as it stands now; it is errDamaged if it will never be read.
func (r *Reports[T]) load(ctx context.Context, d Due) (t T, err error) {
	value, err := r.o.Store.Get(ctx, []byte(d.key))
	if err == nil && json.Unmarshal(value, &t) != nil {
		err = errDamaged
	}
	return t, err
}

func (r *Reports[T]) forget(ctx context.Context, key string) {
	delete(r.tried, key)
	if err := r.apply(ctx, store.Mutation{Key: []byte(key), Delete: true}); err != nil {
		r.log.Warn("what was counted is not forgotten", "domain", r.about(key), "err", err)
	}
}

// sent returns how many reports left on the day that it is now, and the mutations that say
// that one more did, and that what it tells is told.
func (r *Reports[T]) sent(ctx context.Context, now time.Time, d Due) (n int, mark []store.Mutation, err error) {
	key := []byte(r.o.Kind.Sent + now.Format(dayFormat))
	value, err := r.o.Store.Get(ctx, key)
	switch {
	case errors.Is(err, store.ErrNotFound):
	case err != nil:
		return 0, nil, err
	default:
		if n, err = strconv.Atoi(string(value)); err != nil {
			return 0, nil, err
		}
	}
	mark = []store.Mutation{{Key: key, Value: []byte(strconv.Itoa(n + 1))}, {Key: []byte(d.key), Delete: true}}
	old := store.Range{From: []byte(r.o.Kind.Sent), To: []byte(r.o.Kind.Sent + now.AddDate(0, 0, -sentKeep).Format(dayFormat))}
	err = r.o.Store.Scan(ctx, old, func(key, _ []byte) (bool, error) {
		mark = append(mark, store.Mutation{Key: slices.Clone(key), Delete: true})
		return len(mark) < maxMark, nil
	})
	return n, mark, err
}
