package pki

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func local() Names {
	return Names{Hosts: []string{"mx.local.test", "localhost"},
		Addresses: []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("::1")}}
}

func ensure(t *testing.T, dir string, n Names, now time.Time) Files {
	t.Helper()
	f := In(filepath.Join(dir, "tls"))
	if err := f.Ensure("sallyport test authority", n, now); err != nil {
		t.Fatal(err)
	}
	return f
}

// TestClientsThatTrustTheAuthorityConnect makes real handshakes by every name.
func TestClientsThatTrustTheAuthorityConnect(t *testing.T) {
	f := ensure(t, t.TempDir(), local(), time.Now())
	pair, err := tls.LoadX509KeyPair(f.Cert, f.Key)
	if err != nil {
		t.Fatal(err)
	}
	ca, err := os.ReadFile(f.CA)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	for name, want := range map[string]bool{"mx.local.test": true, "localhost": true, "127.0.0.1": true, "::1": true,
		"other.test": false, "127.0.0.2": false} {
		if got := handshake(pair, roots, name); (got == nil) != want {
			t.Errorf("connecting to %s: %v", name, got)
		}
	}
}

func handshake(pair tls.Certificate, roots *x509.CertPool, name string) error {
	ln, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{pair}})
	if err != nil {
		return err
	}
	defer ln.Close()
	go func() {
		if c, err := ln.Accept(); err == nil {
			_ = c.(*tls.Conn).Handshake() // its fate is seen at the other end
			c.Close()
		}
	}()
	d := &tls.Dialer{NetDialer: &net.Dialer{Timeout: 5 * time.Second}, Config: &tls.Config{RootCAs: roots, ServerName: name}}
	c, err := d.Dial("tcp", ln.Addr().String())
	if err == nil {
		c.Close()
	}
	return err
}

func TestTheAuthorityVouchesForNothingElse(t *testing.T) {
	now := time.Now()
	a, err := NewAuthority("test", Names{Hosts: []string{"local.test"}}, now)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := a.Issue(Names{Hosts: []string{"mx.local.test"}}, now); err != nil {
		t.Errorf("a name below a permitted one: %v", err)
	}
	for _, n := range []Names{
		{Hosts: []string{"bank.example"}},
		{Hosts: []string{"local.test", "bank.example"}},
		{Hosts: []string{"local.test"}, Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.1")}},
		{},
	} {
		if _, _, err := a.Issue(n, now); err == nil {
			t.Errorf("issued for %v", n)
		}
	}
	if _, _, err := (Authority{}).Issue(local(), now); err == nil {
		t.Error("the zero authority issued")
	}
	if _, err := NewAuthority("test", Names{}, now); err == nil {
		t.Error("an authority for everything was made")
	}
}

func TestEnsureKeepsWhatIsGoodAndRenewsWhatIsNot(t *testing.T) {
	dir, now := t.TempDir(), time.Now()
	f := ensure(t, dir, local(), now)
	read := func(path string) []byte {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	ca, cert := read(f.CA), read(f.Cert)
	ensure(t, dir, local(), now.AddDate(0, 6, 0))
	if !bytes.Equal(cert, read(f.Cert)) {
		t.Error("a good certificate was replaced")
	}
	ensure(t, dir, local(), now.AddDate(0, 0, ServerDays-20))
	if bytes.Equal(cert, read(f.Cert)) {
		t.Error("a certificate about to end was kept")
	}
	cert = read(f.Cert)
	if err := os.Remove(f.Key); err != nil {
		t.Fatal(err)
	}
	ensure(t, dir, local(), now)
	if bytes.Equal(cert, read(f.Cert)) {
		t.Error("a certificate without key was kept")
	}
	if !bytes.Equal(ca, read(f.CA)) {
		t.Error("the authority was replaced; clients trust the old one")
	}
	if _, err := tls.LoadX509KeyPair(f.Cert, f.Key); err != nil {
		t.Error(err)
	}
	for _, secret := range []string{f.Key, f.CAKey} {
		if info, err := os.Stat(secret); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v", secret, info.Mode(), err)
		}
	}
}

func TestAnAuthorityWithoutItsKeyIsAnError(t *testing.T) {
	dir := t.TempDir()
	f := ensure(t, dir, local(), time.Now())
	if err := os.Remove(f.CAKey); err != nil {
		t.Fatal(err)
	}
	if err := f.Ensure("x", local(), time.Now()); err == nil {
		t.Error("it was replaced silently")
	}
	if err := os.WriteFile(f.CAKey, []byte("no key"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := f.Ensure("x", local(), time.Now()); err == nil {
		t.Error("a broken key was taken")
	}
}
