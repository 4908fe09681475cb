package accounts

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"sallyport/internal/kit/codec"
	"sallyport/internal/mail"
	"sallyport/internal/store"
)

// conflictTries bounds how often a change is tried again when other nodes change
// accounts at the same time; each conflict means that another one got through.
const conflictTries = 16

// change is one change of an account: edit gets what is stored (nil: nothing) and
// the revision that the change would have, and returns what to store (nil:
// remove it).
type change struct {
	edit       func(old *record, revision uint64) (*record, error)
	facts      [][]byte
	late       func(revision uint64) [][]byte // more facts, of what edit came to; may be nil
	with       []store.Planner                // what other rooms change in the same act
	grows      bool                           // brings a new account
	durability store.Durability
}

// Add makes an active account with a password. The facts are committed with it, and
// so is what others change with it; when Add returns nil, all of it is durable, and
// otherwise there is nothing of it. Errors: ErrExists, ErrPassword,
// ErrInvalid, ErrFull, and those of the store and of the others.
func (i *Identity) Add(ctx context.Context, a mail.Address, password string, sends Sending, facts [][]byte,
	with ...store.Planner) (Account, error) {
	if a.Domain().IsZero() {
		return Account{}, fmt.Errorf("%w: an account needs an address in a domain", ErrInvalid)
	}
	if err := sends.Validate(); err != nil {
		return Account{}, err
	}
	if i.record(a.Key()) != nil {
		return Account{}, fmt.Errorf("%w: %s", ErrExists, mail.Printable(a.String(), mail.AddressShown))
	}
	s, err := i.derive(ctx, a, password, nil)
	if err != nil {
		return Account{}, err
	}
	now := i.o.Now().UTC()
	return i.change(ctx, a, change{facts: facts, with: with, grows: true, edit: func(old *record, revision uint64) (*record, error) {
		if old != nil {
			return nil, fmt.Errorf("%w: %s", ErrExists, mail.Printable(a.String(), mail.AddressShown))
		}
		return &record{secret: s, Account: Account{
			Address: a, Standing: StandingActive, Created: now, PasswordChanged: now,
			PasswordRevision: revision, SignIn: PolicyAny, Revision: revision,
			Role: sends.Role, RecipientsHour: sends.RecipientsHour, RecipientsDay: sends.RecipientsDay,
		}}, nil
	}})
}

// SetPassword replaces the password. What was remembered of the old one is
// forgotten before SetPassword returns. What signed in with another credential goes on.
func (i *Identity) SetPassword(ctx context.Context, a mail.Address, password string, facts [][]byte) (Account, error) {
	if _, err := i.Get(a); err != nil {
		return Account{}, err
	}
	if r := i.record(a.Key()); !r.kept() {
		return Account{}, fmt.Errorf("%w: the password of %s is kept in the directory %s, and changed there",
			ErrInvalid, mail.Printable(a.String(), mail.AddressShown), r.Source.Directory)
	}
	s, err := i.derive(ctx, a, password, i.record(a.Key()))
	if err != nil {
		return Account{}, err
	}
	now := i.o.Now().UTC()
	return i.change(ctx, a, change{facts: facts, edit: existing(a, func(old *record, revision uint64) (*record, error) {
		if len(old.held) > 0 && !s.Scram.fits(old.secret.Scram) {
			return nil, fmt.Errorf("%w: the account was changed meanwhile; try again", store.ErrConflict)
		}
		next := *old
		next.secret, next.former = s, nil
		if s.Scram.fits(old.secret.Scram) {
			next.former = old.formerly()
		}
		next.PasswordChanged, next.PasswordRevision, next.PasswordRevoked = now, revision, false
		return &next, nil
	})})
}

// Freeze ends signing in and sending until Thaw; mail for the account is still
// delivered. Freezing a frozen account replaces the reason. What others change with it,
// such as the hold of its queue, happens in the same act.
func (i *Identity) Freeze(ctx context.Context, a mail.Address, reason string, facts [][]byte, with ...store.Planner) (Account, error) {
	if reason == "" || len(reason) > i.limits().ReasonOctets {
		return Account{}, fmt.Errorf("%w: a freeze needs a reason of at most %d octets", ErrInvalid, i.limits().ReasonOctets)
	}
	return i.amend(ctx, a, facts, with, func(r *record) {
		r.Standing, r.FrozenReason, r.ReadsOn = StandingFrozen, reason, false
	})
}

// Thaw makes a frozen account active again, with its old password, in one act with what
// others change. What was revoked stays so.
func (i *Identity) Thaw(ctx context.Context, a mail.Address, facts [][]byte, with ...store.Planner) (Account, error) {
	return i.amend(ctx, a, facts, with, func(r *record) {
		r.Standing, r.FrozenReason, r.ReadsOn = StandingActive, "", false
		r.tokens = r.tokens.until(i.o.Now().UTC())
	})
}

// SetSending changes what the account may send. Its sessions go on, unless its role is
// another one.
func (i *Identity) SetSending(ctx context.Context, a mail.Address, s Sending, facts [][]byte) (Account, error) {
	if err := s.Validate(); err != nil {
		return Account{}, err
	}
	return i.amendUnder(ctx, a, facts, nil, func(r *record, revision uint64) {
		if r.Role != s.Role {
			r.Revision = revision
		}
		r.Role, r.RecipientsHour, r.RecipientsDay = s.Role, s.RecipientsHour, s.RecipientsDay
	})
}

// SetQuota changes how much the mailbox of the account may hold. Its sessions go on.
func (i *Identity) SetQuota(ctx context.Context, a mail.Address, octets, messages int64, facts [][]byte) (Account, error) {
	if octets < 0 || messages < 0 {
		return Account{}, fmt.Errorf("%w: a quota is at least 0", ErrInvalid)
	}
	return i.amendUnder(ctx, a, facts, nil, func(r *record, _ uint64) { r.QuotaOctets, r.QuotaMessages = octets, messages })
}

// Remove removes the account, also one whose record cannot be read, in one act with what
// others change.
func (i *Identity) Remove(ctx context.Context, a mail.Address, facts [][]byte, with ...store.Planner) error {
	_, err := i.change(ctx, a, change{facts: facts, with: with, edit: func(old *record, _ uint64) (*record, error) {
		if old == nil {
			return nil, fmt.Errorf("%w: %s", ErrNoSuch, mail.Printable(a.String(), mail.AddressShown))
		}
		return nil, nil
	}})
	return err
}

// amend changes an existing account under a new revision.
func (i *Identity) amend(ctx context.Context, a mail.Address, facts [][]byte, with []store.Planner, f func(*record)) (Account, error) {
	return i.amendUnder(ctx, a, facts, with, func(r *record, revision uint64) {
		f(r)
		r.Revision = revision
	})
}

// amendUnder changes an existing account, which keeps its revision unless f gives it the
// new one.
func (i *Identity) amendUnder(ctx context.Context, a mail.Address, facts [][]byte, with []store.Planner,
	f func(r *record, revision uint64)) (Account, error) {
	return i.change(ctx, a, change{facts: facts, with: with, edit: existing(a, func(old *record, revision uint64) (*record, error) {
		next := *old
		f(&next, revision)
		return &next, nil
	})})
}

// existing is an edit of an account that must exist, and be readable.
func existing(a mail.Address, f func(old *record, revision uint64) (*record, error)) func(*record, uint64) (*record, error) {
	return func(old *record, revision uint64) (*record, error) {
		if old == nil {
			return nil, fmt.Errorf("%w: %s", ErrNoSuch, mail.Printable(a.String(), mail.AddressShown))
		}
		if old.Standing == StandingUnknown {
			return nil, fmt.Errorf("%w: the record of %s cannot be read; remove the account and add it again",
				ErrInvalid, mail.Printable(a.String(), mail.AddressShown))
		}
		return f(old, revision)
	}
}

// derive makes the secret of a new password, in the lane of those who are known. of is the
// account that gets it, nil for a new one.
func (i *Identity) derive(ctx context.Context, a mail.Address, password string, of *record) (secret, error) {
	prepared, err := newPassword(a, password, *i.limits())
	if err != nil {
		return secret{}, err
	}
	if err := i.hasher.acquire(ctx, laneKnown); err != nil {
		return secret{}, err
	}
	defer i.hasher.release()
	return newSecret(i.o.Rand, of.cost(i.limits()), of.salt(), password, prepared)
}

// change carries out one change and returns when it is committed as it asks for
// and visible to Lookup. Changes of one process follow one another.
func (i *Identity) change(ctx context.Context, a mail.Address, c change) (Account, error) {
	return i.inTurn(ctx, func() (Account, error) { return i.tryChange(ctx, a.Key(), c) })
}

// inTurn makes a change when those before it are made, and again where another process came
// between its reading and its writing.
func (i *Identity) inTurn(ctx context.Context, try func() (Account, error)) (Account, error) {
	select {
	case i.write <- struct{}{}:
		defer func() { <-i.write }()
	case <-ctx.Done():
		return Account{}, ctx.Err()
	}
	for range conflictTries {
		acc, err := try()
		if !errors.Is(err, store.ErrConflict) {
			return acc, err
		}
	}
	return Account{}, fmt.Errorf("accounts: %w: accounts are being changed elsewhere all the time", store.ErrConflict)
}

func (i *Identity) tryChange(ctx context.Context, key string, c change) (Account, error) {
	oldValue, old, err := i.stored(ctx, key)
	if err != nil {
		return Account{}, err
	}
	revisionValue, revision, err := i.storedRevision(ctx)
	if err != nil {
		return Account{}, err
	}
	if c.grows && i.count.Load() >= int64(i.limits().Accounts) {
		return Account{}, fmt.Errorf("%w: %d", ErrFull, i.limits().Accounts)
	}
	revision++
	next, err := c.edit(old, revision)
	if err != nil {
		return Account{}, err
	}
	tx := store.Tx{
		Preconditions: []store.Precondition{holds(accountKey(key), oldValue), holds([]byte(keyRevision), revisionValue)},
		Mutations:     []store.Mutation{{Key: []byte(keyRevision), Value: codec.EncodeRevision(revision)}},
		Facts:         c.facts,
		Bulk:          c.grows,
	}
	if c.late != nil {
		tx.Facts = append(slices.Clone(c.facts), c.late(revision)...)
	}
	if tx.Mutations, err = appendRecord(tx.Mutations, key, next); err != nil {
		return Account{}, err
	}
	own := len(tx.Mutations)
	tx, done, err := tx.With(ctx, c.with...)
	if err != nil {
		return Account{}, err
	}
	if ours(tx.Mutations[own:]) {
		err := fmt.Errorf("%w: a share of this change would undo it", ErrInvalid)
		return Account{}, errors.Join(err, done(err))
	}
	_, applyErr := i.st.Apply(ctx, tx, c.durability)
	// Also after an error: the change may be in doubt, and memory must show what
	// the store does.
	loadErr := i.reload(context.WithoutCancel(ctx), key, revision)
	if doneErr := done(applyErr); applyErr == nil {
		loadErr = errors.Join(loadErr, doneErr)
	}
	if applyErr != nil {
		return Account{}, wrapStore("changing an account", applyErr)
	}
	if next == nil || loadErr != nil {
		return Account{}, loadErr
	}
	return next.Account, nil
}

// ours reports whether somebody else's share changes accounts too: of two changes of one
// record the later would win, whatever the first was for.
func ours(shares []store.Mutation) bool {
	return slices.ContainsFunc(shares, func(m store.Mutation) bool { return bytes.HasPrefix(m.Key, []byte(prefixAll)) })
}

// stored reads the account of key from the store; a nil value and record mean
// that there is none.
func (i *Identity) stored(ctx context.Context, key string) ([]byte, *record, error) {
	value, err := i.st.Get(ctx, accountKey(key))
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, wrapStore("reading an account", err)
	}
	r, err := decodeRecord(key, value)
	if err != nil {
		r, err = unreadable(key)
	}
	return value, r, err
}

func appendRecord(m []store.Mutation, key string, next *record) ([]store.Mutation, error) {
	if next == nil {
		return append(m,
			store.Mutation{Key: accountKey(key), Delete: true},
			store.Mutation{Key: networksKey(key), Delete: true},
			store.Mutation{Key: usedKey(key), Delete: true}), nil
	}
	value, err := next.encode()
	if err != nil {
		return nil, fmt.Errorf("accounts: encoding an account: %w", err)
	}
	return append(m, store.Mutation{Key: accountKey(key), Value: value}), nil
}

// holds requires of a key what was read from it; nil is its absence.
func holds(key, value []byte) store.Precondition {
	return store.Precondition{Key: key, Value: bytes.Clone(value), Absent: value == nil}
}
