package dispatch

import (
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"sallyport/internal/mail"
	"sallyport/internal/spool"
)

// to is a delivery to a mailbox of ours that waits.
func to(t *testing.T, address string) spool.RecipientState {
	t.Helper()
	return spool.RecipientState{Delivery: spool.Delivery{Kind: spool.KindLocal, Recipient: mail.Recipient{Address: aPath(t, address)}, Mailbox: aPath(t, "alice@local.test")}}
}

// Several addresses of one account are one message that leaves, so that they need one place among
// those that leave in an attempt; another account needs another, and waits where there is none.
func TestOneAccountLeavesOnce(t *testing.T) {
	away := sendOn{account: aPath(t, "alice@local.test"), targets: []mail.Address{aPath(t, "a@remote.test")}}
	other := away
	other.account = aPath(t, "bob@local.test")
	for name, row := range map[string]struct {
		forwards map[int]sendOn
		most     int
		more     bool
		spoken   int
	}{
		"one account, by two addresses":  {map[int]sendOn{0: away, 1: away}, 1, false, 2},
		"two accounts and one place":     {map[int]sendOn{0: away, 1: other}, 1, true, 1},
		"two accounts and two places":    {map[int]sendOn{0: away, 1: other}, 2, false, 2},
		"an account, and one that stays": {map[int]sendOn{0: away, 1: {account: other.account, rule: RuleKeptOff, done: true}}, 1, false, 2},
	} {
		got := planner{forwards: row.forwards, most: row.most}.plan([]spool.RecipientState{to(t, "alice@local.test"), to(t, "sales@local.test")})
		spoken := 0
		for n, is := range got.spoken {
			if is {
				spoken++
				if got.outcomes[n].Remote != forwardName || !got.outcomes[n].Delivered() {
					t.Errorf("%s: %+v", name, got.outcomes[n])
				}
			}
		}
		if got.more != row.more || spoken != row.spoken || len(got.groups) != 0 {
			t.Errorf("%s: more %v, %d decided, %d to be delivered", name, got.more, spoken, len(got.groups))
		}
	}
	// On a disk that is nearly full nothing is sent on: it is put off.
	low := planner{forwards: map[int]sendOn{0: away}, most: 1, low: true}.plan([]spool.RecipientState{to(t, "alice@local.test")})
	if !low.spoken[0] || !low.outcomes[0].Deferred() || low.outcomes[0].Remote != ourName {
		t.Errorf("on a full disk: %+v", low.outcomes[0])
	}
}

// Of mail that stays although its account forwards it is told why, and whether others get it all
// the same; of what was not delivered, or does not stay, nothing is told.
func TestWhyMailStays(t *testing.T) {
	d := New(Options{Limits: DefaultLimits(), Now: time.Now, Logger: slog.New(slog.DiscardHandler)})
	alice, x := aPath(t, "alice@local.test"), []mail.Address{aPath(t, "a@remote.test")}
	taken, later := mail.Outcome{Reply: mail.R(250, "2.0.0", "ok")}, mail.Outcome{Reply: mail.R(451, "4.3.0", "later")}
	all := d.stayFacts(spool.Entry{}, attempt{
		outcomes: []mail.Outcome{taken, taken, later, taken},
		on:       []sendOn{{account: alice, rule: RuleKeptOff}, {account: alice, rule: RuleKeptHeld, targets: x}, {account: alice, rule: RuleKeptOff}, {account: alice, targets: x}},
	})
	var told []string
	for _, f := range all {
		told = append(told, f.Rule+" "+f.Account+" "+f.Text)
	}
	want := []string{RuleKeptOff + " alice@local.test it stays in the mailbox", RuleKeptHeld + " alice@local.test it stays in the mailbox, and is sent to others"}
	if strings.Join(told, "\n") != strings.Join(want, "\n") {
		t.Errorf("told %q, want %q", told, want)
	}
}

// A message that lies in memory is read from there, with what we put before it.
func TestAMessageInMemoryIsReadFromThere(t *testing.T) {
	d := New(Options{Queue: &dueQueue{lost: io.ErrUnexpectedEOF}, Limits: DefaultLimits(), Now: time.Now, Logger: slog.New(slog.DiscardHandler)})
	r, err := d.open(spool.Claim{Entry: spool.Entry{Prefix: []byte("Received: x\r\n")}, Body: []byte("Subject: y\r\n")})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(r); err != nil || string(got) != "Received: x\r\nSubject: y\r\n" {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := d.open(spool.Claim{}); err == nil {
		t.Error("one that is nowhere is opened")
	}
}
