package expiry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"sallyport/internal/accounts"
	"sallyport/internal/ca"
	"sallyport/internal/directory"
	"sallyport/internal/letter/notify"
	"sallyport/internal/mail"
	"sallyport/internal/store"
)

// Limits bounds what is written, and says when.
type Limits struct {
	Look      time.Duration // how often it is looked what ends
	AtOnce    int           // letters of one look; the others follow with the next
	Owner     []Step        // falling: when the owner of an account is told
	Authority []Step        // falling: when the administrator is told of the authority
	Kept      time.Duration // how long after the end it is known who was told of it
}

// DefaultLimits returns the bounds where the configuration says nothing.
func DefaultLimits() Limits {
	return Limits{Look: 10 * time.Minute, AtOnce: 200, Owner: []Step{30, 7, 1}, Authority: []Step{365, 90, 30, 7, 1}, Kept: 90 * day}
}

// Options is what Warnings need; all of it but Age.
type Options struct {
	Store     store.Store
	Directory func() *directory.Snapshot
	Post      *notify.Post
	Endings   func(ctx context.Context) ([]accounts.Ending, error)
	Authority func(ctx context.Context) (ca.Authority, bool, error) // that signs, if there is one
	Limits    Limits
	Now       func() time.Time
	// Age is how much time has passed since the clock showed a moment, whatever it was set to; nil: by Now.
	Age    func(time.Time) time.Duration
	Logger *slog.Logger
}

// Warnings writes them.
type Warnings struct{ o Options }

// New returns Warnings.
func New(o Options) *Warnings {
	if o.Age == nil {
		o.Age = func(t time.Time) time.Duration { return o.Now().Sub(t) }
	}
	return &Warnings{o}
}

// Rule is why a warning is written.
const Rule = "expiry-warning"

// Run warns until ctx is done.
func (w *Warnings) Run(ctx context.Context) {
	for {
		if err := w.look(ctx); err != nil && ctx.Err() == nil && !errors.Is(err, store.ErrLow) {
			w.o.Logger.Error("warnings of certificates that end were not written; they are tried again", "err", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(w.o.Limits.Look):
		}
	}
}

// warning is who may have to be told of one end.
type warning struct {
	subject   string // what ends, in keys: an account's credential, or the authority
	who       string
	made, end time.Time
	steps     []Step
	letter    func(Step) notify.Letter
}

// key is where it is kept which step was told. The end is part of it: with another end all
// steps begin anew.
func (x warning) key() []byte {
	return store.SpaceExpiry.Key(fmt.Appendf(nil, "%020d %s %s", x.end.Unix(), x.who, x.subject))
}

// look tells whoever must be told now.
func (w *Warnings) look(ctx context.Context) error {
	all, err := w.warnings(ctx)
	if err != nil {
		return err
	}
	written := 0
	for _, x := range all {
		if written == w.o.Limits.AtOnce {
			break
		}
		sent, err := w.tell(ctx, x)
		if err != nil {
			return err
		}
		if sent {
			written++
		}
	}
	return w.forget(ctx)
}

// warnings are all that may be due, now or later.
func (w *Warnings) warnings(ctx context.Context) (all []warning, err error) {
	endings, err := w.o.Endings(ctx)
	if err != nil {
		return nil, err
	}
	for _, e := range endings {
		x := warning{subject: e.Account.Key() + " " + e.ID, who: "owner", made: e.Created, end: e.At, steps: w.o.Limits.Owner}
		x.letter = func(s Step) notify.Letter {
			return notify.Letter{To: e.Account, Subject: ownerSubject(e, s), Text: ownerText(e, s, w.o.Now())}
		}
		all = append(all, x)
		if c, ok := w.o.Directory().Contact(e.Account); ok && !c.Address.IsZero() {
			// Whoever is named later is told separately.
			x.who = "contact:" + c.Address.String()
			x.letter = func(s Step) notify.Letter {
				return notify.Letter{To: c.Address, About: e.Account, Subject: ownerSubject(e, s), Text: ownerText(e, s, w.o.Now())}
			}
			all = append(all, x)
		}
	}
	a, ok, err := w.o.Authority(ctx)
	if ok {
		all = append(all, warning{subject: "authority " + strconv.Itoa(a.Number), who: "administrator", made: a.Made, end: a.Certificate.NotAfter, steps: w.o.Limits.Authority, letter: func(s Step) notify.Letter {
			return notify.Letter{To: w.o.Post.Postmaster(), Subject: authoritySubject(s), Text: authorityText(a, w.o.Now())}
		}})
	}
	return all, err
}

// tell queues a warning with the mark that it was told, in one act, if it is due. That nobody
// takes it is no error: it is looked at again.
func (w *Warnings) tell(ctx context.Context, x warning) (sent bool, err error) {
	told, before, err := w.told(ctx, x.key())
	if err != nil {
		return false, err
	}
	step := Due(x.steps, x.made, x.end, w.o.Now(), told)
	if step == StepNone {
		return false, nil
	}
	l := x.letter(step)
	l.Rule, l.Marks = Rule, []store.Mutation{{Key: before, Value: []byte(strconv.Itoa(int(step)))}}
	err = w.o.Post.Send(ctx, l)
	if errors.Is(err, notify.ErrNobody) {
		return false, nil
	}
	return err == nil, err
}

// told is the last step that was told.
func (w *Warnings) told(ctx context.Context, key []byte) (Step, []byte, error) {
	value, err := w.o.Store.Get(ctx, key)
	if errors.Is(err, store.ErrNotFound) {
		return StepNone, key, nil
	}
	if err != nil {
		return StepNone, key, err
	}
	n, err := strconv.Atoi(string(value))
	if err != nil || n < 0 {
		// To be told once more is better than not to be told.
		w.o.Logger.Error("which step before the end of a certificate was told does not read",
			"key", mail.Printable(string(key), mail.ReplyShown))
		return StepNone, key, nil
	}
	return Step(n), key, nil
}

// forget removes what was told of what ended long ago.
func (w *Warnings) forget(ctx context.Context) error {
	var old []store.Mutation
	err := w.o.Store.Scan(ctx, store.SpaceExpiry.All(), func(k, _ []byte) (bool, error) {
		end, _, _ := strings.Cut(strings.TrimPrefix(string(k), string(store.SpaceExpiry)), " ")
		seconds, err := strconv.ParseInt(end, 10, 64)
		if err == nil && w.o.Age(time.Unix(seconds, 0)) <= w.o.Limits.Kept {
			return false, nil // the others end later
		}
		old = append(old, store.Mutation{Key: bytes.Clone(k), Delete: true})
		return len(old) < w.o.Limits.AtOnce, nil
	})
	if err != nil || len(old) == 0 {
		return err
	}
	_, err = w.o.Store.Apply(ctx, store.Tx{Mutations: old}, store.Lazy)
	return err
}
