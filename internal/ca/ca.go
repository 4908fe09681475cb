package ca

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"path/filepath"
	"sync"
	"time"

	"sallyport/internal/accounts"
	"sallyport/internal/kit/codec"
	"sallyport/internal/kit/keyfile"
	"sallyport/internal/mail"
	"sallyport/internal/store"
)

// Options are what a CA needs; all of it but Age.
type Options struct {
	Host mail.Domain // in the names of authorities
	Keys string      // the folder of key files
	// Holding says what a key is worth now.
	Holding func(spki [sha256.Size]byte) accounts.Holding
	Limits  Limits
	Now     func() time.Time
	// Age is how much time has passed since the clock showed a moment, whatever it was set to; nil: by Now.
	Age    func(time.Time) time.Duration
	Rand   io.Reader
	Logger *slog.Logger
}

// CA keeps the authorities and what they signed. Its methods may be called concurrently.
type CA struct {
	st store.Store
	o  Options
	mu sync.Mutex // held while an authority or a list is made, or losses are noted
}

// New returns the CA that a store keeps. Nothing is made before something is issued; where it would have no place to
// keep a key, or could not tell what a certificate is worth, there is none.
func New(st store.Store, o Options) (*CA, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	if o.Age == nil {
		o.Age = func(t time.Time) time.Duration { return o.Now().Sub(t) }
	}
	return &CA{st: st, o: o}, nil
}

func (o Options) check() error {
	switch {
	case o.Host.IsZero():
		return errors.New("ca: the name of the host is needed")
	case o.Keys == "":
		return errors.New("ca: a folder for the keys of authorities is needed")
	case o.Holding == nil || o.Now == nil || o.Rand == nil || o.Logger == nil:
		return errors.New("ca: who tells what a key is worth, a clock, a source of chance and a logger are needed")
	case o.Limits == Limits{}:
		return errors.New("ca: bounds are needed")
	}
	return nil
}

// Limits returns the bounds in force.
func (c *CA) Limits() Limits { return c.o.Limits }

// Authorities returns all that are known, the oldest first. The last one signs.
func (c *CA) Authorities(ctx context.Context) (all []Authority, err error) {
	err = c.st.Scan(ctx, store.Prefix([]byte(prefixAuthority)), func(k, v []byte) (bool, error) {
		a, err := decodeAuthority(bytes.Clone(k), bytes.Clone(v))
		if err != nil {
			return false, fmt.Errorf("ca: an authority does not read: %w", err)
		}
		all = append(all, a)
		return true, nil
	})
	return all, err
}

// Signing returns the authority that signs, if there is one.
func (c *CA) Signing(ctx context.Context) (a Authority, is bool, err error) {
	all, err := c.Authorities(ctx)
	if err != nil || len(all) == 0 {
		return Authority{}, false, err
	}
	return all[len(all)-1], true, nil
}

// KeyPath is where the key of an authority lies.
func (c *CA) KeyPath(number int) string {
	return filepath.Join(c.o.Keys, fmt.Sprintf("device-ca-%d.key", number))
}

// signer reads the key of an authority.
func (c *CA) signer(a Authority) (*ecdsa.PrivateKey, error) {
	path := c.KeyPath(a.Number)
	text, err := keyfile.Load(path, false, nil)
	if err != nil {
		return nil, fmt.Errorf("%w: %w; without a backup, make a new authority with: sallyport cert ca rollover", ErrNoKey, err)
	}
	key, err := parseKey(text)
	if err == nil && !key.PublicKey.Equal(a.Certificate.PublicKey) {
		err = errors.New("it is another one than the certificate's")
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoKey, keyfile.Damaged(path, err))
	}
	return key, nil
}

func parseKey(text []byte) (*ecdsa.PrivateKey, error) {
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "PRIVATE KEY" {
		return nil, errors.New("it is no private key in PEM")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok {
		return nil, errors.New("it is no ECDSA key")
	}
	return key, nil
}

// current returns the authority that signs, with its key; the first is made here. c.mu is held.
func (c *CA) current(ctx context.Context) (Authority, *ecdsa.PrivateKey, error) {
	all, err := c.Authorities(ctx)
	if err != nil {
		return Authority{}, nil, err
	}
	if len(all) == 0 {
		return c.make(ctx, 1, store.Tx{}, nil)
	}
	last := all[len(all)-1]
	key, err := c.signer(last)
	return last, key, err
}

// make makes the authority of a number, in one act with changes of others. Its key is durable
// before its certificate is known; a key that an interrupted attempt left is taken.
func (c *CA) make(ctx context.Context, number int, with store.Tx, facts func(Authority) [][]byte) (Authority, *ecdsa.PrivateKey, error) {
	path := c.KeyPath(number)
	text, err := keyfile.Load(path, true, func() ([]byte, error) { return generateKey(c.o.Rand) })
	if err != nil {
		return Authority{}, nil, fmt.Errorf("%w: %w", ErrNoKey, err)
	}
	key, err := parseKey(text)
	if err != nil {
		return Authority{}, nil, fmt.Errorf("%w: %w", ErrNoKey, keyfile.Damaged(path, err))
	}
	serial, err := c.serial()
	if err != nil {
		return Authority{}, nil, err
	}
	now := c.o.Now().UTC()
	cert, err := c.certify(authorityTemplate(c.o.Host, number, serial, c.o.Limits, now), nil, &key.PublicKey, key)
	if err != nil {
		return Authority{}, nil, err
	}
	a := Authority{Number: number, Certificate: cert, Made: now}
	value, err := encodeAuthority(a)
	if err != nil {
		return Authority{}, nil, err
	}
	with.Preconditions = append(with.Preconditions, store.Precondition{Key: authorityKey(number), Absent: true})
	with.Mutations = append(with.Mutations, store.Mutation{Key: authorityKey(number), Value: value})
	if facts != nil {
		with.Facts = append(with.Facts, facts(a)...)
	}
	_, err = c.st.Apply(ctx, with, store.Durable)
	return a, key, err
}

func generateKey(rnd io.Reader) ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rnd)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), err
}

// certify signs what a template says; by is the certificate of who signs, nil: the template's own.
func (c *CA) certify(t, by *x509.Certificate, public any, key *ecdsa.PrivateKey) (*x509.Certificate, error) {
	if by == nil {
		by = t
	}
	der, err := x509.CreateCertificate(c.o.Rand, t, by, public, key)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// Rollover makes a new authority, which signs from now on. What older ones signed goes on, and
// they go on being known to those who trust them; unless their keys were stolen: then nobody is
// to trust them any more.
func (c *CA) Rollover(ctx context.Context, stolen bool, facts func(Authority) [][]byte) (Authority, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	all, err := c.Authorities(ctx)
	if err != nil {
		return Authority{}, err
	}
	var with store.Tx
	next := 1
	for _, a := range all {
		next = a.Number + 1
		if !stolen || !a.Distrusted.IsZero() {
			continue
		}
		a.Distrusted = c.o.Now().UTC()
		value, err := encodeAuthority(a)
		if err != nil {
			return Authority{}, err
		}
		with.Mutations = append(with.Mutations, store.Mutation{Key: authorityKey(a.Number), Value: value})
	}
	a, _, err := c.make(ctx, next, with, facts)
	return a, err
}

// Signed is a certificate of a device.
type Signed struct {
	Certificate *x509.Certificate
	Authority   Authority
	// Note notes it, as a share in the act that enrols its key.
	Note store.Planner
}

// Sign signs a certificate for a device and has its key enrolled by enrol, with Signed.Note in
// the same act: where that fails, nothing is left of it. Errors: ErrRequest, ErrTooLong,
// ErrNoKey, those of the store, and enrol's.
func (c *CA) Sign(ctx context.Context, r Request, enrol func(Signed) error) (Signed, error) {
	public, err := publicKeyOf(r.PKCS10, c.o.Limits)
	if err != nil {
		return Signed{}, err
	}
	// Until the enrolment is known everywhere nobody looks what became of it.
	c.mu.Lock()
	defer c.mu.Unlock()
	authority, key, err := c.current(ctx)
	if err != nil {
		return Signed{}, err
	}
	serial, err := c.serial()
	if err != nil {
		return Signed{}, err
	}
	t, err := deviceTemplate(r, authority.Certificate, serial, c.o.Limits, c.o.Now().UTC())
	if err != nil {
		return Signed{}, err
	}
	cert, err := c.certify(t, authority.Certificate, public, key)
	if err != nil {
		return Signed{}, err
	}
	note, err := noting(Issued{
		Authority: authority.Number, Serial: serial, Account: r.Account.String(), Device: r.Device,
		SPKI: sha256.Sum256(cert.RawSubjectPublicKeyInfo), NotAfter: cert.NotAfter.UTC(),
	})
	if err != nil {
		return Signed{}, err
	}
	s := Signed{cert, authority, note}
	return s, enrol(s)
}

// noting plans the note of a certificate.
func noting(i Issued) (store.Planner, error) {
	value, err := encodeIssued(i)
	name := issuedKey(i.Authority, i.Serial)
	return func(context.Context) (store.Share, error) {
		return store.Share{Preconditions: []store.Precondition{{Key: name, Absent: true}}, Mutations: []store.Mutation{{Key: name, Value: value}}}, nil
	}, err
}

// serial returns 127 bits of chance, none of them leading to zero. RFC 5280 §4.1.2.2
func (c *CA) serial() (*big.Int, error) {
	octets, err := keyfile.Random(c.o.Rand, 16)
	if err != nil {
		return nil, fmt.Errorf("ca: reading random octets: %w", err)
	}
	octets[0] = octets[0]&0x3f | 0x40
	return new(big.Int).SetBytes(octets), nil
}

// List is a revocation list of one authority.
type List struct {
	Authority Authority
	Number    uint64
	DER       []byte // nil: there is none
	Next      time.Time
	Listed    int
	Fault     error // why there is none
}

// Lists makes the revocation lists of all authorities, with new numbers.
func (c *CA) Lists(ctx context.Context) (all []List, err error) {
	authorities, err := c.Authorities(ctx)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, a := range authorities {
		l, err := c.list(ctx, a)
		if err != nil {
			l = List{Authority: a, Fault: err}
		}
		all = append(all, l)
	}
	return all, nil
}

func (c *CA) list(ctx context.Context, a Authority) (List, error) {
	key, err := c.signer(a)
	if err != nil {
		return List{}, err
	}
	issued, err := c.look(ctx, a.Number)
	if err != nil {
		return List{}, err
	}
	number, err := c.nextList(ctx, a.Number)
	if err != nil {
		return List{}, err
	}
	t := listTemplate(issued, new(big.Int).SetUint64(number), c.o.Limits, c.o.Now().UTC())
	der, err := x509.CreateRevocationList(c.o.Rand, t, a.Certificate, key)
	return List{Authority: a, Number: number, DER: der, Next: t.NextUpdate, Listed: len(t.RevokedCertificateEntries)}, err
}

// nextList takes the next number of a list. It is durable before a list bears it, so that
// none is used again. RFC 5280 §5.2.3
func (c *CA) nextList(ctx context.Context, authority int) (uint64, error) {
	name := listKey(authority)
	before := store.Precondition{Key: name, Absent: true}
	number := uint64(0)
	switch value, err := c.st.Get(ctx, name); {
	case err == nil:
		if number, err = codec.DecodeRevision(value); err != nil {
			return 0, fmt.Errorf("ca: the number of the last list does not read: %w", err)
		}
		before = store.Precondition{Key: name, Value: value}
	case !errors.Is(err, store.ErrNotFound):
		return 0, err
	}
	number++
	_, err := c.st.Apply(ctx,
		store.Tx{
			Preconditions: []store.Precondition{before},
			Mutations:     []store.Mutation{{Key: name, Value: codec.EncodeRevision(number)}},
		},
		store.Durable)
	return number, err
}

// look returns what an authority signed and is still known, with what became of each; news
// are noted. What ended long ago is forgotten. c.mu is held.
func (c *CA) look(ctx context.Context, authority int) (all []Issued, err error) {
	var news []store.Mutation
	now := c.o.Now().UTC()
	err = c.st.Scan(ctx, store.Prefix(issuedPrefix(authority)), func(k, v []byte) (bool, error) {
		i, err := decodeIssued(k, v)
		switch {
		case err != nil:
			// One that does not read can't be listed; that must not keep others from it.
			c.o.Logger.Error("what is known of an issued certificate does not read", "key", string(k), "err", err)
			return true, nil
		case now.Sub(i.NotAfter) > c.o.Limits.Kept && c.o.Age(i.NotAfter) > c.o.Limits.Kept:
			news = append(news, store.Mutation{Key: bytes.Clone(k), Delete: true})
			return true, nil
		}
		i, changed := i.seen(c.o.Holding(i.SPKI), now)
		if changed {
			value, err := encodeIssued(i)
			if err != nil {
				return false, err
			}
			news = append(news, store.Mutation{Key: bytes.Clone(k), Value: value})
		}
		all = append(all, i)
		return true, nil
	})
	if err != nil {
		return nil, err
	}
	for len(news) > 0 {
		some := news[:min(len(news), atOnce)]
		if _, err := c.st.Apply(ctx, store.Tx{Mutations: some}, store.Durable); err != nil {
			return nil, err
		}
		news = news[len(some):]
	}
	return all, nil
}

// atOnce is how many losses one transaction notes.
const atOnce = 1000

// lookEvery is how often losses are noted by themselves: their times stand in the lists.
const lookEvery = 10 * time.Minute

// Tend notes when enrolments are lost, until ctx ends.
func (c *CA) Tend(ctx context.Context) {
	for {
		if err := c.lookAll(ctx); err != nil && ctx.Err() == nil {
			c.o.Logger.Error("it could not be noted which certificates were revoked; it is tried again", "err", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(lookEvery):
		}
	}
}

func (c *CA) lookAll(ctx context.Context) error {
	all, err := c.Authorities(ctx)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, a := range all {
		if _, err := c.look(ctx, a.Number); err != nil {
			return err
		}
	}
	return nil
}

// KeyFault says why the key of an authority cannot be used; nil: it can.
func (c *CA) KeyFault(a Authority) error {
	_, err := c.signer(a)
	return err
}
