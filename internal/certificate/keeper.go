package certificate

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"sync"
	"time"

	"sallyport/internal/acme"
	"sallyport/internal/fact"
)

// Limits bounds how a certificate is looked after.
type Limits struct {
	Every time.Duration // the files are looked at
	Warn  time.Duration // before the end of a certificate from files, daily
	// WarnPart: one that is obtained is warned of in the last of so many parts of its life;
	// it should have been renewed when a third of its time was left.
	WarnPart int
}

// DefaultLimits returns the bounds where the configuration says nothing.
func DefaultLimits() Limits {
	return Limits{Every: 10 * time.Second, Warn: 14 * 24 * time.Hour, WarnPart: 4}
}

// Options are what a Keeper is given; all are required.
type Options struct {
	// Source and InForce return where the certificate comes from and what is presented, as
	// things are now.
	Source  func() Source
	InForce func() *tls.Config
	// Change calls fn while nobody else changes what is presented, and Present, which is
	// called in it, presents something else to new connections.
	Change  func(fn func())
	Present func(*tls.Config)
	Record  func(context.Context, fact.Fact)
	Limits  Limits
	Now     func() time.Time
	Logger  *slog.Logger
}

// Keeper looks after the certificate of a running server.
type Keeper struct {
	o Options

	mu    sync.Mutex
	asks  *acme.Keeper // nil: nobody is asked
	fault string       // why the last attempt to obtain one failed; "": it did not
	next  time.Time    // of the next attempt after a fault
}

// warnEvery is how often it is warned of a certificate that ends, as long as nobody does anything about it.
const warnEvery = 24 * time.Hour

// New returns a Keeper.
func New(o Options) *Keeper { return &Keeper{o: o} }

// Watch takes a certificate in when its files change, and warns before one ends, until ctx
// ends.
func (k *Keeper) Watch(ctx context.Context) {
	fault, warned := "", time.Time{}
	for {
		fault = k.Reread(ctx, fault)
		s, leaf, now := k.o.Source(), Leaf(k.o.InForce()), k.o.Now()
		if leaf != nil && now.Sub(warned) >= warnEvery {
			switch why := outOfTime(leaf, now); {
			case why != "":
				warned = now
				s.log(k.o.Logger).Error("the certificate is out of its time: clients refuse to speak to this server", "fault", why)
			case leaf.NotAfter.Sub(now) < k.o.Limits.warnBefore(s, leaf):
				warned = now
				s.log(k.o.Logger).Warn("the certificate ends soon, and nothing has renewed it", "until", leaf.NotAfter)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(k.o.Limits.Every):
		}
	}
}

// warnBefore is how long before its end a certificate is warned of.
func (l Limits) warnBefore(s Source, leaf *x509.Certificate) time.Duration {
	if s.Authority != "" {
		return leaf.NotAfter.Sub(leaf.NotBefore) / time.Duration(l.WarnPart)
	}
	return l.Warn
}

// Reread presents the certificate of the files to new connections, if it is another one.
// A pair that cannot be used leaves the former one in force; that is told once, and
// returned, so that the next call knows. While one of the two files is new and the other
// is not yet, the pair is such a one for a moment.
func (k *Keeper) Reread(ctx context.Context, told string) (fault string) {
	k.o.Change(func() {
		s, c := k.o.Source(), k.o.InForce()
		if c == nil || s.Authority != "" {
			return
		}
		cert, err := s.read()
		if err == nil && !presents(c, cert) {
			err = worse(cert.Leaf, Leaf(c), k.o.Now())
		}
		switch {
		case err == nil && !presents(c, cert):
			k.present(ctx, cert)
		case err != nil:
			if fault = err.Error(); told == fault {
				return
			}
			k.o.Logger.Error("the certificate cannot be read again; the former one stays in force", "file", s.Cert, "err", err)
			f := fact.Reloaded{At: k.o.Now(), Rule: RuleCertificateRefused, Text: "the former certificate stays in force"}.Fact()
			k.o.Record(ctx, f.Evidenced("by", "the files of the certificate").Evidenced("fault", fault))
		}
	})
	return fault
}

// present shows a certificate to new connections from now on; Change holds.
func (k *Keeper) present(ctx context.Context, cert tls.Certificate) {
	k.o.Present(presenting(cert))
	k.o.Source().log(k.o.Logger).Info("a new certificate is in force", "until", cert.Leaf.NotAfter)
	f := fact.Reloaded{At: k.o.Now(), Rule: RuleCertificateRenewed, Text: "a new certificate is in force"}.Fact()
	k.o.Record(ctx, f.Evidenced("until", cert.Leaf.NotAfter.UTC().Format(time.RFC3339)))
}

// Obtain obtains and renews the certificate until ctx ends.
func (k *Keeper) Obtain(ctx context.Context, order Order) error {
	o, err := order.acme()
	if err != nil {
		return err
	}
	o.Obtained, o.Failed = k.obtained, k.failed
	if Leaf(k.o.InForce()) == nil {
		k.o.Logger.Warn("there is no certificate yet: no STARTTLS, and nobody can sign in, until it is obtained", "authority", o.Directory)
	}
	asks, err := acme.New(o)
	if err != nil {
		return err
	}
	k.mu.Lock()
	k.asks = asks
	k.mu.Unlock()
	return asks.Run(ctx)
}

// Wake lets a certificate be obtained now, if one is to be: something was changed.
func (k *Keeper) Wake() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.asks != nil {
		k.asks.Wake()
	}
}

// obtained presents what was obtained to new connections.
func (k *Keeper) obtained(ctx context.Context, cert tls.Certificate) {
	k.mu.Lock()
	k.fault, k.next = "", time.Time{}
	k.mu.Unlock()
	k.o.Change(func() { k.present(ctx, cert) })
}

// failed tells that a certificate was not obtained.
func (k *Keeper) failed(ctx context.Context, err error, next time.Time) {
	k.mu.Lock()
	k.fault, k.next = err.Error(), next
	k.mu.Unlock()
	k.o.Source().log(k.o.Logger).Error("no certificate was obtained", "err", err, "again", next.Sub(k.o.Now()).Round(time.Second).String())
	f := fact.Reloaded{At: k.o.Now(), Rule: RuleCertificateNotObtained, Text: "no certificate was obtained; it is tried again"}.Fact()
	if leaf := Leaf(k.o.InForce()); leaf != nil {
		f = f.Evidenced("until", leaf.NotAfter.UTC().Format(time.RFC3339))
	}
	k.o.Record(ctx, f.Evidenced("fault", err.Error()).Evidenced("next", next.UTC().Format(time.RFC3339)))
}

// State is how it goes with obtaining a certificate.
type State struct {
	Chain string    // PEM of the certificate in force; "": there is none yet
	Fault string    // why the last attempt failed; "": it did not
	Next  time.Time // of the next attempt after a fault
}

// State returns how it goes with obtaining a certificate.
func (k *Keeper) State() (s State) {
	k.mu.Lock()
	s.Fault, s.Next = k.fault, k.next
	k.mu.Unlock()
	if c := k.o.InForce(); c != nil {
		for _, der := range c.Certificates[0].Certificate {
			s.Chain += string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
		}
	}
	return s
}
