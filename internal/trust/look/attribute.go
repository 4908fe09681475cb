package look

import (
	"bytes"
	"encoding/binary"
	"syscall"
)

// attributes reads a row of attributes; what is cut off ends it. netlink(7)
func attributes(b []byte) map[uint16][]byte {
	all := map[uint16][]byte{}
	for len(b) >= syscall.SizeofRtAttr {
		n := int(binary.NativeEndian.Uint16(b))
		if n < syscall.SizeofRtAttr || n > len(b) {
			break
		}
		all[binary.NativeEndian.Uint16(b[2:])&^nestedFlag] = b[syscall.SizeofRtAttr:n]
		b = b[min(len(b), aligned(n)):]
	}
	return all
}

// hops reads the next hops of a route that has several. rtnetlink(7)
func hops(b []byte) (all []map[uint16][]byte) {
	for len(b) >= syscall.SizeofRtNexthop {
		n := int(binary.NativeEndian.Uint16(b))
		if n < syscall.SizeofRtNexthop || n > len(b) {
			break
		}
		all = append(all, attributes(b[syscall.SizeofRtNexthop:n]))
		b = b[min(len(b), aligned(n)):]
	}
	return all
}

func aligned(n int) int { return (n + 3) &^ 3 }

func number(b []byte) uint32 {
	if len(b) < 4 {
		return 0
	}
	return binary.NativeEndian.Uint32(b)
}

func text(b []byte) string { return string(bytes.TrimRight(b, "\x00")) }
