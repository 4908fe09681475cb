package named

import (
	"context"
	"crypto/tls"
	"errors"
	"os"
	"strings"

	"sallyport/internal/mail"
	"sallyport/internal/nexthop/pool"
	"sallyport/internal/smtp/client"
)

// credentials are what signs us in at the next hop, read anew for each connection; nil where
// it asks for nothing. A Failure with a reply says that they cannot be had.
func (t *Target) credentials(ctx context.Context) (*client.Credentials, pool.Failure) {
	p := t.place
	if !p.credentials() {
		return nil, pool.Failure{}
	}
	auth := &client.Credentials{User: p.User}
	switch {
	case t.token != nil:
		tok, err := t.token.Token(ctx)
		if err != nil {
			return nil, t.without("no token signs us in at " + p.Address + ": " + err.Error())
		}
		auth.Token = tok
	case p.User != "":
		b, err := os.ReadFile(p.PasswordFile)
		if err != nil {
			// The error holds the path of a file of ours.
			t.means.Logger.Error("credentials cannot be read", "err", err)
			return nil, t.without("the credentials for " + p.Address + " cannot be read")
		}
		auth.Password = strings.TrimRight(string(b), "\r\n")
	}
	if p.Cert != "" {
		cert, err := tls.LoadX509KeyPair(p.Cert, p.CertKey)
		if err != nil {
			t.means.Logger.Error("the certificate for a next hop cannot be read", "err", err)
			return nil, t.without("the certificate for " + p.Address + " cannot be read")
		}
		auth.Certificate = &cert
	}
	return auth, pool.Failure{}
}

// without defers what cannot be sent for want of credentials.
func (t *Target) without(text string) pool.Failure {
	return pool.Failure{Reply: mail.R(454, "4.7.0", text), Remote: t.place.Address}
}

// refused reports whether a connection failed because its token was not taken, and another
// one is worth a try.
func (t *Target) refused(ctx context.Context, auth *client.Credentials, err error) bool {
	var refused *client.ReplyError
	if t.token == nil || !errors.As(err, &refused) || refused.Stage != client.StageAuth || refused.Reply.Class() != mail.ClassPermanent {
		return false
	}
	another := t.token.Refused(ctx, auth.Token)
	t.means.Logger.Warn("a token was refused", "reply", refused.Reply.String())
	return another
}

// used learns what the next hop holds of the token that signed a connection in.
func (t *Target) used(ctx context.Context, c *client.Client, signedOut bool) (anew bool) {
	switch {
	case t.token == nil:
		anew = signedOut
	case signedOut:
		anew = t.token.Refused(ctx, c.Token())
	default:
		t.token.Took(ctx, c.Token())
	}
	if signedOut {
		t.means.Logger.Warn("the next hop does not hold us for signed in any more", "remote", c.Remote())
	}
	return anew
}
