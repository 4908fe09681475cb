package bounds

import (
	"testing"
	"time"

	"sallyport/internal/accounts"
	"sallyport/internal/budget/quota"
	"sallyport/internal/directory"
	"sallyport/internal/mail"
)

// What a mailbox may hold is what was set for its account, else what its domain says, else what all may; a mailbox that is not here may
// hold anything.
func TestWhatMailboxesMayHold(t *testing.T) {
	cfg := load(t, "mailbox.quota = \"1MiB\"\nmailbox.quota_warn = 85\n"+text+"[domain.\"small.test\"]\ndeliver = \"maildir\"\nquota = \"2MiB\"\nquota_total = \"9MiB\"\n")
	full, err := cfg.FullDirectory()
	if err != nil {
		t.Fatal(err)
	}
	snapshot, err := directory.NewSnapshot(full, nil)
	if err != nil {
		t.Fatal(err)
	}
	own := map[string]accounts.Account{"own@small.test": {QuotaOctets: 3 << 20, QuotaMessages: 7}}
	p := Quota(cfg, func() *directory.Snapshot { return snapshot }, func(a mail.Address) (accounts.Account, bool) {
		account, ok := own[a.String()]
		return account, ok
	})
	if p.Warn != 85 || p.Clear != 75 || p.Grace != cfg.Limits.MessageSize {
		t.Errorf("%+v", p)
	}
	const free = quota.Unbounded
	for of, want := range map[string][2]quota.Quota{
		"a@local.test": {{Octets: 1 << 20, Messages: free}, quota.None()}, "a@small.test": {{Octets: 2 << 20, Messages: free}, {Octets: 9 << 20, Messages: free}},
		"own@small.test": {{Octets: 3 << 20, Messages: 7}, {Octets: 9 << 20, Messages: free}}, "a@behind.test": {quota.None(), quota.None()}, "a@elsewhere.test": {quota.None(), quota.None()},
	} {
		a, err := mail.ParseAddress(of, mail.ASCII)
		if err != nil {
			t.Fatal(err)
		}
		if box, all := p.Of(a); box != want[0] || all != want[1] {
			t.Errorf("%s may hold %+v, and all together %+v", of, box, all)
		}
	}
	cfg.Mailbox.Warn = 0
	if p := Quota(cfg, nil, nil); p.Warn != 0 || p.Clear != fullFrom {
		t.Errorf("without a warning: %+v", p)
	}
}

// Each number of a table of its own reaches the room that it bounds.
func TestNumbersOfOtherTables(t *testing.T) {
	cfg := load(t, text)
	cfg.Proxy.Timeout, cfg.Callout.Timeout, cfg.Screen.Greylist = 3*time.Second, 4*time.Second, 5*time.Minute
	cfg.Mailbox.Folders, cfg.Mailbox.Keywords, cfg.Mailbox.Subscriptions = 11, 12, 13
	cfg.Inflow.Connections, cfg.Inflow.MailboxMessages = 14, 15
	if l := Server(cfg); l.ProxyTimeout != 3*time.Second {
		t.Errorf("doors: %v", l.ProxyTimeout)
	}
	if l := Access(cfg); l.Door.ProxyTimeout != 3*time.Second {
		t.Errorf("doors of mailboxes: %v", l.Door.ProxyTimeout)
	}
	if l := Intake(cfg); l.AskTime != 4*time.Second {
		t.Errorf("intake: %v", l.AskTime)
	}
	if l := Greylist(cfg); l.Wait != 5*time.Minute {
		t.Errorf("greylist: %v", l.Wait)
	}
	if l := Mailbox(cfg); l.Folders != 11 || l.Words != 12 || l.Subscriptions != 13 || l.Message != cfg.Limits.MessageSize {
		t.Errorf("mailbox: %+v", l)
	}
	if l := Inflow(cfg); l.Connections != 14 || l.MailboxMessages != 15 || l.Lines == 0 {
		t.Errorf("inflow: %+v", l)
	}
	cfg.Limits.MessageSize = 40 << 30
	if l := Inflow(cfg); min(l.NetworkOctets, l.ShareOctets, l.MailboxOctets) < 2*cfg.Limits.MessageSize {
		t.Errorf("a message of the largest size has no room in %+v", l)
	}
}
