package accounts

import (
	"context"
	"errors"
	"testing"

	"sallyport/internal/store"
	"sallyport/internal/store/mem"
)

// doubtful is a store that may say of an act that nobody knows whether it happened.
type doubtful struct {
	store.Store
	fail   error // what Apply says; nil: it works
	commit bool  // the act happens all the same
}

func (s *doubtful) Apply(ctx context.Context, tx store.Tx, d store.Durability) (store.Revision, error) {
	if s.fail == nil {
		return s.Store.Apply(ctx, tx, d)
	}
	if s.commit {
		if r, err := s.Store.Apply(ctx, tx, d); err != nil {
			return r, err
		}
	}
	return 0, s.fail
}

// A credential is revoked when that is on the disk, and not before: where it could not be written
// whoever asked is told, and the credential and the session that rests on it count as the store says,
// now and after a restart.
func TestARevocationThatIsNotWritten(t *testing.T) {
	for name, row := range map[string]struct {
		fail    error
		commit  bool
		revoked bool
	}{
		"it failed":                    {store.ErrUnavailable, false, false},
		"in doubt, and it did not":     {store.ErrInDoubt, false, false},
		"in doubt, and it happened":    {store.ErrInDoubt, true, true},
		"on the disk, as it should be": {nil, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, st := context.Background(), &doubtful{Store: mem.New()}
			f := open(t, st, Options{Limits: laxLimits()})
			f.add(t, "alice@local.test", alicePassword)
			alice := address(t, "alice@local.test")
			made, secret, err := f.AddApp(ctx, alice, AppPassword{Name: "phone", Scope: ScopeSend}, func(Credential) [][]byte { return nil })
			if err != nil {
				t.Fatal(err)
			}
			proof, err := f.SignIn(ctx, "alice@local.test", secret, home())
			if err != nil {
				t.Fatal(err)
			}
			st.fail, st.commit = row.fail, row.commit
			gone, err := f.Revoke(ctx, alice, Choice{IDs: []string{made.ID}}, func([]Credential) [][]byte { return nil })
			if !errors.Is(err, row.fail) || row.fail != nil && len(gone) > 0 {
				t.Errorf("who asked is told %v, and that %v is gone", err, gone)
			}
			st.fail = nil
			again := open(t, st, Options{Limits: laxLimits()})
			for when, id := range map[string]*Identity{"now": f.Identity, "after a restart": again.Identity} {
				_, err := id.SignIn(ctx, "alice@local.test", secret, home())
				if (err != nil) != row.revoked {
					t.Errorf("%s the credential signs in: %v", when, err)
				}
				if fallen := id.Fallen(proof); (fallen != "") != row.revoked {
					t.Errorf("%s the session's rights have fallen: %q", when, fallen)
				}
			}
			if _, err := f.Revoke(ctx, alice, Choice{IDs: []string{made.ID}}, func([]Credential) [][]byte { return nil }); err != nil {
				t.Errorf("repeated: %v", err)
			}
			if f.Fallen(proof) == "" {
				t.Error("the repeated revocation does not hold")
			}
		})
	}
}
