package sessions_test

import (
	"iter"
	"net/netip"
	"strings"
	"testing"
	"time"

	"sallyport/internal/fact"
	"sallyport/internal/mail"
	"sallyport/internal/operate"
	"sallyport/internal/operate/call"
	"sallyport/test/operator"
)

// Whoever is signed in is told by account and age, of one account or of all.
func TestWhoIsSignedIn(t *testing.T) {
	at := time.Date(2026, 11, 30, 8, 0, 0, 0, time.UTC)
	open := func() iter.Seq2[time.Time, fact.Session] {
		return func(yield func(time.Time, fact.Session) bool) {
			for _, s := range []struct {
				after time.Duration
				fact.Session
			}{
				{0, fact.Session{Account: "bob@local.test", Conn: "c1", Door: "imaps", Peer: netip.MustParseAddr("192.0.2.7")}},
				{2 * time.Minute, fact.Session{Account: "alice@local.test", Conn: "c3", Door: "imaps", Hello: "phone", TLS: "TLS1.3"}},
				{time.Minute, fact.Session{Account: "alice@local.test", Conn: "c2", Door: "sendmail"}},
			} {
				if !yield(at.Add(s.after), s.Session) {
					return
				}
			}
		}
	}
	for _, way := range []string{"socket", "direct"} {
		t.Run(way, func(t *testing.T) {
			w := operator.New(t)
			w.With(func(o *operate.Options) { o.Sessions = open })
			c := w.Clients(t)[way]
			of := func(account string) string {
				var all []string
				operator.Check(t, c.Sessions(t.Context(), operate.SessionsAsk{Account: account}, func(s operate.Session) error {
					all = append(all, s.Account+" "+s.Conn+" "+s.Peer+" "+s.Hello+" "+s.TLS+" "+s.Since.Format(time.TimeOnly))
					return nil
				}))
				return strings.Join(all, "; ")
			}
			alices := "alice@local.test c2    08:01:00; alice@local.test c3  phone TLS1.3 08:02:00"
			if got := of(""); got != alices+"; bob@local.test c1 192.0.2.7   08:00:00" {
				t.Errorf("of all: %s", got)
			}
			if got := of("Alice@local.test"); got != alices {
				t.Errorf("of alice: %s", got)
			}
			if got := of("carol@local.test"); got != "" {
				t.Errorf("of carol: %s", got)
			}
			err := c.Sessions(t.Context(), operate.SessionsAsk{Account: "alice"}, func(operate.Session) error { return nil })
			operator.WantCode(t, err, call.CodeInvalid)
			w.Account(t, "bob@local.test")
			shown, err := c.AccountShow(t.Context(), operate.AccountRef{Address: "bob@local.test"})
			if err != nil || len(shown.Sessions) != 1 || shown.Sessions[0].Conn != "c1" {
				t.Errorf("bob is shown with %+v, %v", shown.Sessions, err)
			}
		})
	}
	// Without a server nobody is signed in.
	operator.Check(t, operate.Direct(operator.New(t).Operator).Sessions(t.Context(), operate.SessionsAsk{}, func(s operate.Session) error {
		t.Errorf("%+v", s)
		return nil
	}))
}

// The last sign-in is the last that was right, and a sum of them ends when the last of it was.
func TestTheLastSignIn(t *testing.T) {
	w := operator.New(t)
	ctx, now := t.Context(), time.Now().UTC().Truncate(time.Second)
	last := func() *operate.LastSignIn {
		l, err := w.LastSignIn(ctx, "alice@local.test")
		operator.Check(t, err)
		return l
	}
	tells := func(ago time.Duration, account string, reply mail.Reply, peer string) {
		f := fact.Fact{At: now.Add(-ago), Kind: fact.KindAuth, Rule: "signed-in", Account: account, Door: "imaps", Reply: reply}
		if peer != "" {
			f.Peer = netip.MustParseAddr(peer)
		}
		operator.Check(t, w.Log.Write(ctx, f))
	}
	if l := last(); l != nil {
		t.Errorf("of nobody: %+v", l)
	}
	ok, no := mail.R(235, "2.7.0", "ok"), mail.R(535, "5.7.8", "no")
	tells(3*time.Hour, "alice@local.test", ok, "192.0.2.7")
	tells(2*time.Hour, "alice@local.test", ok, "")
	tells(time.Hour, "alice@local.test", no, "192.0.2.66")
	tells(time.Minute, "bob@local.test", ok, "192.0.2.8")
	if l := last(); l == nil || !l.At.Equal(now.Add(-2*time.Hour)) || l.Peer != "" || l.Door != "imaps" {
		t.Errorf("%+v", l)
	}
	tells(30*time.Minute, "alice@local.test", ok, "192.0.2.9")
	if l := last(); l == nil || !l.At.Equal(now.Add(-30*time.Minute)) || l.Peer != "192.0.2.9" {
		t.Errorf("%+v", l)
	}
}
