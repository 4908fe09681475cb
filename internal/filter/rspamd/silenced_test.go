package rspamd_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"sallyport/internal/filter/rspamd"
	"sallyport/internal/mail"
)

// answered is what a client makes of an answer.
func answered(t *testing.T, text string) (rspamd.Answer, error) {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) }))
	defer s.Close()
	c := rspamd.New(rspamd.Options{URL: s.URL, Limits: rspamd.DefaultLimits()})
	defer c.Close()
	return c.Check(t.Context(), request(t, "x"), strings.NewReader("x"))
}

// Rspamd tells each address that stands in a message: whoever writes ten thousand long ones is judged all
// the same.
func TestAnswersAboutManyAddresses(t *testing.T) {
	var urls []string
	for i := range 10_240 {
		urls = append(urls, fmt.Sprintf(`"%d.%s.test"`, i, strings.Repeat("x", 240)))
	}
	list := "[" + strings.Join(urls, ",") + "]"
	a, err := answered(t, `{"is_skipped":false,"score":16,"required_score":15,"action":"reject","symbols":{"A":{"score":1}},"messages":{"smtp_message":"no"},"urls":`+list+
		`,"emails":`+list+`,"time_real":0.1,"milter":{"add_headers":{"X-Spam":"Yes"}}}`)
	if err != nil || a.Action != rspamd.Reject || a.Score != 16 || a.Required != 15 || a.Message != "no" || len(a.Symbols) != 1 || len(a.Fields) != 1 {
		t.Errorf("%+v, %v", a, err)
	}
	if a, err := answered(t, `{"action":"reject","score":16,"symbols":{"A":{"options":`+list+`}}}`); err == nil {
		t.Errorf("what is read has a bound: %+v", a)
	}
}

// What is passed over takes nothing along, and nothing in it passes for something else.
func TestWhatIsPassedOver(t *testing.T) {
	const rest = `"score":16,"required_score":15,"symbols":{"A":{"score":1}}`
	for _, odd := range []string{
		``, `[]`, `{}`, `null`, `nan`, `1e5`, `"x"`, `""`, `true`, ` [ "a" , { "b" : [ 1 ] } ] `, "\n{\n}\n",
		`"\",\"action\":\"no action"`, `"\\"`, `"\\\",action"`, `["]","}","{","[",",",":"]`, `{"action":"no action","score":1}`, `[{"action":"no action"},{"score":{"score":1}}]`,
		`"x:y","z":{"action":"no action"}`, `"\uFFF"`, `"` + strings.Repeat("x", 40_000) + `"`, `["` + strings.Repeat(`\\`, 20_000) + `"]`,
	} {
		for _, text := range []string{
			`{"x":` + odd + `,"action":"reject",` + rest + `}`, `{"action":"reject","urls":` + odd + `,` + rest + `}`, ` { "action" : "reject" , ` + rest + ` , "a very long name of what is not read" : ` + odd + ` } `,
			`{"":` + odd + `,"action":"reject","\"":` + odd + `,"action\"":` + odd + `,` + rest + `}`,
		} {
			a, err := answered(t, text)
			if err != nil || a.Action != rspamd.Reject || a.Score != 16 || a.Required != 15 || len(a.Symbols) != 1 {
				t.Errorf("%.200q: %+v, %v", text, a, err)
			}
		}
	}
}

// A question has room for so many octets of recipients: Rspamd takes no header section of more than 80 KiB,
// and whoever names a thousand long recipients would be past it.
func TestQuestionsOfManyRecipients(t *testing.T) {
	for local, told := range map[int]int{10: 1000, 30: 1000, 60: 1000 * 48 / 76, 200: 48 << 10 / 216} {
		r := request(t, "x")
		r.To = nil
		for i := range 1000 {
			to, err := mail.ParseAddress(fmt.Sprintf("%04d", i)+strings.Repeat("x", local-4)+"@l.test", mail.ASCII)
			if err != nil {
				t.Fatal(err)
			}
			r.To = append(r.To, mail.Recipient{Address: to})
		}
		octets, n := 0, 0
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
			for name, values := range q.Header {
				for _, v := range values {
					octets += len(name) + len(": \r\n") + len(v)
				}
			}
			n = len(q.Header["Rcpt"])
			_, _ = io.WriteString(w, `{"action":"reject","score":16}`)
		}))
		c := rspamd.New(rspamd.Options{URL: s.URL, Limits: rspamd.DefaultLimits()})
		a, err := c.Check(t.Context(), r, strings.NewReader("x"))
		c.Close()
		s.Close()
		if err != nil || a.Action != rspamd.Reject || octets > 80<<10 || n != r.Told() || n != 1000 && octets < 48<<10-500 {
			t.Errorf("%d octets before the @: %d octets, %d of 1000 recipients, Told %d, %+v, %v", local, octets, n, r.Told(), a, err)
		}
		if (n == 1000) != (told == 1000) {
			t.Errorf("%d octets before the @: %d recipients were told, want some %d", local, n, told)
		}
	}
}
