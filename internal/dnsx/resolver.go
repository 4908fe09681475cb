package dnsx

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// Resolver answers questions. Each method returns data, or an error: ErrNoName
// and ErrNoData are statements of the DNS; every other error is temporary and
// says nothing about the name. It is safe for concurrent use.
type Resolver interface {
	// MX returns the mail exchangers of a domain in no order, at least one. A null
	// MX (RFC 7505) is data.
	MX(ctx context.Context, n Name) (Answer[MX], error)
	// Addresses returns the IPv4 and IPv6 addresses of a host, at least one. When
	// only one of the families could be found out about, it returns that one.
	Addresses(ctx context.Context, host Name) (Answer[netip.Addr], error)
	// OneFamily returns the addresses of one family of a host, at least one, and asks
	// for no others.
	OneFamily(ctx context.Context, host Name, f Family) (Answer[netip.Addr], error)
	// TXT returns the texts at a name in no order, octets as they came, at least one.
	TXT(ctx context.Context, n Name) (Answer[string], error)
	// TLSA returns the certificate associations at a name, at least one.
	TLSA(ctx context.Context, n Name) (Answer[TLSA], error)
	// SRV returns where a service is, at least one record, in no order.
	SRV(ctx context.Context, n Name) (Answer[SRV], error)
	// Pointers returns the names that the DNS has for an address, at least one. They are
	// claims of whoever has the address, to be believed only when they lead back.
	Pointers(ctx context.Context, ip netip.Addr) (Answer[Name], error)
	// Alias returns where a name leads that is an alias (CNAME), and follows it no
	// further; ErrNoData for a name that is none.
	Alias(ctx context.Context, n Name) (Answer[Name], error)
}

// Family is a kind of addresses. The zero Family is none, which nothing answers.
type Family uint8

const (
	IPv4 Family = iota + 1
	IPv6
)

// Answer is what the DNS said.
type Answer[T any] struct {
	Data   []T           // at least one, none twice
	Name   Name          // at which it stands: the name asked for, or its last alias
	Secure bool          // validated with DNSSEC by a resolver that we trust
	TTL    time.Duration // for how long it may be kept, within our own bounds
}

// MX is one mail exchanger. RFC 5321 §5.1.
type MX struct {
	Preference uint16
	Host       Name   // zero: Null, or a name that no host has
	Odd        Name   // instead of Host: a name that no host has, but that the DNS may know
	Null       bool   // the root: this domain takes no mail. RFC 7505 §3
	Text       string // the name as it came, printable, for words to people only
}

var (
	// ErrNoName says that the name does not exist: NXDOMAIN.
	ErrNoName = errors.New("the name does not exist")
	// ErrNoData says that the name exists, but has no record of this type.
	ErrNoData = errors.New("the name has no such record")
	// ErrTimeout is a server that did not answer in time.
	ErrTimeout = errors.New("no answer in time")
	// ErrServer is a server that could not be reached or answered with a failure.
	ErrServer = errors.New("the server failed")
	// ErrLame is a server that does not answer for this name: it refuses, or refers
	// us elsewhere.
	ErrLame = errors.New("the server does not answer for this name")
	// ErrMalformed is an answer that breaks the rules or our bounds.
	ErrMalformed = errors.New("the answer is malformed")
)

// Permanent reports whether err is a statement of the DNS about a name. Every
// other error, also one from elsewhere, is temporary.
func Permanent(err error) bool {
	return errors.Is(err, ErrNoName) || errors.Is(err, ErrNoData)
}

// LookupError says which question failed, and why in the words of its cause.
type LookupError struct {
	Question string         // "MX example.org"
	Server   netip.AddrPort // that was asked last; zero when none was
	Secure   bool           // for ErrNoName and ErrNoData: validated
	Err      error          // wraps one of this package's errors or the context's
}

// Error describes the failure in one printable line.
func (e *LookupError) Error() string {
	if !e.Server.IsValid() {
		return fmt.Sprintf("%s: %v", e.Question, e.Err)
	}
	return fmt.Sprintf("%s: %v (from %s)", e.Question, e.Err, e.Server)
}

// Unwrap returns the cause.
func (e *LookupError) Unwrap() error { return e.Err }
