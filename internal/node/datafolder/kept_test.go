package datafolder_test

import (
	"os"
	"path/filepath"
	"testing"

	"sallyport/internal/ca"
)

// The key of the authority for devices lies among the server's other keys.
func TestTheKeyForDevicesLiesAmongTheOthers(t *testing.T) {
	a := age(t, "")
	if _, err := a.DeviceCA.Rollover(t.Context(), false, func(ca.Authority) [][]byte { return nil }); err != nil {
		t.Fatal(err)
	}
	if at := a.DeviceCA.KeyPath(1); filepath.Dir(at) != a.cfg.KeysDir() {
		t.Errorf("it lies at %s", at)
	} else if _, err := os.Stat(at); err != nil {
		t.Error(err)
	}
}
