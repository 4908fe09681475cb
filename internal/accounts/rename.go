package accounts

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"sallyport/internal/kit/codec"
	"sallyport/internal/mail"
	"sallyport/internal/store"
)

// FormerName is an address that an account had before it was renamed.
type FormerName struct {
	Address mail.Address `json:"address"`
	Until   time.Time    `json:"until"`
}

// Rename gives an active account another address, in one act with what others change: its
// credentials, the networks that it knows and what it may send come along. It gets a new
// revision, so that its sessions end and whoever gets the old address later inherits nothing.
// Errors: ErrNoSuch, ErrExists, ErrInvalid, and those of the store and of the others.
func (i *Identity) Rename(ctx context.Context, from, to mail.Address, facts [][]byte, with ...store.Planner) (Account, error) {
	switch {
	case to.Domain().IsZero():
		return Account{}, fmt.Errorf("%w: an account needs an address in a domain", ErrInvalid)
	case from.Key() == to.Key():
		return Account{}, fmt.Errorf("%w: %s is the address that the account has", ErrInvalid,
			mail.Printable(to.String(), mail.AddressShown))
	}
	return i.inTurn(ctx, func() (Account, error) { return i.tryRename(ctx, from, to, facts, with) })
}

func (i *Identity) tryRename(ctx context.Context, from, to mail.Address, facts [][]byte, with []store.Planner) (Account, error) {
	oldValue, old, err := i.stored(ctx, from.Key())
	if err != nil {
		return Account{}, err
	}
	_, other, err := i.stored(ctx, to.Key())
	if err != nil {
		return Account{}, err
	}
	revisionValue, revision, err := i.storedRevision(ctx)
	if err != nil {
		return Account{}, err
	}
	revision++
	next, err := old.renamed(from, to, other, revision, i.o.Now().UTC(), i.limits().FormerNames)
	if err != nil {
		return Account{}, err
	}
	tx := store.Tx{
		Preconditions: []store.Precondition{
			holds(accountKey(from.Key()), oldValue), holds(accountKey(to.Key()), nil),
			holds([]byte(keyRevision), revisionValue),
		},
		Mutations: []store.Mutation{{Key: []byte(keyRevision), Value: codec.EncodeRevision(revision)}},
		Facts:     facts,
	}
	if tx.Mutations, err = appendRecord(tx.Mutations, from.Key(), nil); err != nil {
		return Account{}, err
	}
	if tx.Mutations, err = appendRecord(tx.Mutations, to.Key(), next); err != nil {
		return Account{}, err
	}
	if tx.Mutations, err = i.appendBeside(ctx, tx.Mutations, from.Key(), to.Key()); err != nil {
		return Account{}, err
	}
	note, err := json.Marshal(storedMove{recordVersion, old.Address, to})
	if err != nil {
		return Account{}, fmt.Errorf("accounts: encoding what is to be moved: %w", err)
	}
	tx.Mutations = append(tx.Mutations, store.Mutation{Key: moveKey(from), Value: note})
	own := len(tx.Mutations)
	tx, done, err := tx.With(ctx, with...)
	if err != nil {
		return Account{}, err
	}
	if ours(tx.Mutations[own:]) {
		err := fmt.Errorf("%w: a share of this change would undo it", ErrInvalid)
		return Account{}, errors.Join(err, done(err))
	}
	_, applyErr := i.st.Apply(ctx, tx, store.Durable)
	loadErr := i.reloadRenamed(context.WithoutCancel(ctx), from.Key(), to.Key(), revision, applyErr == nil)
	doneErr := done(applyErr)
	if applyErr != nil {
		return Account{}, wrapStore("renaming an account", applyErr)
	}
	return next.Account, errors.Join(loadErr, doneErr)
}

// Move is a mailbox that is to follow its renamed account.
type Move struct{ From, To mail.Address }

type storedMove struct {
	Version int          `json:"v"`
	From    mail.Address `json:"from"`
	To      mail.Address `json:"to"`
}

func moveKey(from mail.Address) []byte { return []byte(prefixMove + from.Key()) }

// Moves returns the mailboxes that are to follow their accounts still.
func (i *Identity) Moves(ctx context.Context) (all []Move, err error) {
	err = i.st.Scan(ctx, store.Prefix([]byte(prefixMove)), func(k, v []byte) (bool, error) {
		var s storedMove
		if err := errors.Join(codec.Decode(v, &s), codec.Version(s.Version, recordVersion)); err != nil {
			return false, fmt.Errorf("which mailbox is to be moved: %w", err)
		}
		all = append(all, Move{s.From, s.To})
		return true, nil
	})
	return all, wrapStore("reading", err)
}

// Moved says that the mailbox that was called so has followed its account.
func (i *Identity) Moved(ctx context.Context, from mail.Address) error {
	_, err := i.st.Apply(ctx, store.Tx{Mutations: []store.Mutation{{Key: moveKey(from), Delete: true}}}, store.Durable)
	return wrapStore("noting that a mailbox was moved", err)
}

// renamed is the record under another address. other is whose that is already; nil: nobody's.
func (r *record) renamed(from, to mail.Address, other *record, revision uint64, now time.Time, most int) (*record, error) {
	switch {
	case r == nil:
		return nil, fmt.Errorf("%w: %s", ErrNoSuch, mail.Printable(from.String(), mail.AddressShown))
	case other != nil:
		return nil, fmt.Errorf("%w: %s", ErrExists, mail.Printable(to.String(), mail.AddressShown))
	case r.Source.Directory != "":
		return nil, fmt.Errorf("%w: the address of %s is kept in the directory %s, and changed there",
			ErrInvalid, mail.Printable(from.String(), mail.AddressShown), r.Source.Directory)
	case r.Account.seen().Standing != StandingActive:
		return nil, fmt.Errorf("%w: %s is %s, and only an active account is renamed", ErrInvalid,
			mail.Printable(from.String(), mail.AddressShown), r.Account.seen().Standing)
	}
	next := *r
	next.names = append(slices.Clone(r.names), FormerName{Address: r.Address, Until: now})
	next.names = next.names[max(0, len(next.names)-most):]
	next.Address, next.Named, next.Revision = to, now, revision
	return &next, nil
}

// appendBeside moves what stands beside an account.
func (i *Identity) appendBeside(ctx context.Context, m []store.Mutation, from, to string) ([]store.Mutation, error) {
	for _, under := range []func(string) []byte{networksKey, usedKey} {
		value, err := i.st.Get(ctx, under(from))
		if errors.Is(err, store.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, wrapStore("reading what is known of an account", err)
		}
		m = append(m, store.Mutation{Key: under(to), Value: value})
	}
	return m, nil
}

// reloadRenamed mirrors both addresses as the store holds them. The new one comes first, so
// that at no moment a certificate belongs to nobody: whoever keeps a list of revoked ones would
// list it for good.
func (i *Identity) reloadRenamed(ctx context.Context, from, to string, revision uint64, committed bool) error {
	if committed {
		i.load.Lock()
		i.networks.Store(to, i.networksOf(from))
		i.used.Store(to, i.usesOf(from))
		i.load.Unlock()
	}
	return errors.Join(i.reload(ctx, to, revision), i.reload(ctx, from, revision))
}

// Names returns the addresses that the account had before, the latest last.
func (i *Identity) Names(a mail.Address) []FormerName {
	r := i.record(a.Key())
	if r == nil {
		return nil
	}
	return slices.Clone(r.names)
}

// Renamed returns the former addresses of all accounts, each with the address of who had it
// last and has no account of that address now.
func (i *Identity) Renamed() map[mail.Address]mail.Address {
	out, until := map[mail.Address]mail.Address{}, map[mail.Address]time.Time{}
	i.accounts.Range(func(_, v any) bool {
		for _, n := range v.(*record).names {
			if i.record(n.Address.Key()) == nil && n.Until.After(until[n.Address]) {
				out[n.Address], until[n.Address] = v.(*record).Address, n.Until
			}
		}
		return true
	})
	return out
}

// Holder returns the account whose mailbox was called a at a moment. Mail that came then is
// delivered to it, whatever it is called now, and whoever is called a since. It is a itself
// where nobody was renamed.
func (i *Identity) Holder(a mail.Address, at time.Time) mail.Address {
	key := a.Key()
	if r := i.record(key); r != nil && !r.named().After(at) {
		return a
	}
	holder, until := a, time.Time{}
	i.accounts.Range(func(_, v any) bool {
		r := v.(*record)
		for _, n := range r.names {
			if n.Address.Key() == key && !n.Until.Before(at) && (until.IsZero() || n.Until.Before(until)) {
				holder, until = r.Address, n.Until
			}
		}
		return true
	})
	return holder
}

// named is since when the account has its address.
func (r *record) named() time.Time {
	if r.Named.IsZero() {
		return r.Created
	}
	return r.Named
}
