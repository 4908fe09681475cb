package keys

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/maxmind/mmdbwriter/mmdbtype"

	"sallyport/internal/operate"
	"sallyport/internal/screen/geo/geotest"
)

// screen.as_file and screen.country_file: lines about a system and a country keep visitors out
// at the socket, by what the files say; a person who asks is told the same.
func TestPlaces(t *testing.T) {
	t.Parallel()
	const screen = "[screen]\nlist = \"list\"\nas_file = \"as.mmdb\"\ncountry_file = \"country.mmdb\"\n"
	s := newSite(t, balanced+screen)
	s.file("list", "exempt as AS64501\nrefuse as 64500 we know these\ndefer country ZZ\n")
	geotest.Write(t, filepath.Join(s.dir, "as.mmdb"), 6, map[string]mmdbtype.DataType{
		"198.51.100.0/24": geotest.System(64500), "203.0.113.0/24": geotest.System(64501), "2001:db8:1::/48": geotest.System(64500),
	})
	geotest.Write(t, filepath.Join(s.dir, "country.mmdb"), 6, map[string]mmdbtype.DataType{
		"203.0.113.0/24": geotest.Country("ZZ"), "2001:db8:2::/48": mmdbtype.Map{"country_code": mmdbtype.String("ZZ")},
	})
	s.start(map[string]string{"alice@local.test": "person"})
	for from, want := range map[string]string{
		"198.51.100.7":  "550 5.7.1 refused by this server's list: we know these",
		"2001:db8:1::7": "550 5.7.1 refused by this server's list: we know these",
		"2001:db8:2::7": "450 4.7.1 put off by this server's list",
		"203.0.113.7":   "250", // exempt, whatever its country
		"192.0.2.99":    "250", // no file knows it
	} {
		if r := s.mustVisit(from).offer("x@far.test", "alice@local.test", 300, true); !strings.HasPrefix(r, want) {
			t.Errorf("%s is told %s", from, r)
		}
	}
	a, err := s.Operator().ScreenTest(t.Context(), operate.Self(), operate.ScreenVisitor{Client: "203.0.113.7"})
	must(t, err)
	if a.AS != 64501 || a.Country != "ZZ" || a.Verdict != "take" || a.Line != 1 {
		t.Errorf("a person is told %+v", a)
	}
	if _, err := s.Operator().ScreenTest(t.Context(), operate.Self(), operate.ScreenVisitor{Client: "mail.far.test"}); err == nil || !strings.Contains(err.Error(), `"mail.far.test": an address of IPv4 or IPv6 stands here`) {
		t.Errorf("who tests a name is told %v", err)
	}
	s.file("as.mmdb", "broken")
	if answer, err := s.Reload(t.Context(), "test"); err == nil && len(answer.Faults) == 0 {
		t.Error("a broken file is taken at a reload")
	}
	if r := s.mustVisit("198.51.100.7").offer("x@far.test", "alice@local.test", 300, true); !strings.HasPrefix(r, "550") {
		t.Errorf("with a broken file on the disk it is told %s", r)
	}
	geotest.Write(t, filepath.Join(s.dir, "as.mmdb"), 6, map[string]mmdbtype.DataType{"198.51.100.0/25": geotest.System(64501)})
	s.reload(balanced + screen)
	if r := s.mustVisit("198.51.100.7").offer("x@far.test", "alice@local.test", 300, true); !strings.HasPrefix(r, "250") {
		t.Errorf("with a new file it is told %s", r)
	}
	s.configure(balanced + "[screen]\nlist = \"list\"\n")
	if answer, err := s.Reload(t.Context(), "test"); err == nil && len(answer.Faults) == 0 {
		t.Error("a list about countries is taken without a file that knows them")
	}
}
