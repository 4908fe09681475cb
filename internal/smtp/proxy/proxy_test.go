package proxy

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"testing/iotest"

	proxyproto "github.com/pires/go-proxyproto"
)

const rest = "EHLO x\r\n"

// v2 builds a header of version 2 from its octets behind the signature.
func v2(command, family byte, body ...byte) string {
	b := append([]byte(signature), command, family)
	return string(append(binary.BigEndian.AppendUint16(b, uint16(len(body))), body...))
}

func tcp4(more ...byte) []byte {
	return append([]byte{203, 0, 113, 9, 192, 0, 2, 1, 0x9c, 0x40, 0, 25}, more...)
}

// A header is read to its last octet and not beyond, in one piece or octet by octet.
func TestRead(t *testing.T) {
	tcp6 := append(append(netip.MustParseAddr("2001:db8::9").AsSlice(), netip.MustParseAddr("2001:db8::1").AsSlice()...), 0, 1, 0, 25)
	mapped := append(append(netip.MustParseAddr("::ffff:203.0.113.9").AsSlice(), netip.MustParseAddr("::1").AsSlice()...), 0, 1, 0, 25)
	for _, row := range []struct{ name, in, client string }{
		{"v1 TCP4", "PROXY TCP4 203.0.113.9 192.0.2.1 40000 25\r\n", "203.0.113.9:40000"},
		{"v1 TCP6", "PROXY TCP6 2001:db8::9 2001:db8::1 1 25\r\n", "[2001:db8::9]:1"},
		{"v1 port 0", "PROXY TCP4 203.0.113.9 192.0.2.1 0 25\r\n", "203.0.113.9:0"},
		{"v1 unknown", "PROXY UNKNOWN\r\n", ""},
		{"v1 unknown, longest", "PROXY UNKNOWN " + strings.Repeat("f", MaxV1Octets-16) + "\r\n", ""},
		{"v1 loopback is a claim like any", "PROXY TCP4 127.0.0.1 127.0.0.1 1 25\r\n", "127.0.0.1:1"},
		{"v2 TCP4", v2(commandProxy, familyTCP4, tcp4()...), "203.0.113.9:40000"},
		{"v2 TCP6", v2(commandProxy, familyTCP6, tcp6...), "[2001:db8::9]:1"},
		{"v2 mapped", v2(commandProxy, familyTCP6, mapped...), "203.0.113.9:1"},
		{"v2 with TLVs", v2(commandProxy, familyTCP4, tcp4(4, 0, 1, 0, 5, 0, 0)...), "203.0.113.9:40000"},
		{"v2 local", v2(commandLocal, familyUnspec), ""},
		{"v2 local with anything", v2(commandLocal, 0xff, 1, 2, 3), ""},
		{"v2 unspec", v2(commandProxy, familyUnspec), ""},
		{"v2 with a checksum", summed(v2(commandProxy, familyTCP4, tcp4(tlvCRC32C, 0, 4, 0, 0, 0, 0)...)), "203.0.113.9:40000"},
		{"v2 longest", v2(commandProxy, familyTCP4, tcp4(append([]byte{4, 0x0f, 0xf1}, make([]byte, 4081)...)...)...), "203.0.113.9:40000"},
	} {
		t.Run(row.name, func(t *testing.T) {
			for _, cut := range []func(io.Reader) io.Reader{func(r io.Reader) io.Reader { return r }, iotest.OneByteReader, iotest.HalfReader} {
				r := strings.NewReader(row.in + rest)
				h, err := Read(cut(r))
				if err != nil {
					t.Fatal(err)
				}
				if left, _ := io.ReadAll(r); string(left) != rest {
					t.Errorf("left %q", left)
				}
				if h.Local != (row.client == "") || !h.Local && h.Client.String() != row.client {
					t.Errorf("%+v", h)
				}
			}
		})
	}
}

// summed fills the checksum of a header whose last TLV it is.
func summed(h string) string {
	b := []byte(h)
	binary.BigEndian.PutUint32(b[len(b)-4:], crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)))
	return string(b)
}

// K05: what does not match the specification to the letter is no header.
func TestRefuses(t *testing.T) {
	for _, row := range []struct {
		name, in string
		want     error
	}{
		{"nothing", "", ErrNoHeader},
		{"SMTP", "EHLO client.test\r\n", ErrNoHeader},
		{"TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x00\x00", ErrNoHeader},
		{"cut v1", "PROXY TCP4 203.0.113.9 192", ErrNoHeader},
		{"cut v2", v2(commandProxy, familyTCP4, tcp4()...)[:20], ErrNoHeader},
		{"lower case", "proxy TCP4 203.0.113.9 192.0.2.1 40000 25\r\n", ErrNoHeader},
		{"v1 of 108 octets", "PROXY UNKNOWN " + strings.Repeat("f", MaxV1Octets-15) + "\r\n", ErrTooLong},
		{"v1 without CR", "PROXY TCP4 203.0.113.9 192.0.2.1 40000 25\n" + strings.Repeat("x", 200), ErrTooLong},
		{"v1 UDP", "PROXY UDP4 203.0.113.9 192.0.2.1 40000 25\r\n", ErrSyntax},
		{"v1 two spaces", "PROXY TCP4  203.0.113.9 192.0.2.1 40000 25\r\n", ErrSyntax},
		{"v1 a word more", "PROXY TCP4 203.0.113.9 192.0.2.1 40000 25 x\r\n", ErrSyntax},
		{"v1 wrong family", "PROXY TCP6 203.0.113.9 192.0.2.1 40000 25\r\n", ErrSyntax},
		{"v1 wrong family 4", "PROXY TCP4 ::1 ::1 40000 25\r\n", ErrSyntax},
		{"v1 zone", "PROXY TCP6 fe80::1%eth0 ::1 40000 25\r\n", ErrSyntax},
		{"v1 octal address", "PROXY TCP4 0203.0.113.9 192.0.2.1 40000 25\r\n", ErrSyntax},
		{"v1 port zero-padded", "PROXY TCP4 203.0.113.9 192.0.2.1 040 25\r\n", ErrSyntax},
		{"v1 port sign", "PROXY TCP4 203.0.113.9 192.0.2.1 +40 25\r\n", ErrSyntax},
		{"v1 port empty", "PROXY TCP4 203.0.113.9 192.0.2.1  25\r\n", ErrSyntax},
		{"v1 port large", "PROXY TCP4 203.0.113.9 192.0.2.1 65536 25\r\n", ErrSyntax},
		{"v1 bare LF within", "PROXY TCP4 203.0.113.9 192.0.2.1 1 2\n5\r\n", ErrSyntax},
		{"v1 NUL", "PROXY TCP4 203.0.113.9\x00 192.0.2.1 1 25\r\n", ErrSyntax},
		{"v1 unspecified", "PROXY TCP4 0.0.0.0 192.0.2.1 1 25\r\n", ErrAddress},
		{"v1 multicast", "PROXY TCP6 ff02::1 ::1 1 25\r\n", ErrAddress},
		{"v2 version 1", v2(0x11, familyTCP4, tcp4()...), ErrSyntax},
		{"v2 version 3", v2(0x31, familyTCP4, tcp4()...), ErrSyntax},
		{"v2 command 2", v2(0x22, familyTCP4, tcp4()...), ErrSyntax},
		{"v2 UDP", v2(commandProxy, 0x12, tcp4()...), ErrSyntax},
		{"v2 UNIX", v2(commandProxy, 0x31, make([]byte, 216)...), ErrSyntax},
		{"v2 short", v2(commandProxy, familyTCP4, tcp4()[:11]...), ErrSyntax},
		{"v2 short for TCP6", v2(commandProxy, familyTCP6, tcp4()...), ErrSyntax},
		{"v2 too long", v2(commandProxy, familyTCP4, tcp4(make([]byte, 4096)...)...), ErrTooLong},
		{"v2 TLV cut", v2(commandProxy, familyTCP4, tcp4(4, 0)...), ErrSyntax},
		{"v2 TLV too long", v2(commandProxy, familyTCP4, tcp4(4, 0, 2, 1)...), ErrSyntax},
		{"v2 checksum wrong", v2(commandProxy, familyTCP4, tcp4(tlvCRC32C, 0, 4, 1, 2, 3, 4)...), ErrSyntax},
		{"v2 checksum short", v2(commandProxy, familyTCP4, tcp4(tlvCRC32C, 0, 1, 0)...), ErrSyntax},
		{"v2 broadcast", v2(commandProxy, familyTCP4, 255, 255, 255, 255, 1, 1, 1, 1, 0, 1, 0, 1), ErrAddress},
	} {
		t.Run(row.name, func(t *testing.T) {
			h, err := Read(strings.NewReader(row.in))
			if !errors.Is(err, row.want) || h != (Header{}) {
				t.Errorf("%+v, %v, want %v", h, err, row.want)
			}
		})
	}
}

// What another implementation writes is read as it was meant.
func TestReadsWhatOthersWrite(t *testing.T) {
	for _, version := range []byte{1, 2} {
		for _, at := range [][2]string{{"203.0.113.9:40000", "192.0.2.1:25"}, {"[2001:db8::9]:1", "[2001:db8::1]:465"}} {
			from, to := netip.MustParseAddrPort(at[0]), netip.MustParseAddrPort(at[1])
			h := proxyproto.HeaderProxyFromAddrs(version, net.TCPAddrFromAddrPort(from), net.TCPAddrFromAddrPort(to))
			text, err := h.Format()
			if err != nil {
				t.Fatal(err)
			}
			got, err := Read(bytes.NewReader(text))
			if want := (Header{Version: int(version), Client: from, Target: to}); err != nil || got != want {
				t.Errorf("%q: %+v, %v", text, got, err)
			}
		}
	}
}

// An error of the transport stays what it is.
func TestTransportError(t *testing.T) {
	if _, err := Read(iotest.ErrReader(os.ErrDeadlineExceeded)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%v", err)
	}
}

// Whatever is read: no panic, nothing beyond the bounds, and a client only from a
// header that says so.
func FuzzRead(f *testing.F) {
	for _, s := range []string{
		"PROXY TCP4 203.0.113.9 192.0.2.1 40000 25\r\n", "PROXY UNKNOWN\r\n", v2(commandProxy, familyTCP4, tcp4(4, 0, 1, 0)...),
		v2(commandLocal, 0), summed(v2(commandProxy, familyTCP4, tcp4(tlvCRC32C, 0, 4, 0, 0, 0, 0)...)), "PROXY TCP6 ::2 ::1 1 2\r\n",
	} {
		f.Add([]byte(s + rest))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		r := bytes.NewReader(in)
		h, err := Read(r)
		read := len(in) - r.Len()
		if read > MaxV2Octets {
			t.Fatalf("read %d octets", read)
		}
		again, errAgain := Read(iotest.OneByteReader(bytes.NewReader(in)))
		if again != h || (err == nil) != (errAgain == nil) {
			t.Fatalf("%+v, %v and octet by octet %+v, %v", h, err, again, errAgain)
		}
		switch {
		case err != nil && h != (Header{}):
			t.Fatalf("%+v with %v", h, err)
		case err == nil && h.Local == h.Client.IsValid():
			t.Fatalf("%+v", h)
		case err == nil && h.Version == 1 && (read > MaxV1Octets || !bytes.HasSuffix(in[:read], []byte("\r\n"))):
			t.Fatalf("%q", in[:read])
		}
	})
}
