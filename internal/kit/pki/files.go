package pki

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"sallyport/internal/kit/safefile"
)

// Files are the paths of an authority and of a server's certificate.
type Files struct {
	CA, CAKey, Cert, Key string
}

// In returns the files of a folder.
func In(dir string) Files {
	return Files{filepath.Join(dir, "ca.pem"), filepath.Join(dir, "ca.key"),
		filepath.Join(dir, "server.pem"), filepath.Join(dir, "server.key")}
}

// Ensure makes what is missing of an authority and a server certificate for these
// names, and renews the server certificate when it ends soon or lacks a name. An
// authority that exists is kept, since clients trust it. It is for one process at
// a time.
func (f Files) Ensure(title string, n Names, now time.Time) error {
	if err := os.MkdirAll(filepath.Dir(f.CA), 0o700); err != nil {
		return err
	}
	a, err := f.authority(title, n, now)
	if err != nil {
		return err
	}
	if f.current(a, n, now) {
		return nil
	}
	cert, key, err := a.Issue(n, now)
	if err != nil {
		return err
	}
	return writePair(f.Cert, cert, f.Key, key)
}

// authority reads the authority, or makes it where there is none.
func (f Files) authority(title string, n Names, now time.Time) (Authority, error) {
	cert, errCert := os.ReadFile(f.CA)
	key, errKey := os.ReadFile(f.CAKey)
	switch {
	case errCert == nil && errKey == nil:
		a, err := parseAuthority(cert, key)
		if err != nil {
			return a, fmt.Errorf("%s: %w", f.CA, err)
		}
		return a, nil
	case errCert == nil:
		return Authority{}, fmt.Errorf("the authority has lost its key: %w", errKey)
	case !errors.Is(errCert, fs.ErrNotExist):
		return Authority{}, errCert
	}
	a, err := NewAuthority(title, n, now)
	if err != nil {
		return a, err
	}
	if key, err = a.KeyPEM(); err != nil {
		return a, err
	}
	return a, writePair(f.CA, a.CertPEM(), f.CAKey, key)
}

// current reports whether the server certificate on disk will do for a while.
func (f Files) current(a Authority, n Names, now time.Time) bool {
	text, err := os.ReadFile(f.Cert)
	if err != nil {
		return false
	}
	if _, err := os.Stat(f.Key); err != nil {
		return false
	}
	cert, err := parseCertificate(text)
	return err == nil && a.vouches(cert, n, now) == nil && now.Add(RenewBefore).Before(cert.NotAfter)
}

// writePair puts the key into place before its certificate, so that a certificate
// on disk always has its key. An older certificate goes first.
func writePair(certPath string, cert []byte, keyPath string, key []byte) error {
	if err := os.Remove(certPath); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := safefile.Replace(keyPath, key, 0o600); err != nil {
		return err
	}
	return safefile.Replace(certPath, cert, 0o644)
}
