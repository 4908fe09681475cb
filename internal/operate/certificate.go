package operate

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"time"

	"sallyport/internal/accounts"
	"sallyport/internal/fact"
	"sallyport/internal/mail"
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
func (op *Operator) CertEnroll(ctx context.Context, by Caller, r CertEnroll) (Credential, error) {
	a, err := parseAccount(r.Account)
	if err != nil {
		return Credential{}, err
	}
	d := accounts.Device{Name: r.Name}
	if d.Scope, err = accounts.ParseScope(r.Scope); err != nil {
		return Credential{}, invalid(err)
	}
	if d.Certificate, err = parseCertificate(r.Certificate); err != nil {
		return Credential{}, invalid(err)
	}
	if r.Lasts < 0 {
		return Credential{}, invalid(errText("it would end before it begins"))
	}
	if r.Lasts > 0 {
		d.Expires = op.o.Now().Add(r.Lasts)
	}
	c, err := op.o.Credentials.Enroll(ctx, a, d, func(c accounts.Credential) [][]byte {
		pairs := append(credentialPairs(c), fact.Pair{Name: "subject", Value: mail.Printable(d.Certificate.Subject.String(), 200)})
		return fact.EncodeAll(op.accountFact(by, a, "certificate enrolled", pairs...))
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
		return nil, errText("this is no certificate in PEM; its key stays where it is")
	}
	if more, _ := pem.Decode(rest); more != nil {
		return nil, errText("there is more than one PEM block; give the device's certificate alone, without its key and chain")
	}
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("the certificate does not read: %w", err)
	}
	return c, nil
}

// CertRevoke revokes a certificate; the sessions that were opened with it end.
func (op *Operator) CertRevoke(ctx context.Context, by Caller, r CredentialRef) (Credential, error) {
	a, err := parseAccount(r.Account)
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
func (op *Operator) CertList(ctx context.Context, _ Caller, _ struct{}, fn func(Credential) error) error {
	accountsNow, err := op.o.Accounts.List(ctx)
	if err != nil {
		return err
	}
	for _, account := range accountsNow {
		all, err := op.o.Credentials.Credentials(account.Address)
		if err != nil {
			continue // it was removed in this moment
		}
		for _, c := range all {
			if c.Kind != accounts.KindCertificate {
				continue
			}
			if err := fn(op.credential(account.Address, c)); err != nil {
				return err
			}
		}
	}
	return nil
}

// CertEnroll calls Operator.CertEnroll.
func (c *Client) CertEnroll(ctx context.Context, r CertEnroll) (Credential, error) {
	return call[Credential](ctx, c, "cert.enroll", r)
}

// CertRevoke calls Operator.CertRevoke.
func (c *Client) CertRevoke(ctx context.Context, r CredentialRef) (Credential, error) {
	return call[Credential](ctx, c, "cert.revoke", r)
}

// CertList calls Operator.CertList.
func (c *Client) CertList(ctx context.Context, fn func(Credential) error) error {
	return stream(ctx, c, "cert.ls", struct{}{}, fn)
}
