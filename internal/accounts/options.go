package accounts

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"slices"
	"time"

	"sallyport/internal/guess"
	"sallyport/internal/oidc"
)

// Limits bounds what accounts and sign-ins may cost. Every field must be set.
type Limits struct {
	Accounts int // accounts that may exist

	PasswordChars  int // fewest characters of a new password
	PasswordOctets int // most octets of any password
	ReasonOctets   int // most octets of the reason of a freeze
	NameOctets     int // most octets of the name of a credential
	FormerNames    int // addresses that one account had before which are remembered; the latest
	Credentials    int // credentials of one account, beside its password
	// CredentialNetworks bounds the networks from which one credential may be used.
	CredentialNetworks int
	ResponseOctets     int // most octets of one SASL response, decoded

	HashMemory   uint32        // memory of one argon2id hash, in KiB
	HashPasses   uint32        // passes of argon2id over its memory
	HashLanes    uint8         // lanes of argon2id
	ScramRounds  int           // PBKDF2 iterations of a SCRAM verifier; RFC 7677 §4 asks for 4096 at least
	HashAtOnce   int           // hashes computed at the same time
	HashQueue    int           // sign-ins waiting for a hash, in each of two lanes
	HashWait     time.Duration // how long a sign-in may wait for a hash
	HashWrong    int           // one in so many parts of the time may go to hashes of strangers' wrong passwords
	HashSpare    time.Duration // of hashing that such passwords may take at once, before they have to wait
	CacheEntries int           // passwords remembered as right, and as many as wrong
	CacheTTL     time.Duration // how long those that are right are remembered
	WrongFor     time.Duration // how long those that are wrong are: trying one again is no new guess
	DeniedFor    time.Duration // how long one that a directory turned down is not shown to it again

	KnownNetworks int           // networks remembered for one account
	KnownFor      time.Duration // how long a network stays known after a sign-in

	Guesses guess.Limits      // how often wrong passwords are judged at all
	Tally   guess.TallyLimits // what is remembered of who is being guessed at
}

// HashesOn returns how many hashes are computed at once on so many processors: half of them are
// kept free of hashing.
func HashesOn(processors int) int { return max(1, processors/2) }

// DefaultLimits follows OWASP for argon2id (19 MiB, 2 passes, 1 lane: about 30 ms)
// and keeps half of the processors free of hashing.
func DefaultLimits() Limits {
	return Limits{
		Accounts:       1_000_000,
		PasswordChars:  8,
		PasswordOctets: 1024,
		ReasonOctets:   512,
		NameOctets:     64,
		FormerNames:    16,
		Credentials:    32,

		CredentialNetworks: 32,
		ResponseOctets:     4096,
		HashMemory:         19 << 10,
		HashPasses:         2,
		HashLanes:          1,
		ScramRounds:        15_000,
		HashAtOnce:         HashesOn(runtime.GOMAXPROCS(0)),
		HashQueue:          64,
		HashWait:           10 * time.Second,
		HashWrong:          2,
		HashSpare:          100 * time.Millisecond,
		CacheEntries:       16_384,
		CacheTTL:           5 * time.Minute,
		WrongFor:           24 * time.Hour,
		DeniedFor:          10 * time.Minute,
		KnownNetworks:      16,
		KnownFor:           30 * 24 * time.Hour,
		Guesses:            guess.DefaultLimits(),
		Tally:              guess.DefaultTallyLimits(),
	}
}

const (
	// minScramRounds is the floor of RFC 7677 §4; clients refuse less.
	minScramRounds = 4096
	// maxScramRounds, maxHashMemory and maxHashPasses bound what one record of
	// the store can make a sign-in cost.
	maxScramRounds = 10_000_000
	maxHashMemory  = 1 << 20 // in KiB: what one record of the store can make a sign-in take of memory
	maxHashPasses  = 64
)

func (l Limits) validate() error {
	for name, v := range map[string]int64{
		"Accounts": int64(l.Accounts), "PasswordChars": int64(l.PasswordChars), "PasswordOctets": int64(l.PasswordOctets),
		"ReasonOctets": int64(l.ReasonOctets), "ResponseOctets": int64(l.ResponseOctets), "HashAtOnce": int64(l.HashAtOnce),
		"HashQueue": int64(l.HashQueue), "HashWait": int64(l.HashWait), "HashWrong": int64(l.HashWrong),
		"HashSpare": int64(l.HashSpare), "CacheEntries": int64(l.CacheEntries),
		"NameOctets": int64(l.NameOctets), "FormerNames": int64(l.FormerNames),
		"Credentials": int64(l.Credentials), "CredentialNetworks": int64(l.CredentialNetworks),
		"CacheTTL": int64(l.CacheTTL), "KnownNetworks": int64(l.KnownNetworks), "KnownFor": int64(l.KnownFor),
		"WrongFor": int64(l.WrongFor), "DeniedFor": int64(l.DeniedFor),
	} {
		if v <= 0 {
			return fmt.Errorf("accounts: Limits.%s is not set", name)
		}
	}
	if err := l.cost().validate(); err != nil {
		return fmt.Errorf("accounts: Limits: %w", err)
	}
	return nil
}

func (l Limits) cost() cost {
	return cost{Memory: l.HashMemory, Passes: l.HashPasses, Lanes: l.HashLanes, Rounds: l.ScramRounds}
}

// cost is what deriving a secret takes.
type cost struct {
	Memory uint32 // KiB
	Passes uint32
	Lanes  uint8
	Rounds int
}

func (c cost) validate() error {
	switch {
	case c.Lanes < 1 || c.Passes < 1 || c.Passes > maxHashPasses:
		return errors.New("argon2id needs 1 to 64 passes and at least one lane")
	case c.Memory < 8*uint32(c.Lanes) || c.Memory > maxHashMemory: // RFC 9106 §3.1
		return errors.New("argon2id needs 8 KiB for each lane and at most 1 GiB")
	case c.Rounds < minScramRounds || c.Rounds > maxScramRounds:
		return errors.New("SCRAM needs 4,096 to 10,000,000 iterations")
	}
	return nil
}

// Options is what Open needs.
type Options struct {
	Limits Limits
	// Mechanisms narrows what is offered; nil offers those of DefaultMechanisms.
	Mechanisms []string
	// Elsewhere knows the passwords of accounts that come from directories; nil: there are none.
	Elsewhere Elsewhere
	// Provider returns who judges access tokens; nil, or returning nil: nobody does.
	Provider func() *oidc.Judge
	Now      func() time.Time // nil: time.Now
	// Age is how much time has passed since the clock showed a moment, whatever it was set to; nil: by Now.
	Age    func(time.Time) time.Duration
	Logger *slog.Logger // nil: nothing is logged
	Rand   io.Reader    // nil: crypto/rand.Reader
}

func (o Options) complete() (Options, error) {
	if err := o.Limits.validate(); err != nil {
		return o, err
	}
	if o.Mechanisms == nil {
		o.Mechanisms = DefaultMechanisms()
	}
	for _, m := range o.Mechanisms {
		if !slices.Contains(KnownMechanisms(), m) {
			return o, fmt.Errorf("accounts: there is no mechanism %q", m)
		}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Age == nil {
		now := o.Now
		o.Age = func(t time.Time) time.Duration { return now().Sub(t) }
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Rand == nil {
		o.Rand = rand.Reader
	}
	return o, nil
}
