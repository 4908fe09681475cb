package named

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
)

// ErrAuthorities says that a file of authorities cannot be used.
var ErrAuthorities = errors.New("the authorities cannot be read")

// authorities are those to trust, and the text that they were read from.
type authorities struct {
	pool *x509.CertPool // nil: the system's
	pem  []byte
}

func (a authorities) equal(b authorities) bool { return bytes.Equal(a.pem, b.pem) }

func readAuthorities(file string) (authorities, error) {
	if file == "" {
		return authorities{}, nil
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return authorities{}, fmt.Errorf("%w: %w", ErrAuthorities, err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return authorities{}, fmt.Errorf("%w: %s holds no certificate", ErrAuthorities, file)
	}
	return authorities{pool, pem}, nil
}
