package acme

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"time"

	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"

	"sallyport/internal/mail"
	"sallyport/internal/store"
)

// Challenge is how it is proven that a name is ours. The zero value is no way.
type Challenge uint8

const (
	ChallengeNone Challenge = iota
	HTTP01                  // RFC 8555 §8.3
	TLSALPN01               // RFC 8737
)

// Options are what a Keeper is given; all are required, but where it says otherwise.
type Options struct {
	Store     store.Store
	Directory string
	Contact   string         // mail address of the account; may be empty
	Agreed    bool           // to the terms of service
	Roots     *x509.CertPool // to trust for the directory; nil: the system's
	Challenge Challenge
	Host      mail.Domain // a certificate without this name is none
	// Names returns the names beside Host that the certificate is to bear, as things are
	// now. It is asked at each look; nil: there are none.
	Names func(context.Context) []mail.Domain
	// Listeners are where challenges are answered; the Keeper closes them.
	Listeners []net.Listener
	// Obtained is called with a new certificate once it is stored, Failed with what went
	// wrong and when the next attempt is made.
	Obtained func(context.Context, tls.Certificate)
	Failed   func(ctx context.Context, err error, next time.Time)
	Limits   Limits
	Now      func() time.Time
	Logger   *slog.Logger
}

var errOptions = errors.New("acme: store, directory, agreement, challenge, host, listeners, functions, limits, clock and logger are required")

// Keeper obtains the certificate and renews it.
type Keeper struct {
	o     Options
	woken chan struct{}
}

// New returns a Keeper that does nothing before Run.
func New(o Options) (*Keeper, error) {
	switch {
	case o.Store == nil || o.Directory == "" || !o.Agreed || o.Host.IsZero() || len(o.Listeners) == 0,
		!o.Limits.valid(), o.Challenge != HTTP01 && o.Challenge != TLSALPN01,
		o.Obtained == nil || o.Failed == nil || o.Now == nil || o.Logger == nil:
		return nil, errOptions
	}
	if o.Names == nil {
		o.Names = func(context.Context) []mail.Domain { return nil }
	}
	return &Keeper{o: o, woken: make(chan struct{}, 1)}, nil
}

// Wake makes the Keeper look now, and try again at once what has failed: whoever wakes it
// has changed something.
func (k *Keeper) Wake() {
	select {
	case k.woken <- struct{}{}:
	default: // it will look anyway
	}
}

// Run answers challenges, and obtains a certificate whenever there is none, the one that
// there is lacks a name, or a third of its time is left, until ctx ends.
func (k *Keeper) Run(ctx context.Context) error {
	ca, err := k.authority()
	if err != nil {
		return err
	}
	defer ca.cache.Stop()
	serving, stop := context.WithCancel(ctx)
	defer stop()
	kept := make(chan struct{})
	go func() {
		defer close(kept)
		k.keep(serving, func(ctx context.Context, names []mail.Domain) (tls.Certificate, error) {
			return k.obtain(ctx, ca, names)
		})
	}()
	err = k.answer(serving, ca)
	stop() // without answers nothing can be obtained
	<-kept
	return err
}

// keep is the loop of Run; obtain obtains a certificate and stores it.
func (k *Keeper) keep(ctx context.Context, obtain func(context.Context, []mail.Domain) (tls.Certificate, error)) {
	var a attempts
	for {
		held, names := k.held(ctx), k.names(ctx)
		if a.due(held, k.o.Directory, names, k.o.Now()) {
			cert, err := obtain(ctx, names)
			switch {
			case err == nil:
				held = Held{cert, k.o.Directory}
				a = obtainedAt(k.o.Now(), cert.Leaf)
				k.o.Obtained(ctx, cert)
			case ctx.Err() != nil:
				return
			default:
				a = a.failedAt(k.o.Now(), k.o.Limits)
				k.o.Failed(ctx, err, a.next)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-k.woken:
			a = attempts{}
		case <-time.After(k.o.Limits.wait(a.until(held, k.o.Directory, names), k.o.Now())):
		}
	}
}

// held returns what there is. One that cannot be read is as none: another one is obtained.
func (k *Keeper) held(ctx context.Context) Held {
	h, _, err := Load(ctx, k.o.Store, k.o.Host)
	if err != nil && ctx.Err() == nil {
		k.o.Logger.Error("the stored certificate cannot be used; another one is obtained", "err", err)
	}
	return h
}

// names returns what the certificate is to bear, each once.
func (k *Keeper) names(ctx context.Context) []mail.Domain {
	all := []mail.Domain{k.o.Host}
	for _, d := range k.o.Names(ctx) {
		if !slices.Contains(all, d) {
			all = append(all, d)
		}
	}
	return all
}

// obtain obtains a certificate and stores it.
func (k *Keeper) obtain(ctx context.Context, ca *authority, wanted []mail.Domain) (cert tls.Certificate, err error) {
	ctx, cancel := context.WithTimeout(ctx, k.o.Limits.Attempt)
	defer cancel()
	if len(wanted) > k.o.Limits.Names {
		return cert, fmt.Errorf("acme: %d names are more than the %d that a certificate may bear", len(wanted), k.o.Limits.Names)
	}
	var names []string
	for _, d := range wanted {
		names = append(names, d.ASCII())
	}
	// It also settles which account is used.
	if err := ca.issuer.PreCheck(ctx, names, false); err != nil {
		return cert, err
	}
	csr, key, err := request(wanted)
	if err != nil {
		return cert, err
	}
	issued, err := ca.issuer.Issue(ctx, csr)
	if err != nil {
		return cert, err
	}
	if cert, err = tls.X509KeyPair(issued.Certificate, key); err != nil {
		return cert, fmt.Errorf("acme: what the authority issued: %w", err)
	}
	if !k.o.Now().Before(cert.Leaf.NotAfter) {
		return cert, errors.New("acme: the authority issued a certificate that has ended already")
	}
	if !covers(cert.Leaf, wanted) {
		return cert, errors.New("acme: the authority issued a certificate for other names")
	}
	text, err := json.Marshal(record{Version: recordVersion, Directory: k.o.Directory, Chain: string(issued.Certificate), Key: string(key)})
	if err != nil {
		return cert, err
	}
	return cert, ca.storage.Store(ctx, currentKey, text)
}

// authority is the way to the certificate authority.
type authority struct {
	storage storage
	cache   *certmagic.Cache
	config  *certmagic.Config
	issuer  *certmagic.ACMEIssuer
}

func (k *Keeper) authority() (*authority, error) {
	a := &authority{storage: newStorage(k.o.Store)}
	host, port, err := hostPort(k.o.Listeners[0].Addr())
	if err != nil {
		return nil, err
	}
	// What goes wrong is in the errors; the library's own log would only say it again.
	silent := zap.NewNop()
	a.cache = certmagic.NewCache(certmagic.CacheOptions{
		GetConfigForCert: func(certmagic.Certificate) (*certmagic.Config, error) { return a.config, nil }, Logger: silent,
	})
	a.config = certmagic.New(a.cache, certmagic.Config{
		Storage: a.storage, Logger: silent, OCSP: certmagic.OCSPConfig{DisableStapling: true},
	})
	a.issuer = certmagic.NewACMEIssuer(a.config, certmagic.ACMEIssuer{
		CA: k.o.Directory, TestCA: k.o.Directory, Email: k.o.Contact, Agreed: true, TrustedRoots: k.o.Roots, Logger: silent,
		DisableHTTPChallenge: k.o.Challenge != HTTP01, DisableTLSALPNChallenge: k.o.Challenge != TLSALPN01,
		// Our own listener is there already: the library sees that, and leaves it to us.
		ListenHost: host, AltHTTPPort: port, AltTLSALPNPort: port,
	})
	a.config.Issuers = []certmagic.Issuer{a.issuer}
	return a, nil
}

func hostPort(at net.Addr) (host string, port int, err error) {
	tcp, ok := at.(*net.TCPAddr)
	if !ok {
		return "", 0, fmt.Errorf("acme: %s is no address of TCP", at)
	}
	return tcp.IP.String(), tcp.Port, nil
}
