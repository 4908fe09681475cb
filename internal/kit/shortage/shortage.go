// Package shortage tells this host's own shortages (files, memory, buffers) from the failures of
// others, so that a check that we lacked the means for is never taken for one that found nothing.
package shortage

import (
	"errors"
	"net"
	"net/netip"
	"strings"
	"syscall"
)

// Of reports whether an error says that this host had no file, memory or buffer left.
// It is true of nothing that another host can bring about alone. A lack of ports is not
// among it: a host without IPv6 has none there at any time.
func Of(err error) bool {
	for _, own := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.ENOBUFS} {
		if errors.Is(err, own) {
			return true
		}
	}
	// The resolver of the standard library tells of a lack of files in words alone.
	var dns *net.DNSError
	return errors.As(err, &dns) && strings.Contains(dns.Err, syscall.EMFILE.Error())
}

// OfFamily reports whether a failure to connect to an address says that this host does not speak its family:
// there is no way there at all, or, as where IPv6 is switched off, no address of our own to begin at.
func OfFamily(err error, to netip.Addr) bool {
	return errors.Is(err, syscall.ENETUNREACH) || errors.Is(err, syscall.EAFNOSUPPORT) || to.Is6() && errors.Is(err, syscall.EADDRNOTAVAIL)
}
