package geo

import (
	"bytes"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/maxmind/mmdbwriter/mmdbtype"

	"sallyport/internal/screen/access"
	"sallyport/internal/screen/geo/geotest"
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// Each form of record is read, an address is what it is however it is written, and what no
// file knows is nothing.
func TestLookup(t *testing.T) {
	dir := t.TempDir()
	systems, countries := filepath.Join(dir, "as.mmdb"), filepath.Join(dir, "country.mmdb")
	geotest.Write(t, systems, 6, map[string]mmdbtype.DataType{
		"192.0.2.0/24": geotest.System(64500), "2001:db8:1::/48": geotest.System(4200000000),
		"198.51.100.0/24": mmdbtype.Map{"asn": mmdbtype.String("AS64501"), "country": mmdbtype.String("FR")}, "203.0.113.0/24": mmdbtype.Map{"asn": mmdbtype.Uint32(64502)},
	})
	geotest.Write(t, countries, 4, map[string]mmdbtype.DataType{
		"192.0.2.0/25":     geotest.Country("DE"),
		"198.51.100.0/24":  mmdbtype.Map{"country_code": mmdbtype.String("CH")},
		"203.0.113.0/25":   mmdbtype.Map{"country": mmdbtype.String("AT")},
		"203.0.113.128/25": mmdbtype.Map{"registered_country": mmdbtype.Map{"iso_code": mmdbtype.String("NL")}},
		"192.0.2.128/25":   mmdbtype.Map{"country_code": mmdbtype.String("none")},
	})
	a, err := Open([]string{systems, countries}, quiet())
	if err != nil {
		t.Fatal(err)
	}
	for ip, want := range map[string]access.Place{
		"192.0.2.7": {AS: 64500, Country: "DE"}, "::ffff:192.0.2.7": {AS: 64500, Country: "DE"}, "192.0.2.200": {AS: 64500},
		"198.51.100.1": {AS: 64501, Country: "FR"}, "203.0.113.1": {AS: 64502, Country: "AT"}, "203.0.113.200": {AS: 64502, Country: "NL"},
		"2001:db8:1::5": {AS: 4200000000}, "2001:db8:2::5": {}, "10.0.0.1": {}, "fe80::1%eth0": {},
	} {
		if got := a.Lookup(netip.MustParseAddr(ip)); got != want {
			t.Errorf("%s is in %+v", ip, got)
		}
	}
	if got := a.Lookup(netip.Addr{}); got != (access.Place{}) {
		t.Errorf("no address is in %+v", got)
	}
	if got := (*Atlas)(nil).Lookup(netip.MustParseAddr("192.0.2.7")); got != (access.Place{}) || len((*Atlas)(nil).Files()) != 0 {
		t.Errorf("without files it is in %+v", got)
	}
}

// A file that changes is read anew; one that is broken, or gone, leaves the old one in use, is
// told, and is taken when it is whole again.
func TestReread(t *testing.T) {
	path := filepath.Join(t.TempDir(), "as.mmdb")
	geotest.Write(t, path, 6, map[string]mmdbtype.DataType{"192.0.2.0/24": geotest.System(64500)})
	var log bytes.Buffer
	a, err := Open([]string{path}, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	ip := netip.MustParseAddr("192.0.2.7")
	is := func(as uint32, fault, logged string) {
		t.Helper()
		log.Reset()
		a.Reread()
		a.Reread() // tells nothing twice
		f := a.Files()[0]
		if got := a.Lookup(ip).AS; got != as || !strings.Contains(f.Fault, fault) || (fault == "") != (f.Fault == "") {
			t.Errorf("it is in AS%d, fault %q", got, f.Fault)
		}
		if n := strings.Count(log.String(), "\n"); (logged == "") != (n == 0) || n > 1 || !strings.Contains(log.String(), logged) {
			t.Errorf("logged: %s", log.String())
		}
	}
	is(64500, "", "")
	if built := a.Files()[0].Built; !built.Equal(time.Unix(geotest.Built, 0)) {
		t.Errorf("built at %s", built)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, broken := range [][]byte{nil, []byte("no such thing"), whole[:len(whole)/2], append(bytes.Repeat([]byte{0xff}, 100), whole[100:]...)} {
		if err := os.WriteFile(path, broken, 0o600); err != nil {
			t.Fatal(err)
		}
		is(64500, "MaxMind DB", "stays in use")
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	is(64500, "no such file", "stays in use")
	geotest.Write(t, path, 6, map[string]mmdbtype.DataType{"192.0.2.0/24": geotest.System(64511), "198.51.100.0/24": geotest.System(1)})
	is(64511, "", "read anew")
	for _, bad := range []string{path + ".missing", filepath.Dir(path)} {
		if _, err := Open([]string{path, bad}, quiet()); err == nil || !strings.Contains(err.Error(), bad) {
			t.Errorf("%s: %v", bad, err)
		}
	}
}
