package gather

import (
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A socket that systemd has is told from one that somebody else has: by this kernel's own
// table of sockets, and a first process that has one of them.
func TestWhatSystemdHolds(t *testing.T) {
	for _, at := range []string{"127.0.0.1:0", "[::1]:0", "0.0.0.0:0"} {
		ln, err := net.Listen("tcp", at)
		if err != nil {
			t.Skip("this host has no such address:", err)
		}
		defer ln.Close()
		addr := netip.MustParseAddrPort(ln.Addr().String())
		if strings.HasPrefix(at, "0.0.0.0") {
			addr = netip.AddrPortFrom(netip.IPv6Unspecified(), addr.Port()) // Go binds both families
		}
		proc := t.TempDir()
		fds := filepath.Join(proc, "1", "fd")
		must(t, os.MkdirAll(fds, 0o755))
		must(t, os.Symlink("/proc/net", filepath.Join(proc, "net")))
		must(t, os.WriteFile(filepath.Join(proc, "1", "comm"), []byte("systemd\n"), 0o600))
		if held(proc, addr) {
			t.Errorf("%s: systemd has nothing", at)
		}
		links := append(listening("/proc/net/tcp", addr), listening("/proc/net/tcp6", addr)...)
		if len(links) != 1 {
			t.Fatalf("%s: %d sockets: %v", at, len(links), links)
		}
		must(t, os.Symlink(links[0], filepath.Join(fds, "7")))
		if !held(proc, addr) {
			t.Errorf("%s: what systemd has is not known", at)
		}
		if held(proc, netip.AddrPortFrom(addr.Addr(), addr.Port()^1)) {
			t.Errorf("%s: another port is taken for it", at)
		}
		must(t, os.WriteFile(filepath.Join(proc, "1", "comm"), []byte("sh\n"), 0o600))
		if held(proc, addr) {
			t.Errorf("%s: no systemd, and it has the socket", at)
		}
	}
}
