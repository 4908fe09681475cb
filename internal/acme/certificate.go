package acme

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"sallyport/internal/mail"
	"sallyport/internal/store"
)

// currentKey is where the certificate lies.
const currentKey = "certificate"

// record is a certificate with its key, and from whom it is.
type record struct {
	Version   int    `json:"version"`
	Directory string `json:"directory"`
	Chain     string `json:"chain"` // PEM
	Key       string `json:"key"`   // PEM
}

const recordVersion = 1

// Held is a certificate that was obtained.
type Held struct {
	Certificate tls.Certificate // with its Leaf
	Directory   string          // of the authority that gave it
}

// Load returns the certificate that was obtained last, if host is one of its names. It
// may come from another authority than the one that is asked now, lack other names, or
// have ended: until a better one is there, it is what there is. ok is false while there
// is none.
func Load(ctx context.Context, st store.Store, host mail.Domain) (h Held, ok bool, err error) {
	text, err := newStorage(st).Load(ctx, currentKey)
	if errors.Is(err, fs.ErrNotExist) {
		return h, false, nil
	}
	if err != nil {
		return h, false, err
	}
	var r record
	if err := json.Unmarshal(text, &r); err != nil {
		return h, false, fmt.Errorf("acme: the stored certificate cannot be read: %w", err)
	}
	if r.Version != recordVersion {
		return h, false, fmt.Errorf("acme: the stored certificate is of version %d, which is not known here", r.Version)
	}
	h.Directory = r.Directory
	if h.Certificate, err = tls.X509KeyPair([]byte(r.Chain), []byte(r.Key)); err != nil {
		return Held{}, false, fmt.Errorf("acme: the stored certificate: %w", err)
	}
	if !covers(h.Certificate.Leaf, []mail.Domain{host}) {
		return Held{}, false, nil
	}
	return h, true, nil
}

// serves reports whether a certificate is what is wanted, as long as it lasts.
func (h Held) serves(directory string, names []mail.Domain) bool {
	return h.Certificate.Leaf != nil && h.Directory == directory && covers(h.Certificate.Leaf, names)
}

// covers reports whether a certificate is good for each of the names.
func covers(leaf *x509.Certificate, names []mail.Domain) bool {
	return !slices.ContainsFunc(names, func(d mail.Domain) bool { return leaf.VerifyHostname(d.ASCII()) != nil })
}

// request makes a key, and the request for a certificate of it.
func request(names []mail.Domain) (csr *x509.CertificateRequest, keyPEM []byte, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	template := &x509.CertificateRequest{}
	for _, d := range names {
		template.DNSNames = append(template.DNSNames, d.ASCII())
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, template, key)
	if err != nil {
		return nil, nil, err
	}
	if csr, err = x509.ParseCertificateRequest(der); err != nil {
		return nil, nil, err
	}
	plain, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, err
	}
	return csr, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: plain}), nil
}
