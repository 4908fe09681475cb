package doctor

import "strings"

// checkTokens tells of authorization servers that give no token.
func checkTokens(f Facts) (all []Finding) {
	for _, t := range f.Tokens {
		add := func(s State, what, remedy string) {
			all = append(all, Finding{"tokens", t.For, s, what, remedy})
		}
		switch {
		case t.Error != "":
			add(Wrong, "no token: "+t.Error+"; mail of this route waits", tokenRemedy(t.Error))
		case t.Waits != "":
			add(Wrong, "the server has no token that is taken: "+t.Waits+"; mail of this route waits", tokenRemedy(t.Waits))
		case t.Tried:
			add(Fine, t.At+" gives a token", "")
		default:
			add(Fine, t.At+" answers; no token was asked for, since that would use up the refresh token", "")
		}
	}
	return all
}

// tokenRemedy says what helps against an error. RFC 6749 §5.2 has the words.
func tokenRemedy(text string) string {
	for _, r := range []struct{ word, remedy string }{
		{"does not take the token", "the mailbox does not let this client send: look at user and token_scope of the route, and at what the mailbox allows there"},
		{"invalid_client", "the secret in client_secret_file ended or is another client's, or client_id is wrong; some servers want token_auth = \"header\""},
		{"unauthorized_client", "allow the client this kind of grant where it is registered, and consent to it as the administrator"},
		{"unsupported_grant_type", "this server gives no tokens for client credentials: use refresh_token_file"},
		{"invalid_scope", "write into token_scope what the server's documentation names for sending mail"},
		{"invalid_grant", "the refresh token ended or was withdrawn: agree once more, and write the new one into refresh_token_file"},
		{"certificate", "look at token_ca, or who stands in between: the certificate of the token endpoint does not verify"},
		{"cannot be read", "look at the files that the route names, their mode and owner"},
		{"it answers 404", "token_url is wrong: the server's documentation, or its /.well-known/openid-configuration, names the token_endpoint"},
		{"it answers 5", "the authorization server is out of order; nothing is lost meanwhile"},
		{"no such host", "token_url names no host that the DNS knows"},
	} {
		if strings.Contains(text, r.word) {
			return r.remedy
		}
	}
	return "look whether this host reaches token_url: firewall, proxy, DNS"
}

// checkProvider tells of an OpenID provider that cannot be asked for its keys.
func checkProvider(f Facts) []Finding {
	p := f.Provider
	switch {
	case p == nil:
		return nil
	case p.Error == "":
		return []Finding{{"tokens", p.Issuer, Fine, "the provider has keys", ""}}
	}
	remedy := "look whether this host reaches it: firewall, proxy, DNS"
	for _, r := range []struct{ word, remedy string }{
		{"certificate", "look at oidc.ca, or who stands in between: the certificate of the provider does not verify"},
		{"did not match", "write oidc.issuer as the provider calls itself: a slash at the end counts"},
		{"404", "oidc.issuer is wrong: there is no /.well-known/openid-configuration below it"},
		{"introspection_endpoint", "this provider is not asked about tokens: remove oidc.ask_as and its secret"},
		{"no key that signs", "the provider has no key with an id: look at its settings"},
	} {
		if strings.Contains(p.Error, r.word) {
			remedy = r.remedy
			break
		}
	}
	return []Finding{{"tokens", p.Issuer, Wrong, "nobody signs in with a token once the keys that are known are old: " + p.Error, remedy}}
}
