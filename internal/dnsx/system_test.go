package dnsx

import (
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
		servers, err := SystemServers(strings.NewReader(conf), 3)
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
