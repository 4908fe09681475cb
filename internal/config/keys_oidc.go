package config

import "strings"

// OIDC says whose access tokens sign our people in.
type OIDC struct {
	Issuer             string // "": nobody's
	CA                 string // "": the system's authorities
	Audience, Scope    string
	ReadScope          string // "": Scope is for both
	Clients            []string
	Claim              string
	AskAs, AskSecretAt string // "": only tokens that say themselves what they are count
}

func oidcKeys() []entry[OIDC] {
	return []entry[OIDC]{
		parsed(Key{Path: "oidc.issuer", Type: TypeURL, Max: "2048", Required: true, Example: "https://login.example.org/realms/staff",
			Doc: "The OpenID provider whose access tokens sign people in (OAUTHBEARER, XOAUTH2), as its " +
				"tokens name it in `iss`; https, or http of this host alone. Its keys are found below " +
				"`/.well-known/openid-configuration`. [guides/oidc.md](guides/oidc.md) says what a token " +
				"must have."},
			parseIssuer, func(o *OIDC) *string { return &o.Issuer }),
		parsed(Key{Path: "oidc.ca", Type: TypePath, Min: "1", Max: "4096",
			Doc: "A PEM file of the certificates to trust for the provider, instead of the system's."},
			parsePath, func(o *OIDC) *string { return &o.CA }),
		parsed(Key{Path: "oidc.audience", Type: TypeText, Max: "254", Required: true, Example: "https://mail.example.org",
			Doc: "What `aud` of a token must name: this server, as the provider knows it."},
			parseClientID, func(o *OIDC) *string { return &o.Audience }),
		parsed(Key{Path: "oidc.scope", Type: TypeText, Max: "254", Required: true, Example: "smtp",
			Doc: "The scope that a token must have to send, and without read_scope to read. An ID token has none, and signs nobody in."},
			parseOneScope, func(o *OIDC) *string { return &o.Scope }),
		parsed(Key{Path: "oidc.read_scope", Type: TypeText, Max: "254",
			Doc: "The scope that a token must have to read a mailbox, such as imap; one with oidc.scope " +
				"alone sends then, and one with this alone reads. Without it oidc.scope is for both."},
			parseOneScope, func(o *OIDC) *string { return &o.ReadScope }),
		list(Key{Path: "oidc.clients", Type: TypeWords, Required: true, Example: "thunderbird",
			Doc: "The client_ids of the programs to which a token may have been given (`azp`, `client_id` or " +
				"`appid`). A token of any other counts for nothing."},
			parseClientID, func(o *OIDC) *[]string { return &o.Clients }),
		parsed(Key{Path: "oidc.claim", Type: TypeText, Max: "100", Default: "email",
			Doc: "Which claim is the account's address. `email` counts only with `email_verified`; any " +
				"other, such as `upn`, counts as it stands, so that people must not be able to change it " +
				"themselves."},
			parseClaim, func(o *OIDC) *string { return &o.Claim }),
		parsed(Key{Path: "oidc.ask_as", Type: TypeText, Max: "254",
			Doc: "Our own client_id at the provider, with which it is asked about tokens that are no JWT " +
				"(RFC 7662); needs ask_secret_file. Without it such tokens count for nothing."},
			parseClientID, func(o *OIDC) *string { return &o.AskAs }),
		parsed(Key{Path: "oidc.ask_secret_file", Type: TypePath, Min: "1", Max: "4096",
			Doc: "A file with the secret of ask_as in its only line. It is read for each question. Nobody " +
				"but its owner and its group may have access (mode 0600 or 0640)."},
			parsePath, func(o *OIDC) *string { return &o.AskSecretAt }),
	}
}

func parseIssuer(text string) (issuer, message, hint string) {
	issuer, message, hint = parseTokenURL(text)
	switch {
	case message != "":
		return "", strings.NewReplacer("a token endpoint", "an OpenID provider", "the client's secret would go over the network in clear text", "anybody on the way could answer for it").Replace(message),
			`write it as the provider's tokens have it in iss: "https://login.example.org/realms/staff"`
	case strings.Contains(text, "?"):
		return "", "an issuer has no question behind it", "write it as the provider's tokens have it in iss"
	}
	return issuer, "", ""
}

func parseOneScope(text string) (scope, message, hint string) {
	if scope, message, _ = parseScope(text); message != "" || strings.Contains(text, " ") {
		return "", "this is no single scope", `write one, as in "smtp"`
	}
	return scope, "", ""
}

func parseClaim(text string) (claim, message, hint string) {
	if text == "" || len(text) > mostClaim || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", "this is no name of a claim", `write "email", "upn" or "preferred_username"`
	}
	return text, "", ""
}

// checkOIDC wants a secret with who asks.
func (s *source) checkOIDC(root *node) {
	as, secret := root.child("oidc", "ask_as"), root.child("oidc", "ask_secret_file")
	switch {
	case as != nil && secret == nil:
		s.faultAt(as, "nothing would show the provider who asks", "add ask_secret_file")
	case as == nil && secret != nil:
		s.faultAt(secret, "it is not said who asks", "add ask_as: our own client_id at the provider")
	}
}

// checkOIDCFiles looks at the files of the provider.
func (s *source) checkOIDCFiles(c *Config, root *node) {
	if n := root.child("oidc", "ca"); n != nil && c.OIDC.CA != "" {
		s.checkCA(c.OIDC.CA, n)
	}
	if n := root.child("oidc", "ask_secret_file"); n != nil && c.OIDC.AskSecretAt != "" {
		if _, err := readLine(c.OIDC.AskSecretAt); err != nil {
			s.faultAt(n, cause(err), secretHint(err, c.OIDC.AskSecretAt))
		}
	}
}
