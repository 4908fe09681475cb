package server

import "testing"

// Whoever may hand in mail in clear text may do that alone: nobody signs in without TLS, and what
// is allowed is asked anew for each command. Other doors know nothing of it.
func TestClearText(t *testing.T) {
	cfg, client := withTLS(t, testConfig(KindSubmission))
	allowed, asked := true, 0
	cfg.Clear = func(c Conn) bool {
		asked++
		if c.Kind != KindSubmission || !c.Remote.IsValid() {
			t.Errorf("asked about %+v", c)
		}
		return allowed && asked < 7
	}
	m := &memory{}
	play(t, cfg, client, m, clearHello+`
		C: AUTH PLAIN AGFsaWNlAHNlY3JldA==
		S: 538 5.7.11
		C: MAIL FROM:<device@local.test>
		S: 250
		C: RCPT TO:<bob@local.test>
		S: 250
		C: DATA
		S: 354
		C: scanned
		C: .
		S: 250
		C: VRFY bob
		S: 252
		C: MAIL FROM:<device@local.test>
		S: 250
		C: RCPT TO:<bob@local.test>
		S: 250
		C: DATA
		S: 530 5.7.0 Must issue a STARTTLS command first
		C: BDAT 3 LAST
		C+ "abc"
		S: 530
`)
	if len(m.messages) != 1 {
		t.Errorf("%d messages came", len(m.messages))
	}
	for _, k := range []Kind{KindMX, KindSubmissions, KindSendmail} {
		if c := (Config{Clear: cfg.Clear}).Of(k); c.Clear != nil {
			t.Errorf("%v is told of clear text", k)
		}
	}
}
