package dnsx

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"sallyport/internal/mail"
)

// Fake is a Resolver for tests that answers from tables as Client does from
// servers: a name in no table does not exist, a name in another table has no such
// record, and a name that fails gives its failure. Set its fields before use;
// afterwards change them only through Change. The keys are what Name.String
// returns.
type Fake struct {
	Exchangers map[string][]MX
	Hosts      map[string][]netip.Addr
	Failures   map[string]error // "MX name" or "ADDR name": instead of an answer
	Unsigned   map[string]bool  // names whose answers are not Secure, when Signed
	Signed     bool             // every answer is Secure but for those of Unsigned
	// Delay is how long every answer takes; a caller may give up before.
	Delay time.Duration
	// Before is called with each question, "MX name" or "ADDR name", before it is
	// answered, by one question at a time; it may change the tables. nil: nothing.
	Before func(question string)

	mu    sync.Mutex
	asked map[string]int
}

var _ Resolver = (*Fake)(nil)

// Change runs fn while no question is being answered.
func (f *Fake) Change(fn func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fn()
}

// Asked returns how often a question was asked: "MX name" or "ADDR name".
func (f *Fake) Asked(question string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.asked[question]
}

// MX answers from Exchangers.
func (f *Fake) MX(ctx context.Context, d mail.Domain) (Answer[MX], error) {
	return fakeAnswer(ctx, f, "MX", NameOf(d), func() []MX { return f.Exchangers[d.ASCII()] })
}

// Addresses answers from Hosts.
func (f *Fake) Addresses(ctx context.Context, host Name) (Answer[netip.Addr], error) {
	return fakeAnswer(ctx, f, "ADDR", host, func() []netip.Addr { return f.Hosts[host.String()] })
}

func fakeAnswer[T any](ctx context.Context, f *Fake, kind string, n Name, find func() []T) (Answer[T], error) {
	question := kind + " " + n.String()
	failed := func(err error) (Answer[T], error) {
		return Answer[T]{}, &LookupError{Question: question, Err: err}
	}
	if n.IsZero() {
		return failed(ErrBadName)
	}
	f.mu.Lock()
	delay := f.Delay
	f.mu.Unlock()
	select {
	case <-time.After(delay):
	case <-ctx.Done():
		return failed(context.Cause(ctx))
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.asked == nil {
		f.asked = map[string]int{}
	}
	f.asked[question]++
	if f.Before != nil {
		f.Before(question)
	}
	if err := f.Failures[question]; err != nil {
		return failed(err)
	}
	if data := find(); len(data) > 0 {
		return Answer[T]{Data: append([]T(nil), data...), Secure: f.Signed && !f.Unsigned[n.String()], TTL: time.Minute}, nil
	}
	if f.exists(n.String()) {
		return failed(ErrNoData)
	}
	return failed(ErrNoName)
}

func (f *Fake) exists(name string) bool {
	_, mx := f.Exchangers[name]
	_, host := f.Hosts[name]
	return mx || host
}

// Exchanger returns an MX for the tables of a Fake; the host "." is the null MX.
func Exchanger(preference uint16, host string) (MX, error) {
	if host == "." {
		return MX{Preference: preference, Null: true, Text: host}, nil
	}
	n, err := ParseName(host)
	if err != nil {
		return MX{}, fmt.Errorf("%s: %w", mail.Printable(host, 100), err)
	}
	return MX{Preference: preference, Host: n, Text: n.String()}, nil
}
