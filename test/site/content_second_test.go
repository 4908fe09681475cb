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
	"regexp"
	"sallyport/internal/operate"
	"strings"
	"sync"
	"testing"
)

// judges are an Rspamd and a milter that go by words in the message and remember what
// they were told, one text for each message.
type judges struct {
	mu             sync.Mutex
	rspamd, milter []string
}

func (j *judges) told(to *[]string, what string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	*to = append(*to, what)
}

// last returns what each was told last about somebody's mail. A milter's conversation is
// told when its connection ends: one that the server broke off, since another filter had
// refused, may end after the next one.
func (j *judges) last(sender string) (rspamd, milter string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	about := func(all []string) (found string) {
		for _, text := range all {
			if strings.Contains(text, sender) {
				found = text
			}
		}
		return found
	}
	return about(j.rspamd), about(j.milter)
}

// ServeHTTP is the Rspamd.
func (j *judges) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b, _ := io.ReadAll(r.Body)
	j.told(&j.rspamd, fmt.Sprintf("%s %v %s\n%s", r.Header.Get("From"), r.Header.Values("Rcpt"), r.Header.Get("Queue-Id"), b[:min(len(b), 4<<10)]))
	action := "no action"
	if strings.Contains(string(b), "rspamd-refuses") {
		action = "reject"
	}
	_, _ = fmt.Fprintf(w, `{"action":%q,"score":7,"required_score":15,"milter":{"add_headers":{"X-Spam-Report":%q}}}`, action, "about "+r.Header.Get("From"))
}

// serve is the milter. It wants all there is, as most do.
func (j *judges) serve(c net.Conn) {
	defer func() { _ = c.Close() }()
	var seen strings.Builder
	defer func() { j.told(&j.milter, seen.String()) }()
	send := func(cmd byte, data string) {
		_, _ = c.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(data)+1)), append([]byte{cmd}, data...)...))
	}
	from := ""
	for {
		var head [5]byte
		if _, err := io.ReadFull(c, head[:]); err != nil {
			return
		}
		data := make([]byte, binary.BigEndian.Uint32(head[:4])-1)
		if _, err := io.ReadFull(c, data); err != nil {
			return
		}
		fmt.Fprintf(&seen, "%c %.300q\n", head[4], data)
		text := seen.String()
		switch head[4] {
		case 'O':
			send('O', "\x00\x00\x00\x06\x00\x00\x00\xff\x00\x00\x00\x00")
		case 'D':
		case 'Q':
			return
		case 'M':
			from = strings.Trim(string(data), "\x00")
			send('c', "")
		case 'B':
			if strings.Contains(text, "milter-is-lost") {
				return
			}
			send('c', "")
		case 'E':
			send('h', "X-Of\x00"+from+"\x00")
			send('b', "another body")
			send('+', "<carl@local.test>\x00")
			switch {
			case strings.Contains(text, "milter-refuses"):
				send('y', "550 5.7.1 no\x00")
			case strings.Contains(text, "milter-puts-off"):
				send('t', "")
			default:
				send('c', "")
			}
		default:
			send('c', "")
		}
	}
}

func (j *judges) start(t *testing.T) (url, socket string) {
	t.Helper()
	web := httptest.NewServer(j)
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
			go j.serve(c)
		}
	}()
	return web.URL, socket
}

// A refusal at the end of data, or a milter that is lost in the middle of the body,
// leaves nothing behind: the next message on the connection is another one, for the
// sender, for those who are asked, and for the mailbox.
func TestSecondTransactionAfterARefusal(t *testing.T) {
	for _, down := range []string{"defer", "accept"} {
		t.Run(down, func(t *testing.T) {
			var j judges
			url, socket := j.start(t)
			s := New(t, nil, "[authentication]\ncheck = \"off\"\n[rspamd]\nurl = \""+url+"\"\n[milter.words]\naddress = \"unix://"+socket+"\"\ndown = \""+down+"\"\n")
			n := s.Start()
			s.Populate(n.Node)
			c := Connect(t, n.Addrs().MX[0])
			c.OK("250", "EHLO client.test")
			lost := "451 4.3.0"
			if down == "accept" {
				lost = "250"
			}
			long := strings.Repeat(strings.Repeat("x", 70)+"\r\n", 4000)
			for i, tc := range []struct{ word, want, rule string }{
				{"milter-refuses", "550 5.7.1", "milter-reject"},
				{"rspamd-refuses", "550 5.7.1", "rspamd-reject"},
				{"milter-puts-off", "451 4.7.1", "milter-tempfail"},
				{"milter-is-lost", lost, "no answer: "},
			} {
				first, second := fmt.Sprintf("first%d@far.test", i), fmt.Sprintf("second%d@far.test", i)
				if r := c.Send(first, "From: x@far.test\r\nX-First: "+tc.word+"\r\n\r\n"+long+tc.word+"\r\n"+long, "bob@local.test"); !strings.HasPrefix(r, tc.want) {
					t.Errorf("%s: %q, want %s", tc.word, r, tc.want)
				}
				r := c.Send(second, "From: y@far.test\r\n\r\nhello\r\n", "alice@local.test")
				if !strings.HasPrefix(r, "250") {
					t.Fatalf("after %s: %q", tc.word, r)
				}
				queue := regexp.MustCompile(`[0-9a-z]{24}`).FindString(r)
				rspamd, milter := "", ""
				Eventually(t, "what was asked", func() bool {
					rspamd, milter = j.last(second)
					return rspamd != "" && milter != ""
				})
				for who, told := range map[string]string{"Rspamd": rspamd, "the milter": milter} {
					if strings.Contains(told, first) || strings.Contains(told, "bob@") || strings.Contains(told, "X-First") || strings.Contains(told, tc.word) ||
						!strings.Contains(told, second) || !strings.Contains(told, "alice@local.test") || !strings.Contains(told, queue) {
						t.Errorf("after %s, %s was told\n%s", tc.word, who, told)
					}
				}
				if k := strings.Count(milter, "\nM "); k != 1 || strings.Count(milter, "\nR ") != 1 || !strings.HasPrefix(milter, "O ") {
					t.Errorf("after %s the milter was shown\n%s", tc.word, milter)
				}
				n.Idle()
				text := only(t, filepath.Join(s.Config.Maildir.Root, "local.test", "alice", "new"))
				if strings.Contains(text, "first") || strings.Count(text, "X-Of: <"+second+">") != 1 ||
					strings.Count(text, "X-Spam-Report: about <"+second+">") != 1 ||
					!strings.Contains(text, "hello") {
					t.Errorf("after %s: delivered\n%s", tc.word, text)
				}
				Must(t, os.RemoveAll(filepath.Join(s.Config.Maildir.Root, "local.test", "alice", "new")))
				for from, facts := range map[string][]string{first: {tc.rule}, second: {"another body", "added recipient", "carl@local.test"}} {
					Eventually(t, "the facts of "+from, func() bool {
						a, err := n.Operator().Trace(t.Context(), operate.Self(), operate.TraceQuery{Text: from})
						Must(t, err)
						all := fmt.Sprint(a.Entries)
						for _, f := range facts {
							if !strings.Contains(all, f) {
								return false
							}
						}
						return true
					})
				}
			}
		})
	}
}
