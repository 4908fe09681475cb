package intake_test

import (
	"strings"
	"testing"

	"sallyport/internal/bind"
	"sallyport/internal/intake"
	"sallyport/internal/mail"
	"sallyport/internal/signin"
	"sallyport/internal/smtp/server"
)

// local connects a user of this host by the sendmail door.
func (w *world) local(uid uint32) (*client, mail.Reply) {
	w.t.Helper()
	w.in.LocalUser = func(uid uint32) intake.LocalUser {
		switch uid {
		case 1000:
			return intake.LocalUser{Name: "al", Account: addr(w.t, "alice@local.test")}
		case 1001:
			return intake.LocalUser{Name: "gone", Account: addr(w.t, "gone@local.test")}
		}
		return intake.LocalUser{Why: "no account"}
	}
	id := "l" + string(rune('a'+len(w.ended)))
	s, r := w.in.Connect(w.t.Context(), &server.Conn{ID: id, Kind: server.KindSendmail, Started: w.now, UID: uid, End: func() { w.ended = append(w.ended, id) }})
	if s == nil {
		return nil, r
	}
	c := &client{w: w, s: s}
	c.want(c.s.Hello(w.t.Context(), server.Hello{Name: "localhost", Extended: true}), 250)
	return c, r
}

// A user sends as his account, within everything that binds it. M16
func TestSendmailDoor(t *testing.T) {
	w := newWorld(t)
	c, r := w.local(1000)
	if c == nil || r.Code != 220 || !strings.Contains(r.Text, "account=<alice@local.test>") {
		t.Fatalf("%v", r)
	}
	c.want(c.from("<bob@local.test>"), 553)
	w.oneFact("sender-not-owned")
	c.want(c.from("<x@far.test>"), 553)
	w.oneFact("sender-not-owned")
	c.want(c.from("<alice@local.test>"), 250)
	c.want(c.to("<x@remote.test>"), 250)
	c.want(c.data(strings.Replace(message, "alice@", "bob@", 1)), 550)
	w.oneFact("author-not-owned")
	w.empty()
	c.want(c.from("<alice@local.test>"), 250)
	c.want(c.to("<x@remote.test>"), 250)
	c.want(c.data("Bcc: s@far.test\r\nFrom: alice@local.test\r\n\r\nx\r\n"), 250)
	f := w.oneFact("sendmail-relay")
	if user, _ := f.Find("local user"); user != "al (uid 1000)" || f.Door != "sendmail" || f.Account != "alice@local.test" {
		t.Errorf("%+v", f)
	}
	claim, text := w.only()
	if strings.Contains(text, "Bcc") || !strings.Contains(text, "Message-ID: <") || !strings.Contains(text, "Date: ") {
		t.Errorf("%+v\n%s", claim.Entry, text)
	}
}

// What the configuration says of a user holds at his next message, though he stays connected.
func TestALocalUserOfSomebodyElse(t *testing.T) {
	for name, now := range map[string]intake.LocalUser{"nobody's": {Why: "no account"}, "another's": {Name: "al", Account: addr(t, "bob@local.test")}} {
		w := newWorld(t)
		c, _ := w.local(1000)
		c.want(c.from("<alice@local.test>"), 250)
		c.t.Abort(t.Context())
		w.facts()
		w.in.LocalUser = func(uint32) intake.LocalUser { return now }
		if c.want(c.from("<alice@local.test>"), 530); w.oneFact("local-user-unknown").Account != "alice@local.test" {
			t.Errorf("%s: whose session it was is not told", name)
		}
		c.want(c.from("<bob@local.test>"), 530)
	}
}

// Without an account nobody gets in; a freeze ends the session's rights at once.
func TestSendmailDoorRefuses(t *testing.T) {
	w := newWorld(t)
	for uid, why := range map[uint32]string{1001: "gone@local.test does not exist", 1002: "no account"} {
		c, r := w.local(uid)
		if c != nil || r.Code != 554 || !strings.Contains(r.Text, why) {
			t.Errorf("%d: %v", uid, r)
		}
		if f := w.oneFact("local-user-unknown"); !f.stranger || f.Reply != r {
			t.Errorf("%+v", f)
		}
	}
	c, _ := w.local(1000)
	c.want(c.from("<alice@local.test>"), 250)
	_, err := w.identity.Freeze(t.Context(), addr(t, "alice@local.test"), "incident", nil)
	must(t, err)
	c.want(c.to("<bob@local.test>"), 550)
	w.oneFact("account-frozen")
	if n := w.desk.EndFallen(addr(t, "alice@local.test")); n != 1 {
		t.Errorf("%d sessions ended", n)
	}
}

// The sessions of an account are bounded over all its doors together.
func TestSendmailDoorSharesTheSessions(t *testing.T) {
	l := signin.DefaultLimits()
	l.SessionsPerAccount = 2
	w := newWorldOf(t, setup{limits: intake.DefaultLimits(), desk: l})
	w.signedIn("alice@local.test")
	first, _ := w.local(1000)
	doors := map[string]int{}
	for since, s := range w.desk.Sessions() {
		if s.Account != "alice@local.test" || since.IsZero() || s.Conn == "" {
			t.Errorf("a session %+v since %s", s, since)
		}
		doors[s.Door]++
	}
	if doors["submissions"] != 1 || doors["sendmail"] != 1 {
		t.Errorf("sessions by door: %v", doors)
	}
	if c, r := w.local(1000); c != nil || r.Code != 421 {
		t.Errorf("%v", r)
	}
	w.oneFact("sessions-per-account")
	first.s.Close(t.Context(), server.EndQuit)
	if c, r := w.local(1000); c == nil {
		t.Errorf("%v", r)
	}
}

// Where nobody says which account a user has, he has none, and is told so by his number.
func TestAUserOfWhomNobodyKnows(t *testing.T) {
	w := newWorld(t)
	for name, know := range map[string]func(uint32) intake.LocalUser{
		"uid 7":         nil,
		"carol (uid 7)": func(uint32) intake.LocalUser { return intake.LocalUser{Name: "carol"} },
	} {
		w.in.LocalUser = know
		s, r := w.in.Connect(t.Context(), &server.Conn{ID: "l", Kind: server.KindSendmail, Started: w.now, UID: 7, End: func() {}})
		if s != nil || r.Code != 554 || r.Text != name+": this user has no account to send as" {
			t.Errorf("%v", r)
		}
		if f := w.oneFact("local-user-unknown"); !f.stranger || f.Text != name {
			t.Errorf("%+v", f)
		}
	}
}

// Whose name is not the account's is not reported but refused where it is not ours either.
func TestAForeignSenderIsNeverReported(t *testing.T) {
	w := newWorldOf(t, setup{limits: intake.DefaultLimits(), binding: bind.Report})
	c := w.signedIn("alice@local.test")
	c.want(c.from("<x@far.test>"), 553)
	if f := w.oneFact("sender-not-owned"); f.Reply.Code != 553 || f.Sender != "<x@far.test>" {
		t.Errorf("%+v", f)
	}
	c.want(c.from("<bob@local.test>"), 250)
}
