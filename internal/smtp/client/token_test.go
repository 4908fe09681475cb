package client

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"sallyport/internal/mail"
)

func TestSignInByToken(t *testing.T) {
	server, client := authority(t)
	x := b64("user=me@x.test\x01auth=Bearer t0ken\x01\x01")
	bearer := b64("n,a=me@x.test,\x01host=mx.test\x01auth=Bearer t0ken\x01\x01")
	for _, row := range []struct {
		name, script string
		err          error // nil: signed in
		told         string
	}{
		{"XOAUTH2", "S: 250 AUTH LOGIN OAUTHBEARER XOAUTH2\nC: AUTH XOAUTH2 " + x + "\nS: 235 2.7.0 ok\nstall", nil, ""},
		{"OAUTHBEARER alone", "S: 250 AUTH PLAIN oauthbearer\nC: AUTH OAUTHBEARER " + bearer + "\nS: 235 2.7.0 ok\nstall", nil, ""},
		{"asked again", "S: 250 AUTH XOAUTH2\nC: AUTH XOAUTH2\nS* 334 \\r\\n\nC: " + x + "\nS: 235 ok\nstall", nil, ""},
		{"XOAUTH2, refused at once", "S: 250 AUTH XOAUTH2\nC: AUTH XOAUTH2\nS: 535 5.7.3 Authentication unsuccessful\neof", &ReplyError{}, "535 5.7.3 Authentication unsuccessful"},
		{"XOAUTH2, told why", "S: 250 AUTH XOAUTH2\nC: AUTH XOAUTH2\nS: 334 " + b64(`{"status":"401","schemes":"bearer"}`) + "\nC: \nS: 535 5.7.8 no\neof", &ReplyError{}, "no (401)"},
		{"OAUTHBEARER, told why", "S: 250 AUTH OAUTHBEARER\nC: AUTH OAUTHBEARER\nS: 334 " + b64(`{"status":"invalid_token"}`) + "\nC: AQ==\nS: 535 5.7.8 no\neof", &ReplyError{}, "no (invalid_token)"},
		{"said back", "S: 250 AUTH XOAUTH2\nC: AUTH XOAUTH2\nS: 334 " + b64(`{"status":"t0ken"}`) + "\nC: \nS: 535 5.7.8 no to t0ken and " + x + "\neof", &ReplyError{}, "no to ..."},
		{"accepted after it was refused", "S: 250 AUTH XOAUTH2\nC: AUTH XOAUTH2\nS: 334 " + b64(`{}`) + "\nC: \nS: 235 ok\neof", ErrProtocol, ""},
		{"refused without end", "S: 250 AUTH XOAUTH2\nC: AUTH XOAUTH2\nS: 334 " + b64(`x`) + "\nC: \nS: 334 " + b64(`x`) + "\neof", ErrProtocol, ""},
		{"passwords alone", "S: 250 AUTH SCRAM-SHA-256 PLAIN LOGIN EXTERNAL\neof", ErrNoAuth, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			addr, _ := serve(t, "TLS\nS: 220 mx\nC: EHLO\nS: 250-mx\n"+row.script, server)
			o := options(t)
			o.TLS = TLSPolicy{Mode: mail.TLSImplicit, Config: client}
			o.Auth = &Credentials{User: "me@x.test", Token: "t0ken"}
			c, err := dial(t, addr, o)
			var refused *ReplyError
			_, wantsReply := row.err.(*ReplyError)
			switch {
			case (c != nil) != (row.err == nil):
				t.Errorf("%v", err)
			case c != nil && c.Token() != "t0ken":
				t.Errorf("it says that %q signed us in", c.Token())
			case wantsReply && !errors.As(err, &refused), !wantsReply && !errors.Is(err, row.err):
				t.Errorf("the error is %v", err)
			case err != nil && (strings.Contains(err.Error(), "t0ken") || strings.Contains(err.Error(), x) || !strings.Contains(err.Error(), row.told)):
				t.Errorf("the error is %v", err)
			}
		})
	}
}

// A name cannot end the field that it stands in.
func TestNamesInOAUTHBEARER(t *testing.T) {
	if got, want := string(oauthbearer("a,b=c", "", "t")), "n,a=a=2Cb=3Dc,\x01auth=Bearer t\x01\x01"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// device makes a certificate of ours.
func device(t *testing.T) *tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "relay.test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	check(t, err)
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// A certificate signs in by EXTERNAL where that is offered, by the handshake where not, and
// by nothing where the server asked for none: what it took from us then it would take from
// anybody, or refuse for good.
func TestSignInByCertificate(t *testing.T) {
	asks, client := authority(t)
	asks.ClientAuth = tls.RequestClientCert
	// It names an authority of which our certificate is not.
	other, _ := authority(t)
	named := asks.Clone()
	named.ClientCAs = x509.NewCertPool()
	for _, der := range other.Certificates[0].Certificate {
		cert, err := x509.ParseCertificate(der)
		check(t, err)
		named.ClientCAs.AddCert(cert)
	}
	silent := asks.Clone()
	silent.ClientAuth = tls.NoClientCert
	for _, row := range []struct {
		name, user, script string
		server             *tls.Config
		err                error
	}{
		{"EXTERNAL", "me", "S: 250 AUTH PLAIN EXTERNAL\nC: AUTH EXTERNAL " + b64("me") + "\nS: 235 ok\nstall", asks, nil},
		{"EXTERNAL without a name", "", "S: 250 AUTH EXTERNAL\nC: AUTH EXTERNAL =\nS: 235 ok\nstall", asks, nil},
		{"EXTERNAL, asked again", "", "S: 250 AUTH EXTERNAL\nC: AUTH EXTERNAL =\nS* 334 \\r\\n\nC: \nS: 235 ok\nstall", asks, nil},
		{"EXTERNAL, refused", "", "S: 250 AUTH EXTERNAL\nC: AUTH EXTERNAL\nS: 535 5.7.8 no\neof", asks, &ReplyError{}},
		{"EXTERNAL, a strange challenge", "", "S: 250 AUTH EXTERNAL\nC: AUTH EXTERNAL\nS: 334 " + b64("who?") + "\neof", asks, ErrProtocol},
		{"by the handshake", "", "S: 250 AUTH PLAIN\nstall", asks, nil},
		{"another authority is named", "", "S: 250 SIZE\nstall", named, nil},
		{"not asked", "", "S: 250 SIZE\neof", silent, ErrNotAsked},
		{"not asked, EXTERNAL offered", "", "S: 250 AUTH EXTERNAL\neof", silent, ErrNotAsked},
	} {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			t.Run(fmt.Sprintf("%s, %s", row.name, tls.VersionName(version)), func(t *testing.T) {
				t.Parallel()
				server, showed := row.server.Clone(), make(chan int, 1)
				server.MaxVersion = version
				server.VerifyConnection = func(s tls.ConnectionState) error { showed <- len(s.PeerCertificates); return nil }
				addr, _ := serve(t, "S: 220 mx\nC: EHLO\nS: 250-mx\nS: 250 STARTTLS\nC: STARTTLS\nS: 220 go\nTLS\nC: EHLO\nS: 250-mx\n"+row.script, server)
				o := options(t)
				o.TLS = TLSPolicy{Mode: mail.TLSRequired, Config: client}
				o.Auth = &Credentials{User: row.user, Certificate: device(t)}
				c, err := dial(t, addr, o)
				var refused *ReplyError
				_, wantsReply := row.err.(*ReplyError)
				switch {
				case (c != nil) != (row.err == nil):
					t.Errorf("%v", err)
				case wantsReply && !errors.As(err, &refused), !wantsReply && !errors.Is(err, row.err):
					t.Errorf("the error is %v", err)
				case err != nil && ReplyFor(err).Class() != mail.ClassTransient:
					t.Errorf("%v fails mail for good", err)
				case (<-showed > 0) != (row.server != silent):
					t.Error("the certificate was shown to who did not ask, or withheld from who did")
				}
			})
		}
	}
}

// Nothing of ours is shown to a server that is not proven.
func TestUnprovenServersGetNoCredentials(t *testing.T) {
	for _, auth := range []Credentials{{User: "u", Password: "p"}, {User: "u", Token: "t"}, {Certificate: device(t)}} {
		for _, policy := range []TLSPolicy{
			{Mode: mail.TLSNone}, {Mode: mail.TLSOpportunistic, Config: &tls.Config{}}, {Mode: mail.TLSRequired, Config: &tls.Config{}, Unverified: true},
			{Mode: mail.TLSImplicit, Config: &tls.Config{}, Unverified: true}, {Mode: mail.TLSImplicit, Config: &tls.Config{InsecureSkipVerify: true}},
		} {
			o := options(t)
			o.TLS, o.Auth = policy, &auth
			if o.check() == nil {
				t.Errorf("taken: %+v under %+v", auth, policy)
			}
		}
		o := options(t)
		o.TLS, o.Auth = TLSPolicy{Mode: mail.TLSRequired, Config: &tls.Config{}}, &auth
		check(t, o.check())
	}
	for _, auth := range []Credentials{{}, {User: "u"}, {Password: "p"}, {Token: "t"}, {User: "u", Password: "p", Token: "t"}, {Password: "p", Certificate: device(t)}} {
		o := options(t)
		o.TLS, o.Auth = TLSPolicy{Mode: mail.TLSRequired, Config: &tls.Config{}}, &auth
		if o.check() == nil {
			t.Errorf("taken: %+v", auth)
		}
	}
}

// A server that asks us to sign in although we had refuses the connection and not the
// message, wherever it says so. Whoever had signed in with nothing is refused as always.
func TestSignedOut(t *testing.T) {
	const again, envelope2 = "454 4.7.0 the server does not hold us", "C: MAIL\nS: 250 ok\nC: RCPT\nS: 250 ok\nC: RCPT\nS: 250 ok\n"
	server, client := authority(t)
	for _, row := range []struct {
		name, script string
		wants        [2]string // how the reply to each recipient begins
		nothing      bool      // nothing was sent
		fine         bool      // the connection is of use
	}{
		{"at MAIL", "C: MAIL\nS: 530 5.7.57 Client not authenticated to send mail\neof", [2]string{again, again}, true, false},
		{"at MAIL, hanging up", "C: MAIL\nS: 535 5.7.3 expired", [2]string{again, again}, true, false},
		{"at every RCPT", "C: MAIL\nS: 250 ok\nC: RCPT\nS: 530 5.7.0 who\nC: RCPT\nS: 530 5.7.0 who\neof", [2]string{again, again}, true, false},
		{"at one RCPT", "C: MAIL\nS: 250 ok\nC: RCPT\nS: 530 5.7.0 who\nC: RCPT\nS: 250 ok\nC: DATA\nS: 354 go\n.\nS: 250 ok\neof", [2]string{again, "250"}, false, false},
		{"at DATA", envelope2 + "C: DATA\nS: 530 5.7.0 who\neof", [2]string{again, again}, true, false},
		{"at the end", envelope2 + "C: DATA\nS: 354 go\n.\nS: 535 5.7.0 who\neof", [2]string{again, again}, false, false},
		{"another refusal", "C: MAIL\nS: 550 5.7.1 no\nstall", [2]string{"550 5.7.1", "550 5.7.1"}, false, true},
	} {
		addr, _ := serve(t, "TLS\nS: 220 mx\nC: EHLO\nS: 250-mx\nS: 250 AUTH XOAUTH2\nC: AUTH\nS: 235 ok\n"+row.script, server)
		o := options(t)
		o.TLS, o.Auth = TLSPolicy{Mode: mail.TLSImplicit, Config: client}, &Credentials{User: "me", Token: "t"}
		c, err := dial(t, addr, o)
		check(t, err)
		out, err := c.Send(t.Context(), envelope(t, "a@y.test", "b@x.test", "c@x.test"), int64(len(letter)), strings.NewReader(letter))
		for i, want := range row.wants {
			if !strings.HasPrefix(out[i].Reply.String(), want) || out[i].Said != (want != again) {
				t.Errorf("%s: %+v, want %s", row.name, out[i], want)
			}
		}
		if errors.Is(err, ErrSignedOut) == row.fine || errors.Is(err, ErrNothingSent) != row.nothing || c.Usable() != row.fine {
			t.Errorf("%s: %v, usable %v", row.name, err, c.Usable())
		}
		c.Close()
	}
	addr, _ := serve(t, "S: 220 mx\nC: EHLO\nS: 250 mx\nC: MAIL\nS: 530 5.7.0 who\nstall", nil)
	c, err := dial(t, addr, options(t))
	check(t, err)
	out, err := c.Send(t.Context(), envelope(t, "a@y.test", "b@x.test"), int64(len(letter)), strings.NewReader(letter))
	if err != nil || out[0].Reply.Code != 530 {
		t.Errorf("%v, %v", out, err)
	}
}
