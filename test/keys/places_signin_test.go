package keys

import (
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/smtp"
	"strings"
	"testing"

	"sallyport/internal/incident"
	"sallyport/internal/operate"
)

// from signs an account in at the door submission, from an address that the balancer names.
func (s *site) from(address, account string) visitor {
	s.t.Helper()
	nc, err := net.Dial("tcp", s.Addrs().Submission[0])
	must(s.t, err)
	s.t.Cleanup(func() { _ = nc.Close() })
	_, err = io.WriteString(nc, "PROXY TCP4 "+address+" 192.0.2.1 4711 587\r\n")
	must(s.t, err)
	c, err := smtp.NewClient(nc, "mx.local.test")
	must(s.t, err)
	must(s.t, c.Hello("client.test"))
	must(s.t, c.StartTLS(&tls.Config{RootCAs: pool(s.t, s.pki), ServerName: "mx.local.test"}))
	v := visitor{c, s.t}
	if r := v.say("AUTH PLAIN %s", base64.StdEncoding.EncodeToString([]byte("\x00"+account+"\x00"+password))); !strings.HasPrefix(r, "235") && !strings.HasPrefix(r, "535") {
		s.t.Fatalf("from %s: %s", address, r)
	}
	return v
}

// N04: a password that is used from many places within minutes, far apart, is held to be stolen: what
// the account sends is held, and its mail still comes in. From a few addresses of one carrier it is not.
func TestSignInsFromManyPlaces(t *testing.T) {
	const most = 5 // countries, within ten minutes
	s := newMailSite(t, "", limits+balanced)
	s.start(map[string]string{aliceBox: "person", bobBox: "person"})
	open := func(account string) (n int) {
		must(t, s.Operator().IncidentList(t.Context(), operate.Self(), operate.IncidentSelect{Account: account, Open: true}, func(incident.Incident) error { n++; return nil }))
		return n
	}
	for i := range 4 {
		_ = s.from(fmt.Sprintf("10.7.%d.9", i), bobBox).Close()
	}
	if open(bobBox) != 0 {
		t.Error("who goes about with a telephone is contained")
	}
	places := 0
	for open(aliceBox) == 0 {
		if places++; places > most {
			t.Fatalf("%d places are nothing", most)
		}
		v := s.from(fmt.Sprintf("%d.%d.0.9", 11+places, places), aliceBox)
		_ = v.say("MAIL FROM:<%s>", aliceBox)
		_ = v.Close()
	}
	t.Logf("contained at sign-in %d from another place", places)
	if r := s.from("10.7.1.9", aliceBox).say("MAIL FROM:<%s>", aliceBox); strings.HasPrefix(r, "250") {
		t.Errorf("it goes on sending: %s", r)
	}
	if r := s.mustVisit("203.0.113.9").offer("x@far.test", aliceBox, 300, true); !strings.HasPrefix(r, "250") {
		t.Errorf("mail for it: %s", r)
	}
}
