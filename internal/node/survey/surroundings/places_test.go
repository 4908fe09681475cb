package surroundings

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/maxmind/mmdbwriter/mmdbtype"

	"sallyport/internal/operate/doctor"
	"sallyport/internal/screen/geo/geotest"
)

// A file of places is fine while it is young, to be renewed when it is old, and wrong when it
// cannot be read.
func TestPlacesGrowOld(t *testing.T) {
	dir := t.TempDir()
	good, bad := filepath.Join(dir, "good.mmdb"), filepath.Join(dir, "bad.mmdb")
	geotest.Write(t, good, 6, map[string]mmdbtype.DataType{"192.0.2.0/24": geotest.System(64500)})
	if err := os.WriteFile(bad, []byte("?"), 0o600); err != nil {
		t.Fatal(err)
	}
	built := time.Unix(geotest.Built, 0)
	for _, c := range []struct {
		path  string
		days  int
		state doctor.State
		what  string
	}{{good, 1, doctor.Fine, "made on 2023-11-14"}, {good, 59, doctor.Fine, ""}, {good, 61, doctor.Warning, "61 days ago"}, {bad, 1, doctor.Wrong, "it cannot be read"}, {bad + ".missing", 1, doctor.Wrong, "no such file"}} {
		f := examinePlaces([]string{c.path}, built.AddDate(0, 0, c.days))
		if len(f) != 1 || f[0].State != c.state || !strings.Contains(f[0].What, c.what) || (f[0].Remedy == "") != (c.state == doctor.Fine) {
			t.Errorf("%s after %d days: %+v", c.path, c.days, f)
		}
	}
}
