package signin

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"sallyport/internal/operate"
)

// issued is a certificate under an authority of the test's, with what the chain is to be.
func issued(t *testing.T, authority, leaf func(*x509.Certificate)) device {
	t.Helper()
	year := func(c *x509.Certificate, name string) {
		c.SerialNumber, c.Subject, c.NotBefore, c.NotAfter = big.NewInt(time.Now().UnixNano()), pkix.Name{CommonName: name}, time.Now().Add(-time.Hour), time.Now().AddDate(1, 0, 0)
	}
	var ca, end x509.Certificate
	year(&ca, "local.test authority")
	ca.IsCA, ca.BasicConstraintsValid, ca.KeyUsage = true, true, x509.KeyUsageCertSign
	authority(&ca)
	year(&end, "alice@local.test")
	end.EmailAddresses, end.ExtKeyUsage = []string{"alice@local.test"}, []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	leaf(&end)
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	caDER, err := x509.CreateCertificate(rand.Reader, &ca, &ca, &caKey.PublicKey, caKey)
	must(t, err)
	der, err := x509.CreateCertificate(rand.Reader, &end, &ca, &key.PublicKey, caKey)
	must(t, err)
	return device{pair: tls.Certificate{Certificate: [][]byte{der, caDER}, PrivateKey: key}, pem: pemOf(der)}
}

func pass(*x509.Certificate) {}

// names gives a certificate this subject, as it is written.
func names(t *testing.T, all ...pkix.AttributeTypeAndValue) func(*x509.Certificate) {
	t.Helper()
	var rdns pkix.RDNSequence
	for _, a := range all {
		rdns = append(rdns, pkix.RelativeDistinguishedNameSET{a})
	}
	raw, err := asn1.Marshal(rdns)
	must(t, err)
	return func(c *x509.Certificate) { c.RawSubject = raw }
}

// Nothing that stands in a certificate lets anybody in: no authority, no constraint of one
// and no name, however it is written. Enrolled, the same certificate is its account's, whatever
// it says. Rows I03, I07, I08, I09.
func TestNamesAndAuthoritiesLetNobodyIn(t *testing.T) {
	t.Parallel()
	s := start(t)
	cn := asn1.ObjectIdentifier{2, 5, 4, 3}
	text := func(v any) pkix.AttributeTypeAndValue { return pkix.AttributeTypeAndValue{Type: cn, Value: v} }
	wide := []byte{}
	for _, r := range "alice@local.test" {
		wide = append(wide, 0, byte(r))
	}
	enrolled := s.device("enrolled", nil)
	s.enroll("alice@local.test", "laptop", enrolled)
	for name, d := range map[string]device{
		"under an authority of our name":        issued(t, pass, pass),
		"against the constraints of its issuer": issued(t, func(c *x509.Certificate) { c.PermittedEmailAddresses = []string{"elsewhere.test"} }, pass),
		"of an issuer that may issue none":      issued(t, func(c *x509.Certificate) { c.IsCA, c.KeyUsage = false, 0 }, pass),
		"with a chain to an enrolled one": func() device {
			d := issued(t, pass, pass)
			d.pair.Certificate[1] = enrolled.pair.Certificate[0]
			return d
		}(),
		"CN with a NUL":                        issued(t, pass, names(t, text("alice@local.test\x00.evil.test"))),
		"two CNs":                              issued(t, pass, names(t, text("bob@local.test"), text("alice@local.test"))),
		"a CN in UTF-16":                       issued(t, pass, names(t, text(asn1.RawValue{Tag: asn1.TagBMPString, Bytes: wide}))),
		"SAN in capitals":                      issued(t, pass, func(c *x509.Certificate) { c.EmailAddresses = []string{"ALICE@LOCAL.TEST"} }),
		"SAN of two accounts":                  issued(t, pass, func(c *x509.Certificate) { c.EmailAddresses = []string{"alice@local.test", "bob@local.test"} }),
		"the enrolled one's issuer and serial": issued(t, pass, func(c *x509.Certificate) { c.SerialNumber = big.NewInt(1) }),
		"SAN DNS and URI of the server":        issued(t, pass, func(c *x509.Certificate) { c.DNSNames = []string{"mx.local.test", "local.test"} }),
	} {
		t.Run(name, func(t *testing.T) {
			c, asked := s.dial("submissions", &d)
			c.t = t
			if !asked || c.offers("EXTERNAL") {
				t.Errorf("asked %v, offered %q", asked, c.hello)
			}
			c.say("AUTH EXTERNAL =", "504")
			c.say("MAIL FROM:<alice@local.test>", "530")
			// Its key is bob's now, whatever name stands there, and of no other account beside him.
			s.enroll("bob@local.test", name[:min(len(name), 40)], d)
			if _, err := s.op.CertEnroll(t.Context(), operate.Self(), operate.CertEnroll{Account: "alice@local.test", Name: "his", Certificate: d.pem, Scope: "send"}); err == nil {
				t.Error("one key signs in as two accounts")
			}
			c, _ = s.dial("submissions", &d)
			c.t = t
			c.say("AUTH EXTERNAL "+b64("alice@local.test"), "535")
			c.say("AUTH EXTERNAL =", "235")
			c.say("MAIL FROM:<alice@local.test>", "553")
			c.say("MAIL FROM:<bob@local.test>", "250")
		})
	}
}

// The name that a client says in TLS changes nothing about who it is, and is a name of nothing
// on the disk. Rows I16, I17.
func TestTheNameInTLS(t *testing.T) {
	t.Parallel()
	s := start(t, `[domain."local.test"]`, "[domain.\"second.test\"]\ndeliver = \"maildir\"\n[domain.\"local.test\"]")
	s.account("dave@second.test")
	laptop := s.device("laptop", nil)
	s.enroll("alice@local.test", "laptop", laptop)
	for _, name := range []string{"second.test", "mx.second.test", "mx.local.test", ""} {
		c, _ := s.dial("submissions", &laptop, func(cfg *tls.Config) { cfg.ServerName, cfg.InsecureSkipVerify = name, true })
		c.say("AUTH EXTERNAL =", "235")
		c.say("MAIL FROM:<dave@second.test>", "553")
		c.say("MAIL FROM:<alice@local.test>", "250")
	}
	for _, name := range []string{"127.0.0.1", "../../etc/passwd", ".local.test", "*.local.test", "mx.local.test\x00.evil.test", strings.Repeat("x", 300), strings.Repeat("y", 60000), "\xff\xfe", "a b"} {
		switch first, err := s.helloNamed(name); {
		case err != nil && !errors.Is(err, io.EOF):
			t.Errorf("%.40q: %v", name, err)
		case err == nil && first != 22 && first != 21: // a handshake that goes on, or an alert
			t.Errorf("%.40q: a record of type %d", name, first)
		}
	}
	c, _ := s.dial("submissions", &laptop)
	c.say("AUTH EXTERNAL =", "235")
}

// helloNamed says a ClientHello with this name, which no library would send, and returns the
// type of the first record that comes back.
func (s *site) helloNamed(name string) (byte, error) {
	s.t.Helper()
	stand := strings.Repeat("a", len(name)) // of the same length, so that all lengths stay right
	var hello bytes.Buffer
	ours, theirs := net.Pipe()
	go func() {
		_ = tls.Client(ours, &tls.Config{ServerName: stand, InsecureSkipVerify: true}).Handshake()
	}()
	head := make([]byte, 5)
	for {
		if _, err := io.ReadFull(theirs, head); err != nil {
			return 0, err
		}
		body := make([]byte, int(head[3])<<8|int(head[4]))
		if _, err := io.ReadFull(theirs, body); err != nil {
			return 0, err
		}
		hello.Write(head)
		hello.Write(body)
		if len(body) < 16384 {
			break
		}
	}
	theirs.Close()
	nc := s.raw(s.addrs["submissions"])
	if _, err := nc.Write(bytes.Replace(hello.Bytes(), []byte(stand), []byte(name), 1)); err != nil {
		return 0, err
	}
	_, err := io.ReadFull(nc, head[:1])
	return head[0], err
}

// stranger is a key that signs nothing that anybody would believe.
type stranger struct{ public crypto.PublicKey }

func (k stranger) Public() crypto.PublicKey { return k.public }
func (k stranger) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return make([]byte, 2048), nil
}

// A certificate that is made to cost much costs little, and whoever comes next is served. Row I19.
func TestCostlyCertificates(t *testing.T) {
	t.Parallel()
	s := start(t)
	plain := s.device("plain", nil)
	leaf, err := x509.ParseCertificate(plain.pair.Certificate[0])
	must(t, err)
	shows := func(chain ...[]byte) tls.Certificate {
		return tls.Certificate{Certificate: chain, PrivateKey: plain.pair.PrivateKey, Leaf: leaf}
	}
	long := make([][]byte, 0, 300)
	for range 300 {
		long = append(long, plain.pair.Certificate[0])
	}
	many := s.certified("many", plain.pair.PrivateKey.(*ecdsa.PrivateKey), func(c *x509.Certificate) {
		for n := range 10_000 {
			c.DNSNames = append(c.DNSNames, fmt.Sprintf("n%d.test", n))
		}
	})
	n := new(big.Int).Lsh(big.NewInt(1), 16383)
	huge := &rsa.PublicKey{N: n.Add(n, big.NewInt(1)), E: 65537}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, leaf, huge, plain.pair.PrivateKey)
	must(t, err)
	cut := bytes.Clone(plain.pair.Certificate[0])
	for name, show := range map[string]tls.Certificate{
		"a chain of 100 KiB": shows(long...),
		"10,000 names":       {Certificate: many.pair.Certificate, PrivateKey: many.pair.PrivateKey},
		"RSA of 16,384 bits": {Certificate: [][]byte{der}, PrivateKey: stranger{huge}},
		"no DER":             shows([]byte(strings.Repeat("\xff", 500))),
		"half of one":        shows(cut[:len(cut)/2]),
		"lengths that lie":   shows(append([]byte{0x30, 0x84, 0xff, 0xff, 0xff, 0xff}, cut...)),
		"an empty one":       shows([]byte{}),
		"another's":          {Certificate: plain.pair.Certificate, PrivateKey: stranger{leaf.PublicKey}},
	} {
		began := time.Now()
		nc := tls.Client(s.raw(s.addrs["submissions"]), &tls.Config{
			RootCAs: s.roots, ServerName: "mx.local.test",
			GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &show, nil },
		})
		err := nc.Handshake()
		if err == nil {
			_, err = nc.Read(make([]byte, 512)) // in TLS 1.3 a refusal comes with the first read
		}
		good := name == "a chain of 100 KiB" || name == "10,000 names" // odd, and right
		if good != (err == nil) {
			t.Errorf("%s: %v", name, err)
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("%s took %v", name, took)
		}
		c, _ := s.dial("submissions", nil)
		c.say("NOOP", "250")
	}
}
