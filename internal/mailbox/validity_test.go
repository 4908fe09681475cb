package mailbox

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// still stops the clock of a site.
func still(s *site) *site {
	at := time.Unix(1_700_000_000, 0)
	s.root.now = func() time.Time { return at }
	return s
}

// validityOf makes a folder if it is not there, opens it, and returns its UIDValidity.
func validityOf(t *testing.T, s *site, name string) uint32 {
	t.Helper()
	_ = s.user.Create(t.Context(), name, UseNone)
	m, err := s.user.Select(t.Context(), name, false)
	check(t, err)
	defer m.Close()
	return m.UIDValidity()
}

// No two folders of an account have the same UIDValidity, and one that is made again has a greater one, however many are
// made within a second and whatever the server did meanwhile: also where nobody noted which were given.
// RFC 9051 §2.3.1.1, RFC 8474 §4
func TestUIDValiditiesOnlyGrow(t *testing.T) {
	dir := t.TempDir()
	s := still(open(t, vfs.Default, dir))
	all := map[uint32]string{}
	largest := uint32(0)
	for run := range 6 {
		for i := range 7 {
			name := fmt.Sprintf("%d.%d", run, i)
			v := validityOf(t, s, name)
			if all[v] != "" || v <= largest {
				t.Fatalf("%s has %d, as %q; the largest was %d", name, v, all[v], largest)
			}
			all[v], largest = name, v
		}
		check(t, s.user.Delete(t.Context(), "0.0"))
		if v := validityOf(t, s, "0.0"); v <= largest {
			t.Fatalf("a folder that was made again has %d, and the largest was %d", v, largest)
		} else {
			all[v], largest = "0.0", v
		}
		s.user.Close()
		s.root.Close()
		if run == 3 { // an account of before
			check(t, os.Remove(filepath.Join(s.dir, indexFolder, validityFile)))
		}
		s = still(open(t, vfs.Default, dir))
	}
}

// To look at folders that are there takes none away: the clock is not left behind.
func TestUIDValiditiesStayWithTheClock(t *testing.T) {
	s := still(open(t, vfs.Default, t.TempDir()))
	first := validityOf(t, s, "one")
	for range 100 {
		_, err := s.user.Status(context.Background(), "one", false)
		check(t, err)
		_, err = s.user.Verify(t.Context(), "one")
		check(t, err)
		s.user.Close()
		s.root.Close()
		s = still(open(t, vfs.Default, filepath.Dir(s.dir)))
	}
	if next := validityOf(t, s, "two"); next > first+2*validityReserve {
		t.Errorf("%d follows on %d", next, first)
	}
}
