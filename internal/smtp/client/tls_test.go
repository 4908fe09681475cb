package client

import (
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/xdg-go/scram"

	"sallyport/internal/mail"
)

// Clear text takes the place of TLS only where nobody demanded TLS, and only when TLS is
// what failed; every mode, every stage, every kind of end.
func TestPassesTLS(t *testing.T) {
	stages := []Stage{
		StageGreeting, StageHello, StageSTARTTLS, StageTLS, StageHelloTLS, StageAuth, StageIdle, StageReset, StageMail, StageRcpt, StageData,
		StageMessage, StageEnd, StageQuit, "",
	}
	tried := 0
	for mode := mail.TLSMode(0); mode < 255; mode++ {
		for _, stage := range stages {
			errs := map[error]bool{
				&ReplyError{Stage: stage, Reply: mail.R(421, "4.7.0", "no")}: true, &ReplyError{Stage: stage, Reply: mail.R(554, "", "no")}: true,
				errors.New("no connection"): false, nil: false,
			}
			for cause, ofTLS := range map[error]bool{ErrLost: true, ErrTimeout: true, ErrProtocol: true, &handshakeError{io.EOF}: true, ErrInterrupted: false, ErrClosed: false} {
				errs[&ConnError{Stage: stage, Err: cause}] = ofTLS
			}
			for err, ofTLS := range errs {
				want := mode == 2 && ofTLS && (stage == "STARTTLS" || stage == "TLS handshake" || stage == "EHLO under TLS")
				if got := (TLSPolicy{Mode: mode}).Passes(err); got != want {
					t.Errorf("mode %d, %s, %v: %v", mode, stage, err, got)
				}
				tried++
			}
		}
	}
	if mail.TLSOpportunistic != 2 || tried != 255*len(stages)*10 {
		t.Errorf("%d cases", tried)
	}
}

func TestTLSModes(t *testing.T) {
	server, client := authority(t)
	stranger, _ := authority(t)
	const plainHello, offer = "S: 220 mx\nC: EHLO\nS: 250 mx\n", "S: 220 mx\nC: EHLO\nS: 250-mx\nS: 250 STARTTLS\n"
	const start = offer + "C: STARTTLS\nS: 220 go\nTLS\nC: EHLO\nS: 250 mx\nstall"
	for _, row := range []struct {
		name   string
		mode   mail.TLSMode
		server *tls.Config
		script string
		want   string // of TLS(): "", "verified" or "unverified"
		err    error
		stage  Stage
	}{
		{"none, offered", mail.TLSNone, server, offer + "stall", "", nil, ""},
		{"opportunistic, offered", mail.TLSOpportunistic, server, start, "unverified", nil, ""},
		{"opportunistic, by a stranger", mail.TLSOpportunistic, stranger, start, "unverified", nil, ""},
		{"opportunistic, not offered", mail.TLSOpportunistic, server, plainHello + "stall", "", nil, ""},
		{"opportunistic, refused", mail.TLSOpportunistic, server, offer + "C: STARTTLS\nS: 454 4.7.0 not now\nC: RSET\nS: 250 ok\nstall", "", nil, ""},
		{"required", mail.TLSRequired, server, start, "verified", nil, ""},
		{"required, by a stranger", mail.TLSRequired, stranger, start, "", ErrLost, StageTLS},
		{"required, not offered", mail.TLSRequired, server, plainHello + "eof", "", ErrNoTLS, StageSTARTTLS},
		{"required, no EHLO", mail.TLSRequired, server, "S: 220 mx\nC: EHLO\nS: 500 what\nC: HELO\nS: 250 mx\neof", "", ErrNoTLS, StageSTARTTLS},
		{"required, refused", mail.TLSRequired, server, offer + "C: STARTTLS\nS: 454 4.7.0 not now\neof", "", &ReplyError{}, StageSTARTTLS},
		{"text injected before the handshake", mail.TLSRequired, server, offer + "C: STARTTLS\n" + `S* 220 go\r\n250 x\r\n` + "\neof", "", ErrProtocol, StageSTARTTLS},
		{"text instead of the handshake", mail.TLSRequired, server, offer + "C: STARTTLS\nS: 220 go\npause\nS: 250 x\nstall", "", ErrLost, StageTLS},
		{"lost in the handshake", mail.TLSRequired, server, offer + "C: STARTTLS\nS: 220 go", "", ErrLost, StageTLS},
		{"dripping in the handshake", mail.TLSRequired, server, offer + "C: STARTTLS\nS: 220 go\npause\nS* \\16\\3\\3\\3\\3\ndrip", "", ErrTimeout, StageTLS},
		{"silent in the handshake", mail.TLSRequired, server, offer + "C: STARTTLS\nS: 220 go\nstall", "", ErrTimeout, StageTLS},
		{"EHLO refused after the handshake", mail.TLSRequired, server, offer + "C: STARTTLS\nS: 220 go\nTLS\nC: EHLO\nS: 550 no\neof", "", &ReplyError{}, StageHelloTLS},
		{"implicit", mail.TLSImplicit, server, "TLS\n" + plainHello + "stall", "verified", nil, ""},
		{"implicit, by a stranger", mail.TLSImplicit, stranger, "TLS\n" + plainHello + "stall", "", ErrLost, StageTLS},
		{"implicit, in clear text", mail.TLSImplicit, server, "S: 220 mx\nstall", "", ErrLost, StageTLS},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			addr, _ := serve(t, row.script, row.server)
			o := options(t)
			o.TLS = TLSPolicy{Mode: row.mode, Config: client}
			if row.err == ErrTimeout {
				o.Timeouts.TLS = 100_000_000
			}
			c, err := dial(t, addr, o)
			if row.err == nil {
				check(t, err)
				if got := c.TLS(); (got == "") != (row.want == "") || strings.Contains(got, "unverified") != (row.want == "unverified") {
					t.Errorf("TLS is %q", got)
				}
				return
			}
			var conn *ConnError
			var refused *ReplyError
			switch _, wantsReply := row.err.(*ReplyError); {
			case c != nil:
				t.Error("the server was taken")
			case wantsReply:
				if !errors.As(err, &refused) || refused.Stage != row.stage {
					t.Errorf("the error is %v", err)
				}
			case !errors.Is(err, row.err) || !errors.As(err, &conn) || conn.Stage != row.stage:
				t.Errorf("the error is %v", err)
			}
		})
	}
}

// What a server offered in clear text counts for nothing after the handshake.
func TestOffersAreForgottenAtTheHandshake(t *testing.T) {
	server, client := authority(t)
	addr, _ := serve(t, "S: 220 mx\nC: EHLO\nS: 250-mx\nS: 250-CHUNKING\nS: 250-LIMITS RCPTMAX=1\nS: 250 STARTTLS\nC: STARTTLS\nS: 220 go\nTLS\nC: EHLO\nS: 250-mx\nS: 250 SIZE 5\nstall", server)
	o := options(t)
	o.TLS = TLSPolicy{Mode: mail.TLSRequired, Config: client}
	c, err := dial(t, addr, o)
	check(t, err)
	if c.Offers("CHUNKING") || c.Offers("STARTTLS") || !c.Offers("SIZE") || c.MaxRecipients() != 0 {
		t.Errorf("%v", c.caps)
	}
}

func b64(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

func TestSignIn(t *testing.T) {
	server, client := authority(t)
	long := strings.Repeat("x", 40)
	for _, row := range []struct {
		name, script string
		err          error // nil: signed in
	}{
		{"PLAIN", "S: 250 AUTH LOGIN PLAIN\nC: AUTH PLAIN " + b64("\x00user\x00secret") + "\nS: 235 2.7.0 ok\nstall", nil},
		{"PLAIN, asked again", "S: 250 AUTH plain\nC: AUTH PLAIN\nS* 334 \\r\\n\nC: " + b64("\x00user\x00secret") + "\nS: 235 ok\nstall", nil},
		{"PLAIN, rejected", "S: 250 AUTH PLAIN\nC: AUTH PLAIN\nS: 535 5.7.8 no\neof", &ReplyError{}},
		{"PLAIN, said back", "S: 250 AUTH PLAIN\nC: AUTH PLAIN\nS: 535-5.7.8 no to AUTH PLAIN " + b64("\x00user\x00secret") + "\nS: 535 5.7.8 nor to secret\neof", &ReplyError{}},
		{"LOGIN, said back", "S: 250 AUTH LOGIN\nC: AUTH LOGIN\nS: 334 " + b64("Username:") + "\nC: " + b64("user") + "\nS: 334 " + b64("Password:") + "\nC: " + b64("secret") + "\nS: 535 5.7.8 wrong: " + b64("secret") + "\neof", &ReplyError{}},
		{"PLAIN, put off", "S: 250 AUTH PLAIN\nC: AUTH PLAIN\nS: 454 4.7.0 later\neof", &ReplyError{}},
		{"PLAIN, a strange challenge", "S: 250 AUTH PLAIN\nC: AUTH PLAIN\nS: 334 " + b64("who?") + "\neof", ErrProtocol},
		{"LOGIN", "S: 250 AUTH LOGIN\nC: AUTH LOGIN\nS: 334 " + b64("Username:") + "\nC: " + b64("user") + "\nS: 334 " + b64("Password:") + "\nC: " + b64("secret") + "\nS: 235 ok\nstall", nil},
		{"LOGIN, too curious", "S: 250 AUTH LOGIN\nC: AUTH LOGIN\nS: 334 eA==\nC:\nS: 334 eA==\nC:\nS: 334 eA==\neof", ErrProtocol},
		{"LOGIN, too eager", "S: 250 AUTH LOGIN\nC: AUTH LOGIN\nS: 235 ok\neof", ErrProtocol},
		{"not base64", "S: 250 AUTH LOGIN\nC: AUTH LOGIN\nS: 334 ???\neof", ErrProtocol},
		{"nothing known", "S: 250 AUTH CRAM-MD5 GSSAPI\neof", ErrNoAuth},
		{"no AUTH", "S: 250 SIZE\neof", ErrNoAuth},
		{"SCRAM, accepted without proof", "S: 250 AUTH SCRAM-SHA-256\nC: AUTH SCRAM-SHA-256\nS: 235 ok\neof", ErrProtocol},
		{"SCRAM, no nonce", "S: 250 AUTH SCRAM-SHA-256\nC: AUTH SCRAM-SHA-256\nS: 334 " + b64("r=x,s=AAAA,i=4096") + "\neof", ErrProtocol},
		{"SCRAM, endless hashing", "S: 250 AUTH SCRAM-SHA-256\nC: AUTH SCRAM-SHA-256\nS: 334 " + b64("r=x,s=AAAA,i=2000000000") + "\neof", ErrProtocol},
		{"endless challenges", "S: 250 AUTH PLAIN\nC: AUTH PLAIN\n" + strings.Repeat("S* 334 \\r\\n\nC:\n", 4) + "S* 334 \\r\\n\neof", &ReplyError{}},
		{"closing", "S: 250 AUTH PLAIN " + long + "\nC: AUTH PLAIN\nS: 421 4.3.2 closing\neof", &ReplyError{}},
		{"lost", "S: 250 AUTH PLAIN\nC: AUTH PLAIN", ErrLost},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			addr, _ := serve(t, "TLS\nS: 220 mx\nC: EHLO\nS: 250-mx\n"+row.script, server)
			o := options(t)
			o.TLS = TLSPolicy{Mode: mail.TLSImplicit, Config: client}
			o.Auth = &Credentials{User: "user", Password: "secret"}
			c, err := dial(t, addr, o)
			var refused *ReplyError
			_, wantsReply := row.err.(*ReplyError)
			switch {
			case (c != nil) != (row.err == nil):
				t.Errorf("%v", err)
			case wantsReply && !errors.As(err, &refused), !wantsReply && !errors.Is(err, row.err):
				t.Errorf("the error is %v", err)
			case err != nil && slices.ContainsFunc([]string{"secret", b64("secret"), b64("\x00user\x00secret")}, func(s string) bool { return strings.Contains(err.Error(), s) }):
				t.Error("the error tells the password")
			}
		})
	}
}

// SCRAM with an independent server, with and without channel binding.
func TestSCRAM(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for _, row := range []struct {
			offer, password string
			ok              bool
		}{
			{"PLAIN SCRAM-SHA-256", "secret", true},
			{"PLAIN SCRAM-SHA-256 SCRAM-SHA-256-PLUS", "secret", true},
			{"SCRAM-SHA-256", "wrong", false},
			{"SCRAM-SHA-256-PLUS", "wrong", false},
		} {
			t.Run(fmt.Sprintf("%s, %s, %s", tls.VersionName(version), row.offer, row.password), func(t *testing.T) {
				server, client := authority(t)
				server.MaxVersion = version
				o := options(t)
				o.TLS = TLSPolicy{Mode: mail.TLSImplicit, Config: client}
				o.Auth = &Credentials{User: "us,er", Password: row.password}
				c, err := dial(t, scramServer(t, server, row.offer), o)
				var refused *ReplyError
				if row.ok != (c != nil) || !row.ok && (!errors.As(err, &refused) || refused.Reply.Code != 535) {
					t.Errorf("%v", err)
				}
			})
		}
	}
}

// scramServer accepts one client that signs in as "us,er" with "secret", by the
// strongest mechanism of the offer.
func scramServer(t *testing.T, cfg *tls.Config, offer string) string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	done := make(chan struct{})
	t.Cleanup(func() { ln.Close(); <-done })
	go func() {
		defer close(done)
		nc, err := ln.Accept()
		if err != nil {
			return
		}
		defer nc.Close()
		p := &player{t: t, tls: cfg, nc: nc}
		if !p.step("TLS") || !p.step("S: 220 mx") || !p.step("C: EHLO") || !p.step("S: 250-mx") || !p.step("S: 250 AUTH "+offer) {
			return
		}
		p.scram(strings.Contains(offer, "PLUS"))
		io.Copy(io.Discard, p.br)
	}()
	return ln.Addr().String()
}

func (p *player) scram(plus bool) {
	user, err := scram.SHA256.NewClient("us,er", "secret", "")
	check(p.t, err)
	stored := user.GetStoredCredentials(scram.KeyFactors{Salt: "salt", Iters: 4096})
	s, err := scram.SHA256.NewServer(func(name string) (scram.StoredCredentials, error) {
		if name != "us,er" {
			return scram.StoredCredentials{}, errors.New("unknown user")
		}
		return stored, nil
	})
	check(p.t, err)
	talk, mech := s.NewConversation(), "AUTH SCRAM-SHA-256 "
	if plus {
		talk, mech = s.NewConversationWithChannelBindingRequired(p.binding()), "AUTH SCRAM-SHA-256-PLUS "
	}
	line, _ := p.line()
	message, ok := strings.CutPrefix(line, mech)
	if !ok {
		p.t.Errorf("the client said %q", line)
	}
	for {
		challenge, err := base64.StdEncoding.DecodeString(message)
		check(p.t, err)
		answer, err := talk.Step(string(challenge))
		if err != nil {
			p.step("S: 535 5.7.8 no")
			return
		}
		p.step("S: 334 " + b64(answer))
		if message, ok = p.line(); !ok {
			return
		}
		if talk.Done() {
			p.step("S: 235 2.7.0 ok")
			return
		}
	}
}

// binding is the server's side of the channel binding.
func (p *player) binding() scram.ChannelBinding {
	state := p.nc.(*tls.Conn).ConnectionState()
	if state.Version >= tls.VersionTLS13 {
		b, err := scram.NewTLSExporterBinding(&state)
		check(p.t, err)
		return b
	}
	roots := tls.ConnectionState{PeerCertificates: p.certificates()}
	b, err := scram.NewTLSServerEndpointBinding(&roots)
	check(p.t, err)
	return b
}

// RFC 8689 §4.2.1: a message that requires TLS goes only to a server that is verified
// and takes the parameter.
func TestRequireTLS(t *testing.T) {
	server, client := authority(t)
	const offer = "S: 220 mx\nC: EHLO\nS: 250-mx\nS: 250 STARTTLS\nC: STARTTLS\nS: 220 go\nTLS\nC: EHLO\n"
	const takes = "S: 250 REQUIRETLS\nC: MAIL\nS: 250 ok\nC: RCPT\nS: 250 ok\nC: DATA\nS: 354 go\n.\nS: 250 ok\nstall"
	for _, row := range []struct {
		name, script string
		policy       TLSPolicy
		want         string
	}{
		{"verified, offered", offer + "S: 250-mx\n" + takes, TLSPolicy{Mode: mail.TLSRequired, Config: client, Name: "dane"}, "250"},
		{"verified, not offered", offer + "S: 250 mx\nstall", TLSPolicy{Mode: mail.TLSRequired, Config: client}, "550 5.7.30"},
		{"offered, not verified", offer + "S: 250-mx\nS: 250 REQUIRETLS\nstall", TLSPolicy{Mode: mail.TLSOpportunistic, Config: client}, "550 5.7.10"},
		{"offered, any certificate", offer + "S: 250-mx\nS: 250 REQUIRETLS\nstall", TLSPolicy{Mode: mail.TLSRequired, Unverified: true, Config: client}, "550 5.7.10"},
		{"offered in clear", "S: 220 mx\nC: EHLO\nS: 250-mx\nS: 250 REQUIRETLS\nstall", TLSPolicy{Mode: mail.TLSNone}, "550 5.7.10"},
	} {
		addr, sent := serve(t, row.script, server)
		o := options(t)
		o.TLS = row.policy
		c, err := dial(t, addr, o)
		check(t, err)
		env := envelope(t, "a@y.test", "b@x.test")
		env.TLS = mail.RequireTLS
		out, err := c.Send(t.Context(), env, int64(len(letter)), strings.NewReader(letter))
		c.Close()
		if err != nil || !strings.HasPrefix(out[0].Reply.String(), row.want) || out[0].Policy != row.policy.Name {
			t.Errorf("%s: %+v %v", row.name, out, err)
		}
		if got := strings.Contains(sent(), "MAIL FROM:<a@y.test> REQUIRETLS\r\n"); got != (row.want == "250") {
			t.Errorf("%s: sent %q", row.name, sent())
		}
	}
}
