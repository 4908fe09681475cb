package rspamd_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sallyport/internal/filter/rspamd"
	"sallyport/internal/mail"
)

func request(t *testing.T, text string) rspamd.Request {
	t.Helper()
	from, err := mail.ParseReversePath("<x@far.test>", mail.ASCII)
	if err != nil {
		t.Fatal(err)
	}
	to, err := mail.ParseAddress("bob@local.test", mail.ASCII)
	if err != nil {
		t.Fatal(err)
	}
	id, err := mail.NewID(time.Unix(1700000000, 0), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return rspamd.Request{
		IP: netip.MustParseAddr("192.0.2.7"), Client: "mx.far.test", Hello: "evil\r\nPassword: x\x00", From: from,
		To: []mail.Recipient{{Address: to}, {Address: to}}, QueueID: id, Size: int64(len(text)),
	}
}

// The question carries what Rspamd wants to know, over TCP and over a socket, and
// nothing that a client said breaks it.
func TestQuestion(t *testing.T) {
	seen := make(chan *http.Request, 1)
	body := make(chan string, 1)
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		seen <- r
		body <- string(b)
		_, _ = io.WriteString(w, `{"action":"add header","score":7.5,"required_score":15,"symbols":{"A":{"score":1},"B":{"score":-6},"C":{"score":1}},
			"messages":{"smtp_message":"no"},"milter":{"add_headers":{"X-Spam":{"value":"Yes","order":0},"X-B":"b","X-C":["1",{"value":"2"}],"X-D":7,"X-E":[],"X-F":{"value":[]},"X-G":null}}}`)
	})
	socket := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	onSocket := &http.Server{Handler: h}
	go func() { _ = onSocket.Serve(l) }()
	t.Cleanup(func() { _ = onSocket.Close() })
	tcp := httptest.NewServer(h)
	t.Cleanup(tcp.Close)
	for _, o := range []rspamd.Options{{URL: tcp.URL + "/", Password: "secret"}, {Socket: socket, Password: "secret"}} {
		o.Limits = rspamd.DefaultLimits()
		c := rspamd.New(o)
		a, err := c.Check(t.Context(), request(t, "Subject: hi\r\n\r\nhello"), strings.NewReader("Subject: hi\r\n\r\nhello and more"))
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
		want := rspamd.Answer{
			Action: rspamd.AddHeader, Word: "add header", Score: 7.5, Required: 15, Message: "no",
			Symbols: []rspamd.Symbol{{"B", -6}, {"A", 1}, {"C", 1}},
			Fields:  []rspamd.Field{{"X-B", "b"}, {"X-C", "1"}, {"X-C", "2"}, {"X-D", "7"}, {"X-Spam", "Yes"}},
		}
		if fmt.Sprint(a) != fmt.Sprint(want) {
			t.Errorf("got %+v, want %+v", a, want)
		}
		r := <-seen
		if got := <-body; got != "Subject: hi\r\n\r\nhello" {
			t.Errorf("body %q", got)
		}
		if r.URL.Path != "/checkv2" || r.Header.Get("IP") != "192.0.2.7" || r.Header.Get("Hostname") != "mx.far.test" || r.Header.Get("From") != "<x@far.test>" || len(r.Header.Values("Rcpt")) != 2 ||
			r.Header.Get("Password") != "secret" || r.Header.Get("Helo") != "evil??Password: x?" || r.Header.Get("Queue-Id") == "" {
			t.Errorf("asked %v %v", r.URL, r.Header)
		}
	}
}

// Whatever the other side does, there is an error within the time, and no answer that
// was never given.
func TestHostileServers(t *testing.T) {
	for name, answer := range map[string]string{
		"not HTTP":       "220 hello\r\n",
		"nothing":        "",
		"half":           "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"action\":",
		"no JSON":        "HTTP/1.1 200 OK\r\n\r\nno",
		"no action":      "HTTP/1.1 200 OK\r\n\r\n{}",
		"a score of nan": "HTTP/1.1 200 OK\r\n\r\n{\"action\":,\"score\":nan}",
		"no score":       "HTTP/1.1 200 OK\r\n\r\n{\"action\":\"no action\"}",
		"empty action":   "HTTP/1.1 200 OK\r\n\r\n{\"action\":\"\",\"score\":1}",
		"action null":    "HTTP/1.1 200 OK\r\n\r\n{\"action\":null,\"score\":1}",
		"an error":       "HTTP/1.1 200 OK\r\n\r\n{\"action\":\"no action\",\"score\":1,\"error\":\"broken\"}",
		"refuses":        "HTTP/1.1 403 Forbidden\r\n\r\n{\"action\":\"no action\",\"score\":1}",
		"redirects":      "HTTP/1.1 307 Go\r\nLocation: http://192.0.2.1/\r\n\r\n",
		"huge":           "HTTP/1.1 200 OK\r\n\r\n{\"action\":\"no action\",\"score\":1,\"messages\":{\"x\":\"" + strings.Repeat("x", 2<<20) + "\"}}",
		"huge header":    "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 1<<20) + "\r\n\r\n{\"action\":\"no action\",\"score\":1}",
		"hangs":          "hang",
		"trickles":       "hang HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{\"action\":\"" + strings.Repeat("x", 1000),
		"trickles early": "hang HTTP/1.1 200 OK\r\nX-A: " + strings.Repeat("x", 1000),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = l.Close() })
			slow, _ := strings.CutPrefix(answer, "hang ")
			if slow == answer {
				slow = ""
			}
			go func() {
				c, err := l.Accept()
				if err != nil {
					return
				}
				defer func() { _ = c.Close() }()
				if answer == "hang" {
					_, _ = io.Copy(io.Discard, c)
					return
				}
				_, _ = c.Read(make([]byte, 64<<10))
				for _, octet := range []byte(slow) {
					if _, err := c.Write([]byte{octet}); err != nil {
						return
					}
					time.Sleep(5 * time.Millisecond)
				}
				_, _ = io.WriteString(c, answer)
			}()
			limits := rspamd.DefaultLimits()
			if strings.HasPrefix(answer, "hang") {
				limits.Time = 100 * time.Millisecond
			}
			start := time.Now()
			c := rspamd.New(rspamd.Options{URL: "http://" + l.Addr().String(), Limits: limits})
			defer c.Close()
			if a, err := c.Check(context.Background(), request(t, "x"), strings.NewReader("x")); err == nil {
				t.Errorf("answered %+v", a)
			}
			if took := time.Since(start); strings.HasPrefix(answer, "hang") && took > 10*time.Second {
				t.Errorf("it held us for %v", took)
			}
		})
	}
}

// An empty table of Lua's is an empty list, wherever an object is expected: it voids
// nothing.
func TestEmptyTables(t *testing.T) {
	for place, text := range map[string]string{
		"add_headers":              `"symbols":{"A":{"score":1}},"messages":{"smtp_message":"m"},"milter":{"add_headers":[],"remove_headers":{"X":0}}`,
		"milter":                   `"symbols":{"A":{"score":1}},"messages":{"smtp_message":"m"},"milter":[]`,
		"symbols":                  `"symbols":[],"messages":{"smtp_message":"m"},"milter":{"add_headers":{"X":"1"}}`,
		"one symbol":               `"symbols":{"A":[]},"messages":{"smtp_message":"m"},"milter":{"add_headers":{"X":"1"}}`,
		"messages":                 `"symbols":{"A":{"score":1}},"messages":[],"milter":{"add_headers":{"X":"1"}}`,
		"messages of a list":       `"symbols":{"A":{"score":1}},"messages":["x"],"milter":{"add_headers":{"X":"1"}}`,
		"one header":               `"symbols":{"A":{"score":1}},"messages":{"smtp_message":"m"},"milter":{"add_headers":{"X":[]}}`,
		"one header's value":       `"symbols":{"A":{"score":1}},"messages":{"smtp_message":"m"},"milter":{"add_headers":{"X":{"value":[],"order":1}}}`,
		"one header of several":    `"symbols":{"A":{"score":1}},"messages":{"smtp_message":"m"},"milter":{"add_headers":{"X":[[],{"value":"1"}]}}`,
		"the message":              `"symbols":{"A":{"score":1}},"messages":{"smtp_message":[]},"milter":{"add_headers":{"X":"1"}}`,
		"places that nobody reads": `"symbols":{"A":{"score":1,"options":[]}},"messages":{"smtp_message":"m"},"milter":{"add_headers":{"X":"1"},"remove_headers":[]},"urls":[],"thresholds":[]`,
		"nothing at all":           `"symbols":null,"messages":null,"milter":null`,
	} {
		a, err := rspamd.DefaultLimits().Parse([]byte(`{"action":"add header","score":7,"required_score":15,` + text + `}`))
		want := 3
		switch place {
		case "add_headers", "milter", "symbols", "messages", "messages of a list", "one header", "one header's value", "the message":
			want = 2
		case "nothing at all":
			want = 0
		}
		got := len(a.Symbols) + len(a.Fields)
		if a.Message != "" {
			got++
		}
		if err != nil || a.Action != rspamd.AddHeader || a.Score != 7 || got != want {
			t.Errorf("%s: %+v, %v; want %d things in it", place, a, err, want)
		}
	}
}

// What Lua writes in another form, or an administrator calls by a name of his own, voids no
// answer: each such message would get 451 for ever.
func TestOddValues(t *testing.T) {
	for text, want := range map[string]string{
		`"action":"no action","score":"1.5","required_score":"15"`:                                        "no action 1.5 15 false",
		`"action":"no action","score":1e1,"required_score":null`:                                          "no action 10 0 false",
		`"action":"no action","score":"nan","required_score":"inf"`:                                       "no action 0 0 false",
		`"action":"no action","score":{},"required_score":[]`:                                             "no action 0 0 false",
		`"action":"no action","score":1,"is_skipped":"false"`:                                             "no action 1 0 false",
		`"action":"no action","score":1,"is_skipped":0`:                                                   "no action 1 0 false",
		`"action":"no action","score":1,"is_skipped":1`:                                                   "no action 1 0 true",
		`"action":"no action","is_skipped":"true"`:                                                        "no action 0 0 true",
		`"action":"no action","score":1,"is_skipped":[],"error":null`:                                     "no action 1 0 false",
		`"action":"no action","score":1,"symbols":{"A":{"score":"-2.5"}}`:                                 "no action 1 0 false",
		`"action":"soft_reject","score":1`:                                                                "soft reject 1 0 false",
		`"action":"no action","score":nan,"required_score":nan`:                                           "no action 0 0 false",
		`"required_score":-inf , "score":-NaN,"action":"no action"`:                                       "no action 0 0 false",
		`"action":"no action","score":1,"required_score":`:                                                "no action 1 0 false",
		`"action":"no action","score": ,"x":[nan,inf,{"y":Infinity}]`:                                     "no action 0 0 false",
		`"action":"no action","score":1e1,"nan":nan,"a\":\\":"nan,:,"`:                                    "no action 10 0 false",
		`"action":"no action","score":1,"symbols":{"A":{"score":-2.5,"metric_score":,"options":["inf"]}}`: "no action 1 0 false",
		`"action":"Reject","score":16`:                                                                    "reject 16 0 false",
		`"action":"dance","score":1`:                                                                      "custom 1 0 false",
	} {
		a, err := rspamd.DefaultLimits().Parse([]byte("{" + text + "}"))
		if got := fmt.Sprintf("%v %v %v %v", a.Action, a.Score, a.Required, a.Skipped); err != nil || got != want {
			t.Errorf("%s: %q, %v; want %q", text, got, err, want)
		}
		if len(a.Symbols) == 1 && a.Symbols[0].Score != -2.5 {
			t.Errorf("%s: %v", text, a.Symbols)
		}
	}
}

// What is no JSON voids no answer either: a control character in what a sender wrote came from
// the library of older releases as "\uFFF", and whoever wrote one would have had no answer to his message.
func TestEscapesOfNothing(t *testing.T) {
	for _, odd := range []string{`\uFFF`, `\uFFF `, `\uFFFz`, `x\uFF\uFFFD`, `\u`, `\v`, `\x41`, "\x01", "a\tb", `\uFFF\"`, `\\\uFFF`, `\uFFF\\`, "\xff\\q", "\\u\x11\x12\x13\x14"} {
		text := `{"action":"reject","score":16,"message-id":"` + odd + `","symbols":{"A":{"score":1,"options":["` + odd + `"]},"` + odd + `":{"score":2}},` +
			`"messages":{"smtp_message":"no"},"urls":["nan",` + `"` + odd + `"]}`
		a, err := rspamd.DefaultLimits().Parse([]byte(text))
		if err != nil || a.Action != rspamd.Reject || a.Score != 16 || a.Message != "no" || len(a.Symbols) != 2 {
			t.Errorf("%q: %+v, %v", odd, a, err)
		}
	}
	for _, bad := range []string{`{"action":"reject","score":16,"x":"\`, `{"action":"reject","score":16,"x":"\u`, `{"action":"reject","score":16,"x":"`} {
		if a, err := rspamd.DefaultLimits().Parse([]byte(bad)); err == nil {
			t.Errorf("%q: %+v", bad, a)
		}
	}
}

// A script of Rspamd's may ask for something else than the score does.
func TestScripts(t *testing.T) {
	for _, c := range []struct{ action, milter, want string }{
		{"reject", `{"reject":"quarantine"}`, "quarantine instead of reject"},
		{"reject", `{"reject":"discard"}`, "discard instead of reject"},
		{"reject", `{"reject":"else"}`, "reject instead of unknown"},
		{"reject", `{"reject":[],"no_action":[]}`, "reject instead of unknown"},
		{"reject", `{"no_action":true}`, "no action instead of reject"},
		{"reject", `{"no_action":true,"reject":"quarantine"}`, "no action instead of reject"},
		{"reject", `{"no_action":false}`, "reject instead of unknown"},
		{"soft reject", `{"no_action":true}`, "no action instead of soft reject"},
		{"add header", `{"reject":"quarantine"}`, "add header instead of unknown"},
		{"no action", `{"no_action":true,"reject":"discard"}`, "no action instead of unknown"},
	} {
		a, err := rspamd.DefaultLimits().Parse([]byte(`{"action":"` + c.action + `","score":16,"milter":` + c.milter + `}`))
		if got := fmt.Sprintf("%v instead of %v", a.Action, a.Instead); err != nil || got != c.want || a.Word != c.action {
			t.Errorf("%s, %s: %s, %v; want %s", c.action, c.milter, got, err, c.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{
		`{"action":"reject","score":1e300,"symbols":{"A":{"score":1}},"messages":{"smtp_message":"x"}}`,
		`{"action":"no action","is_skipped":true,"messages":["x"],"milter":{"add_headers":{"X":["1",{"value":"2"}]}}}`,
		`{"action":"reject","score":"1"}`, `[]`, `null`, ``, `{"action":"reject","score":nan,"required_score":}`, `{"score":-inf,"action":"\`,
		`{"action":"reject","score":1,"x":"\uFFF","milter":{"no_action":true,"reject":"discard"}}`,
	} {
		f.Add([]byte(s))
	}
	l := rspamd.DefaultLimits()
	f.Fuzz(func(t *testing.T, text []byte) {
		a, err := l.Parse(text)
		if err == nil && (a.Action == rspamd.ActionUnknown || len(a.Symbols) > l.Symbols || len(a.Fields) > l.Fields) {
			t.Errorf("%q: %+v", text, a)
		}
	})
}
