package dnsx

import (
	"bufio"
	"errors"
	"io"
	"net/netip"
	"strings"
)

// port is that of the DNS. RFC 1035 §4.2.
const port = 53

// ErrNoServers says that a resolv.conf names no server.
var ErrNoServers = errors.New("dnsx: no name server is configured")

// SystemServers reads the servers of a resolv.conf(5), at most as many as most, in
// their order. None of them is taken to validate: only the administrator knows
// that. ErrNoServers if there is none.
func SystemServers(conf io.Reader, most int) ([]Server, error) {
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
