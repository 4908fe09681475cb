package keys

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A stranger offers 2.9 GB and more to one mailbox for 28 s, as fast as he can over eight
// connections, by DATA and in chunks, with the size declared and without: he stops at his budget,
// which is half of his share of the mailbox at once, and the disk holds no more than that; the
// mailbox is open to others. SALLYPORT_FLOOD is what he offers at least, in MiB; without it he offers
// little, and stops.
func TestFloodOfOctets(t *testing.T) {
	offered := int64(40 << 20) // a sample
	more, share := "[inflow]\nshare_size = \"16MiB\"\n", int64(16<<20)
	large := 2 << 20
	var lasts time.Duration
	message := "message_size = \"2MiB\"\n"
	if mib, err := strconv.Atoi(os.Getenv("SALLYPORT_FLOOD")); err == nil {
		offered, more, share, large, message = int64(mib)<<20, "", 512<<20, 25_000_000, ""
		lasts = 28 * time.Second
	}
	s := newMailSite(t, "", limits+message+balanced+more)
	s.start(map[string]string{aliceBox: "person"})
	before := s.onDisk()
	began := time.Now()
	var tried, taken, refused atomic.Int64
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			v := s.mustVisit(fmt.Sprintf("198.51.100.%d", i))
			for n := 1; tried.Load() < offered || time.Since(began) < lasts; n++ {
				if n%10 == 0 { // who is refused too often in one session is turned out of it
					_ = v.Close()
					time.Sleep(time.Second) // more connections he may not open
					v = s.mustVisit(fmt.Sprintf("198.51.100.%d", i))
				}
				tried.Add(int64(large))
				how := v.offer
				if i%2 == 1 {
					how = v.chunks
				}
				switch r := how("x@far.test", aliceBox, large-2000, i%4 < 2); {
				case strings.HasPrefix(r, "250"):
					taken.Add(int64(large))
				case strings.HasPrefix(r, "452 4.2.2 this sender's share of the mailbox has reached"),
					strings.HasPrefix(r, "450 4.7.1 network 198.51.100.0/24 has reached 6000 recipients within a minute"):
					refused.Add(1)
				default:
					t.Errorf("refused with %s", r)
				}
			}
		})
	}
	all.Wait()
	took := time.Since(began)
	if r := s.mustVisit("203.0.113.9").offer("x@far.test", aliceBox, 300, true); !strings.HasPrefix(r, "250") {
		t.Errorf("others get %s", r)
	}
	grown := s.onDisk() - before
	budget := share/2 + int64(float64(share/2)*took.Hours()) + 1<<20
	t.Logf("of %d MiB offered within %.1f s %d MiB were taken, the budget is %d MiB; %d messages were refused, and the disk holds %d MiB more",
		tried.Load()>>20, took.Seconds(), taken.Load()>>20, budget>>20, refused.Load(), grown>>20)
	if taken.Load() > budget || refused.Load() == 0 || taken.Load() < share/4 {
		t.Errorf("%d MiB are taken of %d MiB that may be", taken.Load()>>20, budget>>20)
	}
	// A message is in the queue and in the mailbox at once while it is delivered.
	if most := 2*budget + 16<<20; grown > most {
		t.Errorf("the disk holds %d MiB more, and %d MiB are the most", grown>>20, most>>20)
	}
}

// onDisk is how many octets lie below the folder of the server.
func (s *site) onDisk() (octets int64) {
	s.t.Helper()
	must(s.t, filepath.WalkDir(s.dir, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			if i, err := d.Info(); err == nil {
				octets += i.Size()
			}
		}
		return nil // a file may be gone meanwhile
	}))
	return octets
}
