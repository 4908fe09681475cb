package accounts

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"

	"sallyport/internal/mail"
	"sallyport/internal/store"
)

// publicKey is a key whose holder signs in as the account: the SHA-256 of its
// SubjectPublicKeyInfo. What else a certificate says, and who signed it, decides nothing.
type publicKey struct {
	SPKI []byte `json:"spki_sha256"`
}

func (k publicKey) index() (n [sha256.Size]byte) {
	copy(n[:], k.SPKI)
	return n
}

// keyOfCertificate is the public key of a certificate.
func keyOfCertificate(c *x509.Certificate) publicKey {
	sum := sha256.Sum256(c.RawSubjectPublicKeyInfo)
	return publicKey{SPKI: sum[:]}
}

// Device says what certificate is enrolled.
type Device struct {
	Name string // of the device; unique among the account's credentials
	// Certificate holds the key. Its time and use are asked of what the client presents, so
	// that a renewed certificate of the same key goes on.
	Certificate *x509.Certificate
	Scope       Scope
	Expires     time.Time // of the enrolment; zero: never
	// Replaces names the enrolment whose place it takes, which ends at Until, if it does not
	// end before; "": none.
	Replaces string
	Until    time.Time
}

// Enroll lets the holder of a certificate's key sign in as the account, in one act with what
// others change. A key belongs to one account. facts tells what is recorded with it. Errors:
// ErrNoSuch, ErrExists (the name, or the key), ErrInvalid, ErrFull, and those of the store and
// of the others.
func (i *Identity) Enroll(ctx context.Context, a mail.Address, d Device, facts func(Credential) [][]byte,
	with ...store.Planner) (c Credential, err error) {
	now := i.o.Now().UTC()
	if d.Certificate == nil {
		return c, fmt.Errorf("%w: there is no certificate", ErrInvalid)
	}
	if err := (AppPassword{Name: d.Name, Scope: d.Scope, Expires: d.Expires}).check(i.limits(), now); err != nil {
		return c, err
	}
	if err := fitLeaf(d.Certificate, now); err != nil {
		return c, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	key := keyOfCertificate(d.Certificate)
	_, err = i.change(ctx, a, change{with: with, late: func(uint64) [][]byte { return facts(c) }, edit: existing(a, func(old *record, revision uint64) (*record, error) {
		if of, taken := i.keys.Load(key.index()); taken {
			return nil, &TakenError{Kind: KindCertificate, Account: fmt.Sprint(of)}
		}
		c = Credential{
			ID: idOf("cert", revision), Kind: KindCertificate, Name: d.Name, Created: now,
			Expires: d.Expires.UTC(), Scope: d.Scope, Certificate: described(d.Certificate),
		}
		next, err := old.with(held{Credential: c, Key: &key}, i.limits())
		if err != nil || d.Replaces == "" {
			return next, err
		}
		return next, next.supersede(d.Replaces, c.ID, d.Until.UTC())
	})})
	if err != nil {
		return Credential{}, err
	}
	return c, nil
}

// supersede ends the enrolment of an id at until, if it does not end before, since by takes its
// place. The record is one that nobody else has seen yet.
func (r *record) supersede(id, by string, until time.Time) error {
	for n, h := range r.held {
		if h.ID != id || h.Kind != KindCertificate {
			continue
		}
		if h.Expires.IsZero() || until.Before(h.Expires) {
			h.Expires = until
		}
		h.ReplacedBy = by
		r.held[n] = h
		return nil
	}
	return fmt.Errorf("%w: the account has no certificate %s", ErrNoSuch, mail.Printable(id, mail.WordShown))
}

// Holding says what a key is worth. The zero Holding is nothing.
type Holding uint8

const (
	HoldingNone   Holding = iota // it is enrolled for nobody
	HoldingEnded                 // its enrolment has ended
	HoldingFrozen                // its account may not act for now
	HoldingGood
)

// recordOf returns the account with that key; nil: none has it. An account that is renamed
// meanwhile is looked for under its new address.
func (i *Identity) recordOf(key [sha256.Size]byte) *record {
	for {
		of, _ := i.keys.Load(key)
		name, _ := of.(string)
		r := i.record(name)
		if again, _ := i.keys.Load(key); again == of {
			return r
		}
	}
}

// Holding says what the key with that SHA-256 of its SubjectPublicKeyInfo is worth now.
func (i *Identity) Holding(spki [sha256.Size]byte) Holding {
	r := i.recordOf(spki)
	if r == nil {
		return HoldingNone
	}
	for _, h := range r.held {
		switch {
		case h.Key == nil || h.Key.index() != spki:
		case h.ended(i.o.Now()):
			return HoldingEnded
		case r.Standing != StandingActive:
			return HoldingFrozen
		default:
			return HoldingGood
		}
	}
	return HoldingNone
}

// fitLeaf says why a certificate is none to sign in with now, whoever holds it. TLS asks for
// a certificate and takes any: this is where it is judged, also on resumed sessions.
func fitLeaf(c *x509.Certificate, now time.Time) error {
	uses := func(u x509.ExtKeyUsage) bool { return slices.Contains(c.ExtKeyUsage, u) }
	switch {
	case now.Before(c.NotBefore):
		return errors.New("the certificate is not valid before " + c.NotBefore.UTC().Format(time.RFC3339))
	case now.After(c.NotAfter):
		return errors.New("the certificate ended on " + c.NotAfter.UTC().Format(time.RFC3339))
	case c.KeyUsage != 0 && c.KeyUsage&x509.KeyUsageDigitalSignature == 0:
		return errors.New("the certificate's key is not to sign with")
	case len(c.ExtKeyUsage)+len(c.UnknownExtKeyUsage) > 0 && !uses(x509.ExtKeyUsageClientAuth) && !uses(x509.ExtKeyUsageAny):
		return errors.New("the certificate is not for clients") // RFC 5280 §4.2.1.12
	}
	return nil
}

// presented returns the certificate that the client showed; nil: none.
func (p Peer) presented() *x509.Certificate {
	if p.TLS == nil || !p.TLS.HandshakeComplete || len(p.TLS.PeerCertificates) == 0 {
		return nil
	}
	return p.TLS.PeerCertificates[0]
}

// keyOctets are the digest of the key that the client shows; nil: none.
func (p Peer) keyOctets() []byte {
	if leaf := p.presented(); leaf != nil {
		return keyOfCertificate(leaf).SPKI
	}
	return nil
}

// shown returns the credential whose certificate the client shows.
func (r *record) shown(p Peer, now time.Time) (Credential, error) {
	leaf := p.presented()
	if leaf == nil {
		return Credential{}, fail(ErrBadCredentials, RuleCertificate, "the client shows no certificate")
	}
	key := keyOfCertificate(leaf).index()
	for _, h := range r.held {
		if h.Key == nil || h.Key.index() != key {
			continue
		}
		if err := fitLeaf(leaf, now); err != nil {
			return Credential{}, fail(ErrBadCredentials, RuleCertificate, err.Error()+": "+h.ID)
		}
		return h.Credential, h.usable(p, now)
	}
	return Credential{}, fail(ErrBadCredentials, RuleCertificate, "the client's certificate is not one of the account's")
}

// holder returns whose certificate the client shows, and as which credential.
func (i *Identity) holder(p Peer) (*record, Credential, error) {
	if p.Partner.Holder != "" {
		return i.certified(p)
	}
	leaf := p.presented()
	if leaf == nil {
		return nil, Credential{}, fail(ErrBadCredentials, RuleCertificate, "the client shows no certificate")
	}
	r := i.recordOf(keyOfCertificate(leaf).index())
	if r == nil {
		return nil, Credential{}, fail(ErrBadCredentials, RuleCertificate, "the client's certificate belongs to no account")
	}
	c, err := r.shown(p, i.o.Now())
	if err == nil {
		err = r.refuses(c, p, i.o.Now())
	}
	return r, c, err
}

// certified returns the account that a certificate names which a partner checked, and as which
// credential. The partner doesn't say which certificate it was: where the account has several that
// would do, it is any of them, and the credential has no id.
func (i *Identity) certified(p Peer) (*record, Credential, error) {
	a, err := parseUser(p.Partner.Holder)
	if err != nil {
		return nil, Credential{}, err
	}
	r, now := i.record(a.Key()), i.o.Now()
	if err := r.refuses(Credential{Kind: KindCertificate, Scope: ScopeAll}, p, now); err != nil {
		return r, Credential{}, err
	}
	var good []Credential
	why := fail(ErrBadCredentials, RuleCertificate, "the account has no certificate")
	for _, h := range r.held {
		if h.Key == nil {
			continue
		}
		if unfit := h.usable(p, now); unfit != nil {
			why = unfit
			continue
		}
		good = append(good, h.Credential)
	}
	switch len(good) {
	case 0:
		return r, Credential{}, why
	case 1:
		return r, good[0], nil
	}
	return r, Credential{Kind: KindCertificate, Name: fmt.Sprintf("one of %d", len(good)), Scope: p.For}, nil
}

// Offered is Mechanisms for one client: EXTERNAL only where the certificate that it shows is
// good for an account now. Offered to others, it keeps programs that try it first from
// signing in by password.
func (i *Identity) Offered(p Peer, plus bool) []string {
	all := i.Mechanisms(p.private(), plus)
	if !slices.Contains(i.offered(), MechExternal) {
		return all
	}
	if _, _, err := i.holder(p); err != nil {
		return all
	}
	return append([]string{MechExternal}, all...)
}

// Lapsed says why the certificate that the client shows is none to sign in with now, if its
// key is enrolled: whoever holds it may know. "": there is nothing to say.
func (i *Identity) Lapsed(p Peer) string {
	leaf := p.presented()
	if leaf == nil {
		return ""
	}
	key := keyOfCertificate(leaf).index()
	r, now := i.recordOf(key), i.o.Now()
	if r == nil || r.Standing != StandingActive {
		return ""
	}
	if err := fitLeaf(leaf, now); err != nil {
		return err.Error()
	}
	for _, h := range r.held {
		if h.Key != nil && h.Key.index() == key && h.ended(now) {
			return "the enrolment of the certificate ended on " + h.Expires.UTC().Format(time.RFC3339)
		}
	}
	return ""
}

// Unasked returns who signed in by the certificate of TLS alone, where the account chose
// that; false: nobody did.
func (i *Identity) Unasked(ctx context.Context, p Peer) (Proof, bool) {
	r, c, err := i.holder(p)
	if err != nil || !r.CertificateAlone {
		return Proof{}, false
	}
	proof, err := i.admit(ctx, r, c, p)
	return proof, err == nil
}

// external takes the identity that the client wants to act as: none, or the account's own.
// RFC 4422 appendix A.
func (x *Exchange) external(ctx context.Context, response []byte) ([]byte, step, error) {
	if response == nil {
		return []byte{}, x.external, nil
	}
	x.names(x.peer.Partner.Holder)
	r, c, err := x.id.holder(x.peer)
	if r != nil {
		x.names(r.Address.String())
	}
	if err != nil {
		return nil, nil, err
	}
	if err := sameIdentity(string(response), x.user); err != nil {
		return nil, nil, fail(ErrOtherIdentity, RuleAuthzid, "asked to act as "+describeUser(string(response)))
	}
	x.proof, err = x.id.admit(ctx, r, c, x.peer)
	return nil, nil, err
}

// index keeps the keys of next for the account of key, and forgets those of old. The caller
// holds load.
func (i *Identity) index(key string, old, next *record) {
	stays := map[[sha256.Size]byte]bool{}
	for _, h := range next.keys() {
		stays[h] = true
		i.keys.Store(h, key)
	}
	for _, h := range old.keys() {
		if !stays[h] {
			i.keys.CompareAndDelete(h, key)
		}
	}
}

// keys are those with which the account signs in.
func (r *record) keys() (all [][sha256.Size]byte) {
	if r == nil {
		return nil
	}
	for _, h := range r.held {
		if h.Key != nil {
			all = append(all, h.Key.index())
		}
	}
	return all
}
