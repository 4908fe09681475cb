package visit

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/textproto"
	"slices"
	"time"

	"sallyport/internal/mail"
	"sallyport/internal/relayaudit"
	"sallyport/internal/relayaudit/verdict"
)

// tls asks what the door's TLS is worth.
func (v *visitor) tls() {
	t := &v.d.TLS
	if t.Asked = v.d.Kind == verdict.Submissions || v.offers("STARTTLS"); !t.Asked {
		return
	}
	cfg := &tls.Config{
		InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, ServerName: v.s.Host, // who it is, is judged below
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			t.WantsCert = true
			return &tls.Certificate{}, nil
		},
	}
	state, err := v.handshake(cfg)
	if err != nil {
		t.Fault = mail.Shown(err.Error())
		return
	}
	t.Version = tls.VersionName(state.Version)
	v.certificate(state.PeerCertificates)
	for _, old := range []uint16{tls.VersionTLS10, tls.VersionTLS11} {
		if _, err := v.handshake(&tls.Config{InsecureSkipVerify: true, MinVersion: old, MaxVersion: old, ServerName: v.s.Host, CipherSuites: every()}); err == nil {
			t.Old = append(t.Old, tls.VersionName(old))
		}
	}
	for _, s := range tls.InsecureCipherSuites() {
		if !broken(s) {
			continue
		}
		if _, err := v.handshake(&tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS12, ServerName: v.s.Host, CipherSuites: []uint16{s.ID}}); err == nil {
			t.Weak = append(t.Weak, s.Name)
		}
	}
	if v.d.Kind != verdict.Submissions {
		v.injection()
	}
}

// every is all the cipher suites that we have, so that a handshake fails for its version alone.
func every() (ids []uint16) {
	for _, s := range append(tls.CipherSuites(), tls.InsecureCipherSuites()...) {
		ids = append(ids, s.ID)
	}
	return ids
}

// broken reports whether a cipher can be read with enough traffic: RC4 (RFC 7465) and 3DES
// (CVE-2016-2183).
func broken(s *tls.CipherSuite) bool {
	switch s.ID {
	case tls.TLS_RSA_WITH_RC4_128_SHA, tls.TLS_ECDHE_ECDSA_WITH_RC4_128_SHA, tls.TLS_ECDHE_RSA_WITH_RC4_128_SHA,
		tls.TLS_RSA_WITH_3DES_EDE_CBC_SHA, tls.TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA:
		return true
	}
	return false
}

// handshake connects anew and starts TLS.
func (v *visitor) handshake(cfg *tls.Config) (tls.ConnectionState, error) {
	ctx, cancel := context.WithTimeout(v.ctx, v.o.Limits.Probe.Dial+v.o.Limits.Probe.Reply)
	defer cancel()
	conn, err := v.dial(ctx)
	if err != nil {
		return tls.ConnectionState{}, err
	}
	defer conn.Close()
	if end, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(end)
	}
	if v.d.Kind != verdict.Submissions {
		if err := startTLS(conn, v.ehlo()); err != nil {
			return tls.ConnectionState{}, err
		}
	}
	c := tls.Client(conn, cfg)
	if err := c.HandshakeContext(ctx); err != nil {
		return tls.ConnectionState{}, err
	}
	return c.ConnectionState(), nil
}

// startTLS leads a connection in clear to the point where the handshake begins.
func startTLS(conn net.Conn, client string) error {
	// Bounded, so that a server that never ends its lines costs nothing.
	tp := textproto.NewReader(bufio.NewReaderSize(&bounded{conn, maxClear}, readOctets))
	for _, line := range []string{"", "EHLO " + client, "STARTTLS"} {
		want := 250
		if line != "" {
			if _, err := fmt.Fprintf(conn, "%s\r\n", line); err != nil {
				return err
			}
		}
		if line == "" || line == "STARTTLS" {
			want = 220
		}
		if _, _, err := tp.ReadResponse(want); err != nil {
			return err
		}
	}
	return nil
}

// maxClear is how much a server may say before TLS.
const maxClear = 64 << 10

const (
	// readOctets is how much of it is read ahead.
	readOctets = 2048
	// mostNames is how many names of a certificate are told, and as many addresses.
	mostNames = 16
	// leastRSA is the fewest bits of an RSA key that is not weak.
	leastRSA = 2048
)

var errTalks = errors.New("it says too much before TLS")

// bounded reads at most left octets.
type bounded struct {
	conn net.Conn
	left int
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errTalks
	}
	n, err := b.conn.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}

// certificate notes what the server proves to be.
func (v *visitor) certificate(chain []*x509.Certificate) {
	if len(chain) == 0 {
		return
	}
	leaf, c := chain[0], &v.d.TLS.Cert
	c.Seen, c.Issuer, c.NotBefore, c.NotAfter = true, mail.Shown(leaf.Issuer.String()), leaf.NotBefore, leaf.NotAfter
	for _, n := range leaf.DNSNames[:min(len(leaf.DNSNames), mostNames)] {
		c.Names = append(c.Names, mail.Shown(n))
	}
	for _, ip := range leaf.IPAddresses[:min(len(leaf.IPAddresses), mostNames)] {
		c.Names = append(c.Names, ip.String())
	}
	c.Key, c.WeakKey = keyOf(leaf)
	c.Signature = leaf.SignatureAlgorithm.String()
	c.WeakSig = slices.Contains([]x509.SignatureAlgorithm{x509.MD2WithRSA, x509.MD5WithRSA, x509.SHA1WithRSA, x509.DSAWithSHA1, x509.ECDSAWithSHA1},
		leaf.SignatureAlgorithm)
	banner, _ := cutBlank(v.d.Greeting)
	for _, name := range []string{v.s.Host, banner, v.d.At.Addr().Unmap().String()} {
		if name != "" && leaf.VerifyHostname(name) == nil {
			c.Matches = true
		}
		if c.AskedFor == "" {
			c.AskedFor = name
		}
	}
	between := x509.NewCertPool()
	for _, extra := range chain[1:] {
		between.AddCert(extra)
	}
	_, err := leaf.Verify(x509.VerifyOptions{Roots: v.o.Roots, Intermediates: between, CurrentTime: time.Time{}})
	var ended x509.CertificateInvalidError
	switch {
	case errors.As(err, &ended) && ended.Reason == x509.Expired:
		c.Untrusted = "It ended on " + leaf.NotAfter.UTC().Format("2 January 2006") + ", or has not begun."
	case err != nil:
		c.Untrusted = "No authority that this system trusts vouches for it: " + mail.Shown(err.Error()) + "."
	}
}

func cutBlank(s string) (first, rest string) {
	for i, r := range s {
		if r == ' ' || r == '\n' {
			return s[:i], s[i+1:]
		}
	}
	return s, ""
}

// keyOf names a key, and says whether it is weak: RSA below 2048 bits.
func keyOf(c *x509.Certificate) (name string, weak bool) {
	switch k := c.PublicKey.(type) {
	case *rsa.PublicKey:
		return fmt.Sprintf("RSA %d", k.N.BitLen()), k.N.BitLen() < leastRSA
	case *ecdsa.PublicKey:
		return "ECDSA " + k.Curve.Params().Name, false
	case ed25519.PublicKey:
		return "Ed25519", false
	}
	return c.PublicKeyAlgorithm.String(), false
}

// injection sends a command behind STARTTLS, in clear, and sees whether it is answered inside
// TLS: then the reply to EHLO is not the one that is read for it.
func (v *visitor) injection() {
	r := v.ask("STARTTLS\\r\\nNOOP ⏎ {TLS} ⏎ EHLO "+v.ehlo(), v.opened(), relayaudit.Mode{})
	said := saidOf(r)
	v.d.TLS.Injected = said
	if r.Err != nil || len(said) != 3 || said[1].Outcome != relayaudit.OutcomeOK {
		return
	}
	v.d.TLS.Surplus = said[2].Took() && len(keywords(said[2].Reply.Text)) == 0 && len(v.d.Hidden) > 0
}
