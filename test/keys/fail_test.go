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
