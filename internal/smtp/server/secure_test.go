package server

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"sallyport/internal/door"
	"sallyport/internal/mail"
)

const (
	clearHello = `
	S: 220
	C: EHLO client.test
	S: 250 mx.local.test / PIPELINING / SIZE 10000 / 8BITMIME / SMTPUTF8 / ENHANCEDSTATUSCODES / CHUNKING / DSN / STARTTLS / LIMITS
`
	tlsHello = clearHello + `
	C: STARTTLS
	S: 220 2.0.0
	TLS
	C: EHLO client.test
	S: 250 mx.local.test / PIPELINING / SIZE 10000 / 8BITMIME / SMTPUTF8 / ENHANCEDSTATUSCODES / CHUNKING / DSN / REQUIRETLS / AUTH PLAIN LOGIN SCRAM-SHA-256 / LIMITS
`
	signedIn = tlsHello + `
	C: AUTH PLAIN AGFsaWNlAHNlY3JldA==
	S: 235 2.7.0
`
)

// Each transcript is one connection to port 587.
func TestSubmissionDialogues(t *testing.T) {
	cfg, client := withTLS(t, testConfig(KindSubmission))
	for name, tt := range map[string]struct{ transcript, delivered string }{
		"a signed-in message": {signedIn + `
			C: MAIL FROM:<alice@local.test>
			C: RCPT TO:<bob@local.test>
			C: DATA
			C: x
			C: .
			S: 250
			S: 250
			S: 354
			S: 250`, "<alice@local.test> bob x\r\n"},
		"a stray line after a failed sign-in": {tlsHello + `
			C: AUTH PLAIN AGFsaWNlAHdyb25n
			S: 535
			C: AQ==
			S: 535 5.7.8 the sign-in has failed already
			C: AQ==
			S: 500
			C: AUTH PLAIN AGFsaWNlAHdyb25n
			S: 535
			C+ "\r\n"
			S: 535 5.7.8 the sign-in has failed already
			C: AUTH PLAIN AGFsaWNlAHNlY3JldA==
			S: 235`, ""},
		"nothing in clear": {clearHello + `
			C: MAIL FROM:<alice@local.test>
			S: 530 5.7.0 Must issue a STARTTLS command first
			C: RCPT TO:<bob@local.test>
			S: 530
			C: DATA
			S: 530
			C+ "BDAT 6 LAST\r\nQUIT\r\n"
			S: 530
			C: VRFY alice
			S: 530
			C: RSET
			S: 250`, ""},
		"H02 no credentials in clear": {clearHello + `
			C: AUTH PLAIN AGFsaWNlAHNlY3JldA==
			S: 538 5.7.11
			C: AUTH LOGIN
			S: 538 5.7.11`, ""},
		"not without signing in": {tlsHello + `
			C: MAIL FROM:<alice@local.test>
			S: 530 5.7.0`, ""},
		"G04 STARTTLS again": {tlsHello + `
			C: STARTTLS
			S: 503 5.5.1`, ""},
		"G05 STARTTLS foo": {clearHello + `
			C: STARTTLS foo
			S: 501 5.5.4`, ""},
		"STARTTLS before EHLO": {`
			S: 220
			C: STARTTLS
			S: 503`, ""},
		"G01 STARTTLS and RSET in one packet": {clearHello + `
			C: STARTTLS
			C: RSET
			S: 554 5.5.1
			S.`, ""},
		"G03 STARTTLS and a whole session in one packet": {clearHello + `
			C: STARTTLS
			C: EHLO e
			C: AUTH PLAIN AGFsaWNlAHNlY3JldA==
			C: MAIL FROM:<alice@local.test>
			C: RCPT TO:<bob@local.test>
			C: DATA
			S: 554 5.5.1
			S.`, ""},
		"G06 plain text where TLS belongs": {clearHello + `
			C: STARTTLS
			S: 220
			C: MAIL FROM:<alice@local.test>
			ALERT`, ""},
		"G08 everything is forgotten": {clearHello + `
			C: STARTTLS
			S: 220
			TLS
			C: MAIL FROM:<alice@local.test>
			S: 503 5.5.1
			C: AUTH PLAIN AGFsaWNlAHNlY3JldA==
			S: 503 5.5.1`, ""},
		"D12 AUTH again": {signedIn + `
			C: AUTH PLAIN AGFsaWNlAHNlY3JldA==
			S: 503 5.5.1`, ""},
		"D11 identity survives EHLO": {signedIn + `
			C: EHLO y
			S: 250
			C: AUTH PLAIN AGFsaWNlAHNlY3JldA==
			S: 503
			C: MAIL FROM:<alice@local.test>
			S: 250`, ""},
		"not within a transaction": {signedIn + `
			C: MAIL FROM:<alice@local.test>
			S: 250
			C: AUTH PLAIN AGFsaWNlAHNlY3JldA==
			S: 503`, ""},
		"LOGIN": {tlsHello + `
			C: AUTH LOGIN
			S: 334 VXNlcm5hbWU6
			C: YWxpY2U=
			S: 334 UGFzc3dvcmQ6
			C: c2VjcmV0
			S: 235 2.7.0`, ""},
		"PLAIN without an initial response": {tlsHello + `
			C: AUTH plain
			S: 334
			C: AGFsaWNlAHNlY3JldA==
			S: 235`, ""},
		"an empty initial response is one": {tlsHello + `
			C: AUTH PLAIN =
			S: 535 5.7.8`, ""},
		"D14 cancelled": {tlsHello + `
			C: AUTH PLAIN
			S: 334
			C: *
			S: 501 5.7.0
			C: MAIL FROM:<alice@local.test>
			S: 530 5.7.0`, ""},
		"D15 a command as response": {tlsHello + `
			C: AUTH LOGIN
			S: 334
			C: MAIL FROM:<alice@local.test>
			S: 501 5.5.2
			C: MAIL FROM:<alice@local.test>
			S: 530`, ""},
		"D15 in one packet": {tlsHello + `
			C: AUTH LOGIN
			C: MAIL FROM:<alice@local.test>
			S: 554 5.5.1
			S.`, ""},
		"too eager a response": {tlsHello + `
			C: AUTH LOGIN
			S: 334
			C: YWxpY2U=
			C: c2VjcmV0
			S: 554 5.5.1
			S.`, ""},
		"H11 mechanisms not offered": {tlsHello + `
			C: AUTH CRAM-MD5
			S: 504 5.5.4
			C: AUTH ANONYMOUS dGVzdA==
			S: 504
			C: AUTH
			S: 501
			C: AUTH PLAIN ????
			S: 501 5.5.2`, ""},
		"a refusal of the session": {tlsHello + `
			C: AUTH SCRAM-SHA-256 biws
			S: 454 4.7.0
			C: AUTH PLAIN AGFsaWNlAHNlY3JldA==
			S: 235`, ""},
		"H23 guessing": {tlsHello + `
			C: AUTH PLAIN AGFsaWNlAHdyb25n
			S: 535
			C: AUTH PLAIN AGFsaWNlAHdyb25n
			S: 535
			C: AUTH PLAIN AGFsaWNlAHdyb25n
			S: 535
			C: AUTH PLAIN AGFsaWNlAHNlY3JldA==
			S: 421 4.7.0
			S.`, ""},
		"HELO, STARTTLS, HELO and AUTH": {`
			S: 220
			C: HELO RICOH MP C3003
			S: 250 mx.local.test
			C: STARTTLS
			S: 220
			TLS
			C: HELO RICOH MP C3003
			S: 250 mx.local.test
			C: AUTH PLAIN AGFsaWNlAHNlY3JldA==
			S: 235
			C: MAIL FROM:<alice@local.test> SIZE=3
			S: 250`, ""},
		"a bare LF in a response": {tlsHello + `
			C: AUTH LOGIN
			S: 334
			C+ "YWxpY2U=\n"
			S: 554 5.5.2
			S.`, ""},
		"a response at the limit": {tlsHello + `
			C: AUTH PLAIN
			S: 334
			C: ` + strings.Repeat("QUFB", 3070) + `
			S: 535`, ""},
		"a response beyond it": {tlsHello + `
			C: AUTH PLAIN
			S: 334
			C: ` + strings.Repeat("QUFB", 3100) + `
			S: 500 5.5.2
			S.`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			m := &memory{auth: true}
			transcript, alert := strings.CutSuffix(tt.transcript, "ALERT")
			d := connect(t, cfg, client, m)
			if alert {
				d.playUntilAlert(transcript)
			} else {
				d.run(transcript)
			}
			if got := m.delivered(); got != tt.delivered {
				t.Errorf("delivered %q; want %q", got, tt.delivered)
			}
		})
	}
}

// playUntilAlert runs a transcript after which the server may send a TLS alert, and
// must close.
func (d *dialogue) playUntilAlert(transcript string) {
	d.t.Helper()
	for line := range strings.Lines(transcript) {
		if line = strings.Trim(line, "\t\n"); line != "" {
			d.step(line)
		}
	}
	d.send()
	rest, err := io.ReadAll(d.br)
	if ne, ok := err.(net.Error); ok && ne.Timeout() || len(rest) > 0 && rest[0] != 0x15 {
		d.t.Fatalf("want an alert and the end; got %q, %v", rest, err)
	}
}

func TestSubmissionsIsTLSFromTheFirstOctet(t *testing.T) {
	cfg, client := withTLS(t, testConfig(KindSubmissions))
	m := &memory{auth: true}
	play(t, cfg, client, m, `
		S: 220
		C: EHLO client.test
		S: 250 mx.local.test / PIPELINING / SIZE 10000 / 8BITMIME / SMTPUTF8 / ENHANCEDSTATUSCODES / CHUNKING / DSN / REQUIRETLS / AUTH PLAIN
		C: STARTTLS
		S: 503
		C: MAIL FROM:<alice@local.test>
		S: 530
		C: AUTH PLAIN AGFsaWNlAHNlY3JldA==
		S: 235
		C: MAIL FROM:<alice@local.test>
		S: 250`)
	if h := m.hellos[0]; h.TLS == nil || !h.TLS.HandshakeComplete || h.Name != "client.test" || !h.Extended {
		t.Errorf("%+v", h)
	}
}

// G07: what was said in clear is not known under TLS.
func TestSTARTTLSDropsTheTransaction(t *testing.T) {
	cfg, client := withTLS(t, testConfig(KindMX))
	m := &memory{}
	play(t, cfg, client, m, clearHello+`
		C: MAIL FROM:<a@remote.test>
		S: 250
		C: RCPT TO:<bob@local.test>
		S: 250
		C: STARTTLS
		S: 220
		TLS
		C: DATA
		S: 503
		C: EHLO client.test
		S: 250 mx.local.test / PIPELINING / SIZE 10000 / 8BITMIME / SMTPUTF8 / ENHANCEDSTATUSCODES / CHUNKING / DSN / REQUIRETLS / LIMITS
		C: DATA
		S: 503
		C: AUTH PLAIN AGFsaWNlAHNlY3JldA==
		S: 502`)
	if m.aborts != 1 || len(m.hellos) != 2 || m.hellos[0].TLS != nil || m.hellos[1].TLS == nil {
		t.Errorf("%d aborts, hellos %+v", m.aborts, m.hellos)
	}
}

// RFC 8689 §2: REQUIRETLS is offered under TLS, refused in clear, and takes no value.
func TestRequireTLS(t *testing.T) {
	cfg, client := withTLS(t, testConfig(KindMX))
	m := &memory{}
	play(t, cfg, client, m, clearHello+`
		C: MAIL FROM:<a@remote.test> REQUIRETLS
		S: 530 5.7.0
		C: STARTTLS
		S: 220
		TLS
		C: EHLO client.test
		S: 250 mx.local.test / PIPELINING / SIZE 10000 / 8BITMIME / SMTPUTF8 / ENHANCEDSTATUSCODES / CHUNKING / DSN / REQUIRETLS / LIMITS
		C: MAIL FROM:<a@remote.test> REQUIRETLS=1
		S: 501 5.5.4
		C: MAIL FROM:<a@remote.test> REQUIRETLS REQUIRETLS
		S: 501 5.5.4
		C: MAIL FROM:<a@remote.test> requiretls SIZE=10
		S: 250
		C: RCPT TO:<bob@local.test>
		S: 250
		C: DATA
		S: 354
		C: x
		C: .
		S: 250`)
	if len(m.demands) != 1 || m.demands[0] != mail.RequireTLS {
		t.Errorf("%v", m.demands)
	}
}

// A session never sees a credential, in clear or otherwise, in what was refused.
func TestRefusedNamesNoCredentials(t *testing.T) {
	cfg, client := withTLS(t, testConfig(KindSubmission))
	m := &memory{auth: true}
	play(t, cfg, client, m, clearHello+`
		C: AUTH PLAIN AGFsaWNlAHNlY3JldA==
		S: 538
		C: AGFsaWNlAHNlY3JldA==
		S: 500
		C: AUTH c2VjcmV0== c2VjcmV0
		S: 501
		C: AUTHPLAIN c2VjcmV0
		S: 500
		C: STARTTLS
		S: 220
		TLS
		C: EHLO x
		S: 250
		C: AUTH PLAIN c2VjcmV0?
		S: 501
		C: AUTH LOGIN
		S: 334
		C: c2VjcmV0?
		S: 501
		C: AUTH LOGIN
		S: 334
		C+ "c2VjcmV0\n"
		S: 554
		S.`)
	all := strings.Join(m.refused, "\n")
	if strings.Contains(all, "c2Vjc") || strings.Contains(all, "AGFs") || strings.Count(all, "AUTH") != 5 || strings.Count(all, "(no command, ") != 2 || len(m.refused) != 7 {
		t.Errorf("%q", m.refused)
	}
}

// A mechanism that never ends is ended, and a success that is not 235 is none.
func TestAuthIsBounded(t *testing.T) {
	cfg, client := withTLS(t, testConfig(KindSubmissions))
	endless := &memory{auth: true, sasl: func(string) SASL { return saslFunc(func() (bool, mail.Reply) { return false, mail.Reply{} }) }}
	play(t, cfg, client, endless, "S: 220\nC: EHLO x\nS: 250\nC: AUTH PLAIN\n"+strings.Repeat("S: 334\nC: \n", 8)+`
		S: 535 5.7.8
		C: MAIL FROM:<alice@local.test>
		S: 530`)
	for _, r := range []mail.Reply{mail.R(250, "2.0.0", "ok"), {}, mail.R(334, "", "")} {
		odd := &memory{auth: true, sasl: func(string) SASL { return saslFunc(func() (bool, mail.Reply) { return true, r }) }}
		play(t, cfg, client, odd, `
			S: 220
			C: EHLO x
			S: 250
			C: AUTH PLAIN =
			S: 451 4.3.0
			C: AUTH PLAIN =
			S: 451 4.3.0`)
	}
}

type saslFunc func() (bool, mail.Reply)

func (f saslFunc) Next(context.Context, []byte) ([]byte, bool, mail.Reply) {
	done, r := f()
	return nil, done, r
}

// Each failure makes the next one slower to try.
func TestAuthFailuresAreSlow(t *testing.T) {
	cfg, client := withTLS(t, testConfig(KindSubmissions))
	cfg.Limits.AuthFailureDelay = 30 * time.Millisecond
	d := connect(t, cfg, client, &memory{auth: true})
	wrong := base64.StdEncoding.EncodeToString([]byte("\x00alice\x00wrong"))
	start := time.Now()
	d.run("S: 220\nC: EHLO x\nS: 250\nC: AUTH PLAIN " + wrong + "\nS: 535\nC: AUTH PLAIN " + wrong + "\nS: 535\n")
	if took := time.Since(start); took < 90*time.Millisecond {
		t.Errorf("two failures took %v", took)
	}
}

// A sign-in that is put off is as slow as one that fails, and counts towards the end of the
// session: who asks whether he may guess again asks three times.
func TestSignInsPutOffAreSlow(t *testing.T) {
	cfg, client := withTLS(t, testConfig(KindSubmissions))
	cfg.Limits.AuthFailureDelay = 30 * time.Millisecond
	d := connect(t, cfg, client, &memory{auth: true, sasl: func(string) SASL {
		return saslFunc(func() (bool, mail.Reply) { return true, mail.R(454, "4.7.0", "try again later") })
	}})
	start := time.Now()
	d.run("S: 220\nC: EHLO x\nS: 250\nC: AUTH PLAIN =\nS: 454\nC: AUTH PLAIN =\nS: 454\nC: AUTH PLAIN =\nS: 454\nC: NOOP\nS: 421\nS.")
	if took := time.Since(start); took < 180*time.Millisecond {
		t.Errorf("three took %v", took)
	}
}

// F17: the end of TLS in the midst of a chunk is the end of everything.
func TestCloseNotifyMidChunk(t *testing.T) {
	cfg, client := withTLS(t, testConfig(KindSubmissions))
	m := &memory{}
	d := connect(t, cfg, client, m)
	for _, line := range strings.Split("S: 220\nC: EHLO x\nS: 250\nC: MAIL FROM:<a@b.test>\nS: 250\nC: RCPT TO:<bob@local.test>\nS: 250", "\n") {
		d.step(line)
	}
	d.step(`C+ "BDAT 10 LAST\r\nabc"`)
	d.send()
	if err := d.nc.(*tls.Conn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	_ = d.raw.SetDeadline(time.Now().Add(5 * time.Second)) // crypto/tls has ended writing
	if _, err := d.raw.Write([]byte("0123456789\r\nNOOP\r\n")); err != nil {
		t.Fatal(err)
	}
	d.expectClosed()
	if len(m.snapshot()) != 0 {
		t.Error("something was delivered")
	}
}

// G15: clients that stall their handshakes are closed, and others are served at
// once, however many stall and however long they may.
func TestStalledHandshakes(t *testing.T) {
	cfg, client := withTLS(t, testConfig(KindSubmissions))
	cfg.Limits.Handshakes, cfg.Limits.HandshakeTimeout, cfg.Limits.HandshakeRush = 4, time.Minute, time.Minute
	cfg.Admission = NewAdmission(door.NewAdmission())
	addr, _ := serve(t, cfg, &memory{})
	for range 20 {
		nc, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
	}
	deadline := time.Now().Add(10 * time.Second)
	nc, err := tls.Dial("tcp", addr, client)
	for ; err != nil; nc, err = tls.Dial("tcp", addr, client) {
		// It may have come before some of those who stall, and lost its place to them.
		if time.Now().After(deadline) {
			t.Fatal("nobody else is served:", err)
		}
	}
	nc.Close()
	for cfg.Admission.Open() > cfg.Limits.Handshakes {
		if time.Now().After(deadline) {
			t.Fatalf("%d connections stay open", cfg.Admission.Open())
		}
		time.Sleep(time.Millisecond)
	}
}

// A stalled handshake ends by its time even when nobody wants its place, and so does one
// of which an octet comes now and then.
func TestHandshakeTimeout(t *testing.T) {
	cfg, _ := withTLS(t, testConfig(KindSubmissions))
	cfg.Limits.HandshakeTimeout = 100 * time.Millisecond
	addr, _ := serve(t, cfg, &memory{})
	for name, begin := range map[string]string{"stalled": "", "trickling": "\x16\x03\x01\x02\x00\x01\x00\x01\xfc"} {
		t.Run(name, func(t *testing.T) {
			nc, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			defer nc.Close()
			if begin != "" {
				go func() { // a ClientHello of 508 octets
					for _, octet := range []byte(begin + strings.Repeat("\x03", 500)) {
						if _, err := nc.Write([]byte{octet}); err != nil {
							return
						}
						time.Sleep(10 * time.Millisecond)
					}
				}()
			}
			if err := expectEnd(nc, 2*time.Second); err != nil {
				t.Error(err)
			}
		})
	}
}

// expectEnd fails unless the connection is closed, without a word, in time.
func expectEnd(nc net.Conn, within time.Duration) error {
	if err := nc.SetReadDeadline(time.Now().Add(within)); err != nil {
		return err
	}
	n, err := nc.Read(make([]byte, 1))
	var ne net.Error
	switch {
	case n > 0 || err == nil:
		return errors.New("a stalled handshake was answered")
	case errors.As(err, &ne) && ne.Timeout():
		return errors.New("a stalled handshake stays open")
	}
	return nil
}
