package roll

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"sallyport/internal/accounts"
	"sallyport/internal/ldap"
	"sallyport/internal/mail"
)

// Of returns the directory that the accounts of a domain come from; "": they are ours.
func (c Current) Of(d mail.Domain) string {
	r := c()
	if r == nil {
		return ""
	}
	for _, s := range r.sources {
		if slices.Contains(s.Accounts, d) {
			return s.Name
		}
	}
	return ""
}

// errNone: there is no directory of this name.
var errNone = errors.New("there is no such directory")

// Password asks a directory about a password of one of its accounts. An error means that nobody
// can tell.
func (c Current) Password(ctx context.Context, name string, a mail.Address, password string) (accounts.Said, error) {
	s := c().source(name)
	if s == nil {
		return accounts.Said{}, fmt.Errorf("%w: %s", errNone, name)
	}
	began := s.o.Now()
	said, err := s.password(ctx, a, password)
	// What is said of one entry, that it is disabled say, is not what is said of a name that nobody has.
	if ctx.Err() == nil && !said.Right && !ldap.OfOne(err) {
		s.note(s.o.Now(), s.o.Now().Sub(began), err)
	}
	return said, err
}

func (s *source) password(ctx context.Context, a mail.Address, password string) (accounts.Said, error) {
	p, err := s.directory.Find(ctx, a)
	if errors.Is(err, ldap.ErrNobody) {
		return s.decoy(ctx, password)
	}
	if err != nil {
		return accounts.Said{}, err
	}
	answer, err := s.directory.CheckPassword(ctx, p.DN, password)
	if err != nil {
		return accounts.Said{}, err
	}
	if answer.Word == ldap.WordRight && answer.Grace >= 0 {
		s.o.Logger.Warn("a password has expired in its directory and is in its grace time; each sign-in uses up a part of it",
			"account", a.String(), "ldap", s.Name, "left", answer.Grace)
	}
	return saidOf(answer), nil
}

// saidOf says what an answer means to a sign-in. The zero Said is a wrong password.
func saidOf(a ldap.Answer) accounts.Said {
	switch a.Word {
	case ldap.WordRight:
		return accounts.Said{Right: true, Why: a.Why}
	case ldap.WordExpired, ldap.WordMustChange:
		return accounts.Said{Refused: true, Proved: true, Why: a.Why}
	case ldap.WordLocked, ldap.WordClosed:
		return accounts.Said{Refused: true, Why: a.Why}
	}
	return accounts.Said{}
}

// decoy asks about a password of nobody, and takes the answer for wrong.
func (s *source) decoy(ctx context.Context, password string) (accounts.Said, error) {
	_, err := s.directory.CheckPassword(ctx, s.Options.Base.Child("cn", rand.Text()), password)
	return accounts.Said{}, err
}

// samples is how many questions are remembered, and freshness for how long the outcome of the
// last one is taken for that of a question of now.
const (
	samples   = 16
	freshness = 3 * time.Second
)

// feigning remembers how questions about wrong passwords went.
type feigning struct {
	asking sync.Mutex // held by the one who asks in earnest
	guard  sync.Mutex
	took   []time.Duration // the latest last
	failed error           // how the last one ended
	at     time.Time       // when
	next   int
}

// note remembers how a question went. What came before an end of another kind says nothing any
// more.
func (f *feigning) note(now time.Time, took time.Duration, err error) {
	f.guard.Lock()
	defer f.guard.Unlock()
	if (f.failed == nil) != (err == nil) {
		f.took = nil
	}
	f.took = append(f.took, took)
	f.took = f.took[max(0, len(f.took)-samples):]
	f.failed, f.at = err, now
}

// sample returns how long a question takes now and how it ends; false: that is not known.
func (f *feigning) sample(now time.Time) (took time.Duration, err error, known bool) {
	f.guard.Lock()
	defer f.guard.Unlock()
	if age := now.Sub(f.at); len(f.took) == 0 || age < 0 || age >= freshness {
		return 0, nil, false
	}
	f.next++
	return f.took[f.next%len(f.took)], f.failed, true
}

// Feign takes as long as a wrong password takes at a directory, and ends as it would. Where
// that is not known of late, one of those who feign asks about nobody.
func (c Current) Feign(ctx context.Context, name string) error {
	s := c().source(name)
	if s == nil {
		return fmt.Errorf("%w: %s", errNone, name)
	}
	began := s.o.Now()
	took, err, known := s.sample(began)
	if !known {
		took, err = s.earnest(ctx, began)
	}
	select {
	case <-time.After(took - s.o.Now().Sub(began)):
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// earnest asks about nobody, unless another one has done so meanwhile.
func (s *source) earnest(ctx context.Context, began time.Time) (took time.Duration, err error) {
	s.asking.Lock()
	defer s.asking.Unlock()
	if took, err, known := s.sample(s.o.Now()); known {
		return took, err
	}
	nobody, err := mail.NewAddress("nobody-"+rand.Text(), s.Accounts[0])
	if err != nil {
		return 0, err
	}
	asked := s.o.Now()
	if _, err = s.password(ctx, nobody, rand.Text()); ctx.Err() == nil {
		s.note(s.o.Now(), s.o.Now().Sub(asked), err)
	}
	return 0, err
}
