// Package certificate keeps the one certificate that every listener presents: it reads it from
// files or takes the one that ACME obtained, takes in a new one while the server runs, and warns
// before one expires.
//
// It promises that a certificate that cannot be used replaces none that can, and that one
// is presented alone, so that it is known which one a connection saw.
package certificate

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"time"

	"sallyport/internal/acme"
	"sallyport/internal/kit/words"
	"sallyport/internal/mail"
	"sallyport/internal/store"
)

// Source says where the certificate comes from. The zero Source: there is none.
type Source struct {
	Cert, Key string // PEM files
	// Authority obtains it instead, by the URL of its directory; "": it comes from files.
	Authority string
	Host      mail.Domain // a certificate that is obtained is none without this name
	// Held is a pair of files as it was read by this process while it might; it stands for
	// them where the process may not read them any more. nil: there is none.
	Held *Held
}

// Held is a certificate with its key, and the files that they were read from.
type Held struct {
	Cert, Key string
	Pair      tls.Certificate
}

// Hold reads a pair of files for later; nil where it cannot be used.
func Hold(cert, key string) *Held {
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return nil
	}
	return &Held{cert, key, pair}
}

// read reads the pair of the files.
func (s Source) read() (tls.Certificate, error) {
	pair, err := tls.LoadX509KeyPair(s.Cert, s.Key)
	if h := s.Held; errors.Is(err, fs.ErrPermission) && h != nil && h.Cert == s.Cert && h.Key == s.Key {
		return h.Pair, nil
	}
	return pair, err
}

// log returns a logger that says where the certificate comes from.
func (s Source) log(to *slog.Logger) *slog.Logger {
	if s.Authority == "" {
		return to.With("file", s.Cert)
	}
	return to.With("authority", s.Authority)
}

// Build returns what the doors present; nil: there is no certificate, or none yet. The same
// certificate keeps its TLS configuration, whose tickets clients may still hold; last is
// that of the running server, nil at a start. An error is one of the files, or that they
// hold a certificate out of its time while one that is good is in force.
//
// Of an authority's, that which was obtained before is taken; one that cannot be read is
// as none: another one will be obtained. A running server keeps what it has: only a start
// changes where certificates come from.
func Build(ctx context.Context, s Source, st store.Store, last *tls.Config, now time.Time, log *slog.Logger) (*tls.Config, error) {
	switch {
	case s.Authority != "" && last != nil:
		return last, nil
	case s.Authority != "":
		held, ok, err := acme.Load(ctx, st, s.Host)
		if err != nil {
			log.Error("the certificate that was obtained cannot be used", "err", err)
		}
		if err != nil || !ok {
			return nil, nil
		}
		return presenting(held.Certificate), nil
	case s.Cert == "":
		return nil, nil
	}
	cert, err := s.read()
	if err != nil {
		return nil, err
	}
	if presents(last, cert) {
		return last, nil
	}
	if err := worse(cert.Leaf, Leaf(last), now); err != nil {
		return nil, err
	}
	return presenting(cert), nil
}

// worse is why one certificate does not take the place of another: it is out of its time,
// and the other is not.
func worse(next, last *x509.Certificate, now time.Time) error {
	why := outOfTime(next, now)
	if why == "" || last == nil || outOfTime(last, now) != "" {
		return nil
	}
	return fmt.Errorf("this certificate %s, and the one in force is good until %s", why, last.NotAfter.UTC().Format(time.DateOnly))
}

// outOfTime says that a certificate has ended, or has not begun; "": it is within its time.
func outOfTime(leaf *x509.Certificate, now time.Time) string {
	switch {
	case !now.Before(leaf.NotAfter):
		return "expired on " + leaf.NotAfter.UTC().Format(time.DateOnly)
	case now.Before(leaf.NotBefore):
		return "is not valid before " + leaf.NotBefore.UTC().Format(time.DateTime) + " UTC"
	}
	return ""
}

// Warning says what an operator should know of a certificate before clients complain: that
// it is out of its time, or will be soon, or is for another host; "": nothing.
func Warning(leaf *x509.Certificate, host mail.Domain, now time.Time) string {
	switch why, left := outOfTime(leaf, now), leaf.NotAfter.Sub(now); {
	case why != "":
		return "the certificate " + why + ": clients refuse to speak to this server"
	case leaf.VerifyHostname(host.ASCII()) != nil:
		return "the certificate is not for " + host.ASCII() + ": clients that look for this server under its name refuse it"
	case left < DefaultLimits().Warn:
		return fmt.Sprintf("the certificate expires in %s, on %s", words.Count(int(left.Hours()/24), "day"),
			leaf.NotAfter.UTC().Format(time.DateOnly))
	}
	return ""
}

// Leaf returns the certificate that c presents; nil: none.
func Leaf(c *tls.Config) *x509.Certificate {
	if c == nil || len(c.Certificates) == 0 {
		return nil
	}
	return c.Certificates[0].Leaf
}

// presenting presents one certificate. Go's defaults choose protocol (1.2 and later) and
// ciphers.
func presenting(cert tls.Certificate) *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
}

func presents(c *tls.Config, cert tls.Certificate) bool {
	if c == nil || len(c.Certificates) != 1 || len(c.Certificates[0].Certificate) != len(cert.Certificate) {
		return false
	}
	for i, der := range cert.Certificate {
		if !bytes.Equal(der, c.Certificates[0].Certificate[i]) {
			return false
		}
	}
	return true
}
