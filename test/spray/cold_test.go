package spray

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/argon2"

	"sallyport/test/cpu"
)

// BenchmarkColdSignIn: how many people a second sign in whose password the server has not verified
// of late, as after its start, each over a connection and a TLS handshake of his own, at home; and
// what each costs it, beside the hash alone. The server is a process of its own, with passwords of
// the default cost.
func BenchmarkColdSignIn(b *testing.B) {
	for _, hashing := range []int{1, 2} {
		b.Run(fmt.Sprintf("hashing=%d", hashing), func(b *testing.B) {
			const people, clients = 150, 20 // so many that nobody comes again within the second for which a password is remembered
			s, cfg := hashingServer(b, hashing, people)
			door := s.Listen.Submissions[0]
			signIn := func(n int) error {
				code, err := tried(door, home, netip.Addr{}, cfg, account(n), password(n))
				if err == nil && code != "235" {
					err = fmt.Errorf("%s: %s", account(n), code)
				}
				return err
			}
			for n := range people {
				must(b, signIn(n)) // at home from now on
			}
			pid, err := s.PID()
			must(b, err)
			hash := hashCost(b)
			time.Sleep(1100 * time.Millisecond)
			var next atomic.Int64
			failed := make(chan error, clients)
			before, began := cpuOf(b, pid), time.Now()
			b.ResetTimer()
			for range clients {
				go func() {
					for {
						n := next.Add(1)
						if n > int64(b.N) {
							failed <- nil
							return
						}
						if err := signIn(int(n) % people); err != nil {
							failed <- err
							return
						}
					}
				}()
			}
			for range clients {
				must(b, <-failed)
			}
			b.StopTimer()
			took := time.Since(began)
			each := float64((cpuOf(b, pid) - before).Microseconds()) / 1000 / float64(b.N)
			b.ReportMetric(float64(b.N)/took.Seconds(), "sign-ins/s")
			b.ReportMetric(each, "cpu-ms/sign-in")
			b.ReportMetric(float64(hash.Microseconds())/1000, "cpu-ms/hash")
			b.ReportMetric(each/(float64(hash.Microseconds())/1000), "sign-in/hash")
		})
	}
}

// hashCost is what one hash of the default cost takes of a processor here and now.
func hashCost(b *testing.B) time.Duration {
	b.Helper()
	const hashes = 20
	before := cpu.Process(b)
	for range hashes {
		argon2.IDKey([]byte("correct horse battery"), make([]byte, 16), 2, 19<<10, 1, 32)
	}
	return (cpu.Process(b) - before) / hashes
}

// cpuOf is the processor time of a process so far, from its clock in hundredths of a second.
func cpuOf(b *testing.B, pid int) time.Duration {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	must(b, err)
	var ticks int64
	for _, f := range bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])[11:13] { // user and system time
		n, err := strconv.ParseInt(string(f), 10, 64)
		must(b, err)
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}
