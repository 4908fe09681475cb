package operate

import (
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"sallyport/internal/ca/device"
)

func asRequest(t *testing.T) (device.Key, string) {
	t.Helper()
	k, err := device.NewKey(rand.Reader)
	check(t, err)
	text, err := k.Request(rand.Reader)
	check(t, err)
	return k, text
}

// A certificate is issued and enrolled in one act, takes the place of another after a while,
// and stands in the list once it is revoked.
func TestCertificatesAreIssued(t *testing.T) {
	w, by := newWorld(t), Self()
	_, err := w.AccountAdd(t.Context(), by, AccountAdd{Address: "alice@local.test", Role: "person", Password: "correct horse battery"})
	check(t, err)
	key, request := asRequest(t)
	first, err := w.CertIssue(t.Context(), by, CertIssue{Account: "alice@local.test", Name: "phone", Request: request, Scope: "send"})
	check(t, err)
	if _, err := device.New(key, first.Certificate); err != nil || first.Host != "mx.local.test" || first.Scope != "send" || first.Serial == "" || first.Replaced != nil {
		t.Errorf("%+v, %v", first, err)
	}
	if in := time.Until(first.Ends); in < 364*24*time.Hour || in > 366*24*time.Hour {
		t.Errorf("it ends in %v", in)
	}
	_, request = asRequest(t)
	second, err := w.CertIssue(t.Context(), by, CertIssue{Account: "alice@local.test", Name: "phone-2", Request: request, Replaces: "PHONE", Days: 90})
	check(t, err)
	if old := second.Replaced; old == nil || old.ID != first.ID || old.ReplacedBy != second.ID || second.Scope != "send" || time.Until(old.Ends) > 30*24*time.Hour || time.Until(old.Ends) < 29*24*time.Hour {
		t.Errorf("%+v takes the place of %+v", second, second.Replaced)
	}
	_, err = w.CertRevoke(t.Context(), by, CredentialRef{Account: "alice@local.test", Credential: "phone"})
	check(t, err)
	var lists []RevocationList
	check(t, w.CertCRL(t.Context(), by, CertCRL{}, func(l RevocationList) error { lists = append(lists, l); return nil }))
	block, _ := pem.Decode([]byte(lists[0].PEM))
	list, err := x509.ParseRevocationList(block.Bytes)
	if err != nil || len(lists) != 1 || len(list.RevokedCertificateEntries) != 1 || list.RevokedCertificateEntries[0].SerialNumber.Text(16) != first.Serial {
		t.Errorf("%+v, %v", lists, err)
	}
}

// What cannot be issued leaves nothing: no enrolment, and no place in a list.
func TestCertificatesThatAreNotIssued(t *testing.T) {
	w, by := newWorld(t), Self()
	_, err := w.AccountAdd(t.Context(), by, AccountAdd{Address: "alice@local.test", Role: "person", Password: "correct horse battery"})
	check(t, err)
	_, request := asRequest(t)
	good := CertIssue{Account: "alice@local.test", Name: "phone", Request: request}
	_, err = w.CertIssue(t.Context(), by, good)
	check(t, err)
	_, other := asRequest(t)
	for name, c := range map[string]struct {
		r    CertIssue
		code Code
	}{
		"no such account":       {CertIssue{Account: "bob@local.test", Name: "phone", Request: other}, CodeNotFound},
		"the name is taken":     {CertIssue{Account: "alice@local.test", Name: "phone", Request: other}, CodeExists},
		"the key is taken":      {CertIssue{Account: "alice@local.test", Name: "tablet", Request: request}, CodeExists},
		"no request":            {CertIssue{Account: "alice@local.test", Name: "tablet"}, CodeInvalid},
		"too long":              {CertIssue{Account: "alice@local.test", Name: "tablet", Request: other, Days: 4000}, CodeInvalid},
		"nothing to replace":    {CertIssue{Account: "alice@local.test", Name: "tablet", Request: other, Replaces: "laptop"}, CodeNotFound},
		"a password to replace": {CertIssue{Account: "alice@local.test", Name: "tablet", Request: other, Replaces: "pw1"}, CodeNotFound},
		"no scope":              {CertIssue{Account: "alice@local.test", Name: "tablet", Request: other, Scope: "everything"}, CodeInvalid},
	} {
		var e *Error
		if _, err := w.CertIssue(t.Context(), by, c.r); !errors.As(asError(err), &e) || e.Code != c.code {
			t.Errorf("%s: %v", name, err)
		}
	}
	n := 0
	check(t, w.CertList(t.Context(), by, struct{}{}, func(Credential) error { n++; return nil }))
	if n != 1 {
		t.Errorf("%d certificates are enrolled", n)
	}
	var e *Error
	if err := w.CertCRL(t.Context(), by, CertCRL{Authority: 7}, nil); !errors.As(err, &e) || e.Code != CodeNotFound {
		t.Errorf("the list of none: %v", err)
	}
}

// A new authority signs; the ones before it are named as not to be trusted where their keys
// are stolen, and whoever they certified signs in all the same.
func TestAuthorities(t *testing.T) {
	w, by := newWorld(t), Self()
	_, err := w.AccountAdd(t.Context(), by, AccountAdd{Address: "alice@local.test", Role: "person", Password: "correct horse battery"})
	check(t, err)
	_, request := asRequest(t)
	_, err = w.CertIssue(t.Context(), by, CertIssue{Account: "alice@local.test", Name: "phone", Request: request})
	check(t, err)
	made, err := w.CARollover(t.Context(), by, CARollover{Stolen: true})
	check(t, err)
	var all []DeviceAuthority
	check(t, w.CAList(t.Context(), by, struct{}{}, func(a DeviceAuthority) error { all = append(all, a); return nil }))
	if len(all) != 2 || all[0].Signs || all[0].Distrusted.IsZero() || !all[1].Signs || all[1].Number != made.Number || all[1].KeyFault != "" || len(all[1].Fingerprint) != 95 {
		t.Errorf("%+v", all)
	}
	n := 0
	check(t, w.CertList(t.Context(), by, struct{}{}, func(Credential) error { n++; return nil }))
	if n != 1 {
		t.Errorf("%d certificates sign in after it", n)
	}
}

// Status tells of certificates that end soon, unless another takes their place, and of an
// authority that cannot sign.
func TestStatusTellsOfEnds(t *testing.T) {
	w, by := newWorld(t), Self()
	_, err := w.AccountAdd(t.Context(), by, AccountAdd{Address: "alice@local.test", Role: "person", Password: "correct horse battery"})
	check(t, err)
	health := func() Health {
		t.Helper()
		s, err := w.Status(t.Context(), by, struct{}{})
		check(t, err)
		return s.Health
	}
	for name, days := range map[string]int{"phone": 29, "laptop": 10, "tablet": 31} {
		_, request := asRequest(t)
		_, err = w.CertIssue(t.Context(), by, CertIssue{Account: "alice@local.test", Name: name, Request: request, Days: days})
		check(t, err)
	}
	if h := health(); h.Ending == nil || h.Ending.Certificates != 2 || h.Ending.First.Name != "laptop" || h.Authority != nil {
		t.Errorf("%+v, %+v", h.Ending, h.Authority)
	}
	for _, name := range []string{"phone", "laptop"} {
		_, request := asRequest(t)
		_, err = w.CertIssue(t.Context(), by, CertIssue{Account: "alice@local.test", Name: name + "-2", Request: request, Replaces: name})
		check(t, err)
	}
	if h := health(); h.Ending != nil {
		t.Errorf("%+v", h.Ending)
	}
	check(t, os.Remove(w.o.DeviceCA.KeyPath(1)))
	if h := health(); h.Authority == nil || !strings.Contains(h.Authority.KeyFault, "cert ca rollover") {
		t.Errorf("%+v", h.Authority)
	}
}
