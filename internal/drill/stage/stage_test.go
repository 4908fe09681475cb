package stage

import (
	"crypto/tls"
	"net"
	"net/smtp"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sallyport/internal/config"
	"sallyport/internal/drill/sink"
	"sallyport/internal/drill/verdict"
	"sallyport/internal/kit/pki"
	"sallyport/internal/mail"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// quickstart is a configuration as the quickstart writes it, with one way out of its own.
func quickstart(t *testing.T) config.Config {
	t.Helper()
	dir := t.TempDir()
	files := pki.In(filepath.Join(dir, "tls"))
	template := config.Template{Data: "data", Cert: files.Cert, Key: files.Key, NoMX: true, MX: "127.0.0.1:2525", Submission: "127.0.0.1:2587", Submissions: "127.0.0.1:2465"}
	var err error
	template.Hostname, err = mail.ParseDomain("mx.local.test")
	must(t, err)
	template.Domain, err = mail.ParseDomain("local.test")
	must(t, err)
	path := filepath.Join(dir, "sallyport.toml")
	must(t, os.WriteFile(path, template.Text(), 0o600))
	cfg, err := config.ParseFile(path) // the certificate that it names is not there
	must(t, err)
	return cfg
}

// send hands a message in as an account, and returns what the server says of the first thing that
// it refuses.
func send(s *Stage, a Account, from string, to []string, text string) error {
	c, err := tls.Dial("tcp", s.Addrs.Submissions[0], s.TLS)
	if err != nil {
		return err
	}
	client, err := smtp.NewClient(c, s.TLS.ServerName)
	if err != nil {
		return err
	}
	defer client.Close()
	return errorsOf(
		func() error { return client.Auth(smtp.PlainAuth("", a.Address, a.Password, s.TLS.ServerName)) },
		func() error { return client.Mail(from) },
		func() error {
			for _, to := range to {
				if err := client.Rcpt(to); err != nil {
					return err
				}
			}
			return nil
		},
		func() error {
			w, err := client.Data()
			if err != nil {
				return err
			}
			if _, err := w.Write([]byte(text)); err != nil {
				return err
			}
			return w.Close()
		},
		client.Quit,
	)
}

func errorsOf(steps ...func() error) error {
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// A rehearsal is a whole server: mail of stand-ins arrives in mailboxes and at the sink, can be
// followed, and is found by a later start in the same folder; nothing else is reached, and what it
// was made of is left alone.
func TestAStageServes(t *testing.T) {
	outside, err := sink.New(func(to string) bool { return strings.HasPrefix(to, "nobody") })
	must(t, err)
	defer outside.Close()
	behind, err := sink.New(func(string) bool { return false })
	must(t, err)
	defer behind.Close()
	o := Options{Config: quickstart(t), Dir: t.TempDir(), Sinks: Sinks{Outside: outside.Addr(), Behind: behind.Addr()}, Clock: &Clock{}}
	s, err := Open(t.Context(), o)
	must(t, err)
	alice, bob := Account{"alice@local.test", "a long enough word for alice"}, Account{"bob@local.test", "a long enough word for bob"}
	must(t, s.Add(t.Context(), alice, bob))
	if err := s.Add(t.Context(), bob); err == nil || !strings.Contains(err.Error(), "bob@local.test") {
		t.Errorf("bob is added twice: %v", err)
	}
	empty := s.Octets()
	text := "X-Drill: first owner alice@local.test\r\nMessage-ID: <" + verdict.MessageID("first") + ">\r\nFrom: Alice <alice@local.test>\r\nTo: bob@local.test\r\nSubject: hi\r\n\r\n" + strings.Repeat("Hello.\r\n", 4000)
	must(t, send(s, alice, alice.Address, []string{bob.Address, "friend@remote.test"}, text))
	if err := send(s, bob, alice.Address, []string{bob.Address}, text); err == nil || !strings.HasPrefix(err.Error(), "553 ") {
		t.Errorf("bob writes as alice: %v", err)
	}
	// A recipient that is known to nobody before is kept for the time of the hold window.
	o.Clock.Advance(s.Config.Hijack.Hold + time.Minute)
	must(t, s.Settle(t.Context(), time.Minute))
	look := func(s *Stage) {
		t.Helper()
		var seen verdict.Seen
		must(t, s.Look(t.Context(), &seen))
		if len(seen.Boxes) != 1 || len(seen.Queue) != 0 || len(seen.Contained) != 0 || seen.Verified == nil || seen.Verified.Records == 0 || len(seen.Verified.Faults) != 0 {
			t.Fatalf("boxes %+v, queue %+v, contained %+v, verified %+v", seen.Boxes, seen.Queue, seen.Contained, seen.Verified)
		}
		l := seen.Boxes[0]
		if l.ID != "first" || l.Actor != verdict.Owner || l.Account != alice.Address || l.From != alice.Address || !slices.Equal(l.To, []string{bob.Address}) || !slices.Equal(l.Authors, []string{alice.Address}) ||
			l.Unread || !l.Boxed || l.Junk || len(l.Queue) != mail.IDLength || l.Size < 6*4000 {
			t.Errorf("%+v", l)
		}
		told, err := s.Ask(t.Context(), l)
		if err != nil || told.Queue != l.Queue || told.Lacking != "" {
			t.Errorf("%+v, %v", told, err)
		}
		l.Queue = "000000000000000000000000"
		if told, err := s.Ask(t.Context(), l); err != nil || told.Lacking == "" {
			t.Errorf("of a message that never was: %+v, %v", told, err)
		}
		refused := false
		for _, f := range seen.Facts {
			refused = refused || f.Rule == "sender-not-owned"
		}
		if !refused {
			t.Errorf("no fact of the refusal among %d", len(seen.Facts))
		}
	}
	look(s)
	kept := outside.Kept()
	if len(kept) != 1 || !slices.Equal(kept[0].To, []string{"friend@remote.test"}) || Letter(kept[0].Head).ID != "first" || len(behind.Kept()) != 0 {
		t.Errorf("the sink has %+v", kept)
	}
	if s.Octets() <= empty || s.Outside() != 0 {
		t.Errorf("%d octets, %d before; %d ways elsewhere", s.Octets(), empty, s.Outside())
	}
	if _, err := s.dial(o.Sinks)(t.Context(), "tcp", "192.0.2.1:25"); err == nil || s.Outside() != 1 {
		t.Errorf("somebody else is reached: %v, %d", err, s.Outside())
	}
	must(t, s.Close())
	if nc, err := net.Dial("tcp", s.Addrs.Submissions[0]); err == nil {
		_ = nc.Close()
		t.Error("it serves after its end")
	}
	again, err := Open(t.Context(), o)
	must(t, err)
	look(again)
	must(t, again.Close())
	if _, err := os.Stat(o.Config.Data); err == nil {
		t.Error("the configuration's own data folder was made")
	}
}

// What waits for a server that cannot be reached is in the queue, and Settle does not wait for it for ever.
func TestWhatWaitsIsSeen(t *testing.T) {
	gone, err := sink.New(func(string) bool { return false })
	must(t, err)
	must(t, gone.Close())
	o := Options{Config: quickstart(t), Dir: t.TempDir(), Sinks: Sinks{Outside: gone.Addr(), Behind: gone.Addr()}, Clock: &Clock{}}
	s, err := Open(t.Context(), o)
	must(t, err)
	defer func() { must(t, s.Close()) }()
	alice := Account{"alice@local.test", "a long enough word for alice"}
	must(t, s.Add(t.Context(), alice))
	must(t, send(s, alice, alice.Address, []string{"friend@remote.test"}, "Message-ID: <"+verdict.MessageID("waits")+">\r\nFrom: alice@local.test\r\n\r\nHello.\r\n"))
	must(t, s.Settle(t.Context(), 3*time.Second))
	var seen verdict.Seen
	must(t, s.Look(t.Context(), &seen))
	if len(seen.Queue) != 1 || seen.Queue[0].ID != "waits" || seen.Queue[0].Held || !slices.Equal(seen.Queue[0].To, []string{"friend@remote.test"}) || len(seen.Boxes) != 0 {
		t.Errorf("%+v, %+v", seen.Queue, seen.Boxes)
	}
}

// The head of a message says who wrote it, whoever forged what.
func TestLetter(t *testing.T) {
	const id = "03e6nmjvg38jqjhv3805ggje"
	for _, c := range []struct {
		head string
		want verdict.Letter
	}{
		{"", verdict.Letter{}},
		{"X-Drill: a thief -\r\nX-Drill: b owner x@y.test\r\n", verdict.Letter{ID: "a", Actor: verdict.Thief}},
		{"X-Drill: two words\r\n", verdict.Letter{}},
		{"Return-Path: <>\r\nReceived: from a by b\r\n\twith ESMTPS id " + id + ";\r\n now\r\nReceived: by c id other\r\n", verdict.Letter{Queue: id}},
		{"Message-ID: <" + id + "@mx.local.test>\r\n", verdict.Letter{Queue: id}},
		{"Message-ID: <short@mx.local.test>\r\n", verdict.Letter{}},
		{"From: A <a@x.test>, b@x.test\r\nSender: =?utf-8?q?C?= <c@x.test>\r\n", verdict.Letter{Authors: []string{"a@x.test", "b@x.test", "c@x.test"}}},
		{"From: nobody at all <\r\n", verdict.Letter{Unread: true}},
		{"To: x@y.test\r\n\r\nFrom: a@x.test\r\n", verdict.Letter{}},
	} {
		got := Letter([]byte(c.head))
		if got.ID != c.want.ID || got.Actor != c.want.Actor || got.Account != c.want.Account ||
			got.From != c.want.From || got.Queue != c.want.Queue || got.Unread != c.want.Unread ||
			!slices.Equal(got.Authors, c.want.Authors) {
			t.Errorf("%q: %+v, want %+v", c.head, got, c.want)
		}
	}
	for name, want := range map[string]string{"1764.03e6nmjvg38jqjhv3805ggje-a.mx:2,S": id, "1764": "", "1764.short": "short"} {
		if got := queueOf(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}
