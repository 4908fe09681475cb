package node

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

	"sallyport/internal/trace/query"

	"sallyport/test/load"
)

// contentProofs adds those of the checks of content.
func contentProofs(all map[string]keyProof) {
	see := func(n *Node) any {
		o := n.now().checks.Options()
		if o.Rspamd != nil {
			return fmt.Sprintf("%+v %+v", *o.Rspamd, o.Milters)
		}
		return fmt.Sprintf("%+v", o.Milters)
	}
	values := map[string]string{"timeout": `"9s"`, "max_size": `"9KiB"`, "down": `"accept"`, "accounts": `"on"`, "connections": "9"}
	for name, start := range map[string]string{"rspamd": "[rspamd]\nurl = \"http://127.0.0.1:1\"", "milter.NAME": "[milter.one]\naddress = \"tcp://127.0.0.1:1\""} {
		for key, value := range values {
			all[name+"."+key] = keyProof{set: start + "\n" + key + " = " + value, see: see, on: start}
		}
	}
	all["bounces.forged"] = keyProof{set: "[bounces]\nforged = \"junk\"", see: func(n *Node) any { return n.now().checks.Bounces().Forged }}
	all["bounces.unnamed"] = keyProof{set: "[bounces]\nunnamed = \"junk\"", see: func(n *Node) any { return n.now().checks.Bounces().Unnamed }}
	on := "[rspamd]\nurl = \"http://127.0.0.1:1\""
	all["rspamd.url"] = keyProof{set: strings.Replace(on, ":1\"", ":2\"", 1), see: see, on: on}
	all["rspamd.spam"] = keyProof{set: on + "\nspam = \"field\"", see: see, on: on}
	all["rspamd.password_file"] = keyProof{set: on + "\npassword_file = \"secret\"", see: see, on: on}
	one := "[milter.one]\naddress = \"tcp://127.0.0.1:1\""
	all["milter.NAME.address"] = keyProof{set: strings.Replace(one, ":1\"", ":2\"", 1), see: see, on: one}
	all["milter.NAME.fields"] = keyProof{set: one + "\nfields = [\"DKIM-Signature\"]", see: see, on: one}
}

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
	must(t, err)
	socket = filepath.Join(dir, "milter")
	l, err := net.Listen("unix", socket)
	must(t, err)
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
	s := newSite(t, nil, "[authentication]\ncheck = \"off\"\n[rspamd]\nurl = \""+url+"\"\n[milter.words]\naddress = \"unix://"+socket+"\"\n")
	n := s.start()
	s.populate(n.Node)
	c := connect(t, n.Addrs().MX[0])
	c.ok("250", "EHLO client.test")
	box := filepath.Join(s.cfg.Maildir.Root, "local.test", "bob")
	for _, tc := range []struct{ word, want, rule, folder, field string }{
		{"be read", "250", "rspamd", "new", "X-Spam-Status: No, score=7.00"},
		{"be rejected", "550 5.7.1", "rspamd: reject, score 7.00 of 15.00; rspamd symbols: WORDS(7.00)", "", ""},
		{"be marked", "250", "rspamd-spam", ".Junk/new", "X-Spam: Yes"},
		{"be held", "250", "milter-quarantine", "", ""},
	} {
		id := "<" + strings.ReplaceAll(tc.word, " ", "-") + "@far.test>"
		from := strings.ReplaceAll(tc.word, " ", "-") + "@far.test"
		r := c.send(from, "From: x@far.test\r\nMessage-ID: "+id+"\r\nX-Spam: forged\r\nX-Spam-Status: forged\r\n\r\nto "+tc.word+"\r\n", "bob@local.test")
		if !strings.HasPrefix(r, tc.want) {
			t.Errorf("%s: got %q", tc.word, r)
		}
		if tc.folder != "" {
			n.idle()
			text := only(t, filepath.Join(box, tc.folder))
			if !strings.Contains(text, tc.field) || !strings.Contains(text, "X-Seen: by the milter") || strings.Contains(text, "forged") {
				t.Errorf("%s: delivered\n%s", tc.word, text)
			}
		}
		eventually(t, "the facts of "+tc.word, func() bool {
			a, err := n.data.Facts.Query(t.Context(), query.Query{Terms: []query.Term{{Field: query.FieldAddress, Text: from}}})
			must(t, err)
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
	must(t, err)
	if len(l) != 1 {
		t.Fatalf("%s holds %d files", dir, len(l))
	}
	b, err := os.ReadFile(filepath.Join(dir, l[0].Name()))
	must(t, err)
	return string(load.Wire(b))
}

// A bounce of what was sent from here comes in; one of what never was does not, once
// the trace goes back far enough to tell.
func TestForgedBouncesAreRefused(t *testing.T) {
	s := newSite(t, nil, "[authentication]\ncheck = \"off\"\n")
	var later atomic.Int64
	o := s.options()
	o.Now = func() time.Time { return time.Now().Add(time.Duration(later.Load())) }
	opened, err := Open(t.Context(), s.cfg, o)
	must(t, err)
	n := s.serve(opened)
	s.populate(n.Node)
	c := s.signIn(n, false, "alice@local.test")
	sent := c.send("alice@local.test", "From: alice@local.test\r\nMessage-ID: <Sent@local.test>\r\nSubject: hi\r\n\r\nhello\r\n", "x@remote.test")
	if !strings.HasPrefix(sent, "250") {
		t.Fatal(sent)
	}
	bounce := func(id, from string) string {
		c := connect(t, n.Addrs().MX[0])
		c.ok("250", "EHLO far.test")
		return c.send("", "From: MAILER-DAEMON@far.test\r\nMIME-Version: 1.0\r\nContent-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n"+
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
	a, err := n.data.Facts.Query(t.Context(), query.Query{Terms: []query.Term{{Field: query.FieldAddress, Text: "alice@local.test"}}})
	must(t, err)
	for _, want := range []string{"bounce-forged", "of our message", "does not go back far enough"} {
		if !strings.Contains(fmt.Sprint(a.Entries), want) {
			t.Errorf("the trace does not say %q", want)
		}
	}
}
