package dispatch_test

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/emersion/go-message"
	_ "github.com/emersion/go-message/charset"
	"github.com/emersion/go-message/textproto"

	"bufio"

	"sallyport/internal/fact"
	"sallyport/internal/mail"
	"sallyport/internal/nexthop"
)

// dsn is a notification as another program reads it.
type dsn struct {
	header      message.Header
	kinds       []string
	words       string
	perMessage  textproto.Header
	recipients  []textproto.Header
	returned    string
	statusBytes string
}

func parse(t *testing.T, text string) dsn {
	t.Helper()
	e, err := message.Read(strings.NewReader(text))
	must(t, err)
	d := dsn{header: e.Header}
	kind, params, err := e.Header.ContentType()
	must(t, err)
	mr := e.MultipartReader()
	if kind != "multipart/report" || mr == nil {
		t.Fatalf("%s is no report", kind)
	}
	for {
		p, err := mr.NextPart()
		if err == io.EOF {
			break
		}
		must(t, err)
		kind, _, err := p.Header.ContentType()
		must(t, err)
		b, err := io.ReadAll(p.Body)
		must(t, err)
		d.kinds = append(d.kinds, kind)
		switch len(d.kinds) {
		case 1:
			d.words = string(b)
		case 2:
			d.statusBytes = string(b)
		default:
			d.returned = string(b)
		}
	}
	if "message/"+params["report-type"] != d.kinds[1] {
		t.Errorf("report-type %q of %q", params["report-type"], d.kinds)
	}
	r := bufio.NewReader(strings.NewReader(d.statusBytes + "\r\n\r\n"))
	d.perMessage, err = textproto.ReadHeader(r)
	must(t, err)
	for {
		h, err := textproto.ReadHeader(r)
		if err != nil || h.Len() == 0 {
			return d
		}
		d.recipients = append(d.recipients, h)
	}
}

// bounce sends a message whose recipients at remote.test are answered so, and
// returns the notifications.
func bounce(t *testing.T, l letterOf, reply mail.Reply) (w *world, notices []string) {
	t.Helper()
	inWorld(t, func(_ *testing.T, in *world) {
		in.routes["remote.test"].fn = always(reply.Code, reply.Enhanced.String(), reply.Text)
		in.send(l)
		in.queued(0, 0)
		w, notices = in, in.notices()
	})
	return w, notices
}

// A notification tells what a host said from what this server found out about it,
// and names no host as a reporter that reported nothing. RFC 3464 §2.3.5.
func TestNotificationTellsWhoSaidIt(t *testing.T) {
	for _, mute := range []bool{false, true} {
		inWorld(t, func(t *testing.T, w *world) {
			w.routes["remote.test"].mute = mute
			w.routes["remote.test"].fn = always(550, "5.1.2", "there is no such domain")
			w.send(fresh("x@remote.test"))
			w.queued(0, 0)
			text := w.notices()[0]
			said := strings.Contains(text, "mx.remote.test:25 said:\r\n    550 5.1.2")
			found := strings.Contains(text, "This server tried mx.remote.test:25 and found:\r\n    550 5.1.2")
			if remote := parse(t, text).recipients[0].Get("Remote-MTA"); said == mute || found != mute || (remote == "") != mute {
				t.Errorf("mute %v: Remote-MTA %q in\n%s", mute, remote, text)
			}
		})
	}
}

// A failure becomes exactly one notification, which names everything.
func TestNotification(t *testing.T) {
	l := fresh("x@remote.test", "bob@local.test", "y@remote.test")
	l.from = "alice+shop@local.test"
	l.env.EnvID = "QQ314159"
	l.rcpt = func(r *mail.Recipient) { r.ORcpt = mail.ORcpt{Type: "rfc822", Address: "orig-" + r.Address.String()} }
	w, notices := bounce(t, l, mail.R(550, "5.1.1", "no such user\nlook elsewhere"))
	if len(notices) != 1 {
		t.Fatalf("%d notifications", len(notices))
	}
	d := parse(t, notices[0])
	for name, want := range map[string]string{
		"From": "Mail delivery system <postmaster@mx.local.test>", "To": "alice+shop@local.test", "Auto-Submitted": "auto-replied",
		"Subject": "Your message could not be delivered", "Date": "Sat, 1 Jan 2000 00:00:00 +0000", "Mime-Version": "1.0",
	} {
		if got := d.header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if want := []string{"text/plain", "message/delivery-status", "text/rfc822-headers"}; !slices.Equal(d.kinds, want) {
		t.Errorf("parts %q, want %q", d.kinds, want)
	}
	if d.perMessage.Get("Reporting-MTA") != "dns; mx.local.test" || d.perMessage.Get("Original-Envelope-Id") != "QQ314159" || d.perMessage.Get("Arrival-Date") == "" {
		t.Errorf("per message: %q", d.statusBytes)
	}
	if len(d.recipients) != 2 {
		t.Fatalf("%d recipients: %q", len(d.recipients), d.statusBytes)
	}
	for i, who := range []string{"x@remote.test", "y@remote.test"} {
		for name, want := range map[string]string{
			"Original-Recipient": "rfc822; orig-" + who, "Final-Recipient": "rfc822; " + who, "Action": "failed", "Status": "5.1.1",
			"Remote-MTA": "dns; mx.remote.test", "Diagnostic-Code": "smtp; 550 5.1.1 no such user / look elsewhere",
		} {
			if got := d.recipients[i].Get(name); got != want {
				t.Errorf("%s: %q, want %q", name, got, want)
			}
		}
	}
	if !strings.HasPrefix(d.returned, "Received: ") || !strings.Contains(d.returned, "Subject: hello") || strings.Contains(d.returned, "The body.") {
		t.Errorf("returned %q", d.returned)
	}
	note := w.local.jobs[len(w.local.jobs)-1]
	if !note.Envelope.From.IsNull() || note.Recipients[0].Mailbox != addr("alice@local.test") || note.Recipients[0].Detail != "shop" || note.Recipients[0].Notify != mail.NotifyNever {
		t.Errorf("envelope %+v to %+v", note.Envelope, note.Recipients)
	}
	f := w.facts(fact.KindNotify)
	if len(f) != 1 || f[0].Rule != "notify-verified-sender" || f[0].Queue != note.ID || f[0].About != w.local.jobs[0].ID || f[0].Recipients[0] != "alice+shop@local.test" || !strings.Contains(d.header.Get("Message-Id"), note.ID.String()) {
		t.Errorf("facts %+v", f)
	}
	checkLines(t, notices[0])
}

// checkLines demands lines that any program reads alike. RFC 5322 §2.1.1, §2.3.
func checkLines(t *testing.T, text string) {
	t.Helper()
	for _, line := range strings.SplitAfter(text, "\r\n") {
		body := strings.TrimSuffix(line, "\r\n")
		if strings.ContainsAny(body, "\r\n\x00") || len(body) > 998 || !utf8.ValidString(body) || line != "" && body == line {
			t.Errorf("line %.120q", line)
		}
	}
}

// What NOTIFY asks decides what is reported: RFC 3461 §4.1. The null path is never
// answered, and what the next hop reports by itself is not reported twice.
func TestNotify(t *testing.T) {
	const failed, delivered, relayed = "failed", "delivered", "relayed"
	all := mail.NotifySuccess | mail.NotifyFailure | mail.NotifyDelay
	for _, row := range []struct {
		notify   mail.Notify
		code     int
		to, from string
		hopTells bool
		want     string
	}{
		{0, 550, "x@remote.test", "alice@local.test", false, failed},
		{0, 250, "x@remote.test", "alice@local.test", false, ""},
		{mail.NotifyNever, 550, "x@remote.test", "alice@local.test", false, ""},
		{mail.NotifyNever, 250, "x@remote.test", "alice@local.test", false, ""},
		{mail.NotifySuccess, 550, "x@remote.test", "alice@local.test", false, ""},
		{mail.NotifySuccess, 250, "x@remote.test", "alice@local.test", false, relayed},
		{mail.NotifySuccess, 250, "x@remote.test", "alice@local.test", true, ""},
		{mail.NotifySuccess, 250, "bob@local.test", "alice@local.test", false, delivered},
		{mail.NotifyFailure, 550, "x@remote.test", "alice@local.test", false, failed},
		{mail.NotifyFailure, 550, "x@remote.test", "alice@local.test", true, failed},
		{mail.NotifyFailure, 250, "x@remote.test", "alice@local.test", false, ""},
		{mail.NotifyDelay, 550, "x@remote.test", "alice@local.test", false, ""},
		{all, 550, "x@remote.test", "alice@local.test", false, failed},
		{all, 250, "bob@local.test", "alice@local.test", false, delivered},
		{0, 550, "x@remote.test", "", false, ""},
		{all, 550, "x@remote.test", "", false, ""},
		{all, 250, "x@remote.test", "", false, ""},
	} {
		t.Run(fmt.Sprintf("%d %d %s %q %v", row.notify, row.code, row.to, row.from, row.hopTells), func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				w.routes["remote.test"].fn = always(row.code, "", "so it is")
				w.routes["remote.test"].notifies = row.hopTells
				w.send(letterOf{account: "alice@local.test", from: row.from, to: []string{row.to}, rcpt: func(r *mail.Recipient) { r.Notify = row.notify }})
				w.queued(0, 0)
				notices := w.notices()
				if row.want == "" {
					if len(notices) != 0 || len(w.facts(fact.KindNotify)) != 0 {
						t.Errorf("notified: %q", notices)
					}
					return
				}
				if len(notices) != 1 {
					t.Fatalf("%d notifications", len(notices))
				}
				d := parse(t, notices[0])
				if len(d.recipients) != 1 || d.recipients[0].Get("Action") != row.want || d.recipients[0].Get("Status")[:1] != fmt.Sprint(row.code/100) {
					t.Errorf("%q", d.statusBytes)
				}
				if (d.header.Get("Subject") == "Your message could not be delivered") != (row.want == failed) {
					t.Errorf("subject %q", d.header.Get("Subject"))
				}
			})
		})
	}
}

// RET decides what comes back: RFC 3461 §4.3. Only a failure returns the message,
// and only a small one whole.
func TestRet(t *testing.T) {
	big := letter + strings.Repeat("0123456789abcd\r\n", 70_000)
	for _, row := range []struct {
		ret    mail.Ret
		body   string
		code   int
		notify mail.Notify
		kind   string
		whole  bool
	}{
		{mail.RetUnset, letter, 550, 0, "text/rfc822-headers", false},
		{mail.RetHeaders, letter, 550, 0, "text/rfc822-headers", false},
		{mail.RetFull, letter, 550, 0, "message/rfc822", true},
		{mail.RetFull, letter, 250, mail.NotifySuccess, "text/rfc822-headers", false},
		{mail.RetFull, big, 550, 0, "text/rfc822-headers", false},
		{mail.RetUnset, strings.Repeat("X: 0123456789\r\n", 10_000) + letter, 550, 0, "text/rfc822-headers", false},
		{mail.RetUnset, "Subject: no body", 550, 0, "text/rfc822-headers", false},
	} {
		l := fresh("x@remote.test")
		l.env.Ret, l.body = row.ret, row.body
		l.rcpt = func(r *mail.Recipient) { r.Notify = row.notify }
		_, notices := bounce(t, l, mail.R(row.code, "", "so it is"))
		if len(notices) != 1 {
			t.Fatalf("%d notifications", len(notices))
		}
		d := parse(t, notices[0])
		if d.kinds[2] != row.kind || row.whole && d.returned != prefix+row.body || !row.whole && (strings.Contains(d.returned, "The body") || len(d.returned) > 64<<10) {
			t.Errorf("%+v: %s of %d octets", row.ret, d.kinds[2], len(d.returned))
		}
		checkLines(t, notices[0])
	}
}

// Addresses beyond ASCII make the notification one of RFC 6533.
func TestUTF8Notification(t *testing.T) {
	l := letterOf{account: "älice@local.test", from: "älice@local.test", to: []string{"ü@remote.test", "x@remote.test"}, env: mail.Envelope{Ret: mail.RetFull}}
	l.rcpt = func(r *mail.Recipient) { r.ORcpt = mail.ORcpt{Type: "utf-8", Address: "ö@old.test"} }
	w, notices := bounce(t, l, mail.R(550, "5.1.1", "niemand heißt so"))
	if len(notices) != 1 {
		t.Fatalf("%d notifications\n%s", len(notices), w.logged.String())
	}
	d := parse(t, notices[0])
	if want := []string{"text/plain", "message/global-delivery-status", "message/global"}; !slices.Equal(d.kinds, want) {
		t.Errorf("parts %q, want %q", d.kinds, want)
	}
	if len(d.recipients) != 2 || d.recipients[0].Get("Final-Recipient") != "utf-8; ü@remote.test" || d.recipients[0].Get("Original-Recipient") != "utf-8; ö@old.test" || !strings.Contains(d.recipients[1].Get("Diagnostic-Code"), "heißt") {
		t.Errorf("%q", d.statusBytes)
	}
	if note := w.local.jobs[0]; !note.Envelope.SMTPUTF8 || note.Recipients[0].Mailbox != addr("älice@local.test") {
		t.Errorf("envelope %+v", note.Envelope)
	}
	checkLines(t, notices[0])

	// It is the plain one where no address that it tells of is beyond ASCII, though the
	// message is: those who keep lists read no other.
	l = fresh("x@remote.test")
	l.env.SMTPUTF8 = true
	_, notices = bounce(t, l, mail.R(550, "5.1.1", "niemand heißt so"))
	d = parse(t, notices[0])
	if want := []string{"text/plain", "message/delivery-status", "message/global-headers"}; !slices.Equal(d.kinds, want) || d.recipients[0].Get("Final-Recipient") != "rfc822; x@remote.test" || !strings.Contains(d.words, "heißt") {
		t.Errorf("parts %q: %q", d.kinds, d.statusBytes)
	}
	for _, c := range d.statusBytes {
		if c >= utf8.RuneSelf {
			t.Fatalf("not ASCII: %q", d.statusBytes)
		}
	}

	// A message that is ASCII has a notification that is, whatever others say in it.
	l = fresh("x@remote.test")
	l.rcpt = func(r *mail.Recipient) { r.ORcpt = mail.ORcpt{Type: "utf-8", Address: "ö+@old.test"} }
	_, notices = bounce(t, l, mail.R(550, "5.1.1", "niemand heißt so"))
	d = parse(t, notices[0])
	if d.kinds[1] != "message/delivery-status" || d.recipients[0].Get("Original-Recipient") != `utf-8; \x{F6}\x{2B}@old.test` {
		t.Errorf("%q", d.statusBytes)
	}
	for _, c := range d.statusBytes {
		if c >= utf8.RuneSelf {
			t.Fatalf("not ASCII: %q", d.statusBytes)
		}
	}
}

// Whatever a remote says, it adds no line and no part to a notification.
func TestRemoteInjectsNothing(t *testing.T) {
	for _, text := range []string{
		"no\r\nBcc: victim@innocent.test\r\n\r\nbody", "no\nFinal-Recipient: rfc822; other@x.test", "\r\n\r\n--boundary--\r\n",
		"\x00\x1b[2J\x7f\x85\u2028\u2029", "\xff\xfe broken", strings.Repeat("long ", 5000), strings.Repeat("ü", 3000), "",
	} {
		for _, smtputf8 := range []bool{false, true} {
			inWorld(t, func(t *testing.T, w *world) {
				g := w.routes["remote.test"]
				g.fn, g.name = always(550, "", text), "mx"+text
				l := fresh("x@remote.test")
				l.env.SMTPUTF8 = smtputf8
				w.send(l)
				w.queued(0, 0)
				notices := w.notices()
				if len(notices) != 1 {
					t.Fatalf("%d notifications for %q", len(notices), text)
				}
				d := parse(t, notices[0])
				if len(d.kinds) != 3 || len(d.recipients) != 1 || d.recipients[0].Len() > 6 || d.recipients[0].Get("Final-Recipient") == "rfc822; other@x.test" || d.header.Has("Bcc") {
					t.Errorf("%q made %q", text, d.statusBytes)
				}
				for line := range strings.SplitSeq(d.words, "\r\n") {
					if strings.HasPrefix(line, "Bcc") || strings.HasPrefix(line, "Final") || strings.HasPrefix(line, "--") {
						t.Errorf("%q made a line of the words: %q", text, line)
					}
				}
				checkLines(t, notices[0])
			})
		}
	}
}

// A notification that can't be delivered makes no other one: it is held.
func TestNotificationFails(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.routes["remote.test"].fn = always(550, "5.1.1", "nobody")
		w.local.fn = always(550, "5.2.1", "broken")
		w.send(fresh("x@remote.test"))
		later(24 * time.Hour)
		w.queued(1, 1)
		if n := len(w.facts(fact.KindNotify)); n != 1 {
			t.Errorf("%d notifications", n)
		}
	})
}

// A message that expires is given up with one notification that says so.
func TestExpiry(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.routes["remote.test"].fn = always(451, "4.4.1", "try later")
		began := time.Now()
		w.send(fresh("x@remote.test"))
		later(w.policy.Expire - time.Minute)
		w.queued(1, 0)
		if n := w.notices(); len(n) != 1 || !strings.Contains(n[0], "Action: delayed") {
			t.Errorf("notified too early: %q", n)
		}
		later(w.policy.Max + time.Hour)
		w.queued(0, 0)
		notices := w.notices()
		if len(notices) != 2 {
			t.Fatalf("%d notifications", len(notices))
		}
		d := parse(t, notices[1])
		if r := d.recipients[0]; r.Get("Status") != "5.4.7" || !strings.Contains(r.Get("Diagnostic-Code"), "451 4.4.1 try later") {
			t.Errorf("%q", d.statusBytes)
		}
		if last := w.routes["remote.test"].at; last[len(last)-1].Sub(began) < w.policy.Expire {
			t.Error("given up before its time")
		}
	})
}

// A Remote-MTA is the name of the host alone, or its address as a literal. RFC 3464 §2.3.5.
func TestRemoteMTAIsAName(t *testing.T) {
	for remote, want := range map[string]string{
		"mx.remote.test [192.0.2.1]:25": "mx.remote.test", "mx.remote.test:25": "mx.remote.test", "mx.remote.test": "mx.remote.test",
		"127.0.0.1 [127.0.0.1]:34491": "[127.0.0.1]", "192.0.2.1:25": "[192.0.2.1]", "[2001:db8::1]:25": "[IPv6:2001:db8::1]",
		"2001:db8::1 [2001:db8::1]:25": "[IPv6:2001:db8::1]", "mx.remote.test [2001:db8::1]:25": "mx.remote.test",
	} {
		for _, said := range []bool{true, false} {
			inWorld(t, func(t *testing.T, w *world) {
				w.routes["remote.test"].raw = func(j nexthop.Job) []mail.Outcome {
					o := mail.Outcome{Recipient: j.Recipients[0].Address, Reply: mail.R(550, "5.1.1", "no such user"), Remote: remote, Said: said}
					return []mail.Outcome{o}
				}
				w.send(letterOf{account: "alice@local.test", from: "alice@local.test", to: []string{"x@remote.test"}, env: mail.Envelope{SMTPUTF8: true}})
				w.queued(0, 0)
				r := parse(t, w.notices()[0]).recipients[0]
				kind := map[bool]string{true: "smtp", false: "x-sallyport"}[said]
				if got := r.Get("Remote-MTA"); said && got != "dns; "+want || !said && got != "" {
					t.Errorf("%q is %q", remote, got)
				}
				if got := r.Get("Diagnostic-Code"); got != kind+"; 550 5.1.1 no such user" {
					t.Errorf("diagnostic %q", got)
				}
				if got := r.Get("Final-Recipient"); got != "rfc822; x@remote.test" {
					t.Errorf("an address in ASCII is %q", got)
				}
			})
		}
	}
}

// What was relayed is not called delivered: nobody behind us tells what becomes of it.
func TestRelayedIsNotDelivered(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		l := fresh("x@remote.test")
		l.rcpt = func(r *mail.Recipient) { r.Notify = mail.NotifySuccess }
		w.send(l)
		w.queued(0, 0)
		n := w.notices()
		if len(n) != 1 || !strings.Contains(n[0], "Subject: Your message was relayed\r\n") || strings.Contains(n[0], "delivered") || !strings.Contains(n[0], "Action: relayed") {
			t.Errorf("%q", n)
		}
	})
}
