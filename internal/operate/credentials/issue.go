package credentials

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"math/big"
	"strings"
	"time"

	"sallyport/internal/accounts"
	"sallyport/internal/ca"
	"sallyport/internal/fact"
	"sallyport/internal/mail"
	"sallyport/internal/operate/call"
)

// DeviceCA is what an operator needs of package ca.
type DeviceCA interface {
	Sign(ctx context.Context, r ca.Request, enrol func(ca.Signed) error) (ca.Signed, error)
	Authorities(ctx context.Context) ([]ca.Authority, error)
	Lists(ctx context.Context) ([]ca.List, error)
	Rollover(ctx context.Context, stolen bool, facts func(ca.Authority) [][]byte) (ca.Authority, error)
	KeyPath(number int) string
	KeyFault(a ca.Authority) error
	Limits() ca.Limits
}

// CertIssue asks that the server's own authority sign a certificate, and that its key be
// enrolled.
type CertIssue struct {
	Account string `json:"account"`
	Name    string `json:"name"`            // of the device
	Request string `json:"request"`         // PKCS #10 in PEM; only its key counts
	Scope   string `json:"scope,omitempty"` // "": that of what it replaces
	Days    int    `json:"days,omitempty"`  // 0: as usual
	// Replaces is the id or name of the account's certificate whose place it takes, after
	// both were good for a while; "": none.
	Replaces string `json:"replaces,omitempty"`
}

// CertIssued is a certificate that was issued.
type CertIssued struct {
	Credential
	Certificate string `json:"certificate"` // PEM
	Host        string `json:"host"`        // the server's name
	// Replaced is the certificate whose place it takes; nil: none.
	Replaced *Credential `json:"replaced,omitempty"`
}

// CertCRL asks for revocation lists of one authority; 0: of all.
type CertCRL struct {
	Authority int `json:"authority,omitempty"`
}

// RevocationList is one of an authority.
type RevocationList struct {
	Authority int       `json:"authority"`
	Number    uint64    `json:"number,omitempty"`
	Next      time.Time `json:"next,omitzero"` // when it must be made anew
	Listed    int       `json:"listed"`
	PEM       string    `json:"pem,omitempty"`
	Fault     string    `json:"fault,omitempty"` // why there is none
}

// DeviceAuthority is an authority for certificates of devices, as operators see it.
type DeviceAuthority struct {
	Number      int       `json:"number"`
	Name        string    `json:"name"`
	Made        time.Time `json:"made"`
	Ends        time.Time `json:"ends"`
	Signs       bool      `json:"signs"`                 // new certificates
	Distrusted  time.Time `json:"distrusted,omitzero"`   // since its key is somebody else's
	Fingerprint string    `json:"fingerprint"`           // SHA-256 of the certificate
	Key         string    `json:"key"`                   // the file where its key lies
	KeyFault    string    `json:"key_fault,omitempty"`   // why it cannot be used
	Certificate string    `json:"certificate,omitempty"` // PEM
}

// CARollover asks for a new authority.
type CARollover struct {
	Stolen bool `json:"stolen,omitempty"` // the keys of the others are somebody else's
}

// CertIssue signs a certificate and enrols its key, in one act.
func (op *Actions) CertIssue(ctx context.Context, by call.Caller, r CertIssue) (CertIssued, error) {
	a, err := call.ParseAccount(r.Account)
	if err != nil {
		return CertIssued{}, err
	}
	d := accounts.Device{Name: r.Name, Scope: accounts.ScopeAll}
	if r.Replaces != "" {
		old, err := op.certificateOf(a, r.Replaces)
		if err != nil {
			return CertIssued{}, err
		}
		d.Scope, d.Replaces, d.Until = old.Scope, old.ID, op.o.Now().Add(op.o.DeviceCA.Limits().Overlap)
	}
	if r.Scope != "" {
		if d.Scope, err = accounts.ParseScope(r.Scope); err != nil {
			return CertIssued{}, call.Invalid(err)
		}
	}
	var c accounts.Credential
	signed, err := op.o.DeviceCA.Sign(ctx, ca.Request{Account: a, Device: r.Name, Days: r.Days, PKCS10: r.Request}, func(s ca.Signed) (err error) {
		d.Certificate = s.Certificate
		c, err = op.o.Credentials.Enroll(ctx, a, d, func(c accounts.Credential) [][]byte {
			return fact.EncodeAll(call.AccountChanged(op.o.Now(), by, a, "certificate issued", issuedPairs(c, d, s)...))
		}, s.Note)
		return err
	})
	if err != nil {
		return CertIssued{}, err
	}
	out := CertIssued{Credential: op.credential(a, c), Certificate: pemOf("CERTIFICATE", signed.Certificate.Raw), Host: op.o.Host()}
	if d.Replaces != "" {
		if old, err := op.certificateOf(a, d.Replaces); err == nil {
			v := op.credential(a, old)
			out.Replaced = &v
		}
	}
	return out, nil
}

// issuedPairs are what the trace is told of an issued certificate.
func issuedPairs(c accounts.Credential, d accounts.Device, s ca.Signed) []fact.Pair {
	pairs := append(credentialPairs(c), fact.Pair{Name: "serial number", Value: serialOf(s.Certificate.SerialNumber)},
		fact.Pair{Name: "certificate ends", Value: s.Certificate.NotAfter.UTC().Format(time.RFC3339)}, fact.Pair{Name: "authority", Value: fmt.Sprint(s.Authority.Number)})
	if d.Replaces != "" {
		pairs = append(pairs, fact.Pair{Name: "replaces", Value: d.Replaces}, fact.Pair{Name: "which ends", Value: d.Until.UTC().Format(time.RFC3339)})
	}
	return pairs
}

func serialOf(n *big.Int) string { return n.Text(16) }

func pemOf(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

// certificateOf finds a certificate of an account by its id or name.
func (op *Actions) certificateOf(a mail.Address, name string) (accounts.Credential, error) {
	all, err := op.o.Credentials.Credentials(a)
	if err != nil {
		return accounts.Credential{}, err
	}
	if c, ok := named(all, accounts.KindCertificate, name); ok {
		return c, nil
	}
	return accounts.Credential{}, call.NotFound(fmt.Sprintf("%s has no certificate %s; see: sallyport cert ls", a, mail.Printable(name, mail.ValueShown)))
}

// CertCRL calls fn for the revocation list of each authority, made now.
func (op *Actions) CertCRL(ctx context.Context, _ call.Caller, r CertCRL, fn func(RevocationList) error) error {
	all, err := op.o.DeviceCA.Lists(ctx)
	if err != nil {
		return err
	}
	found := false
	for _, l := range all {
		if r.Authority != 0 && l.Authority.Number != r.Authority {
			continue
		}
		found = true
		v := RevocationList{Authority: l.Authority.Number, Number: l.Number, Next: l.Next, Listed: l.Listed}
		if l.Fault != nil {
			v.Fault = call.Words(l.Fault)
		} else {
			v.PEM = pemOf("X509 CRL", l.DER)
		}
		if err := fn(v); err != nil {
			return err
		}
	}
	if r.Authority != 0 && !found {
		return call.NotFound(fmt.Sprintf("there is no authority %d; see: sallyport cert ca show", r.Authority))
	}
	return nil
}

// CAList calls fn for every authority, the oldest first.
func (op *Actions) CAList(ctx context.Context, _ call.Caller, _ struct{}, fn func(DeviceAuthority) error) error {
	all, err := op.o.DeviceCA.Authorities(ctx)
	if err != nil {
		return err
	}
	for n, a := range all {
		if err := fn(op.authority(a, n == len(all)-1)); err != nil {
			return err
		}
	}
	return nil
}

// CARollover makes a new authority, which signs from now on.
func (op *Actions) CARollover(ctx context.Context, by call.Caller, r CARollover) (DeviceAuthority, error) {
	made, err := op.o.DeviceCA.Rollover(ctx, r.Stolen, func(a ca.Authority) [][]byte {
		what := fmt.Sprintf("authority %d for devices made", a.Number)
		if r.Stolen {
			what += ", and the ones before it are not to be trusted"
		}
		return fact.EncodeAll(fact.KeyChanged{At: op.o.Now(), Rule: fact.RuleOperator, Domain: op.o.Host(), Change: what, Evidence: call.DoneBy(by)}.Fact())
	})
	if err != nil {
		return DeviceAuthority{}, err
	}
	return op.authority(made, true), nil
}

func (op *Actions) authority(a ca.Authority, signs bool) DeviceAuthority {
	v := DeviceAuthority{
		Number: a.Number, Name: a.Certificate.Subject.CommonName, Made: a.Made, Ends: a.Certificate.NotAfter.UTC(), Signs: signs, Distrusted: a.Distrusted,
		Fingerprint: fingerprint(a.Certificate.Raw), Key: op.o.DeviceCA.KeyPath(a.Number), Certificate: pemOf("CERTIFICATE", a.Certificate.Raw),
	}
	if err := op.o.DeviceCA.KeyFault(a); err != nil {
		v.KeyFault = call.Words(err)
	}
	return v
}

// fingerprint is the SHA-256 of a certificate, as OpenSSL writes it.
func fingerprint(der []byte) string {
	sum := sha256.Sum256(der)
	var all []string
	for _, o := range sum {
		all = append(all, strings.ToUpper(hex.EncodeToString([]byte{o})))
	}
	return strings.Join(all, ":")
}

// CertIssue calls Actions.CertIssue.
func (c Client) CertIssue(ctx context.Context, r CertIssue) (CertIssued, error) {
	return call.Do[CertIssued](ctx, c.Client, "cert.issue", r)
}

// CertCRL calls Actions.CertCRL.
func (c Client) CertCRL(ctx context.Context, r CertCRL, fn func(RevocationList) error) error {
	return call.Stream(ctx, c.Client, "cert.crl", r, fn)
}

// CAList calls Actions.CAList.
func (c Client) CAList(ctx context.Context, fn func(DeviceAuthority) error) error {
	return call.Stream(ctx, c.Client, "cert.ca.ls", struct{}{}, fn)
}

// CARollover calls Actions.CARollover.
func (c Client) CARollover(ctx context.Context, r CARollover) (DeviceAuthority, error) {
	return call.Do[DeviceAuthority](ctx, c.Client, "cert.ca.rollover", r)
}
