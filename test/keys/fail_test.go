package keys

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"sallyport/internal/dnsx/dnstest"
	"sallyport/internal/operate"
)

// K14 and K15: while the DNS answers nothing, fails or refuses, and while what looks at mail is gone,
// a stranger gets to no foreign address, whatever he says of himself; mail for us is taken or put off, and
// nothing of his is in the queue for others.
func TestWhatFailsOpensNothing(t *testing.T) {
	code := func(rcode int) dnstest.Script {
		return func(_ string, q *dns.Msg) [][]byte {
			wire, _ := new(dns.Msg).SetRcode(q, rcode).Pack()
			return [][]byte{wire}
		}
	}
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	nobody := gone.Addr().String()
	must(t, gone.Close())
	names := func(play dnstest.Script) string {
		return "[mx]\ndelivery = \"off\"\ndns = [\"" + dnstest.Serve(t, play).Addr.String() + "\"]\n[dnsbl.\"bl.test\"]\nweight = 5\n"
	}
	for how, more := range map[string]string{
		"silence":          names(func(string, *dns.Msg) [][]byte { return nil }),
		"SERVFAIL":         names(code(dns.RcodeServerFailure)),
		"REFUSED":          names(code(dns.RcodeRefused)),
		"no Rspamd":        "[rspamd]\nurl = \"http://" + nobody + "\"\ntimeout = \"1s\"\n",
		"no milter":        "[milter.m]\naddress = \"tcp://" + nobody + "\"\n",
		"Rspamd, fails on": "[rspamd]\nurl = \"http://" + nobody + "\"\ntimeout = \"1s\"\ndown = \"accept\"\n",
	} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, "")
			s.configure(more + balanced)
			file := filepath.Join(s.dir, "sallyport.toml")
			text, err := os.ReadFile(file)
			must(t, err)
			s.file("sallyport.toml", strings.Replace(string(text), "check = \"off\"\n", "", 1)) // senders are held against the DNS
			s.start(map[string]string{aliceBox: "person"})
			for _, from := range []string{"x@far.test", "victim@remote.test", aliceBox, ""} {
				for _, to := range []string{"victim@remote.test", "victim@[192.0.2.1]", "victim%remote.test@local.test", "victim@local.test.remote.test"} {
					if r := s.mustVisit("198.51.100.7").offer(from, to, 300, false); !strings.HasPrefix(r, "5") && !strings.HasPrefix(r, "4") {
						t.Errorf("from <%s> to %s: %s", from, to, r)
					}
				}
			}
			if r := s.mustVisit("198.51.100.7").offer("x@far.test", aliceBox, 300, false); !strings.HasPrefix(r, "250") && !strings.HasPrefix(r, "45") {
				t.Errorf("for us: %s", r)
			}
			must(t, s.Operator().QueueList(t.Context(), operate.Self(), operate.Select{}, func(m operate.Message) error {
				if len(m.Recipients) != 1 || m.Recipients[0].Address != aliceBox {
					t.Errorf("in the queue: %+v", m)
				}
				return nil
			}))
		})
	}
}

// K09: who comes from an address whose name is ours, and whom the screen exempts for it, is nobody of
// ours.
func TestANameOfOursRelaysNothing(t *testing.T) {
	zone, err := dnstest.NewZone(
		"7.100.51.198.in-addr.arpa. 60 IN PTR mx.local.test.", "mx.local.test. 60 IN A 198.51.100.7",
		"8.100.51.198.in-addr.arpa. 60 IN PTR localhost.", "localhost. 60 IN A 198.51.100.8",
		"9.100.51.198.in-addr.arpa. 60 IN PTR local.test.", "local.test. 60 IN A 198.51.100.9",
	)
	must(t, err)
	s := newSite(t, "")
	s.configure("[mx]\ndelivery = \"off\"\ndns = [\"" + dnstest.Serve(t, zone.Play).Addr.String() + "\"]\n[route.\"*\"]\nto = \"smtp://127.0.0.1:9\"\ntls = \"none\"\n[screen]\nlist = \"list\"\n" + balanced)
	s.file("list", "exempt name mx.local.test\nexempt name localhost\nexempt name local.test\nrefuse network 198.51.100.0/24 kept out\n")
	s.start(map[string]string{aliceBox: "person"})
	for from, want := range map[string]string{"198.51.100.7": "250", "198.51.100.8": "250", "198.51.100.9": "250", "198.51.100.10": "550"} {
		for _, sender := range []string{"x@far.test", aliceBox, "root@mx.local.test", "root@localhost", ""} {
			if r := s.mustVisit(from).begin(sender, "victim@remote.test", 300, false); !strings.HasPrefix(r, "55") {
				t.Errorf("from %s as <%s>: %s", from, sender, r)
			}
		}
		if r := s.mustVisit(from).begin("x@far.test", aliceBox, 300, false); !strings.HasPrefix(r, want) {
			t.Errorf("for us, from %s: %s", from, r) // the name was seen
		}
	}
}
