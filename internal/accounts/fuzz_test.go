package accounts

import (
	"bytes"
	"context"
	"crypto/x509"
	"strings"
	"testing"

	"sallyport/internal/oidc"
)

// FuzzExchange plays arbitrary responses in every mechanism. Whatever comes, the
// exchange ends within four responses, and nobody gets in without the password:
// the only way in is a response that holds it.
func FuzzExchange(f *testing.F) {
	for _, s := range [][2]string{
		{"\x00alice@local.test\x00" + alicePassword, ""},
		{"alice@local.test\x00alice@local.test\x00wrong", ""},
		{"alice@local.test", alicePassword},
		{"alice@local.test", "wrong"},
		{"n,,n=alice@local.test,r=abcdef", "c=biws,r=abcdef,p=AAAA"},
		{"y,,n=alice@local.test,r=abcdef", "c=eSws,r=abcdef,p=AAAA"},
		{"n,a=bob@local.test,n=alice@local.test,r=x", ""},
		{"p=tls-exporter,,n=alice@local.test,r=x", ""},
		{"p=tls-unique,,n=a=2Cb=3Dc@local.test,r=x", "c=,r=,p="},
		{"n,,m=ext,n=alice@local.test,r=x", ","},
		{"", ""},
		{"user=alice@local.test\x01auth=Bearer t\x01\x01", ""},
		{"n,a=alice@local.test,\x01auth=Bearer t\x01\x01", "\x01"},
		{"\x00\x00", "\x00"},
		{"n,,n=\xff,r=x", "\xff"},
	} {
		for mech := range KnownMechanisms() {
			f.Add(uint8(mech), []byte(s[0]), []byte(s[1]), []byte(nil))
		}
	}
	id := withAlice(f, laxLimits())
	judge := nobody(f, id.clock.Now) // no token is anybody's
	id.o.Provider = func() *oidc.Judge { return judge }
	leaf := leafOf(f, id.clock.Now(), nil)
	id.enroll(f, "bob@local.test", Device{Name: "laptop", Certificate: leaf})
	state := exporterState(f)
	state.PeerCertificates = []*x509.Certificate{leaf}
	f.Fuzz(func(t *testing.T, mech uint8, first, second, third []byte) {
		p := home()
		p.TLS = &state
		name := KnownMechanisms()[int(mech)%len(KnownMechanisms())]
		x, err := id.Begin(name, p)
		if err != nil {
			t.Fatal(err)
		}
		over := false
		for _, r := range [][]byte{first, second, third, {}} {
			_, done, err := x.Next(context.Background(), r)
			if over = done; done {
				if reply := Reply(err); reply.Code != 235 && reply.Code != 535 && reply.Code != 501 && reply.Code != 454 {
					t.Errorf("%s: %v", name, reply)
				}
				break
			}
		}
		x.Cancel()
		proof, in := x.Proof()
		if name == MechExternal { // the certificate is bob's, and opens his account alone
			if in && proof.Address.String() != "bob@local.test" {
				t.Errorf("signed in as %v with %q", proof.Address, first)
			}
			return
		}
		if in && (!over || !bytes.Contains(first, []byte(alicePassword)) && !bytes.Contains(second, []byte(alicePassword)) && !bytes.Contains(third, []byte(alicePassword))) {
			t.Errorf("%s: signed in with %q %q %q", name, first, second, third)
		}
		if a := x.Attempt(); a.Rule == RuleNone || in != (a.Rule == RuleSignedIn) {
			t.Errorf("%s: %+v", name, a)
		} else if told := a.Why + a.User; strings.Contains(told, alicePassword) && !strings.Contains(x.user, "@") {
			t.Errorf("%s: the password is told: %+v", name, a) // it may have been typed as the user name
		}
	})
}

// FuzzRecord: a record either reads back as itself or is refused.
func FuzzRecord(f *testing.F) {
	id := withAlice(f, laxLimits())
	whole, err := id.record("alice@local.test").encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add([]byte(`{"v":1}`))
	f.Add([]byte(`{"v":1,"networks":[{"network":"192.0.2.0/24","last":"2026-01-02T03:04:05Z"}]}`))
	f.Fuzz(func(t *testing.T, value []byte) {
		r, err := decodeRecord("alice@local.test", value)
		if err != nil {
			return
		}
		again, err := r.encode()
		if err != nil {
			t.Fatal(err)
		}
		r2, err := decodeRecord("alice@local.test", again)
		if err != nil || r2.Account != r.Account && !r2.Created.Equal(r.Created) || r2.secret.validate() != nil {
			t.Errorf("%s\n%s\n%v", value, again, err)
		}
	})
}

// FuzzPassword: preparing is stable, and never makes an empty or long one.
func FuzzPassword(f *testing.F) {
	for _, s := range []string{"password", "", "p\u00e2te", "pa\u0302te", "ne\u00a0bsp", "\x00", "\xff", "🐴", "\u202e", "ß", "\u1100\u1161"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, typed string) {
		p, err := preparePassword(typed, 1024)
		if err != nil {
			return
		}
		again, err := preparePassword(p, 1024)
		if p == "" || len(p) > 1024 || err != nil || again != p {
			t.Errorf("%q -> %q -> %q %v", typed, p, again, err)
		}
	})
}
