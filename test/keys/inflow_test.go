package keys

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/smtp"
	"strings"
	"testing"
	"time"

	"sallyport/internal/operate"
)

// visitor is a client of port 25 that comes from some address, as a balancer says.
type visitor struct {
	*smtp.Client
	t *testing.T
}

// visit connects; the greeting is the error where it is a refusal.
func (s *site) visit(from string) (visitor, error) {
	s.t.Helper()
	nc, err := net.Dial("tcp", s.Addrs().MX[0])
	must(s.t, err)
	s.t.Cleanup(func() { _ = nc.Close() })
	family := "TCP4"
	if strings.Contains(from, ":") {
		family = "TCP6"
	}
	to := map[string]string{"TCP4": "192.0.2.1", "TCP6": "2001:db8::1"}[family]
	_, err = fmt.Fprintf(nc, "PROXY %s %s %s 4711 25\r\n", family, from, to)
	must(s.t, err)
	c, err := smtp.NewClient(nc, "mx.local.test")
	if err != nil {
		return visitor{}, err
	}
	return visitor{c, s.t}, c.Hello("client.test")
}

func (s *site) mustVisit(from string) visitor {
	s.t.Helper()
	v, err := s.visit(from)
	must(s.t, err)
	return v
}

// say sends a command and returns the whole answer.
func (v visitor) say(format string, args ...any) string {
	v.t.Helper()
	id, err := v.Text.Cmd(format, args...)
	must(v.t, err)
	v.Text.StartResponse(id)
	defer v.Text.EndResponse(id)
	code, text, err := v.Text.ReadResponse(0)
	if code == 0 {
		must(v.t, err)
	}
	return fmt.Sprint(code, " ", text)
}

// offer gives a message of so many octets and returns the answer to it, or to the recipient
// where he is refused.
func (v visitor) offer(from, to string, octets int, declared bool) string {
	v.t.Helper()
	if r := v.begin(from, to, octets, declared); !strings.HasPrefix(r, "250") {
		return r
	}
	if r := v.say("DATA"); !strings.HasPrefix(r, "354") {
		return r
	}
	head := head(to)
	_, err := io.WriteString(v.Text.W, head)
	must(v.t, err)
	line := append(bytes.Repeat([]byte{'x'}, 998), '\r', '\n')
	for n := len(head); n < octets; n += len(line) {
		if _, err := v.Text.W.Write(line); err != nil {
			break // the answer has come already
		}
	}
	return v.say(".")
}

// begin names the sender and the recipient.
func (v visitor) begin(from, to string, octets int, declared bool) string {
	v.t.Helper()
	size := ""
	if declared {
		size = fmt.Sprintf(" SIZE=%d", octets)
	}
	if r := v.say("MAIL FROM:<%s>%s", from, size); !strings.HasPrefix(r, "250") {
		return r
	}
	r := v.say("RCPT TO:<%s>", to)
	if !strings.HasPrefix(r, "250") {
		v.say("RSET")
	}
	return r
}

// head is the header section of a stranger's message.
func head(to string) string {
	return fmt.Sprintf("From: <x@far.test>\r\nTo: <%s>\r\nSubject: x\r\nDate: Mon, 23 Nov 2026 10:00:00 +0000\r\nMessage-ID: <%d@far.test>\r\n\r\n", to, time.Now().UnixNano())
}

// chunks is offer by BDAT, in chunks of 64 KiB.
func (v visitor) chunks(from, to string, octets int, declared bool) string {
	v.t.Helper()
	if r := v.begin(from, to, octets, declared); !strings.HasPrefix(r, "250") {
		return r
	}
	const most = 64 << 10
	text := head(to)
	text += strings.Repeat("x", 998) + "\r\n"
	for left := octets; ; {
		text += strings.Repeat(strings.Repeat("x", 998)+"\r\n", max(min(most, left)-len(text), 0)/1000)
		last := ""
		if left -= len(text); left < 1000 {
			last = " LAST"
		}
		r := v.say("BDAT %d%s\r\n%s", len(text), last, strings.TrimSuffix(text, "\r\n")) // Cmd adds the end of the line
		if text = ""; last != "" || !strings.HasPrefix(r, "250") {
			if last == "" {
				v.say("RSET")
			}
			return r
		}
	}
}

const balanced = "[proxy]\nfrom = [\"127.0.0.1/32\"]\n"

// K06: a client is nobody of ours by an address, whatever a balancer says that he comes from: this
// host's, a private one, the balancer's own.
func TestAClaimedAddressRelaysNothing(t *testing.T) {
	s := newSite(t, "[route.\"*\"]\nto = \"smtp://127.0.0.1:9\"\ntls = \"none\"\n"+balanced)
	s.start(map[string]string{aliceBox: "person"})
	for _, from := range []string{"127.0.0.1", "127.0.0.53", "10.0.0.1", "172.17.0.1", "192.168.1.1", "169.254.1.1", "::1", "::ffff:127.0.0.1", "fe80::1", "fd00::1"} {
		for _, sender := range []string{"x@far.test", aliceBox, ""} {
			v, err := s.visit(from)
			if err != nil {
				t.Fatalf("%s: %v", from, err)
			}
			if r := v.begin(sender, "victim@remote.test", 300, false); !strings.HasPrefix(r, "55") {
				t.Errorf("from %s as <%s>: %s", from, sender, r)
			}
			_ = v.Close()
		}
	}
	must(t, s.Operator().QueueList(t.Context(), operate.Self(), operate.Select{}, func(m operate.Message) error {
		t.Errorf("in the queue: %+v", m)
		return nil
	}))
}

// Every bound of [inflow], at the socket: so many are taken, the next is told which rule it
// was and when to come again, and from another network, or to another mailbox, it goes on.
func TestInflow(t *testing.T) {
	const here, there = "198.51.100.7", "203.0.113.9"
	message := func(s *site, from, sender, to string) string {
		return s.mustVisit(from).offer(sender, to, 300, true)
	}
	for _, c := range []struct {
		key, value string
		taken      int
		again      func(s *site) string
		refused    string
		elsewhere  func(s *site) string
	}{
		{"network_connections", "6", 3, func(s *site) string {
			if _, err := s.visit(here); err != nil {
				return strings.ReplaceAll(err.Error(), `"`, "")
			}
			return "250"
		}, "421 4.7.1 network 198.51.100.0/24 has reached 6 connections within a minute (network-connections); try again in ", func(s *site) string { return message(s, there, "x@far.test", "alice@local.test") }},
		{"network_recipients", "6", 3, func(s *site) string {
			v := s.mustVisit(here)
			v.say("MAIL FROM:<x@far.test>")
			return v.say("RCPT TO:<alice@local.test>")
		}, "450 4.7.1 network 198.51.100.0/24 has reached 6 recipients within a minute (network-recipients); try again in ", func(s *site) string { return message(s, there, "x@far.test", "alice@local.test") }},
		{"network_messages", "6", 3, func(s *site) string { return message(s, here, "x@far.test", "alice@local.test") },
			"452 4.7.1 network 198.51.100.0/24 has reached 6 messages within an hour (network-messages); try again in ", func(s *site) string { return message(s, there, "x@far.test", "alice@local.test") }},
		{"share_messages", "6", 3, func(s *site) string { return message(s, here, "x@far.test", "alice@local.test") },
			"452 4.7.1 this sender's share of the mailbox has reached 6 messages within an hour (share-messages); try again in ", func(s *site) string { return message(s, here, "x@far.test", "bob@local.test") }},
		{"mailbox_messages", "6", 3, func(s *site) string { return message(s, here, "x@far.test", "alice@local.test") },
			"452 4.2.2 this mailbox has reached 6 messages within an hour (mailbox-messages); try again in ", func(s *site) string { return message(s, here, "x@far.test", "bob@local.test") }},
		{"mailbox_replies", "6", 3, func(s *site) string { return message(s, here, "", "alice@local.test") },
			"452 4.2.2 this mailbox has reached 6 messages without a sender within an hour (mailbox-replies); try again in ", func(s *site) string { return message(s, here, "x@far.test", "alice@local.test") }},
	} {
		t.Run(c.key, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, balanced+"[inflow]\n"+c.key+" = "+c.value+"\n")
			s.start(map[string]string{"alice@local.test": "person", "bob@local.test": "person"})
			s.freeze()
			for i := range c.taken {
				if r := c.again(s); !strings.HasPrefix(r, "250") {
					t.Fatalf("number %d got %s", i, r)
				}
			}
			if r := c.again(s); !strings.HasPrefix(r, c.refused) {
				t.Errorf("refused with %s", r)
			}
			if r := c.elsewhere(s); !strings.HasPrefix(r, "250") {
				t.Errorf("elsewhere it got %s", r)
			}
			var hit int64
			must(t, s.Operator().ScreenList(t.Context(), operate.Self(), struct{}{}, func(h operate.ScreenHit) error {
				if rule := strings.ReplaceAll(c.key, "_", "-"); h.Kind == "inflow" && strings.HasPrefix(h.Text, rule+":") {
					hit = h.Hits
				}
				return nil
			}))
			status, err := s.Operator().Status(t.Context(), operate.Self(), struct{}{})
			must(t, err)
			if hit != 1 || len(status.Limited) != 1 {
				t.Errorf("the operator is told of %d, %+v", hit, status.Limited)
			}
			s.thaw(time.Hour)
			if r := c.again(s); !strings.HasPrefix(r, "250") {
				t.Errorf("an hour later it got %s", r)
			}
		})
	}
}

// Who floods one mailbox with large messages stops at his share, whether he tells their size or
// not, by DATA or in chunks, and over a restart; the mailbox stays open to others, who have their
// shares of what it takes. The network stops at its own bound.
func TestInflowOfOctets(t *testing.T) {
	const large = 1 << 20
	s := newSite(t, limits+"message_size = \"1MiB\"\n"+balanced+"[inflow]\nshare_size = \"8MiB\"\nmailbox_size = \"12MiB\"\nnetwork_size = \"20MiB\"\n")
	s.start(map[string]string{"alice@local.test": "person", "bob@local.test": "person", "carl@local.test": "person", "dora@local.test": "person"})
	s.freeze()
	flood := func(from, to string, declared, chunked bool) (taken int, last string) {
		v := s.mustVisit(from)
		for range 20 {
			how := v.offer
			if chunked {
				how = v.chunks
			}
			if last = how("x@far.test", to, large-2000, declared); !strings.HasPrefix(last, "250") {
				return taken, last
			}
			taken++
		}
		return taken, last
	}
	for _, c := range []struct {
		from, to          string
		declared, chunked bool
		taken             int
		rule              string
	}{
		{"198.51.100.7", "alice@local.test", true, false, 4, "452 4.2.2 this sender's share of the mailbox has reached 8 MiB within an hour (share-octets)"},
		{"198.51.100.200", "alice@local.test", false, true, 0, "452 4.2.2 this sender's share"},
		{"203.0.113.9", "alice@local.test", false, true, 2, "452 4.2.2 this mailbox has reached 12 MiB within an hour (mailbox-octets)"},
		{"198.51.100.7", "bob@local.test", false, true, 4, "452 4.2.2 this sender's share"},
		{"198.51.100.7", "carl@local.test", true, true, 2, "452 4.7.1 network 198.51.100.0/24 has reached 20 MiB within an hour (network-octets)"},
		{"2001:db8:1::1", "dora@local.test", true, true, 4, "452 4.2.2 this sender's share"},
		{"2001:db8:1:ffff::1", "dora@local.test", true, false, 0, "452 4.2.2 this sender's share"}, // the same /48
	} {
		if taken, last := flood(c.from, c.to, c.declared, c.chunked); taken != c.taken || !strings.HasPrefix(last, c.rule) {
			t.Errorf("%s to %s: %d taken, then %s", c.from, c.to, taken, last)
		}
	}
	s.stop()
	s.start(nil)
	for from, rule := range map[string]string{"198.51.100.7": "network-octets", "203.0.113.9": "mailbox-octets"} {
		if taken, last := flood(from, "alice@local.test", true, true); taken != 0 || !strings.Contains(last, rule) {
			t.Errorf("after a restart %d of %s are taken, then %s", taken, from, last)
		}
	}
	if r := s.mustVisit("198.51.100.7").say("MAIL FROM:<x@far.test> SIZE=100000000"); !strings.HasPrefix(r, "552 5.3.4") {
		t.Errorf("100 MB are answered with %s", r)
	}
	s.thaw(time.Hour)
	if taken, _ := flood("198.51.100.7", "alice@local.test", true, false); taken != 4 {
		t.Errorf("an hour later %d are taken", taken)
	}
}

// freeze lets the clock of the server stand still, so that no bound fills again meanwhile; thaw
// lets it go on so much later.
func (s *site) freeze() { s.frozen.Store(time.Now().UnixNano()) }

func (s *site) thaw(later time.Duration) {
	s.frozen.Store(0)
	s.ahead.Add(int64(later))
}
