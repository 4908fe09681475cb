package keys

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"sallyport/internal/operate"
)

// begun opens a message, says how long it will be, sends the beginning and no more.
func (s *site) begun(from, to string, octets int, chunked bool) visitor {
	s.t.Helper()
	v := s.mustVisit(from)
	if r := v.begin("x@far.test", to, octets, true); !strings.HasPrefix(r, "250") {
		s.t.Fatalf("%s: %s", from, r)
	}
	text := head(to) + strings.Repeat("x", 998) + "\r\n"
	if chunked {
		if r := v.say("BDAT %d\r\n%s", len(text), strings.TrimSuffix(text, "\r\n")); !strings.HasPrefix(r, "250") {
			s.t.Fatalf("%s: %s", from, r)
		}
		return v
	}
	if r := v.say("DATA"); !strings.HasPrefix(r, "354") {
		s.t.Fatalf("%s: %s", from, r)
	}
	_, err := io.WriteString(v.Text.W, text)
	must(s.t, err)
	must(s.t, v.Text.W.Flush())
	return v
}

// One network opens as many messages as it may have connections, names the same mailbox in each,
// says that much will come, and sends little: far more than the mailbox has places and room for.
// Others write to it meanwhile; and of those that are ended after that, as many are taken as there
// are places left.
func TestOpenTransactionsKeepNobodyOut(t *testing.T) {
	const places, others = 10, 8 // half of the hour's
	s := newMailSite(t, "quota = \"4MiB\"\n", limits+balanced+fmt.Sprintf("[inflow]\nmailbox_messages = %d\nmailbox_size = \"64MiB\"\n", 2*places))
	s.start(map[string]string{aliceBox: "person"})
	s.freeze()
	var idle []visitor
	for i := range 100 {
		idle = append(idle, s.begun(fmt.Sprintf("198.51.100.%d", i), aliceBox, 1<<20, i%2 == 0))
	}
	for i := range others {
		if r := s.mustVisit("203.0.113.9").offer("x@far.test", aliceBox, 300<<10, i%2 == 0); !strings.HasPrefix(r, "250") {
			t.Fatalf("while others do not end, number %d gets %s", i, r)
		}
	}
	taken := 0
	for i, v := range idle {
		end := "."
		if i%2 == 0 {
			end = "BDAT 0 LAST"
		}
		switch r := v.say("%s", end); {
		case strings.HasPrefix(r, "250"):
			taken++
		case !strings.HasPrefix(r, "452 4.2.2 this mailbox has reached 20 messages within an hour (mailbox-messages); try again in "):
			t.Fatalf("beyond the places: %s", r)
		}
	}
	if taken != places-others {
		t.Errorf("%d of those that waited are taken, and there were %d places", taken, places-others)
	}
}

// An account that gets another address goes on with the bounds that it had: what its mailbox took,
// by either name, and what it brought to a mailbox.
func TestARenamedAccountKeepsItsBounds(t *testing.T) {
	s := newMailSite(t, "", limits+"message_size = \"1MiB\"\n"+balanced+"[inflow]\nmailbox_messages = 12\nshare_size = \"2MiB\"\n[hijack]\nmode = \"off\"\n") // nothing waits
	s.start(map[string]string{aliceBox: "person", bobBox: "person"})
	large := func(account string) string {
		c, err := s.signIn(account)
		must(t, err)
		v := visitor{c, t}
		if r := v.say("MAIL FROM:<%s> SIZE=%d", account, 600<<10); !strings.HasPrefix(r, "250") {
			return r
		}
		if r := v.say("RCPT TO:<%s>", bobBox); !strings.HasPrefix(r, "250") {
			return r
		}
		if r := v.say("DATA"); !strings.HasPrefix(r, "354") {
			return r
		}
		_, err = io.WriteString(v.Text.W, "From: "+account+"\r\nSubject: x\r\n\r\n"+strings.Repeat(strings.Repeat("x", 998)+"\r\n", 600))
		must(t, err)
		return v.say(".")
	}
	if r := large(aliceBox); !strings.HasPrefix(r, "250") {
		t.Fatal(r)
	}
	if r := large(aliceBox); !strings.Contains(r, "(share-octets)") {
		t.Fatal(r)
	}
	for range 6 {
		if r := s.mustVisit("198.51.100.7").offer("x@far.test", aliceBox, 300, true); !strings.HasPrefix(r, "250") {
			t.Fatal(r)
		}
	}
	renamed := false
	for range 100 { // until what it sent has left the queue
		_, err := s.Operator().AccountRename(t.Context(), operate.Self(), operate.AccountRename{Address: aliceBox, To: "anna@local.test", KeepAlias: true})
		if err == nil {
			renamed = true
			break
		}
		if !strings.Contains(err.Error(), "in the queue") {
			t.Fatal(err)
		}
		time.Sleep(100 * time.Millisecond)
	}
	if !renamed {
		t.Fatal("what it sent does not leave the queue")
	}
	for range 2 {
		for _, to := range []string{aliceBox, "anna@local.test"} {
			if r := s.mustVisit("203.0.113.9").offer("x@far.test", to, 300, true); !strings.Contains(r, "(mailbox-messages)") {
				t.Errorf("%s: %s", to, r)
			}
		}
		if r := large("anna@local.test"); !strings.Contains(r, "(share-octets)") {
			t.Errorf("what it brings under its new name: %s", r)
		}
		s.stop()
		s.start(nil)
	}
}
