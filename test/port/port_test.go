package port

import (
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
)

// A port is nobody else's while it is reserved, though nobody listens there, and lies
// outside of what the kernel gives away by itself.
func TestReserve(t *testing.T) {
	b, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	if err != nil {
		t.Fatal(err)
	}
	kernels, err := strconv.Atoi(strings.Fields(string(b))[0])
	if err != nil {
		t.Fatal(err)
	}
	if kernels <= highest {
		t.Skipf("here the kernel gives away the ports from %d on", kernels)
	}
	seen := map[int]bool{}
	for range 500 {
		n := Of(t, "127.0.0.1")
		if seen[n] || n >= kernels || n < lowest {
			t.Fatalf("%d was reserved, and before: %t", n, seen[n])
		}
		seen[n] = true
	}
	r, err := Reserve("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	mark := "@sallyport-test-port-" + strconv.Itoa(r.Number)
	if ln, err := net.Listen("unix", mark); err == nil {
		_ = ln.Close()
		t.Error("a reservation keeps nobody out")
	}
	if err := r.Release(); err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("unix", mark)
	if err != nil {
		t.Fatalf("what was released: %v", err)
	}
	_ = ln.Close()
}

// What somebody listens on is not given out.
func TestUnused(t *testing.T) {
	ln, err := net.Listen("tcp", Loopback(t))
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if unused(ln.Addr().String()) {
		t.Error("a port with a listener is called free")
	}
	at := Loopback(t)
	pc, err := net.ListenPacket("udp", at)
	if err != nil {
		t.Fatal(err)
	}
	defer pc.Close()
	if unused(at) {
		t.Error("a port that is taken for UDP is called free")
	}
}
