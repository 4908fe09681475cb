package site

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"sallyport/internal/node"
	"sallyport/internal/operate"
	"sallyport/test/load"
)

// judgeOfWords is an Rspamd and a milter that go by words in the message.
func judgeOfWords(t *testing.T) (url, socket string) {
	t.Helper()
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		action := "no action"
		switch {
		case strings.Contains(string(b), "be rejected"):
			action = "reject"
		case strings.Contains(string(b), "be marked"):
			action = "add header"
		}
		_, _ = fmt.Fprintf(w, `{"action":%q,"score":7,"required_score":15,"symbols":{"WORDS":{"score":7}}}`, action)
	}))
	t.Cleanup(web.Close)
	dir, err := os.MkdirTemp("", "sp")
	Must(t, err)
	socket = filepath.Join(dir, "milter")
	l, err := net.Listen("unix", socket)
	Must(t, err)
	t.Cleanup(func() { _ = l.Close(); _ = os.RemoveAll(dir) })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go milterOfWords(c)
		}
	}()
	return web.URL, socket
}

// milterOfWords holds what says "be held".
func milterOfWords(c net.Conn) {
	defer func() { _ = c.Close() }()
	held := false
	send := func(cmd byte, data string) {
		_, _ = c.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(data)+1)), append([]byte{cmd}, data...)...))
	}
	for {
		var head [5]byte
		if _, err := io.ReadFull(c, head[:]); err != nil {
			return
		}
		data := make([]byte, binary.BigEndian.Uint32(head[:4])-1)
		if _, err := io.ReadFull(c, data); err != nil {
			return
		}
		switch head[4] {
		case 'O':
			send('O', "\x00\x00\x00\x06\x00\x00\x01\x31\x00\x00\x00\x00")
		case 'D':
		case 'Q':
			return
		case 'B':
			held = strings.Contains(string(data), "be held")
			send('c', "")
		case 'E':
			send('h', "X-Seen\x00by the milter\x00")
			if held {
				send('q', "it says so\x00")
			}
			send('c', "")
		default:
			send('c', "")
		}
	}
}

// What checks of content say happens, over SMTP, to the mailbox, and to the trace; a
// stranger's own words about spam do not reach the mailbox.
func TestContentChecksOverSMTP(t *testing.T) {
	url, socket := judgeOfWords(t)
	s := New(t, nil, "[authentication]\ncheck = \"off\"\n[rspamd]\nurl = \""+url+"\"\n[milter.words]\naddress = \"unix://"+socket+"\"\n")
	n := s.Start()
	s.Populate(n.Node)
	c := Connect(t, n.Addrs().MX[0])
	c.OK("250", "EHLO client.test")
	box := filepath.Join(s.Config.Maildir.Root, "local.test", "bob")
	for _, tc := range []struct{ word, want, rule, folder, field string }{
		{"be read", "250", "rspamd", "new", "X-Spam-Status: No, score=7.00"},
		{"be rejected", "550 5.7.1", "rspamd: reject, score 7.00 of 15.00; rspamd symbols: WORDS(7.00)", "", ""},
		{"be marked", "250", "rspamd-spam", ".Junk/new", "X-Spam: Yes"},
		{"be held", "250", "milter-quarantine", "", ""},
	} {
		id := "<" + strings.ReplaceAll(tc.word, " ", "-") + "@far.test>"
		from := strings.ReplaceAll(tc.word, " ", "-") + "@far.test"
		r := c.Send(from, "From: x@far.test\r\nMessage-ID: "+id+"\r\nX-Spam: forged\r\nX-Spam-Status: forged\r\n\r\nto "+tc.word+"\r\n", "bob@local.test")
		if !strings.HasPrefix(r, tc.want) {
			t.Errorf("%s: got %q", tc.word, r)
		}
		if tc.folder != "" {
			n.Idle()
			text := only(t, filepath.Join(box, tc.folder))
			if !strings.Contains(text, tc.field) || !strings.Contains(text, "X-Seen: by the milter") || strings.Contains(text, "forged") {
				t.Errorf("%s: delivered\n%s", tc.word, text)
			}
		}
		Eventually(t, "the facts of "+tc.word, func() bool {
			a, err := n.Operator().Trace(t.Context(), operate.Self(), operate.TraceQuery{Text: from})
			Must(t, err)
			return strings.Contains(fmt.Sprint(a.Entries), tc.rule)
		})
	}
	if l, err := os.ReadDir(filepath.Join(box, "new")); err != nil || len(l) != 1 {
		t.Errorf("%v, %v: what was to be held or refused was delivered", l, err)
	}
}

// only returns the one file in a folder.
func only(t *testing.T, dir string) string {
	t.Helper()
	l, err := os.ReadDir(dir)
	Must(t, err)
	if len(l) != 1 {
		t.Fatalf("%s holds %d files", dir, len(l))
	}
	b, err := os.ReadFile(filepath.Join(dir, l[0].Name()))
	Must(t, err)
	return string(load.Wire(b))
}

// A bounce of what was sent from here comes in; one of what never was does not, once
// the trace goes back far enough to tell.
func TestForgedBouncesAreRefused(t *testing.T) {
	s := New(t, nil, "[authentication]\ncheck = \"off\"\n")
	var later atomic.Int64
	o := s.Options()
	o.Now = func() time.Time { return time.Now().Add(time.Duration(later.Load())) }
	opened, err := node.Open(t.Context(), s.Config, o)
	Must(t, err)
	n := s.Serve(opened)
	s.Populate(n.Node)
	c := s.SignIn(n, false, "alice@local.test")
	sent := c.Send("alice@local.test", "From: alice@local.test\r\nMessage-ID: <Sent@local.test>\r\nSubject: hi\r\n\r\nhello\r\n", "x@remote.test")
	if !strings.HasPrefix(sent, "250") {
		t.Fatal(sent)
	}
	bounce := func(id, from string) string {
		c := Connect(t, n.Addrs().MX[0])
		c.OK("250", "EHLO far.test")
		return c.Send("", "From: MAILER-DAEMON@far.test\r\nMIME-Version: 1.0\r\nContent-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n"+
			"--b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; far.test\r\n\r\n--b\r\nContent-Type: message/rfc822\r\n\r\n"+
			"Message-ID: "+id+"\r\nFrom: "+from+"\r\n\r\nhello\r\n--b--\r\n", "alice@local.test")
	}
	for _, row := range []struct {
		later            time.Duration
		id, from, answer string
	}{
		{0, "<sent@local.test>", "alice@local.test", "250"},
		{0, "<never@local.test>", "alice@local.test", "250"}, // the trace is young
		{15 * 24 * time.Hour, "<sent@local.test>", "alice@local.test", "250"},
		{15 * 24 * time.Hour, "<never@local.test>", "alice@local.test", "550 5.7.1"},
		{15 * 24 * time.Hour, "<never@elsewhere.test>", "alice@local.test", "550 5.7.1"},
		{15 * 24 * time.Hour, "<never@elsewhere.test>", "eve@elsewhere.test", "250"},
	} {
		later.Store(int64(row.later))
		if r := bounce(row.id, row.from); !strings.HasPrefix(r, row.answer) {
			t.Errorf("%v later, %s from %s: got %q, want %s", row.later, row.id, row.from, r, row.answer)
		}
	}
	a, err := n.Operator().Trace(t.Context(), operate.Self(), operate.TraceQuery{Text: "alice@local.test"})
	Must(t, err)
	for _, want := range []string{"bounce-forged", "of our message", "does not go back far enough"} {
		if !strings.Contains(fmt.Sprint(a.Entries), want) {
			t.Errorf("the trace does not say %q", want)
		}
	}
}
