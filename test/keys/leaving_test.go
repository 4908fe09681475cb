package keys

import (
	"net/smtp"
	"strings"
	"testing"

	"sallyport/internal/operate"
	"sallyport/test/port"
)

// What is queued for a domain that leaves the configuration is held, whoever wrote it:
// nobody is sent a notification, the operator sees how many wait and why, and with the
// domain back and released they arrive.
func TestADomainThatLeavesTheConfiguration(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	at := port.Loopback(t) // nobody answers there yet
	const quick = "[auth]\nargon_memory = \"8MiB\"\nargon_rounds = 1\n[retry]\nfirst = \"1s\"\n"
	old := "[domain.\"old.test\"]\ndeliver = \"smtp://" + at + "\"\nrecipients_file = \"names\"\n"
	s.configure(quick + old)
	s.start(map[string]string{"alice@local.test": "person"})
	c, err := s.signIn("alice@local.test")
	must(t, err)
	send(t, c, "alice@local.test", "bob@old.test")
	stranger, err := smtp.Dial(s.Addrs().MX[0])
	must(t, err)
	must(t, stranger.Hello("stranger.test"))
	send(t, stranger, "eve@stranger.test", "carl@old.test")
	must(t, stranger.Quit())

	s.reload(quick)
	all := operate.QueueChange{Select: operate.Select{All: true}}
	_, err = s.Operator().QueueRetry(t.Context(), operate.Self(), all)
	must(t, err)
	queue := func() operate.QueueStats {
		v, err := s.Operator().Status(t.Context(), operate.Self(), struct{}{})
		must(t, err)
		return v.Queue
	}
	eventually(t, "both to be held", func() bool { return queue().Held == 2 })
	q := queue()
	if q.Messages != 2 || len(q.Why) != 1 || q.Why[0].Messages != 2 ||
		!strings.Contains(q.Why[0].Reason, "its domain old.test is not configured any more") ||
		q.Why[0].Oldest.IsZero() {
		t.Errorf("the queue: %+v", q)
	}

	s.reload(quick + old)
	b := serveBehindAt(t, at)
	close(b.hold)
	_, err = s.Operator().QueueRelease(t.Context(), operate.Self(), all)
	must(t, err)
	eventually(t, "both to arrive", func() bool { return b.is(func() bool { return b.arrived == 2 }) })
	eventually(t, "an empty queue", func() bool { return queue().Messages == 0 })
}
