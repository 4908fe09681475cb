package gather

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"slices"
	"strings"
	"time"

	"sallyport/internal/operate/doctor"
	"sallyport/internal/tlspolicy/mtasts"
)

// Certificate says where the certificate comes from; the zero value: there is to be none.
type Certificate struct {
	File, Key string // PEM files; "": it is obtained
	// Authority is who gives it, by the URL of its directory; "": nobody.
	Authority string
	Chain     string    // PEM of what was obtained; "": nothing, or it is not known
	Fault     string    // why the last attempt failed; "": it did not
	Next      time.Time // of the next attempt after a fault
	Names     []string  // that it should bear beside the host name
	Policies  bool      // of MTA-STS are served under it
}

// gatherTLS looks at the certificate: at the files, or at what was obtained. leaf is nil
// where there is none.
func gatherTLS(o Options) (f doctor.TLSFacts, leaf *x509.Certificate) {
	c := o.Certificate
	var chain []*x509.Certificate
	switch {
	case c.Authority != "":
		f.Configured, f.Authority, f.Pending = true, c.Authority, true
		f.Fault, f.Next = c.Fault, c.Next
		chain = parseChain([]byte(c.Chain))
		f.Pending = len(chain) == 0
	case c.File != "":
		f.Configured, f.File = true, c.File
		pair, err := tls.LoadX509KeyPair(c.File, c.Key)
		if err != nil {
			f.Error = err.Error()
			return f, nil
		}
		for _, der := range pair.Certificate {
			if one, err := x509.ParseCertificate(der); err == nil {
				chain = append(chain, one)
			}
		}
	}
	if len(chain) == 0 {
		return f, nil
	}
	return examineChain(f, o, chain), chain[0]
}

// parseChain reads the certificates of a PEM text; none where one cannot be read.
func parseChain(text []byte) (chain []*x509.Certificate) {
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			return chain
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil
		}
		chain = append(chain, c)
	}
}

func examineChain(f doctor.TLSFacts, o Options, chain []*x509.Certificate) doctor.TLSFacts {
	leaf, between := chain[0], x509.NewCertPool()
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	f.Names, f.NotBefore, f.NotAfter = leaf.DNSNames, leaf.NotBefore, leaf.NotAfter
	f.CoversHostname = leaf.VerifyHostname(o.Hostname.ASCII()) == nil
	// Judged in the middle of its time: that it expires is a finding of its own.
	middle := leaf.NotBefore.Add(leaf.NotAfter.Sub(leaf.NotBefore) / 2)
	if o.Now.After(leaf.NotBefore) && o.Now.Before(leaf.NotAfter) {
		middle = o.Now
	}
	if _, err := leaf.Verify(x509.VerifyOptions{Intermediates: between, CurrentTime: middle}); err != nil {
		f.Chain = strings.TrimPrefix(err.Error(), "x509: ")
	}
	return f
}

// lacks returns the names that a certificate should bear and does not: those of [acme],
// and those where others look for the policies that are served here.
func lacks(c Certificate, domains []doctor.DomainFacts, leaf *x509.Certificate) (names []string) {
	if leaf == nil {
		return nil
	}
	wanted := slices.Clone(c.Names)
	for _, d := range domains {
		if c.Policies && len(d.MTASTS.Values) > 0 {
			wanted = append(wanted, mtasts.Host+d.Name)
		}
	}
	for _, name := range wanted {
		if leaf.VerifyHostname(name) != nil {
			names = append(names, name)
		}
	}
	return names
}
