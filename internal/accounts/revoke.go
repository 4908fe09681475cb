package accounts

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"sallyport/internal/mail"
	"sallyport/internal/store"
)

// Choice chooses credentials of one account: those that it names, and those that were made
// from a moment on. The zero Choice chooses none.
type Choice struct {
	IDs   []string
	Since time.Time
}

// AnyCertificate stands among the IDs of a Choice for every certificate of the account: it is not
// known which of them it was.
const AnyCertificate = "certificate"

// Has reports whether the choice is on c.
func (o Choice) Has(c Credential) bool {
	return slices.Contains(o.IDs, c.ID) || c.Kind == KindCertificate &&
		slices.Contains(o.IDs, AnyCertificate) || !o.Since.IsZero() && !c.Created.Before(o.Since)
}

// Containment is what is taken from an account at once. The zero Containment is nothing.
type Containment struct {
	Freeze string // the reason for a freeze; "": the account stays as it is
	// ReadsOn: what is revoked is all that was misused, so that the account is read on with the
	// rest; but not one that was frozen wholly before.
	ReadsOn bool
	Revoke  Choice
}

// Contain freezes an account, revokes credentials of it, or both, in one act with what
// others change. Its password is among the credentials: once revoked, only a new one makes
// one. It returns those it took; facts, asked when they are known, tells what is recorded.
func (i *Identity) Contain(ctx context.Context, a mail.Address, c Containment,
	facts func(gone []Credential) [][]byte,
	with ...store.Planner) (acc Account, gone []Credential, err error) {
	if len(c.Freeze) > i.limits().ReasonOctets {
		return acc, nil, fmt.Errorf("%w: the reason of a freeze has at most %d octets", ErrInvalid, i.limits().ReasonOctets)
	}
	acc, err = i.change(ctx, a, change{with: with, late: func(uint64) [][]byte { return facts(gone) }, edit: existing(a, func(old *record, revision uint64) (next *record, err error) {
		if next, gone, err = old.without(c.Revoke, revision, i.o.Rand); err == nil && c.Freeze != "" {
			next.freeze(c, revision)
		}
		return next, err
	})})
	if err != nil {
		return Account{}, nil, err
	}
	return acc, gone, nil
}

// freeze stops the account. Where it is read on, the sessions that read with what is left go on,
// so that its revision stays: those that send end by its standing.
func (r *record) freeze(c Containment, revision uint64) {
	r.ReadsOn = c.ReadsOn && (r.Standing == StandingActive || r.ReadsOn)
	r.Standing, r.FrozenReason = StandingFrozen, c.Freeze
	if !r.ReadsOn {
		r.Revision = revision
	}
}

// Revoke is Contain of credentials alone.
func (i *Identity) Revoke(ctx context.Context, a mail.Address, choice Choice,
	facts func(gone []Credential) [][]byte, with ...store.Planner) (gone []Credential, err error) {
	_, gone, err = i.Contain(ctx, a, Containment{Revoke: choice}, facts, with...)
	return gone, err
}

// without returns the record without the chosen credentials, and those.
func (r *record) without(choice Choice, revision uint64, rnd io.Reader) (next *record, gone []Credential, err error) {
	made := *r
	made.held, made.tokens = nil, r.tokens.with(choice)
	for _, h := range r.held {
		if choice.Has(h.Credential) {
			gone = append(gone, h.Credential)
			continue
		}
		made.held = append(made.held, h)
	}
	if !r.PasswordRevoked && choice.Has(r.password()) {
		gone = append(gone, r.password())
		made.PasswordRevoked, made.PasswordRevision, made.former = true, revision, r.formerly()
		if made.secret, err = r.secret.unmatched(rnd); err != nil {
			return nil, nil, err
		}
	}
	return &made, gone, nil
}

// unmatched returns a secret at the same cost that no password matches: hash and keys are
// chance instead of being derived.
func (s secret) unmatched(rnd io.Reader) (secret, error) {
	octets := make([]byte, 3*hashOctets)
	if _, err := io.ReadFull(rnd, octets); err != nil {
		return secret{}, fmt.Errorf("accounts: reading random octets: %w", err)
	}
	s.Argon.Hash = octets[:hashOctets:hashOctets]
	s.Scram.StoredKey, s.Scram.ServerKey = octets[hashOctets:2*hashOctets:2*hashOctets], octets[2*hashOctets:]
	return s, nil
}

// SetWithout says which extensions of IMAP the account's programs are not offered. Its sessions
// end, so that they are told.
func (i *Identity) SetWithout(ctx context.Context, a mail.Address, names string, facts [][]byte) (Account, error) {
	return i.amend(ctx, a, facts, nil, func(r *record) { r.Without = names })
}

// SetPolicy says with what the account may sign in from now on. Its sessions end.
// alone: a certificate shown in TLS is enough without AUTH, where the policy takes it by
// itself.
func (i *Identity) SetPolicy(ctx context.Context, a mail.Address, p Policy, alone bool, facts [][]byte) (Account, error) {
	if !slices.Contains(policies(), p) {
		return Account{}, fmt.Errorf("%w: an account needs a way to sign in", ErrInvalid)
	}
	if alone && !p.Takes(KindCertificate) {
		return Account{}, fmt.Errorf("%w: a certificate alone opens nothing under %s; without AUTH needs any or certificate", ErrInvalid, p)
	}
	return i.amend(ctx, a, facts, nil, func(r *record) { r.SignIn, r.CertificateAlone = p, alone })
}
