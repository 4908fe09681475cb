package mtasts

import (
	"encoding/hex"
	"testing"
	"time"

	"sallyport/internal/mail"
)

// Known answers: a policy that an older release kept still holds.
func TestKnownEntry(t *testing.T) {
	p, err := ParsePolicy([]byte("version: STSv1\nmode: enforce\nmx: *.remote.test\nmx: mx.remote.test\nmax_age: 86400\n"))
	if err != nil {
		t.Fatal(err)
	}
	e := entry{policy: p, id: "20260102T03", fetched: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), used: time.Date(2026, 1, 3, 0, 0, 0, 0, time.UTC)}
	const stored = "0100000000695735a50000000069585c000b323032363031303254303376657273696f6e3a2053545376310d0a6d6f64653a20656e666f7263650d0a6d783a202a2e72656d6f74652e746573740d0a6d783a206d782e72656d6f74652e746573740d0a6d61785f6167653a2038363430300d0a"
	if got := hex.EncodeToString(e.encode()); got != stored {
		t.Errorf("stored as %s", got)
	}
	b, err := hex.DecodeString(stored)
	if err != nil {
		t.Fatal(err)
	}
	back, err := decodeEntry(b)
	if err != nil || back.id != e.id || !back.fetched.Equal(e.fetched) || !back.used.Equal(e.used) || back.policy.String() != p.String() {
		t.Errorf("it reads as %+v, %v", back, err)
	}
	d, err := mail.ParseDomain("bücher.test")
	if err != nil {
		t.Fatal(err)
	}
	if got := string(entryKey(d)); got != "y/m/xn--bcher-kva.test" {
		t.Errorf("its key is %s", got)
	}
}
