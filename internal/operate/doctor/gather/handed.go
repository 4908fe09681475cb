package gather

import (
	"encoding/hex"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// held reports whether systemd, which is the first process of this host then, listens at an
// address: it has the socket for the server, and starts it when somebody connects. False
// where that cannot be seen, as by others than root. proc is where procfs is mounted.
// proc(5)
func held(proc string, at netip.AddrPort) bool {
	name, err := os.ReadFile(filepath.Join(proc, "1", "comm"))
	if err != nil || strings.TrimSpace(string(name)) != "systemd" {
		return false
	}
	wanted := slices.Concat(listening(filepath.Join(proc, "net", "tcp"), at), listening(filepath.Join(proc, "net", "tcp6"), at))
	files, err := os.ReadDir(filepath.Join(proc, "1", "fd"))
	if err != nil {
		return false
	}
	return slices.ContainsFunc(files, func(f os.DirEntry) bool {
		to, err := os.Readlink(filepath.Join(proc, "1", "fd", f.Name()))
		return err == nil && slices.Contains(wanted, to)
	})
}

// listening are the sockets that listen at an address, as links to them read.
func listening(table string, at netip.AddrPort) (links []string) {
	const stateListen = "0A"
	text, err := os.ReadFile(table)
	if err != nil {
		return nil
	}
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) < 10 || f[3] != stateListen {
			continue
		}
		if local, ok := parseLocal(f[1]); ok && local.Port() == at.Port() && local.Addr().Unmap() == at.Addr().Unmap() {
			links = append(links, "socket:["+f[9]+"]")
		}
	}
	return links
}

// parseLocal reads an address of /proc/net/tcp: words of 32 bits in the order of this
// host's octets, which is the little one on all that this server runs on.
func parseLocal(text string) (netip.AddrPort, bool) {
	host, port, ok := strings.Cut(text, ":")
	octets, err := hex.DecodeString(host)
	n, portErr := strconv.ParseUint(port, 16, 16)
	if !ok || err != nil || portErr != nil || len(octets)%4 != 0 {
		return netip.AddrPort{}, false
	}
	for i := 0; i < len(octets); i += 4 {
		slices.Reverse(octets[i : i+4])
	}
	a, ok := netip.AddrFromSlice(octets)
	return netip.AddrPortFrom(a, uint16(n)), ok
}
