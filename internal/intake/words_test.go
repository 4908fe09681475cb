package intake

import (
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport/internal/bind"
	"sallyport/internal/budget"
	"sallyport/internal/mail"
	"sallyport/internal/message"
	"sallyport/internal/signin"
	"sallyport/internal/spool"
)

// Whoever reached a limit is told which, and when to come again: in minutes, one at least.
func TestWhenToComeAgain(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	tx := &transaction{s: &session{in: New(Options{Limits: DefaultLimits(), Now: func() time.Time { return now }})}}
	for wait, want := range map[time.Duration]string{
		time.Second: "try again in 1 minutes", 89 * time.Second: "try again in 1 minutes", 90 * time.Second: "try again in 2 minutes", 61 * time.Minute: "try again in 61 minutes", -time.Hour: "try again in 1 minutes",
	} {
		r := tx.overReply(budget.Verdict{Rule: budget.RuleHour, Most: 30, Again: now.Add(wait)})
		if r.Code != 451 || !strings.HasSuffix(r.Text, want) || !strings.HasPrefix(r.Text, "this account has reached its limit of 30 recipients ") || !strings.Contains(r.Text, string(budget.RuleHour)) {
			t.Errorf("%v: %v, want %q", wait, r, want)
		}
	}
	if r := tx.overReply(budget.Verdict{Rule: budget.RuleHour, Most: 30}); r.Code != 451 || !strings.HasSuffix(r.Text, "this recipient alone stands for more") {
		t.Errorf("%v", r)
	}
}

// A user of this host is called by his name, up to a bound, and by his number.
func TestHowALocalUserIsCalled(t *testing.T) {
	long := strings.Repeat("a", 64)
	for name, want := range map[string]string{"": "uid 7", "alice": "alice (uid 7)", long: long + " (uid 7)", long + "b": long + " (uid 7)"} {
		if got := (LocalUser{Name: name}).Who(7); got != want {
			t.Errorf("%q is called %q", name, got)
		}
	}
}

// A recipient adds the ways that are new, and one at least; given again he adds nothing.
func TestWhatARecipientAdds(t *testing.T) {
	box := func(s, detail string) spool.Delivery {
		return spool.Delivery{Kind: spool.KindLocal, Mailbox: address(t, s), Detail: detail}
	}
	sales, bob := mail.Recipient{Address: address(t, "sales@local.test")}, mail.Recipient{Address: address(t, "bob@local.test")}
	b, c := box("b@local.test", ""), box("c@local.test", "")
	tx := &transaction{s: &session{in: &Intake{}}, seen: map[seenKey]bool{}}
	for _, row := range []struct {
		to   mail.Recipient
		ways []spool.Delivery
		want []spool.Delivery
	}{
		{sales, []spool.Delivery{b}, []spool.Delivery{b}},
		{sales, []spool.Delivery{b, c}, nil},
		{bob, []spool.Delivery{b, c}, []spool.Delivery{c}},
		{mail.Recipient{Address: address(t, "d@local.test")}, []spool.Delivery{c, b}, []spool.Delivery{c}},
		{mail.Recipient{Address: address(t, "e@local.test")}, []spool.Delivery{box("b@local.test", "x"), b}, []spool.Delivery{box("b@local.test", "x")}},
		{mail.Recipient{Address: address(t, "f@local.test")}, nil, []spool.Delivery{}},
	} {
		got := tx.fresh(row.to, row.ways)
		if len(got) != len(row.want) || !slices.Equal(got, row.want) && len(got) > 0 {
			t.Errorf("%s adds %+v, want %+v", row.to.Address, got, row.want)
		}
		tx.seen[recipientKey(row.to.Address)] = true
		for _, w := range got {
			tx.seen[wayKey(w)] = true
		}
	}
	far := spool.Delivery{Kind: spool.KindOutbound, Recipient: bob}
	if wayKey(far) == wayKey(spool.Delivery{Kind: spool.KindOutbound, Recipient: sales}) || wayKey(far) == wayKey(box("bob@local.test", "")) {
		t.Error("two ways are one")
	}
}

// The names that a message bears and that are not its account's are told up to a bound, and only
// those in From are its authors.
func TestNamesThatAreTold(t *testing.T) {
	tx := &transaction{}
	for range 6 {
		tx.notOwned = append(tx.notOwned, bind.Use{Where: bind.InFrom, Address: address(t, "a@local.test")}, bind.Use{Where: bind.InEnvelope, Address: address(t, "b@local.test")})
	}
	if got := tx.authorsNotOwned(); len(got) != 6 || got[0] != address(t, "a@local.test") {
		t.Errorf("%v", got)
	}
	told := tx.reportedEvidence()
	if len(told) != maxReported || told[0].Name != evidenceBinding || !strings.HasPrefix(told[0].Value, "a@local.test in ") || !strings.HasSuffix(told[0].Value, " is not the account's") {
		t.Errorf("%d are told: %+v", len(told), told[0])
	}
	tx.notOwned = tx.notOwned[:1]
	if n := len(tx.reportedEvidence()); n != 1 {
		t.Errorf("of one %d are told", n)
	}
}

// TLS-Required says something only alone, once, and where REQUIRETLS does not. RFC 8689 §4.1.
func TestTLSRequired(t *testing.T) {
	for _, row := range []struct {
		asked mail.TLSDemand
		head  string
		want  mail.TLSDemand
	}{
		{mail.TLSAsUsual, "", mail.TLSAsUsual}, {mail.TLSAsUsual, "TLS-Required: No\r\n", mail.TLSOptional}, {mail.TLSAsUsual, "TLS-Required:   no \r\n", mail.TLSOptional}, {mail.TLSAsUsual, "TLS-Required: yes\r\n", mail.TLSAsUsual},
		{mail.TLSAsUsual, "TLS-Required: No\r\nTLS-Required: No\r\n", mail.TLSAsUsual}, {mail.RequireTLS, "TLS-Required: No\r\n", mail.RequireTLS},
	} {
		h, err := message.ParseHeader([]byte(row.head))
		if err != nil {
			t.Fatal(err)
		}
		if got := tlsDemand(row.asked, h); got != row.want {
			t.Errorf("%v with %q: %v", row.asked, row.head, got)
		}
	}
}

// A stranger is told of no success and no delay, and of a failure only if he asked for it; our own
// people as they asked.
func TestWhatAStrangerMayBeTold(t *testing.T) {
	tx := &transaction{s: &session{visit: &signin.Visit{}}}
	for n, want := range map[mail.Notify]mail.Notify{
		0: 0, mail.NotifyNever: mail.NotifyNever, mail.NotifyFailure: mail.NotifyFailure, mail.NotifySuccess: mail.NotifyNever, mail.NotifyDelay: mail.NotifyNever,
		mail.NotifySuccess | mail.NotifyDelay: mail.NotifyNever, mail.NotifySuccess | mail.NotifyDelay | mail.NotifyFailure: mail.NotifyFailure,
	} {
		if got := tx.notify(n); got != want {
			t.Errorf("%v: %v, want %v", n, got, want)
		}
	}
}
