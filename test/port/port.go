// Package port reserves ports for tests that must know one before anybody listens there, or
// that stop who listens and start it again. A port that the kernel chose and that was closed
// again may be anybody's a moment later: another listener's, or that of a connection.
package port

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
)

// Reserved ports lie below those that the kernel gives to connections and to listeners that
// name none (net.ipv4.ip_local_port_range: 32768 and up), and above those of services.
const (
	lowest  = 10_000
	highest = 32_000
	tries   = 1_000
)

// Reservation keeps a port from everybody else who asks this package, in whatever process.
type Reservation struct {
	Number int
	mark   net.Listener
}

// Reserve returns a port on which nobody listens on host, over TCP or UDP, and that is
// nobody else's until it is released or the process ends.
func Reserve(host string) (*Reservation, error) {
	for range tries {
		n := lowest + rand.IntN(highest-lowest)
		// An abstract socket is of one network namespace, as ports are, and goes with its process.
		mark, err := net.Listen("unix", "@sallyport-test-port-"+strconv.Itoa(n))
		if err != nil {
			continue
		}
		if unused(net.JoinHostPort(host, strconv.Itoa(n))) {
			return &Reservation{Number: n, mark: mark}, nil
		}
		_ = mark.Close()
	}
	return nil, fmt.Errorf("port: %d ports of %s are taken", tries, host)
}

// Release lets others have the port.
func (r *Reservation) Release() error { return r.mark.Close() }

// unused reports whether both transports are free at an address.
func unused(at string) bool {
	ln, err := net.Listen("tcp", at)
	if err != nil {
		return false
	}
	defer ln.Close()
	pc, err := net.ListenPacket("udp", at)
	if err != nil {
		return false
	}
	return pc.Close() == nil
}

// TB is what a test or a benchmark is to this package.
type TB interface {
	Helper()
	Fatal(args ...any)
	Cleanup(func())
}

// Of returns a port of host for as long as the test runs.
func Of(t TB, host string) int {
	t.Helper()
	r, err := Reserve(host)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Release() })
	return r.Number
}

// Loopback returns an address of 127.0.0.1 for as long as the test runs.
func Loopback(t TB) string {
	t.Helper()
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(Of(t, "127.0.0.1")))
}
