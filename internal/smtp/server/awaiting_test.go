package server

import (
	"errors"
	"testing"

	"sallyport/internal/door"
)

// While the certificate has yet to come, nobody is asked to sign in: the doors where
// people do so are closed, and the one of the world offers no STARTTLS. With the
// certificate all are open.
func TestAwaitingACertificate(t *testing.T) {
	for kind, want := range map[Kind]string{
		KindSubmission:  "S: 421 4.3.2\nS.",
		KindSubmissions: "S.",
		KindMX:          "S: 220\nC: EHLO x\nS: 250\nC: STARTTLS\nS: 502\nC: QUIT\nS: 221\nS.",
	} {
		cfg := testConfig(kind)
		cfg.TLS, cfg.Awaiting = nil, true
		told := make(chan Unserved, 1)
		cfg.Unserved = func(u Unserved) { told <- u }
		addr, stop := serve(t, cfg, &memory{})
		d := dial(t, addr)
		d.steps(want)
		stop()
		if kind != KindMX {
			if u := <-told; u.Kind != kind || u.Rule != door.RuleCertificateAwaited || u.Reply.Code != 421 {
				t.Errorf("nobody can learn why: %+v", u)
			}
		}
	}
	cfg := testConfig(KindSubmissions)
	cfg.TLS = nil
	if _, err := NewDoor(cfg, &memory{}); !errors.Is(err, errNoTLS) {
		t.Errorf("a door without a certificate to come: %v", err)
	}
	cfg = testConfig(KindSubmission)
	with := cfg.TLS
	cfg.TLS, cfg.Awaiting = nil, true
	d, err := NewDoor(cfg, &memory{})
	if err != nil {
		t.Fatal(err)
	}
	cfg.TLS, cfg.Awaiting = with, false
	if err := d.Use(cfg); err != nil || d.Config().closed() {
		t.Errorf("with the certificate: %v", err)
	}
}
