package watch

import (
	"context"

	"sallyport/internal/mail"
	"sallyport/internal/store"
)

// former is the mark that an address of ours led to somebody once, and does no more: whoever still has it on a list is
// out of date, and guesses nothing. An operator alone makes one, and it stays: lists are years old.
func (w *Watch) former(a mail.Address) store.Mutation {
	return store.Mutation{Key: keyOf(prefixFormer, w.o.Key.Address(a)), Value: encodeTime(w.o.Now())}
}

// Gone tells that an address of ours leads to nobody any more.
func (w *Watch) Gone(ctx context.Context, a mail.Address) { w.remember(ctx, w.former(a)) }

// isFormer reports whether an address led to somebody here: to an account that is gone, renamed or no longer on its
// directory's list, or as an alias. Where the store does not say, it did not.
func (w *Watch) isFormer(ctx context.Context, a mail.Address) bool {
	if _, is := w.o.Account(a); is {
		return true
	}
	_, err := w.o.Store.Get(ctx, keyOf(prefixFormer, w.o.Key.Address(a)))
	return err == nil
}
