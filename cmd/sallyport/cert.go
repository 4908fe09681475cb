package main

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"os"
	"time"

	"sallyport/internal/kit/timespan"
	"sallyport/internal/operate"
)

type certCommands struct {
	Issue  certIssue  `cmd:"" help:"Make a key and a certificate for a device, and the files to put on it."`
	Renew  certRenew  `cmd:"" help:"Issue one that takes the place of another; both sign in for a while."`
	Enroll certEnroll `cmd:"" help:"Let the holder of a certificate sign in as an account, by its public key."`
	Ls     certLs     `cmd:"" help:"List the certificates of all accounts, and when each was last used."`
	Revoke certRevoke `cmd:"" help:"Revoke a certificate; the sessions that were opened with it end."`
	CRL    certCRL    `cmd:"" name:"crl" help:"Print the revocation lists, for others that trust the authority."`
	CA     caCommands `cmd:"" name:"ca" help:"The authority that signs the certificates of devices."`
}

type certEnroll struct {
	accountArg
	Name  string        `arg:"" help:"The device: phone, laptop, mail-relay."`
	File  string        `arg:"" type:"existingfile" help:"The certificate, in PEM or DER, without its key."`
	Scope string        `default:"send,receive" help:"What it may be used for: send, receive, or send,receive."`
	Lasts timespan.Flag `placeholder:"DURATION" help:"The enrolment ends after so long, such as 365d; without this it stays until it is revoked."`
}

// Help shows examples.
func (certEnroll) Help() string {
	return `The key counts, and nothing else: no authority, and no name in the certificate, lets anybody in.
A certificate that is renewed with the same key goes on; its own time and use are asked of what
the client shows. A key belongs to one account.

Examples:
  sallyport cert enroll alice@example.org laptop alice-laptop.pem
  sallyport account sign-in alice@example.org certificate
  sallyport account sign-in relay@example.org certificate --without-auth`
}

// Run enrolls the certificate.
func (a certEnroll) Run(ctx context.Context, c console) error {
	text, err := os.ReadFile(a.File)
	if err != nil {
		return err
	}
	return a.operate(ctx, c, func(o *operate.Client) error {
		v, err := o.CertEnroll(ctx, operate.CertEnroll{
			Account: a.Address, Name: a.Name, Certificate: certificateIn(text), Scope: a.Scope,
			Lasts: time.Duration(a.Lasts),
		})
		if err != nil {
			return err
		}
		if a.JSON {
			return printJSON(c.out, v)
		}
		c.printf("%s for %s of %s, to %s%s\n", v.ID, v.Name, v.Account, v.Scope, bounds(v))
		return nil
	})
}

// certificateIn is what a file has, with a certificate in DER, as Windows writes them, in PEM.
func certificateIn(text []byte) string {
	if _, err := x509.ParseCertificate(text); err != nil {
		return string(text)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: text}))
}

type certLs struct {
	configFlag
	jsonFlag
}

// Run lists the certificates.
func (a certLs) Run(ctx context.Context, c console) error {
	return a.operate(ctx, c, func(o *operate.Client) error {
		if a.JSON {
			return o.CertList(ctx, func(v operate.Credential) error { return printJSON(c.out, v) })
		}
		t := newTable(c, "ACCOUNT", "ID", "NAME", "FOR", "ENROLLED", "LAST USED", "ENDS")
		err := o.CertList(ctx, func(v operate.Credential) error {
			t.row(v.Account, v.ID, v.Name, v.Scope, moment(v.Created), moment(v.LastUsed), moment(v.Ends))
			return nil
		})
		if err != nil {
			return err
		}
		return t.flushOr("there is no certificate that signs in")
	})
}

type certRevoke struct {
	accountArg
	Certificate string `arg:"" help:"Its id or its name, from cert ls."`
}

// Run revokes the certificate.
func (a certRevoke) Run(ctx context.Context, c console) error {
	return a.operate(ctx, c, func(o *operate.Client) error {
		v, err := o.CertRevoke(ctx, operate.CredentialRef{Account: a.Address, Credential: a.Certificate})
		return a.revoked(c, v, err)
	})
}
