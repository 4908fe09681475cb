package expiry

import (
	"bytes"
	"context"
	"slices"

	"sallyport/internal/mail"
	"sallyport/internal/store"
)

// Moving plans that the owner of an account is not told again of the end of a certificate when
// the account has another address, as a share in the act that renames it.
func Moving(st store.Store, from, to mail.Address) store.Planner {
	return func(ctx context.Context) (s store.Share, err error) {
		old, next := []byte(" "+from.Key()+" "), []byte(" "+to.Key()+" ") // it begins the subject of a warning
		err = st.Scan(ctx, store.SpaceExpiry.All(), func(k, v []byte) (bool, error) {
			if at := bytes.LastIndex(k, old); at >= 0 {
				s.Mutations = append(s.Mutations, store.Mutation{Key: slices.Clone(k), Delete: true},
					store.Mutation{Key: slices.Concat(k[:at], next, k[at+len(old):]), Value: bytes.Clone(v)})
			}
			return true, nil
		})
		return s, err
	}
}
