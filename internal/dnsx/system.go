package dnsx

import (
	"bufio"
	"errors"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"strings"
)

// port is that of the DNS. RFC 1035 §4.2.
const port = 53

// ErrNoServers says that a resolv.conf names no server.
var ErrNoServers = errors.New("dnsx: no name server is configured")

// systemServers reads the servers of a resolv.conf(5), at most as many as most, in
// their order. None of them is taken to validate: only the administrator knows
// that. ErrNoServers if there is none.
func systemServers(conf io.Reader, most int) ([]Server, error) {
	var servers []Server
	lines := bufio.NewScanner(conf) // no line is longer than its 64 KiB
	for lines.Scan() && len(servers) < most {
		f := strings.Fields(lines.Text())
		if len(f) < 2 || f[0] != "nameserver" {
			continue
		}
		if ip, err := netip.ParseAddr(f[1]); err == nil {
			servers = append(servers, Server{Addr: netip.AddrPortFrom(ip, port)})
		}
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	if len(servers) == 0 {
		return nil, ErrNoServers
	}
	return servers, nil
}

// readServers reads the servers of the resolv.conf(5) at path, as systemServers does. A
// system that has no such file, or names no server in it, has one on this host, as the
// manual says; nobody vouches that it is there.
func readServers(path string, most int) ([]Server, error) {
	local := []Server{{Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), port), Assumed: true}}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return local, nil
	}
	if err != nil {
		return nil, err
	}
	servers, err := systemServers(f, most)
	err = errors.Join(err, f.Close())
	if errors.Is(err, ErrNoServers) {
		return local, nil
	}
	return servers, err
}
