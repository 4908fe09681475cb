package credentials

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"time"

	"sallyport/internal/accounts"
	"sallyport/internal/fact"
	"sallyport/internal/mail"
	"sallyport/internal/operate/call"
)

// CertEnroll asks that the holder of a certificate's key sign in as an account.
type CertEnroll struct {
	Account     string        `json:"account"`
	Name        string        `json:"name"`        // of the device
	Certificate string        `json:"certificate"` // PEM
	Scope       string        `json:"scope"`
	Lasts       time.Duration `json:"lasts,omitempty"` // 0: for good
}

// CertEnroll enrolls a certificate that somebody else made, by its public key.
func (op *Actions) CertEnroll(ctx context.Context, by call.Caller, r CertEnroll) (Credential, error) {
	a, err := call.ParseAccount(r.Account)
	if err != nil {
		return Credential{}, err
	}
	d := accounts.Device{Name: r.Name}
	if d.Scope, err = accounts.ParseScope(r.Scope); err != nil {
		return Credential{}, call.Invalid(err)
	}
	if d.Certificate, err = parseCertificate(r.Certificate); err != nil {
		return Credential{}, call.Invalid(err)
	}
	if r.Lasts < 0 {
		return Credential{}, call.Refused("it would end before it begins")
	}
	if r.Lasts > 0 {
		d.Expires = op.o.Now().Add(r.Lasts)
	}
	c, err := op.o.Credentials.Enroll(ctx, a, d, func(c accounts.Credential) [][]byte {
		pairs := append(credentialPairs(c), fact.Pair{Name: "subject", Value: mail.Printable(d.Certificate.Subject.String(), mail.TextShown)})
		return fact.EncodeAll(call.AccountChanged(op.o.Now(), by, a, "certificate enrolled", pairs...))
	})
	if err != nil {
		return Credential{}, err
	}
	return op.credential(a, c), nil
}

// parseCertificate reads the one certificate of a PEM text; a key beside it is not wanted.
func parseCertificate(text string) (*x509.Certificate, error) {
	block, rest := pem.Decode([]byte(text))
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, errors.New("this is no certificate in PEM; its key stays where it is")
	}
	if more, _ := pem.Decode(rest); more != nil {
		return nil, errors.New("there is more than one PEM block; give the device's certificate alone, without its key and chain")
	}
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("the certificate does not read: %w", err)
	}
	return c, nil
}

// CertRevoke revokes a certificate; the sessions that were opened with it end.
func (op *Actions) CertRevoke(ctx context.Context, by call.Caller, r CredentialRef) (Credential, error) {
	a, err := call.ParseAccount(r.Account)
	if err != nil {
		return Credential{}, err
	}
	c, err := op.certificateOf(a, r.Credential)
	if err != nil {
		return Credential{}, err
	}
	return op.revoke(ctx, by, a, c)
}

// CertList calls fn for every certificate of every account.
func (op *Actions) CertList(ctx context.Context, _ call.Caller, _ struct{}, fn func(Credential) error) error {
	accountsNow, err := op.o.Accounts(ctx)
	if err != nil {
		return err
	}
	for _, account := range accountsNow {
		all, err := op.o.Credentials.Credentials(account)
		if err != nil {
			continue // it was removed in this moment
		}
		for _, c := range all {
			if c.Kind != accounts.KindCertificate {
				continue
			}
			if err := fn(op.credential(account, c)); err != nil {
				return err
			}
		}
	}
	return nil
}

// CertEnroll calls Actions.CertEnroll.
func (c Client) CertEnroll(ctx context.Context, r CertEnroll) (Credential, error) {
	return call.Do[Credential](ctx, c.Client, "cert.enroll", r)
}

// CertRevoke calls Actions.CertRevoke.
func (c Client) CertRevoke(ctx context.Context, r CredentialRef) (Credential, error) {
	return call.Do[Credential](ctx, c.Client, "cert.revoke", r)
}

// CertList calls Actions.CertList.
func (c Client) CertList(ctx context.Context, fn func(Credential) error) error {
	return call.Stream(ctx, c.Client, "cert.ls", struct{}{}, fn)
}
