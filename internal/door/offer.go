package door

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"net"
	"slices"
)

// helloConn is a connection on which TLS begins, with what its client offers then.
type helloConn struct {
	net.Conn
	offer string // as offerOf says it; "": nothing was offered yet
	await func() // is called when the client has offered; nil: nothing is
}

// noteHello notes what a client offers on its helloConn, and leaves the configuration as it
// is. It is a tls.Config.GetConfigForClient, which is given the connection under the TLS.
func noteHello(h *tls.ClientHelloInfo) (*tls.Config, error) {
	if c, ok := h.Conn.(*helloConn); ok && c.offer == "" {
		c.offer = offerOf(h)
	}
	return awaitTurn(h)
}

// awaitTurn waits until the handshake may be computed, and leaves the configuration as it is.
func awaitTurn(h *tls.ClientHelloInfo) (*tls.Config, error) {
	if c, ok := h.Conn.(*helloConn); ok && c.await != nil {
		c.await()
	}
	return nil, nil
}

// offerDigest is how many octets of a digest tell programs apart.
const offerDigest = 8

// offerOf is the fingerprint of a client's TLS library and its settings: the newest version,
// and a digest of all that it offers. It is the same for each connection that one program
// makes. So it leaves out which name is asked for, which protocol, and what only the second
// connection says that resumes the first; it sorts what some programs shuffle, and leaves out
// the values that mean nothing and change each time (RFC 8701).
func offerOf(h *tls.ClientHelloInfo) string {
	versions, suites, curves := meant(h.SupportedVersions), meant(h.CipherSuites), meant(h.SupportedCurves)
	extensions := slices.DeleteFunc(meant(h.Extensions), func(id uint16) bool { return slices.Contains(passing(), id) })
	schemes := meant(h.SignatureSchemes)
	slices.Sort(suites)
	slices.Sort(extensions)
	sum := sha256.Sum256(fmt.Appendf(nil, "%v %v %v %v %v %v", versions, suites, extensions, curves, h.SupportedPoints, schemes))
	newest := "0"
	if len(versions) > 0 {
		newest = fmt.Sprintf("%x", slices.Max(versions))
	}
	return newest + "-" + hex.EncodeToString(sum[:offerDigest])
}

// passing are the extensions that a connection of the same program has or not: the name
// asked for (RFC 6066 §3), the protocol (RFC 7301), padding (RFC 7685), what resumes a session
// (RFC 5077; RFC 8446 §4.2.9 to §4.2.11), and the answer to a second question (§4.2.2).
func passing() []uint16 { return []uint16{0, 16, 21, 35, 41, 42, 44, 45} }

// meant are the values that mean something, in their order. RFC 8701 §2
func meant[T ~uint16](all []T) []uint16 {
	out := make([]uint16, 0, len(all))
	for _, v := range all {
		if v&0x0f0f != 0x0a0a || v>>8 != v&0xff {
			out = append(out, uint16(v))
		}
	}
	return out
}
