package config

import (
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"

	"github.com/pelletier/go-toml/v2/unstable"

	"sallyport/internal/mail"
)

// ACME says from whom certificates are obtained, and how. RFC 8555
type ACME struct {
	Directory string       // URL of the directory
	Contact   mail.Address // of the account there; zero: none
	Agree     bool         // to the terms of service
	Challenge string       // "http-01" or "tls-alpn-01"
	Listen    []netip.AddrPort
	CA        string        // PEM file of the roots to trust for the directory; "": the system's
	Names     []mail.Domain // beside hostname
}

// Kinds of challenges.
const (
	ChallengeHTTP    = "http-01"     // RFC 8555 §8.3
	ChallengeTLSALPN = "tls-alpn-01" // RFC 8737
)

// On reports whether certificates are obtained at all.
func (a ACME) On() bool { return a.Agree }

// MaxACMENames is how many names a certificate may bear beside hostname.
const MaxACMENames = 99

const acmeRestart = "where certificates come from is settled at the start alone"

func acmeKeys() []entry[ACME] {
	return []entry[ACME]{
		parsed(Key{Path: "acme.agree", Type: TypeChoice, Required: true, Example: "yes", Restart: acmeRestart,
			Doc: `"yes": you agree to the terms of service of the certificate authority. Nothing is obtained without.`},
			parseAgree, func(a *ACME) *bool { return &a.Agree }),
		list(Key{Path: "acme.listen", Type: TypeListen, Restart: acmeRestart,
			Doc: "Where the challenges of the authority are answered, as in `[\"0.0.0.0:80\", \"[::]:80\"]`; " +
				"must be given, for each family that the names have addresses of. The authority calls at " +
				"port 80 for http-01 and at port 443 for tls-alpn-01, so that these must lead here. Nothing " +
				"else is ever answered there."},
			parseListen, func(a *ACME) *[]netip.AddrPort { return &a.Listen }),
		parsed(Key{Path: "acme.challenge", Type: TypeChoice, Default: "http-01", Restart: acmeRestart,
			Doc: `How this host proves that a name is its own: "http-01" (RFC 8555 §8.3) or "tls-alpn-01" (RFC 8737).`},
			parseChallenge, func(a *ACME) *string { return &a.Challenge }),
		parsed(Key{Path: "acme.contact", Type: TypeAddress, Restart: acmeRestart,
			Doc: "Where the authority may write to about the account."},
			parseMailbox, func(a *ACME) *mail.Address { return &a.Contact }),
		parsed(Key{Path: "acme.directory", Type: TypeURL, Default: "https://acme-v02.api.letsencrypt.org/directory", Restart: acmeRestart,
			Doc: "The directory of the authority, an https URL. Without it: Let's Encrypt."},
			parseDirectory, func(a *ACME) *string { return &a.Directory }),
		list(Key{Path: "acme.names", Type: TypeWords,
			Doc: `Names that the certificate bears beside hostname, at most 99, as in ["smtp.example.org"]. ` +
				`All of them must lead to this host: while one does not, no new certificate is obtained. ` +
				`With tls_policy.listen, mta-sts.DOMAIN of each domain is obtained, too, as soon as the DNS ` +
				`shows that it leads to where hostname leads.`},
			parseHost, func(a *ACME) *[]mail.Domain { return &a.Names }),
		parsed(Key{Path: "acme.ca", Type: TypePath, Min: "1", Max: "4096", Restart: acmeRestart,
			Doc: "A PEM file of the certificates to trust for the directory's own HTTPS, instead of the " +
				"system's; for an authority of your own."},
			parsePath, func(a *ACME) *string { return &a.CA }),
	}
}

func parseAgree(text string) (agree bool, message, hint string) {
	if text == "yes" {
		return true, "", ""
	}
	return false, "without your agreement no certificate is obtained", `read the terms of the authority and write "yes", or remove [acme]`
}

func parseChallenge(text string) (challenge, message, hint string) {
	switch text {
	case ChallengeHTTP, ChallengeTLSALPN:
		return text, "", ""
	}
	return "", "this challenge is unknown", `write "http-01" or "tls-alpn-01"`
}

func parseDirectory(text string) (directory, message, hint string) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.Fragment != "" || len(text) > mostURL {
		return "", "this is no https URL of a directory", `write it as "https://acme-v02.api.letsencrypt.org/directory"`
	}
	return text, "", ""
}

// acme reads the table, all of it or nothing: its keys are required where it stands.
func (s *source) acme(t *node, c *Config) {
	block(s, t, acmeKeys(), &c.ACME)
	if path := &c.ACME.CA; *path != "" && !filepath.IsAbs(*path) {
		*path = filepath.Join(filepath.Dir(s.file), *path)
	}
	if t == nil {
		return
	}
	if at := t.child("listen"); at == nil || at.kind == unstable.Array && len(at.items) == 0 {
		s.faultAt(firstOf(at, t), "the challenges would be answered nowhere", `write listen = ["0.0.0.0:80", "[::]:80"]`)
	}
	if len(c.ACME.Names) > MaxACMENames {
		s.faultAt(t.child("names"), "these are more names than a certificate may bear", "name at most 99")
	}
	s.checkChallengePlaces(c, t.child("listen"))
	s.checkChallengePort(c, t)
}

// checkOneCertificate refuses a certificate that comes from two places.
func (s *source) checkOneCertificate(root *node) {
	if cert := firstOf(root.child("tls", "cert"), root.child("tls", "key")); cert != nil && root.child("acme").isTable() {
		s.faultAt(cert, "the certificate would come from here and from [acme]", "keep one of the two")
	}
}

// checkChallengePort refuses the well-known port of the other challenge: an authority
// never calls there for this one. RFC 8555 §8.3, RFC 8737 §3
func (s *source) checkChallengePort(c *Config, t *node) {
	at := t.child("listen")
	if at == nil || len(at.items) != len(c.ACME.Listen) {
		return
	}
	for i, addr := range c.ACME.Listen {
		switch {
		case c.ACME.Challenge == ChallengeHTTP && addr.Port() == 443:
			s.faultAt(at.item(i), "the challenge http-01 is never answered at port 443", `write port 80, or challenge = "tls-alpn-01"`)
		case c.ACME.Challenge == ChallengeTLSALPN && addr.Port() == 80:
			s.faultAt(at.item(i), "the challenge tls-alpn-01 is never answered at port 80", `write port 443, or challenge = "http-01"`)
		}
	}
}

// checkChallengePlaces refuses addresses that are taken already.
func (s *source) checkChallengePlaces(c *Config, at *node) {
	others := slices.Concat(c.listeners(), c.Metrics.Listen, c.TLSPolicy.Listen, c.Autoconfig.Listen)
	for i, addr := range c.ACME.Listen {
		if at == nil || len(at.items) != len(c.ACME.Listen) {
			return // some could not be read, and have been reported
		}
		for _, other := range slices.Concat(others, c.ACME.Listen[:i]) {
			if collide(addr, other) {
				s.faultAt(at.item(i), "this address is taken by another listener: "+other.String(),
					"give it an address of its own; where port 443 is taken, the challenge http-01 needs port 80 alone")
				break
			}
		}
	}
}

// certified reports whether there is or will be a certificate.
func (n *node) certified() bool { return n.child("tls", "cert") != nil || n.child("acme") != nil }
