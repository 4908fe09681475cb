// Package proxy reads the header of the PROXY protocol, versions 1 and 2, with which
// a balancer says whose connection it passes on. The specification is HAProxy's
// "The PROXY protocol", of 2020/03/05.
//
// It promises to read not one octet beyond the header, however it was cut into
// segments; to take nothing that does not match the specification to the letter;
// and to hold no more than MaxV2Octets. Whether to believe a header is the caller's
// to decide: it says what the peer claims, and nothing else is known of it.
package proxy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"
)

const (
	// MaxV1Octets is the longest header of version 1, with its CRLF. §2.1
	MaxV1Octets = 107
	// MaxV2Octets is the longest header of version 2 that is read: its fixed part,
	// addresses, and TLVs with room for a client's certificate. §2.2 allows 65551.
	MaxV2Octets = 16 + 4096
)

// Header is what a balancer says of one connection.
type Header struct {
	Version int // 1 or 2
	// Local says that the connection is the balancer's own, such as a check whether
	// we live (LOCAL), or that it does not know whose it is (UNKNOWN). Then there
	// is no Client.
	Local bool
	// Client and Target are the ends of the connection that the balancer took, IPv4
	// addresses without IPv6 wrapping.
	Client, Target netip.AddrPort
}

// Why a header is refused. Errors of the transport are returned as they are.
var (
	ErrNoHeader = errors.New("proxy: this is no PROXY header")
	ErrTooLong  = errors.New("proxy: the header is too long")
	ErrSyntax   = errors.New("proxy: the header is malformed")
	ErrAddress  = errors.New("proxy: the header names no address of a client")
	// ErrEnds goes with ErrNoHeader, where the other side has said that no more comes.
	ErrEnds = errors.New("it ends too early")
)

// signature begins every header of version 2, and nothing that a client says. §2.2
const signature = "\r\n\r\n\x00\r\nQUIT\n"

// Read reads one header. r must not read ahead.
func Read(r io.Reader) (Header, error) {
	// No header is shorter than the signature: PROXY UNKNOWN with its CRLF has 15.
	buf := make([]byte, len(signature), MaxV1Octets)
	if err := readFull(r, buf); err != nil {
		return Header{}, err
	}
	switch {
	case string(buf) == signature:
		return readV2(r)
	case bytes.HasPrefix(buf, []byte("PROXY ")):
		return readV1(r, buf)
	}
	return Header{}, ErrNoHeader
}

func readFull(r io.Reader, buf []byte) error {
	_, err := io.ReadFull(r, buf)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: %w", ErrNoHeader, ErrEnds)
	}
	return err
}

// readV1 reads on, octet by octet since only the end tells the length, and parses.
func readV1(r io.Reader, buf []byte) (Header, error) {
	one := make([]byte, 1)
	for !bytes.HasSuffix(buf, []byte("\r\n")) {
		if len(buf) == MaxV1Octets {
			return Header{}, ErrTooLong
		}
		if err := readFull(r, one); err != nil {
			return Header{}, err
		}
		buf = append(buf, one[0])
	}
	return parseV1(string(buf[:len(buf)-2]))
}

// parseV1 parses a line without its CRLF. §2.1
func parseV1(line string) (Header, error) {
	words := strings.Split(line, " ")
	if len(words) >= 2 && words[1] == "UNKNOWN" {
		// What follows must be ignored.
		return Header{Version: 1, Local: true}, nil
	}
	if len(words) != 6 || words[1] != "TCP4" && words[1] != "TCP6" {
		return Header{}, fmt.Errorf("%w: it is not PROXY TCP4 or TCP6, two addresses and two ports", ErrSyntax)
	}
	client, err := endV1(words[1], words[2], words[4])
	if err != nil {
		return Header{}, err
	}
	target, err := endV1(words[1], words[3], words[5])
	if err != nil {
		return Header{}, err
	}
	return remote(1, client, target)
}

func endV1(family, host, port string) (netip.AddrPort, error) {
	a, err := netip.ParseAddr(host)
	if err != nil || a.Zone() != "" || a.Is4() != (family == "TCP4") {
		return netip.AddrPort{}, fmt.Errorf("%w: an address is not of its family", ErrSyntax)
	}
	if len(port) > 1 && port[0] == '0' {
		return netip.AddrPort{}, fmt.Errorf("%w: a port has a leading zero", ErrSyntax)
	}
	p, err := strconv.ParseUint(port, 10, 16)
	if err != nil || port[0] == '+' {
		return netip.AddrPort{}, fmt.Errorf("%w: a port is no number to 65535", ErrSyntax)
	}
	return netip.AddrPortFrom(a, uint16(p)), nil
}

// remote returns the header of a client's connection. An address that no client can
// have is not passed on.
func remote(version int, client, target netip.AddrPort) (Header, error) {
	h := Header{
		Version: version,
		Client:  netip.AddrPortFrom(client.Addr().Unmap(), client.Port()),
		Target:  netip.AddrPortFrom(target.Addr().Unmap(), target.Port()),
	}
	if a := h.Client.Addr(); a.IsUnspecified() || a.IsMulticast() || a == netip.AddrFrom4([4]byte{255, 255, 255, 255}) {
		return Header{}, ErrAddress
	}
	return h, nil
}
