package accounts

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"sallyport/internal/kit/phrase"
	"sallyport/internal/mail"
	"sallyport/internal/store"
)

const (
	// appLength letters of 32 are 120 bits: more than anybody guesses, so that a plain digest
	// keeps them and no rate is needed.
	appLength = 24
)

// appSecret is what proves an app password without holding it. Its SCRAM keys have the salt
// and rounds of the account's own verifier, since the server names them before the client
// shows which password it has.
type appSecret struct {
	Digest    []byte `json:"sha256"`
	StoredKey []byte `json:"stored_key"`
	ServerKey []byte `json:"server_key"`
}

// held is a credential with what proves it.
type held struct {
	Credential
	App *appSecret `json:"app_password,omitempty"`
	Key *publicKey `json:"public_key,omitempty"`
}

// validate keeps a damaged record from matching where it holds nothing.
func (h held) validate() error {
	switch {
	case h.ID == "" || h.Scope == 0 || (h.Kind == KindApp) != (h.App != nil) || (h.Kind == KindCertificate) != (h.Key != nil) || h.App == nil && h.Key == nil:
		return errors.New("a credential is not whole")
	case h.Key != nil && len(h.Key.SPKI) != sha256.Size:
		return errors.New("the digest of a public key has the wrong length")
	case h.App == nil:
		return nil
	case len(h.App.Digest) != sha256.Size || len(h.App.StoredKey) != hashOctets || len(h.App.ServerKey) != hashOctets:
		return errors.New("what proves a credential has the wrong length")
	}
	return nil
}

// AppPassword says what app password is wanted.
type AppPassword struct {
	Name     string // of the device; unique among the account's
	Scope    Scope
	Networks []netip.Prefix
	Expires  time.Time // zero: never
}

// check says what is wrong with the wish.
func (a AppPassword) check(l *Limits, now time.Time) error {
	control := func(r rune) bool { return unicode.IsControl(r) || !unicode.IsPrint(r) }
	switch {
	case a.Name == "" || len(a.Name) > l.NameOctets || !utf8.ValidString(a.Name) || strings.TrimSpace(a.Name) != a.Name || strings.ContainsFunc(a.Name, control):
		return fmt.Errorf("%w: a credential needs a name of at most %d octets, without controls", ErrInvalid, l.NameOctets)
	case a.Scope&ScopeAll == 0 || a.Scope&^ScopeAll != 0:
		return fmt.Errorf("%w: an app password is to send, to receive, or both", ErrInvalid)
	case !a.Expires.IsZero() && !a.Expires.After(now):
		return fmt.Errorf("%w: it would end before it begins", ErrInvalid)
	case len(a.Networks) > l.CredentialNetworks:
		return fmt.Errorf("%w: a credential has at most %d networks", ErrInvalid, l.CredentialNetworks)
	}
	for _, n := range a.Networks {
		if !n.IsValid() || n != n.Masked() || n.Addr().Is4In6() {
			return fmt.Errorf("%w: %s is no network", ErrInvalid, n)
		}
	}
	return nil
}

// AddApp makes an app password and returns it, for this once: it is kept nowhere. facts
// tells what is recorded with it. Errors: ErrNoSuch, ErrExists (the name), ErrInvalid,
// ErrFull, and those of the store.
func (i *Identity) AddApp(ctx context.Context, a mail.Address, want AppPassword,
	facts func(Credential) [][]byte) (c Credential, password string, err error) {
	now := i.o.Now().UTC()
	if err := want.check(i.limits(), now); err != nil {
		return c, "", err
	}
	r := i.record(a.Key())
	if r == nil {
		return c, "", fmt.Errorf("%w: %s", ErrNoSuch, mail.Printable(a.String(), mail.AddressShown))
	}
	if password, err = phrase.New(i.o.Rand, appLength); err != nil {
		return c, "", err
	}
	salt, rounds := r.secret.Scram.Salt, r.secret.Scram.Rounds
	secret, err := i.deriveApp(ctx, salt, rounds, password)
	if err != nil {
		return c, "", err
	}
	made := change{late: func(uint64) [][]byte { return facts(c) }}
	made.edit = existing(a, func(old *record, revision uint64) (*record, error) {
		if !bytes.Equal(old.secret.Scram.Salt, salt) || old.secret.Scram.Rounds != rounds {
			return nil, fmt.Errorf("%w: the account was changed meanwhile; try again", store.ErrConflict)
		}
		c = Credential{
			ID: idOf("app", revision), Kind: KindApp, Name: want.Name, Created: now,
			Expires: want.Expires.UTC(), Scope: want.Scope, Networks: want.Networks,
		}
		return old.with(held{Credential: c, App: &secret}, i.limits())
	})
	if _, err = i.change(ctx, a, made); err != nil {
		return Credential{}, "", err
	}
	return c, password, nil
}

// with returns the record with one credential more.
func (r *record) with(h held, l *Limits) (*record, error) {
	if len(r.held) >= l.Credentials {
		return nil, fmt.Errorf("%w: an account has at most %d credentials beside its password", ErrFull, l.Credentials)
	}
	for _, other := range r.held {
		if strings.EqualFold(other.Name, h.Name) {
			return nil, &TakenError{Kind: other.Kind, ID: other.ID, Name: other.Name}
		}
	}
	next := *r
	next.held = append(append([]held(nil), r.held...), h)
	return &next, nil
}

// deriveApp makes what is kept of an app password, in the lane of those who are known: the
// SCRAM keys are costly.
func (i *Identity) deriveApp(ctx context.Context, salt []byte, rounds int, password string) (appSecret, error) {
	if err := i.hasher.acquire(ctx, laneKnown); err != nil {
		return appSecret{}, err
	}
	defer i.hasher.release()
	v, err := newVerifier(salt, rounds, password, password)
	if err != nil {
		return appSecret{}, err
	}
	digest := sha256.Sum256([]byte(password))
	return appSecret{Digest: digest[:], StoredKey: v.StoredKey, ServerKey: v.ServerKey}, nil
}

// appOf finds the app password that was typed by somebody who is there for s. It looks at all of
// them, whichever it is, and does as much where there is no account.
func (r *record) appOf(typed string, s Scope) (found held, ok bool) {
	digest := sha256.Sum256([]byte(typed))
	if r == nil || !r.acts(s) {
		return held{}, false
	}
	for _, h := range r.held {
		if h.App != nil && subtle.ConstantTimeCompare(h.App.Digest, digest[:]) == 1 {
			found, ok = h, true
		}
	}
	return found, ok
}
