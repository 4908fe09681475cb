package credentials_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
	"time"

	"sallyport/internal/ca/device"
	"sallyport/internal/operate"
	"sallyport/internal/operate/call"
	"sallyport/test/operator"
)

func asRequest(t *testing.T) (device.Key, string) {
	t.Helper()
	k, err := device.NewKey(rand.Reader)
	operator.Check(t, err)
	text, err := k.Request(rand.Reader)
	operator.Check(t, err)
	return k, text
}

// A certificate is issued and enrolled in one act, takes the place of another after a while,
// and stands in the list once it is revoked.
func TestCertificatesAreIssued(t *testing.T) {
	w, by := operator.New(t), operate.Self()
	_, err := w.AccountAdd(t.Context(), by, operate.AccountAdd{Address: "alice@local.test", Role: "person", Password: "correct horse battery"})
	operator.Check(t, err)
	key, request := asRequest(t)
	first, err := w.CertIssue(t.Context(), by, operate.CertIssue{Account: "alice@local.test", Name: "phone", Request: request, Scope: "send"})
	operator.Check(t, err)
	if _, err := device.New(key, first.Certificate); err != nil || first.Host != "mx.local.test" || first.Scope != "send" || first.Serial == "" || first.Replaced != nil {
		t.Errorf("%+v, %v", first, err)
	}
	if in := time.Until(first.Ends); in < 364*24*time.Hour || in > 366*24*time.Hour {
		t.Errorf("it ends in %v", in)
	}
	_, request = asRequest(t)
	second, err := w.CertIssue(t.Context(), by, operate.CertIssue{Account: "alice@local.test", Name: "phone-2", Request: request, Replaces: "PHONE", Days: 90})
	operator.Check(t, err)
	if old := second.Replaced; old == nil || old.ID != first.ID || old.ReplacedBy != second.ID || second.Scope != "send" || time.Until(old.Ends) > 30*24*time.Hour || time.Until(old.Ends) < 29*24*time.Hour {
		t.Errorf("%+v takes the place of %+v", second, second.Replaced)
	}
	_, err = w.CertRevoke(t.Context(), by, operate.CredentialRef{Account: "alice@local.test", Credential: "phone"})
	operator.Check(t, err)
	var lists []operate.RevocationList
	operator.Check(t, w.CertCRL(t.Context(), by, operate.CertCRL{}, func(l operate.RevocationList) error { lists = append(lists, l); return nil }))
	block, _ := pem.Decode([]byte(lists[0].PEM))
	list, err := x509.ParseRevocationList(block.Bytes)
	if err != nil || len(lists) != 1 || len(list.RevokedCertificateEntries) != 1 || list.RevokedCertificateEntries[0].SerialNumber.Text(16) != first.Serial {
		t.Errorf("%+v, %v", lists, err)
	}
}

// What cannot be issued leaves nothing: no enrolment, and no place in a list.
func TestCertificatesThatAreNotIssued(t *testing.T) {
	w, by := operator.New(t), operate.Self()
	_, err := w.AccountAdd(t.Context(), by, operate.AccountAdd{Address: "alice@local.test", Role: "person", Password: "correct horse battery"})
	operator.Check(t, err)
	_, request := asRequest(t)
	asked := operate.Direct(w.Operator)
	good := operate.CertIssue{Account: "alice@local.test", Name: "phone", Request: request}
	_, err = w.CertIssue(t.Context(), by, good)
	operator.Check(t, err)
	_, other := asRequest(t)
	for name, c := range map[string]struct {
		r    operate.CertIssue
		code call.Code
	}{
		"no such account":       {operate.CertIssue{Account: "bob@local.test", Name: "phone", Request: other}, call.CodeNotFound},
		"the name is taken":     {operate.CertIssue{Account: "alice@local.test", Name: "phone", Request: other}, call.CodeExists},
		"the key is taken":      {operate.CertIssue{Account: "alice@local.test", Name: "tablet", Request: request}, call.CodeExists},
		"no request":            {operate.CertIssue{Account: "alice@local.test", Name: "tablet"}, call.CodeInvalid},
		"too long":              {operate.CertIssue{Account: "alice@local.test", Name: "tablet", Request: other, Days: 4000}, call.CodeInvalid},
		"nothing to replace":    {operate.CertIssue{Account: "alice@local.test", Name: "tablet", Request: other, Replaces: "laptop"}, call.CodeNotFound},
		"a password to replace": {operate.CertIssue{Account: "alice@local.test", Name: "tablet", Request: other, Replaces: "pw1"}, call.CodeNotFound},
		"no scope":              {operate.CertIssue{Account: "alice@local.test", Name: "tablet", Request: other, Scope: "everything"}, call.CodeInvalid},
	} {
		if _, err := asked.CertIssue(t.Context(), c.r); operator.Code(err) != c.code {
			t.Errorf("%s: %v", name, err)
		}
	}
	n := 0
	operator.Check(t, w.CertList(t.Context(), by, struct{}{}, func(operate.Credential) error { n++; return nil }))
	if n != 1 {
		t.Errorf("%d certificates are enrolled", n)
	}
	if err := w.CertCRL(t.Context(), by, operate.CertCRL{Authority: 7}, nil); operator.Code(err) != call.CodeNotFound {
		t.Errorf("the list of none: %v", err)
	}
}

// A new authority signs; the ones before it are named as not to be trusted where their keys
// are stolen, and whoever they certified signs in all the same.
func TestAuthorities(t *testing.T) {
	w, by := operator.New(t), operate.Self()
	_, err := w.AccountAdd(t.Context(), by, operate.AccountAdd{Address: "alice@local.test", Role: "person", Password: "correct horse battery"})
	operator.Check(t, err)
	_, request := asRequest(t)
	_, err = w.CertIssue(t.Context(), by, operate.CertIssue{Account: "alice@local.test", Name: "phone", Request: request})
	operator.Check(t, err)
	made, err := w.CARollover(t.Context(), by, operate.CARollover{Stolen: true})
	operator.Check(t, err)
	var all []operate.DeviceAuthority
	operator.Check(t, w.CAList(t.Context(), by, struct{}{}, func(a operate.DeviceAuthority) error { all = append(all, a); return nil }))
	if len(all) != 2 || all[0].Signs || all[0].Distrusted.IsZero() || !all[1].Signs || all[1].Number != made.Number || all[1].KeyFault != "" || len(all[1].Fingerprint) != 95 {
		t.Errorf("%+v", all)
	}
	n := 0
	operator.Check(t, w.CertList(t.Context(), by, struct{}{}, func(operate.Credential) error { n++; return nil }))
	if n != 1 {
		t.Errorf("%d certificates sign in after it", n)
	}
}

// An app password is made for what it is for, listed without its secret, and removed; how an account signs in is said.
func TestAppPasswords(t *testing.T) {
	for _, way := range []string{"socket", "direct"} {
		t.Run(way, func(t *testing.T) {
			w := operator.New(t)
			w.Account(t, "alice@local.test")
			c := w.Clients(t)[way]
			made, err := c.AppAdd(t.Context(), operate.AppAdd{
				Account: "alice@local.test", Name: "phone", Scope: "send,receive",
				Networks: []string{"192.0.2.0/24"}, Lasts: time.Hour,
			})
			operator.Check(t, err)
			if made.Password == "" || made.Name != "phone" || made.Expires.IsZero() {
				t.Fatalf("%+v", made)
			}
			_, err = c.AppAdd(t.Context(), operate.AppAdd{Account: "alice@local.test", Name: "other", Scope: "send,receive", Networks: []string{"everywhere"}})
			operator.WantCode(t, err, call.CodeInvalid)
			names := ""
			list := func() string {
				names = ""
				operator.Check(t,
					c.AppList(t.Context(), operate.AccountRef{Address: "alice@local.test"}, func(k operate.Credential) error { names += k.Name + k.Kind + " "; return nil }))
				return names
			}
			if !strings.Contains(list(), "phone") {
				t.Errorf("listed: %q", names)
			}
			_, err = c.AccountSignIn(t.Context(), operate.AccountSignIn{Address: "alice@local.test", Policy: "nothing"})
			operator.WantCode(t, err, call.CodeInvalid)
			_, err = c.AppRemove(t.Context(), operate.CredentialRef{Account: "alice@local.test", Credential: "phone"})
			operator.Check(t, err)
			if strings.Contains(list(), "phone") {
				t.Errorf("removed, and listed: %q", names)
			}
		})
	}
}

// madeElsewhere is a certificate that somebody else signed, in PEM.
func madeElsewhere(t *testing.T, name string) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	operator.Check(t, err)
	made := &x509.Certificate{SerialNumber: big.NewInt(77), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now(), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, made, made, &key.PublicKey, key)
	operator.Check(t, err)
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// A certificate that somebody else made is enrolled by its key, listed, and revoked; what is no certificate, or more
// than one, is refused.
func TestCertificatesOfOthersAreEnrolled(t *testing.T) {
	for _, way := range []string{"socket", "direct"} {
		t.Run(way, func(t *testing.T) {
			w := operator.New(t)
			w.Account(t, "alice@local.test")
			c, ctx, text := w.Clients(t)[way], t.Context(), madeElsewhere(t, "her laptop")
			made, err := c.CertEnroll(ctx, operate.CertEnroll{Account: "Alice@local.test", Name: "laptop", Certificate: text, Scope: "send", Lasts: time.Hour})
			operator.Check(t, err)
			if made.Name != "laptop" || made.Scope != "send" || made.Account != "alice@local.test" || made.Expires.IsZero() {
				t.Errorf("%+v", made)
			}
			listed := ""
			operator.Check(t, c.CertList(ctx, func(k operate.Credential) error { listed += k.Account + " " + k.Name; return nil }))
			if listed != "alice@local.test laptop" {
				t.Errorf("listed: %q", listed)
			}
			other := madeElsewhere(t, "x")
			for name, r := range map[string]operate.CertEnroll{
				"no certificate":    {Account: "alice@local.test", Name: "a", Certificate: "hello", Scope: "send"},
				"two of them":       {Account: "alice@local.test", Name: "a", Certificate: other + text, Scope: "send"},
				"one that is cut":   {Account: "alice@local.test", Name: "a", Certificate: "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", Scope: "send"},
				"ended before":      {Account: "alice@local.test", Name: "a", Certificate: other, Scope: "send", Lasts: -1},
				"no scope":          {Account: "alice@local.test", Name: "a", Certificate: other, Scope: "everything"},
				"no account's name": {Account: "alice", Name: "a", Certificate: other, Scope: "send"},
			} {
				if _, err := c.CertEnroll(ctx, r); operator.Code(err) != call.CodeInvalid {
					t.Errorf("%s: %v", name, err)
				}
			}
			gone, err := c.CertRevoke(ctx, operate.CredentialRef{Account: "alice@local.test", Credential: made.ID})
			if err != nil || gone.ID != made.ID || gone.SessionsEnded != 3 {
				t.Errorf("%+v, %v", gone, err)
			}
			_, err = c.CertRevoke(ctx, operate.CredentialRef{Account: "alice@local.test", Credential: "laptop"})
			operator.WantCode(t, err, call.CodeNotFound)
			if s := w.Story(t, "alice@local.test"); !strings.Contains(s, "certificate enrolled") || !strings.Contains(s, "certificate revoked") || !strings.Contains(s, "her laptop") {
				t.Errorf("the trace says nothing of it:\n%s", s)
			}
		})
	}
}

// What an app password may not be is refused, and so is one that is not there.
func TestAppPasswordsThatMakeNoSense(t *testing.T) {
	w := operator.New(t)
	w.Account(t, "alice@local.test")
	c, ctx := operate.Direct(w.Operator), t.Context()
	for name, r := range map[string]operate.AppAdd{
		"no scope":     {Account: "alice@local.test", Name: "a", Scope: "everything"},
		"ended before": {Account: "alice@local.test", Name: "a", Scope: "send", Lasts: -1},
		"no network":   {Account: "alice@local.test", Name: "a", Scope: "send", Networks: []string{"300.0.2.1"}},
		"no name":      {Account: "alice", Name: "a", Scope: "send"},
	} {
		if _, err := c.AppAdd(ctx, r); operator.Code(err) != call.CodeInvalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	made, err := c.AppAdd(ctx, operate.AppAdd{Account: "alice@local.test", Name: "printer", Scope: "send", Networks: []string{"192.0.2.7", "2001:db8::/48"}})
	if err != nil || strings.Join(made.Networks, " ") != "192.0.2.7/32 2001:db8::/48" {
		t.Errorf("%+v, %v", made, err)
	}
	_, err = c.AppRemove(ctx, operate.CredentialRef{Account: "alice@local.test", Credential: "scanner"})
	operator.WantCode(t, err, call.CodeNotFound)
	_, err = c.AppRemove(ctx, operate.CredentialRef{Account: "nobody@local.test", Credential: "scanner"})
	operator.WantCode(t, err, call.CodeNotFound)
}
