package dnsx

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
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
	Texts      map[string][]string
	TLSAs      map[string][]TLSA
	Services   map[string][]SRV
	Names      map[string][]string // of an address, by its text
	Aliases    map[string]string   // names that lead to others
	// Failures are instead of answers, by "MX name", "ADDR name" (the addresses of both
	// families), "A name", "AAAA name", "TXT name", "TLSA name", "SRV name", "CNAME name".
	Failures map[string]error
	Unsigned map[string]bool // names whose answers are not Secure, when Signed; those of their aliases neither
	Signed   bool            // every answer is Secure but for those of Unsigned
	// Delay is how long every answer takes; a caller may give up before.
	Delay time.Duration
	// Before is called with each question, as in Failures, before it is
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

// Asked returns how often a question was asked, as it stands in Failures.
func (f *Fake) Asked(question string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.asked[question]
}

// MX answers from Exchangers.
func (f *Fake) MX(ctx context.Context, n Name) (Answer[MX], error) {
	return fakeAnswer(ctx, f, "MX", n, func(n string) []MX { return f.Exchangers[n] })
}

// Addresses answers from Hosts.
func (f *Fake) Addresses(ctx context.Context, host Name) (Answer[netip.Addr], error) {
	return fakeAnswer(ctx, f, "ADDR", host, func(n string) []netip.Addr { return f.Hosts[n] })
}

// OneFamily answers from Hosts.
func (f *Fake) OneFamily(ctx context.Context, host Name, family Family) (Answer[netip.Addr], error) {
	kinds := map[Family]string{IPv4: "A", IPv6: "AAAA"}
	return fakeAnswer(ctx, f, kinds[family], host, func(n string) []netip.Addr {
		return slices.DeleteFunc(slices.Clone(f.Hosts[n]), func(ip netip.Addr) bool { return ip.Is4() != (family == IPv4) })
	})
}

// TXT answers from Texts.
func (f *Fake) TXT(ctx context.Context, n Name) (Answer[string], error) {
	return fakeAnswer(ctx, f, "TXT", n, func(n string) []string { return f.Texts[n] })
}

// TLSA answers from TLSAs.
func (f *Fake) TLSA(ctx context.Context, n Name) (Answer[TLSA], error) {
	return fakeAnswer(ctx, f, "TLSA", n, func(n string) []TLSA { return f.TLSAs[n] })
}

// SRV answers from Services.
func (f *Fake) SRV(ctx context.Context, n Name) (Answer[SRV], error) {
	return fakeAnswer(ctx, f, "SRV", n, func(n string) []SRV { return f.Services[n] })
}

// Pointers answers from Names; the question is "PTR " and the name that stands for the
// address.
func (f *Fake) Pointers(ctx context.Context, ip netip.Addr) (Answer[Name], error) {
	n, err := reverseName(ip)
	if err != nil {
		return Answer[Name]{}, &LookupError{Question: "PTR " + ip.String(), Err: err}
	}
	return fakeAnswer(ctx, f, "PTR", n, func(string) (names []Name) {
		for _, text := range f.Names[ip.Unmap().String()] {
			if h, err := ParseName(text); err == nil {
				names = append(names, h)
			}
		}
		return names
	})
}

// Alias answers from Aliases.
func (f *Fake) Alias(ctx context.Context, n Name) (Answer[Name], error) {
	return fakeAnswer(ctx, f, "CNAME", n, func(n string) []Name {
		if target, ok := f.Aliases[n]; ok {
			return []Name{{target}}
		}
		return nil
	})
}

func fakeAnswer[T any](ctx context.Context, f *Fake, kind string, n Name, find func(string) []T) (Answer[T], error) {
	question := kind + " " + n.String()
	if n.IsZero() {
		return Answer[T]{}, &LookupError{Question: question, Err: ErrBadName}
	}
	if err := f.begin(ctx, question); err != nil {
		return Answer[T]{}, &LookupError{Question: question, Err: err}
	}
	defer f.mu.Unlock()
	if err := f.failure(kind, n); err != nil {
		return Answer[T]{}, &LookupError{Question: question, Err: err}
	}
	last, secure := f.follow(kind, n)
	if data := find(last.String()); len(data) > 0 {
		return Answer[T]{Data: append([]T(nil), data...), Name: last, Secure: secure, TTL: time.Minute}, nil
	}
	if f.exists(last.String()) {
		return Answer[T]{}, &LookupError{Question: question, Secure: secure, Err: ErrNoData}
	}
	return Answer[T]{}, &LookupError{Question: question, Secure: secure, Err: ErrNoName}
}

// failure is what happens instead of an answer.
func (f *Fake) failure(kind string, n Name) error {
	err := f.Failures[kind+" "+n.String()]
	if err == nil && (kind == "A" || kind == "AAAA") {
		err = f.Failures["ADDR "+n.String()]
	}
	return err
}

// begin waits for the delay and counts; without an error it leaves the tables
// locked.
func (f *Fake) begin(ctx context.Context, question string) error {
	f.mu.Lock()
	delay := f.Delay
	f.mu.Unlock()
	select {
	case <-time.After(delay):
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	f.mu.Lock()
	if f.asked == nil {
		f.asked = map[string]int{}
	}
	f.asked[question]++
	if f.Before != nil {
		f.Before(question)
	}
	return nil
}

// follow goes along the aliases, of which all must be signed.
func (f *Fake) follow(kind string, n Name) (last Name, secure bool) {
	secure = f.Signed && !f.Unsigned[n.String()]
	for range DefaultLimits().Aliases {
		next, ok := f.Aliases[n.String()]
		if !ok || kind == "CNAME" {
			break
		}
		n = Name{next}
		secure = secure && !f.Unsigned[next]
	}
	return n, secure
}

func (f *Fake) exists(name string) bool {
	_, mx := f.Exchangers[name]
	_, host := f.Hosts[name]
	_, text := f.Texts[name]
	_, tlsa := f.TLSAs[name]
	_, service := f.Services[name]
	_, alias := f.Aliases[name]
	return mx || host || text || tlsa || service || alias
}

// Exchanger returns an MX for the tables of a Fake; the host "." is the null MX.
func Exchanger(preference uint16, host string) (MX, error) {
	if host == "." {
		return MX{Preference: preference, Null: true, Text: host}, nil
	}
	n, err := ParseName(host)
	if err != nil {
		return MX{}, fmt.Errorf("%s: %w", mail.Printable(host, mail.PieceShown), err)
	}
	return MX{Preference: preference, Host: n, Text: n.String()}, nil
}
