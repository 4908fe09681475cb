package notice

import (
	"bytes"
	"context"
	"slices"

	"sallyport/internal/mail"
	"sallyport/internal/store"
)

// Moving plans that who was told of an account's contacts is not told again when the account
// has another address, as a share in the act that renames it.
func Moving(st store.Store, from, to mail.Address) store.Planner {
	return func(ctx context.Context) (s store.Share, err error) {
		begins, next := contactsKey(from), contactsKey(to)
		err = st.Scan(ctx, store.Prefix(begins), func(k, v []byte) (bool, error) {
			s.Mutations = append(s.Mutations, store.Mutation{Key: slices.Clone(k), Delete: true},
				store.Mutation{Key: append(slices.Clone(next), k[len(begins):]...), Value: bytes.Clone(v)})
			return true, nil
		})
		return s, err
	}
}
