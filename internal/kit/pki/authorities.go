package pki

import (
	"crypto/x509"
	"fmt"
	"os"
)

// Authorities reads the certificates to trust of a file; nil, for the system's, where there
// is none. The PEM tells whether the file changed.
func Authorities(file string) (pool *x509.CertPool, pem []byte, err error) {
	if file == "" {
		return nil, nil, nil
	}
	if pem, err = os.ReadFile(file); err != nil {
		return nil, nil, err
	}
	pool = x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, nil, fmt.Errorf("%s holds no certificate", file)
	}
	return pool, pem, nil
}
