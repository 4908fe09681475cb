package accounts

import (
	"context"
	"strconv"

	"sallyport/internal/accounts"
	"sallyport/internal/fact"
	"sallyport/internal/operate/call"
)

// AccountSignIn says with what an account may sign in.
type AccountSignIn struct {
	Address string `json:"address"`
	Policy  string `json:"policy"`
	Alone   bool   `json:"alone,omitempty"` // its certificate is enough, without AUTH
}

// AccountSignIn says with what an account may sign in from now on; its sessions end.
func (op *Actions) AccountSignIn(ctx context.Context, by call.Caller, r AccountSignIn) (Account, error) {
	a, err := call.ParseAccount(r.Address)
	if err != nil {
		return Account{}, err
	}
	policy, err := accounts.ParsePolicy(r.Policy)
	if err != nil {
		return Account{}, call.Invalid(err)
	}
	account, err := op.o.Accounts.SetPolicy(ctx, a, policy, r.Alone, fact.EncodeAll(call.AccountChanged(op.o.Now(), by, a, "way to sign in changed", fact.Pair{Name: "sign in", Value: policy.String()}, fact.Pair{Name: "without AUTH", Value: strconv.FormatBool(r.Alone)})))
	if err != nil {
		return Account{}, err
	}
	v := op.view(account)
	v.SessionsEnded = op.endSessions(a)
	return v, nil
}

// AccountSignIn calls Actions.AccountSignIn.
func (c Client) AccountSignIn(ctx context.Context, r AccountSignIn) (Account, error) {
	return call.Do[Account](ctx, c.Client, "account.signin", r)
}
