package call

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"time"

	"sallyport/internal/fact"
	"sallyport/internal/mail"
)

// Caller is who acts, as the kernel or the process itself knows. The zero Caller
// is nobody, and is refused.
type Caller struct {
	UID   uint32
	Known bool
}

// Name is who it is, in words.
func (c Caller) Name() string { return "uid " + utoa(c.UID) }

func utoa(n uint32) string { return strconv.FormatUint(uint64(n), 10) }

// Self is the process itself as a caller.
func Self() Caller { return Caller{UID: uint32(os.Geteuid()), Known: true} }

type callerKey struct{}

// refusalKey is for the *Error that a connection is refused with.
type refusalKey struct{}

// WithCaller returns a context that says who acts. Only what asked the kernel may
// call it.
func WithCaller(ctx context.Context, c Caller) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}

// WithRefusal returns a context in which nothing is done: each request is answered with why.
func WithRefusal(ctx context.Context, why *Error) context.Context {
	return context.WithValue(ctx, refusalKey{}, why)
}

func callerOf(ctx context.Context) Caller {
	c, _ := ctx.Value(callerKey{}).(Caller)
	return c
}

// Admission says why somebody may not call; nil: he may. The owner is the user whom the data
// folder belongs to.
type Admission func(c Caller, owner uint32) *Error

// MayAct refuses whom the kernel did not name, and who is neither root nor the owner.
func MayAct(c Caller, owner uint32) *Error {
	if c.Known && (c.UID == 0 || c.UID == owner) {
		return nil
	}
	return &Error{CodeForbidden, fmt.Sprintf("only root and the server's own user (uid %d) may do this", owner)}
}

// MayAsk refuses whom the kernel did not name. That somebody belongs to the group that may ask is what
// the socket's mode sees to.
func MayAsk(c Caller, _ uint32) *Error {
	if c.Known {
		return nil
	}
	return &Error{CodeForbidden, "the kernel does not say who asks"}
}

// Admitting lets nobody through whom may refuses.
func Admitting(next http.Handler, owner uint32, may Admission) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if refused, ok := r.Context().Value(refusalKey{}).(*Error); ok {
			refused.write(w)
			return
		}
		if err := may(callerOf(r.Context()), owner); err != nil {
			err.write(w)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// Record writes facts that accompany no other change.
type Record = func(ctx context.Context, facts ...fact.Fact) error

// DoneBy is the evidence of something that by does, and what else there is of it.
func DoneBy(by Caller, more ...fact.Pair) []fact.Pair {
	return append([]fact.Pair{{Name: "by uid", Value: utoa(by.UID)}}, more...)
}

// Note is a piece of evidence by its name.
func Note(name, value string) fact.Pair { return fact.Pair{Name: name, Value: value} }

// Because is why an operator does something, in their words.
func Because(reason string) fact.Pair { return fact.Pair{Name: "reason", Value: reason} }

// AccountChanged is the fact that somebody changed something of an account.
func AccountChanged(at time.Time, by Caller, account mail.Address, change string, more ...fact.Pair) fact.Fact {
	return fact.AccountChanged{
		At: at, Rule: fact.RuleOperator, Account: account.String(), Change: change,
		Evidence: DoneBy(by, more...),
	}.Fact()
}
