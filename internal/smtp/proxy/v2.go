package proxy

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"net/netip"
)

// The command and family octets of version 2 that are understood. §2.2
const (
	commandLocal = 0x20
	commandProxy = 0x21

	familyUnspec = 0x00
	familyTCP4   = 0x11
	familyTCP6   = 0x21
)

const (
	fixedV2      = 16 // signature, command, family, length
	tlvCRC32C    = 0x03
	tlvHeadBytes = 3

	checksumOctets = 4 // of a CRC32c
)

// readV2 reads what follows the signature, exactly as much as its length says.
func readV2(r io.Reader) (Header, error) {
	buf := make([]byte, fixedV2)
	copy(buf, signature)
	if err := readFull(r, buf[len(signature):]); err != nil {
		return Header{}, err
	}
	n := int(binary.BigEndian.Uint16(buf[14:]))
	if n > MaxV2Octets-fixedV2 {
		return Header{}, ErrTooLong
	}
	buf = append(buf, make([]byte, n)...)
	if err := readFull(r, buf[fixedV2:]); err != nil {
		return Header{}, err
	}
	return parseV2(buf)
}

// parseV2 parses a whole header. §2.2
func parseV2(buf []byte) (Header, error) {
	command, family, body := buf[12], buf[13], buf[fixedV2:]
	switch command {
	case commandLocal:
		// The receiver must ignore what follows, whatever it is.
		return Header{Version: 2, Local: true}, nil
	case commandProxy:
	default:
		return Header{}, fmt.Errorf("%w: version and command are %#02x", ErrSyntax, command)
	}
	size := 0
	switch family {
	case familyUnspec:
	case familyTCP4:
		size = 4
	case familyTCP6:
		size = 16
	default:
		// A datagram or a UNIX socket is no way by which mail comes.
		return Header{}, fmt.Errorf("%w: family and protocol are %#02x", ErrSyntax, family)
	}
	addresses := 0
	if size > 0 {
		addresses = 2*size + 4
	}
	if len(body) < addresses {
		return Header{}, fmt.Errorf("%w: its length has no room for its addresses", ErrSyntax)
	}
	if err := checkTLVs(buf, fixedV2+addresses); err != nil {
		return Header{}, err
	}
	if size == 0 {
		return Header{Version: 2, Local: true}, nil
	}
	end := func(at, port int) netip.AddrPort {
		a, _ := netip.AddrFromSlice(body[at : at+size])
		return netip.AddrPortFrom(a, binary.BigEndian.Uint16(body[port:]))
	}
	return remote(2, end(0, 2*size), end(size, 2*size+2))
}

// checkTLVs walks the TLVs from an offset on: they must end where the header does,
// and a checksum must be right. None of them is believed in anything. §2.2.1
func checkTLVs(buf []byte, at int) error {
	for at < len(buf) {
		if len(buf)-at < tlvHeadBytes {
			return fmt.Errorf("%w: a TLV is cut off", ErrSyntax)
		}
		kind, n := buf[at], int(binary.BigEndian.Uint16(buf[at+1:]))
		value := at + tlvHeadBytes
		if n > len(buf)-value {
			return fmt.Errorf("%w: a TLV is longer than the header", ErrSyntax)
		}
		if kind == tlvCRC32C {
			if n != checksumOctets || !checksumHolds(buf, value) {
				return fmt.Errorf("%w: its checksum is wrong", ErrSyntax)
			}
		}
		at = value + n
	}
	return nil
}

// checksumHolds computes the CRC32c of the header with the checksum itself as zeros.
// §2.2.3
func checksumHolds(buf []byte, at int) bool {
	table := crc32.MakeTable(crc32.Castagnoli)
	sum := crc32.Update(0, table, buf[:at])
	sum = crc32.Update(sum, table, make([]byte, checksumOctets))
	sum = crc32.Update(sum, table, buf[at+checksumOctets:])
	return sum == binary.BigEndian.Uint32(buf[at:])
}
