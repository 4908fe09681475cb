package accounts

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"sallyport/internal/kit/codec"
	"sallyport/internal/mail"
)

// Known answers: what an older release stored reads back, so a changed layout needs
// another version.
func TestKnownRecords(t *testing.T) {
	address, err := mail.ParseAddress("Alice@local.test", mail.UTF8)
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	octets := func(b byte, n int) []byte { return bytes.Repeat([]byte{b}, n) }
	r := &record{
		Account: Account{
			Address: address, Standing: StandingFrozen, FrozenReason: "stolen", Role: RoleBulk, Created: at, PasswordChanged: at.Add(time.Hour),
			RecipientsHour: 7, RecipientsDay: 70, Revision: 9, PasswordRevision: 8, SignIn: PolicyApp,
		},
		secret: secret{
			Argon: argonHash{Memory: 65536, Passes: 3, Lanes: 4, Salt: octets(1, saltOctets), Hash: octets(2, hashOctets)},
			Scram: scramVerifier{Rounds: 10000, Salt: octets(3, saltOctets), StoredKey: octets(4, hashOctets), ServerKey: octets(5, hashOctets)},
		},
		held: []held{{
			Credential: Credential{
				ID: "app7", Kind: KindApp, Name: "phone", Created: at, Expires: at.Add(time.Hour),
				Scope: ScopeSend, Networks: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")},
			},
			App: &appSecret{Digest: octets(6, hashOctets), StoredKey: octets(7, hashOctets), ServerKey: octets(8, hashOctets)},
		}, {
			Credential: Credential{
				ID: "cert8", Kind: KindCertificate, Name: "laptop", Created: at, Scope: ScopeAll,
				Certificate: &Certificate{Serial: "1f", Issuer: "CN=devices", NotAfter: at.Add(time.Hour)},
				ReplacedBy:  "cert9",
			},
			Key: &publicKey{SPKI: octets(9, 32)},
		}},
	}
	const stored = `{"v":1,"address":"Alice@local.test","standing":"frozen","frozen_reason":"stolen","role":"bulk","created":"2026-01-02T03:04:05.000000006Z","password_changed":"2026-01-02T04:04:05.000000006Z","password_revision":8,"sign_in":"app","recipients_hour":7,"recipients_day":70,"revision":9,"secret":{"argon2id":{"m":65536,"t":3,"p":4,"salt":"AQEBAQEBAQEBAQEBAQEBAQ==","hash":"AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI="},"scram_sha_256":{"i":10000,"salt":"AwMDAwMDAwMDAwMDAwMDAw==","stored_key":"BAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQ=","server_key":"BQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQU="}},"credentials":[{"id":"app7","kind":"app password","name":"phone","created":"2026-01-02T03:04:05.000000006Z","expires":"2026-01-02T04:04:05.000000006Z","scope":"send","networks":["192.0.2.0/24"],"app_password":{"sha256":"BgYGBgYGBgYGBgYGBgYGBgYGBgYGBgYGBgYGBgYGBgY=","stored_key":"BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=","server_key":"CAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAg="}},{"id":"cert8","kind":"certificate","name":"laptop","created":"2026-01-02T03:04:05.000000006Z","scope":"send,receive","certificate":{"serial":"1f","issuer":"CN=devices","not_after":"2026-01-02T04:04:05.000000006Z"},"replaced_by":"cert9","public_key":{"spki_sha256":"CQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQk="}}]}`
	if got, err := r.encode(); err != nil || string(got) != stored {
		t.Errorf("an account is stored as\n%s, %v", got, err)
	}
	if back, err := decodeRecord(address.Key(), []byte(stored)); err != nil || !reflect.DeepEqual(back, r) {
		t.Errorf("an account reads as %+v, %v", back, err)
	}
	// Enrolments of before certificates were noted have none.
	const bare = `{"id":"cert8","kind":"certificate","name":"laptop","created":"2026-01-02T03:04:05.000000006Z","scope":"send,receive","public_key":{"spki_sha256":"CQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQk="}}`
	var h held
	if err := codec.Decode([]byte(bare), &h); err != nil || h.validate() != nil || h.Certificate != nil || h.ReplacedBy != "" {
		t.Errorf("a bare enrolment reads as %+v, %v", h, err)
	}
	// Before there were limits of its own and credentials beside the password, an account had
	// none in its record.
	r.PasswordRevision, r.SignIn, r.held = 0, PolicyAny, nil
	r.RecipientsHour, r.RecipientsDay, r.Standing, r.FrozenReason, r.Role = 0, 0, StandingActive, "", RolePerson
	const plain = `{"v":1,"address":"Alice@local.test","standing":"active","role":"person","created":"2026-01-02T03:04:05.000000006Z","password_changed":"2026-01-02T04:04:05.000000006Z","revision":9,"secret":{"argon2id":{"m":65536,"t":3,"p":4,"salt":"AQEBAQEBAQEBAQEBAQEBAQ==","hash":"AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI="},"scram_sha_256":{"i":10000,"salt":"AwMDAwMDAwMDAwMDAwMDAw==","stored_key":"BAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQ=","server_key":"BQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQU="}}}`
	if back, err := decodeRecord(address.Key(), []byte(plain)); err != nil || !reflect.DeepEqual(back, r) {
		t.Errorf("a plain account reads as %+v, %v", back, err)
	}

	networks := []knownNetwork{{netip.MustParsePrefix("192.0.2.0/24"), at}, {netip.MustParsePrefix("2001:db8::/56"), at.Add(time.Hour)}}
	const known = `{"v":1,"networks":[{"network":"192.0.2.0/24","last":"2026-01-02T03:04:05.000000006Z"},{"network":"2001:db8::/56","last":"2026-01-02T04:04:05.000000006Z"}]}`
	if got, err := encodeNetworks(networks); err != nil || string(got) != known {
		t.Errorf("networks are stored as\n%s, %v", got, err)
	}
	if back, err := decodeNetworks([]byte(known)); err != nil || !reflect.DeepEqual(back, networks) {
		t.Errorf("networks read as %+v, %v", back, err)
	}

	used, err := json.Marshal(storedUses{recordVersion, map[string]time.Time{"pw8": at}, map[string]time.Time{"cert8": at.Add(time.Hour)}})
	if want := `{"v":1,"uses":{"pw8":"2026-01-02T03:04:05.000000006Z"},"ends":{"cert8":"2026-01-02T04:04:05.000000006Z"}}`; err != nil || string(used) != want {
		t.Errorf("uses are stored as\n%s, %v", used, err)
	}

	if got := string(codec.EncodeRevision(1<<64 - 1)); got != "18446744073709551615" {
		t.Errorf("a revision is stored as %s", got)
	}
	if n, err := codec.DecodeRevision([]byte("18446744073709551615")); err != nil || n != 1<<64-1 {
		t.Errorf("a revision reads as %d, %v", n, err)
	}
	for key, want := range map[string]string{
		string(accountKey(address.Key())): "identity/account/alice@local.test", string(networksKey(address.Key())): "identity/networks/alice@local.test",
		string(usedKey(address.Key())): "identity/used/alice@local.test", keyRevision: "identity/revision", keyDecoy: "identity/decoy", prefixAll: "identity/",
	} {
		if key != want {
			t.Errorf("the key %s, want %s", key, want)
		}
	}
}
