package dnsx

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSystemServers(t *testing.T) {
	for conf, want := range map[string]string{
		"# comment\nsearch test\nnameserver 192.0.2.1\nnameserver\t2001:db8::1 \noptions trust-ad": "192.0.2.1:53 [2001:db8::1]:53",
		"nameserver fe80::1%eth0":                                                                "[fe80::1%eth0]:53",
		"nameserver a.test\nnameserver 1.2.3\nnameserver 127.0.0.53":                             "127.0.0.53:53",
		"nameserver 192.0.2.1\nnameserver 192.0.2.2\nnameserver 192.0.2.3\nnameserver 192.0.2.4": "192.0.2.1:53 192.0.2.2:53 192.0.2.3:53",
		"": "", ";nameserver 192.0.2.1": "", "#" + strings.Repeat("x", 1<<17): "",
	} {
		servers, err := systemServers(strings.NewReader(conf), 3)
		var got []string
		for _, s := range servers {
			got = append(got, s.Addr.String())
			if s.Validating {
				t.Errorf("%s is trusted", s.Addr)
			}
		}
		if strings.Join(got, " ") != want || (err == nil) != (want != "") {
			t.Errorf("%.60q: %v, %v", conf, got, err)
		}
	}
}

// A system without a resolv.conf, or with one that names nobody, is taken to have a server
// of its own, for which nobody vouches; one that cannot be read is a fault.
func TestReadServers(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for path, want := range map[string]Server{
		write("named", "nameserver 192.0.2.1\nnameserver 192.0.2.2\n"): {Addr: netip.MustParseAddrPort("192.0.2.1:53")},
		write("empty", "search test\n"):                                {Addr: netip.MustParseAddrPort("127.0.0.1:53"), Assumed: true},
		filepath.Join(dir, "missing"):                                  {Addr: netip.MustParseAddrPort("127.0.0.1:53"), Assumed: true},
	} {
		if got, err := readServers(path, 1); err != nil || len(got) != 1 || got[0] != want {
			t.Errorf("%s: %+v, %v", path, got, err)
		}
	}
	for _, path := range []string{dir, write("long", "#"+strings.Repeat("x", 1<<17))} {
		if got, err := readServers(path, 1); err == nil {
			t.Errorf("%s: %+v", path, got)
		}
	}
}
