package settings

import (
	"net/netip"
	"testing"
	"time"

	"sallyport/internal/config"
)

// Whatever the clock shows, times can be counted in nanoseconds, and one that can be is left as it is.
func TestAClockBeyondWhatCanBeCounted(t *testing.T) {
	for text, want := range map[string]string{
		"0001-01-01T00:00:00Z": "1970-01-01T00:00:01Z", "1969-12-31T00:00:00Z": "1970-01-01T00:00:01Z",
		"2026-11-30T01:02:03Z": "2026-11-30T01:02:03Z", "2036-11-30T01:02:03Z": "2036-11-30T01:02:03Z",
		"2262-04-12T00:00:00Z": "2200-01-01T00:00:00Z", "9999-12-31T00:00:00Z": "2200-01-01T00:00:00Z",
	} {
		at, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t.Fatal(err)
		}
		got := World{Now: func() time.Time { return at }}.Complete().Now()
		if got.Format(time.RFC3339) != want {
			t.Errorf("%s: %s, want %s", text, got.Format(time.RFC3339), want)
		}
		if later := got.AddDate(50, 0, 0); later.UnixNano() <= 0 || !time.Unix(0, later.UnixNano()).Equal(later) {
			t.Errorf("%s: 50 years later cannot be counted", text)
		}
	}
}

// Everybody in a server asks the same name servers by one client, so that its bounds hold for all of them.
func TestOneClientAsksTheDNS(t *testing.T) {
	w := World{}.Complete()
	cfg := config.Config{}
	cfg.MX.DNS = []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:53")}
	a, err := Resolver(cfg, w)
	if err != nil {
		t.Fatal(err)
	}
	again := w // as each room has a copy of its own
	if b, err := Resolver(cfg, again); err != nil || b != a {
		t.Errorf("another client, %v", err)
	}
	cfg.TLSPolicy.Validated = true
	if b, err := Resolver(cfg, again); err != nil || b == a {
		t.Errorf("those whose word is believed have the same client, %v", err)
	}
}
