package keyring

import (
	"crypto/ed25519"
	"crypto/x509"
	"strings"
	"testing"
	"time"

	"sallyport/internal/mail"
)

// Known answers: what an older release stored reads back.
func TestKnownRing(t *testing.T) {
	d, err := mail.ParseDomain("bücher.test")
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(ed25519.NewKeyFromSeed([]byte(strings.Repeat("\x01", 32))))
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	var keys []owned
	for i, s := range []State{StateNew, StateActive, StateRetired} {
		k := owned{Key: Key{State: s, Created: at, Since: at.Add(time.Hour)}, secret: secret}
		k.Name.Domain, k.Name.Selector = d, []string{"a", "b", "c"}[i]
		if s == StateRetired {
			k.Seen, k.Lost, k.Forced = at.Add(2*time.Hour), at.Add(3*time.Hour), true
		}
		keys = append(keys, k)
	}
	const stored = `[{"selector":"a","state":"new","created":"2026-01-02T03:04:05.000000006Z","since":"2026-01-02T04:04:05.000000006Z","secret":"MC4CAQAwBQYDK2VwBCIEIAEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB"},{"selector":"b","state":"active","created":"2026-01-02T03:04:05.000000006Z","since":"2026-01-02T04:04:05.000000006Z","secret":"MC4CAQAwBQYDK2VwBCIEIAEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB"},{"selector":"c","state":"retired","created":"2026-01-02T03:04:05.000000006Z","since":"2026-01-02T04:04:05.000000006Z","seen":"2026-01-02T05:04:05.000000006Z","lost":"2026-01-02T06:04:05.000000006Z","forced":true,"secret":"MC4CAQAwBQYDK2VwBCIEIAEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB"}]`
	if got, err := encode(keys); err != nil || string(got) != stored {
		t.Errorf("stored as\n%s, %v", got, err)
	}
	back, err := decode(d, []byte(stored))
	if err != nil || len(back) != len(keys) {
		t.Fatal(back, err)
	}
	for i, k := range keys {
		b := back[i]
		if b.Name != k.Name || b.State != k.State || !b.Created.Equal(k.Created) || !b.Since.Equal(k.Since) ||
			!b.Seen.Equal(k.Seen) || !b.Lost.Equal(k.Lost) || b.Forced != k.Forced ||
			string(b.secret) != string(secret) {
			t.Errorf("%+v reads as %+v", k.Key, b.Key)
		}
		if want := "v=DKIM1; k=ed25519; p=iojj3XQJ8ZX9UtstPLpdcspnCb8dlBIb83SIAbQPb1w="; b.Record != want {
			t.Errorf("its record is %s, want %s", b.Record, want)
		}
	}
	if got := string(storeKey(d)); got != "k/d/xn--bcher-kva.test" {
		t.Errorf("the key is %s", got)
	}
}
