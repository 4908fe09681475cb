package node

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"strings"
	"time"

	"sallyport/internal/config"
	"sallyport/internal/operate"
	"sallyport/internal/operate/doctor"
	"sallyport/internal/tlspolicy/mtasts"
)

// gatherTLS looks at the certificate: at the files, or at what was obtained. leaf is nil
// where there is none.
func gatherTLS(cfg config.Config, obtained *operate.Obtained, now time.Time) (f doctor.TLSFacts, leaf *x509.Certificate) {
	var chain []*x509.Certificate
	switch {
	case cfg.ACME.On():
		f.Configured, f.Authority, f.Pending = true, cfg.ACME.Directory, true
		if obtained == nil {
			return f, nil
		}
		f.Fault, f.Next = obtained.Fault, obtained.Next
		chain = parseChain([]byte(obtained.Chain))
		f.Pending = len(chain) == 0
	case cfg.TLS.Cert != "":
		f.Configured, f.File = true, cfg.TLS.Cert
		pair, err := tls.LoadX509KeyPair(cfg.TLS.Cert, cfg.TLS.Key)
		if err != nil {
			f.Error = err.Error()
			return f, nil
		}
		for _, der := range pair.Certificate {
			if c, err := x509.ParseCertificate(der); err == nil {
				chain = append(chain, c)
			}
		}
	}
	if len(chain) == 0 {
		return f, nil
	}
	return examineChain(f, cfg, chain, now), chain[0]
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

func examineChain(f doctor.TLSFacts, cfg config.Config, chain []*x509.Certificate, now time.Time) doctor.TLSFacts {
	leaf, between := chain[0], x509.NewCertPool()
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	f.Names, f.NotBefore, f.NotAfter = leaf.DNSNames, leaf.NotBefore, leaf.NotAfter
	f.CoversHostname = leaf.VerifyHostname(cfg.Hostname.ASCII()) == nil
	// Judged in the middle of its time: that it expires is a finding of its own.
	middle := leaf.NotBefore.Add(leaf.NotAfter.Sub(leaf.NotBefore) / 2)
	if now.After(leaf.NotBefore) && now.Before(leaf.NotAfter) {
		middle = now
	}
	if _, err := leaf.Verify(x509.VerifyOptions{Intermediates: between, CurrentTime: middle}); err != nil {
		f.Chain = strings.TrimPrefix(err.Error(), "x509: ")
	}
	return f
}

// lacks returns the names that a certificate should bear and does not: those of [acme],
// and those where others look for the policies that are served here.
func lacks(cfg config.Config, domains []doctor.DomainFacts, leaf *x509.Certificate) (names []string) {
	if leaf == nil {
		return nil
	}
	var wanted []string
	for _, d := range cfg.ACME.Names {
		wanted = append(wanted, d.ASCII())
	}
	for _, d := range domains {
		if len(cfg.TLSPolicy.Listen) > 0 && len(d.MTASTS.Values) > 0 {
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
