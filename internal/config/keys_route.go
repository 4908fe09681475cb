package config

import (
	"slices"

	"sallyport/internal/mail"
)

func routeKeys() []entry[Route] {
	return slices.Concat(hopKeys(), signInKeys(), tokenKeys(), []entry[Route]{
		count("route.NAME.connections", "20", "1", "1000",
			"The most connections to this next hop at once; never more than "+
				"limits.deliveries_per_domain are used.",
			func(r *Route) *int { return &r.Connections }),
		count("route.NAME.messages", "100", "1", "100000", "The most messages on one connection.",
			func(r *Route) *int { return &r.Messages }),
	})
}

func hopKeys() []entry[Route] {
	return []entry[Route]{
		{Key{Path: "route.NAME.to", Type: TypeURL, Required: true, Example: "smtp://mail.example.net:25",
			Doc: `The next hop for a foreign domain, or for "*", all that have no route of their own (a ` +
				`smarthost): smtp://host, or smtps://host for TLS from the first octet. Ports are 25 and ` +
				`465 where none is given. Where the name has several addresses, what one does not serve, ` +
				`or defers a second time, is offered to another.`},
			readTo},
		list(Key{Path: "route.NAME.others", Type: TypeURLs,
			Doc: `Further next hops for the same mail, such as ["smtp://second.example.net:25"], in the form of route.NAME.to ` +
				`and reached in the same way: with its tls, ca, user and password. They are tried where nobody ` +
				`before them serves, and from the second attempt on where one defers. At most 8.`},
			parseHop, func(r *Route) *[]Hop { return &r.Others }),
		parsed(Key{Path: "route.NAME.tls", Type: TypeChoice,
			Doc: `How an smtp:// route is secured: "none", "opportunistic" (STARTTLS where offered, ` +
				`certificate not checked; where that fails, clear text, which the trace notes) or ` +
				`"required" (STARTTLS and a certificate that verifies, or the mail waits). Without it: ` +
				`opportunistic. An smtps:// route always verifies.`},
			parseTLSMode, func(r *Route) *mail.TLSMode { return &r.TLS }),
		parsed(Key{Path: "route.NAME.ca", Type: TypePath, Min: "1", Max: "4096",
			Doc: "A PEM file of the certificates to trust for this route, instead of the system's."},
			parsePath, func(r *Route) *string { return &r.CA }),
	}
}

// signInKeys are about who we are at the next hop.
func signInKeys() []entry[Route] {
	return []entry[Route]{
		parsed(Key{Path: "route.NAME.user", Type: TypeText, Max: "254",
			Doc: "The name to sign in with; needs password_file or token_url, and TLS that verifies."},
			parseUser, func(r *Route) *string { return &r.User }),
		parsed(Key{Path: "route.NAME.password_file", Type: TypePath, Min: "1", Max: "4096",
			Doc: "A file with the password in its only line. Nobody but its owner and its group may have access (mode 0600 or 0640)."},
			parsePath, func(r *Route) *string { return &r.PasswordFile }),
		parsed(Key{Path: "route.NAME.cert", Type: TypePath, Min: "1", Max: "4096",
			Doc: "The certificate chain, PEM, that is shown to this next hop where it asks for one; needs " +
				"cert_key, and TLS that verifies. Without user it signs in by itself: by AUTH EXTERNAL " +
				"where that is offered, by the handshake alone where not. A next hop that asks for none " +
				"gets no mail then. It is read for each connection."},
			parsePath, func(r *Route) *string { return &r.Cert }),
		parsed(Key{Path: "route.NAME.cert_key", Type: TypePath, Min: "1", Max: "4096",
			Doc: "The private key of that certificate, PEM. Nobody but its owner and its group may have access (mode 0600 or 0640)."},
			parsePath, func(r *Route) *string { return &r.CertKey }),
	}
}

// tokenKeys are about the access token that signs in instead of a password.
func tokenKeys() []entry[Route] {
	return []entry[Route]{
		parsed(Key{Path: "route.NAME.token_url", Type: TypeURL, Max: "2048",
			Doc: "The token endpoint of the OAuth 2.0 authorization server (RFC 6749) that gives the token " +
				"which signs user in, by XOAUTH2 or OAUTHBEARER (RFC 7628); https, or http of this host " +
				"alone. Needs client_id, and client_secret_file or refresh_token_file. A token is asked for " +
				"when it is needed and renewed before it ends; while none is to be had, mail waits."},
			parseTokenURL, func(r *Route) *string { return &r.Token.URL }),
		parsed(Key{Path: "route.NAME.token_ca", Type: TypePath, Min: "1", Max: "4096",
			Doc: "A PEM file of the certificates to trust for token_url, instead of the system's."},
			parsePath, func(r *Route) *string { return &r.Token.CA }),
		parsed(Key{Path: "route.NAME.client_id", Type: TypeText, Max: "254",
			Doc: "What the authorization server knows this server by."},
			parseClientID, func(r *Route) *string { return &r.Token.Client }),
		parsed(Key{Path: "route.NAME.client_secret_file", Type: TypePath, Min: "1", Max: "4096",
			Doc: "A file with the client's secret in its only line. Without refresh_token_file the client " +
				"signs in as itself with it (client credentials). It is read for each token. Nobody but its " +
				"owner and its group may have access (mode 0600 or 0640)."},
			parsePath, func(r *Route) *string { return &r.Token.SecretFile }),
		parsed(Key{Path: "route.NAME.refresh_token_file", Type: TypePath, Min: "1", Max: "4096",
			Doc: "A file with a refresh token in its only line, for a user who once agreed. What the server " +
				"gives in exchange for it is kept in the data folder and used from then on, until the file " +
				"holds another one. Nobody but its owner and its group may have access (mode 0600 or 0640)."},
			parsePath, func(r *Route) *string { return &r.Token.RefreshFile }),
		parsed(Key{Path: "route.NAME.token_scope", Type: TypeText, Max: "1000",
			Doc: "The scopes to ask for, with blanks between them. Without it: what the authorization server gives by itself."},
			parseScope, func(r *Route) *string { return &r.Token.Scope }),
		parsed(Key{Path: "route.NAME.token_auth", Type: TypeChoice, Default: "body",
			Doc: `Where client_id and the secret stand in the request for a token: in its "body", or in its "header" (HTTP Basic).`},
			parseTokenAuth, func(r *Route) *bool { return &r.Token.Header }),
	}
}
