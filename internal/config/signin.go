package config

// signIn reports what is missing, or too much, of what signs us in at a route's next hop,
// and what would be shown to a host that is not proven.
func (s *source) signIn(n *node, verified bool) {
	user, password, token, cert, key := n.child("user"), n.child("password_file"), n.child("token_url"), n.child("cert"), n.child("cert_key")
	switch {
	case password != nil && token != nil:
		s.faultAt(token, "this user would sign in with a password and with a token", "remove one of password_file and token_url")
	case user != nil && password == nil && token == nil:
		s.faultAt(user, "this user has no password", "add password_file, or token_url for one who signs in with a token")
	case user == nil && password != nil:
		s.faultAt(password, "this password has no user", "add user")
	case user == nil && token != nil:
		s.faultAt(token, "this token has no user", "add user: the mailbox that the token is for")
	case user != nil && !verified && password != nil:
		s.faultAt(user, "this password would go to whoever answers", `add tls = "required", or write to = "smtps://…"`)
	case user != nil && !verified:
		s.faultAt(user, "this token would go to whoever answers", `add tls = "required", or write to = "smtps://…"`)
	}
	switch {
	case cert != nil && key == nil:
		s.faultAt(cert, "this certificate has no key", "add cert_key")
	case cert == nil && key != nil:
		s.faultAt(key, "this key has no certificate", "add cert")
	case cert != nil && !verified:
		s.faultAt(cert, "this certificate would be shown to whoever answers", `add tls = "required", or write to = "smtps://…"`)
	}
	s.token(n, token)
}

// token reports what is missing of what gets a token.
func (s *source) token(n, url *node) {
	if url == nil {
		for _, name := range []string{"client_id", "client_secret_file", "refresh_token_file", "token_scope", "token_auth", "token_ca"} {
			if key := n.child(name); key != nil {
				s.faultAt(key, "there is no token endpoint that this is for", "add token_url")
			}
		}
		return
	}
	if n.child("client_id") == nil {
		s.faultAt(url, "it is not said who asks for a token", "add client_id")
	}
	if n.child("client_secret_file") == nil && n.child("refresh_token_file") == nil {
		s.faultAt(url, "nothing would show the endpoint who we are",
			"add client_secret_file for a client that signs in as itself, or refresh_token_file")
	}
}
