package results_test

import (
	"bytes"
	"strings"
	"testing"

	msgauth "github.com/emersion/go-msgauth/authres"

	"sallyport/internal/auth/results"
	"sallyport/internal/mail"
)

func host(t testing.TB) mail.Domain {
	t.Helper()
	d, err := mail.ParseDomain("mx.local.test")
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestField(t *testing.T) {
	got := string(results.Field(host(t), []results.Result{
		{Method: "spf", Value: "pass", Comment: "mx:a.test (x)", Props: []results.Prop{{"smtp", "mailfrom", "a@b.test"}}},
		{Method: "dkim", Value: "fail", Reason: `the "body" is another`, Props: []results.Prop{{"header", "d", "b.test"}, {"header", "b", "ab+/="}, {"header", "i", "ü@b.test"}}},
		{Method: "dmarc", Value: "none"},
	}))
	want := "Authentication-Results: mx.local.test;\r\n" +
		"\tspf=pass (mx:a.test x)\r\n\tsmtp.mailfrom=a@b.test;\r\n" +
		"\tdkim=fail\r\n\treason=\"the body is another\"\r\n\theader.d=b.test\r\n\theader.b=\"ab+/=\";\r\n" +
		"\tdmarc=none\r\n"
	if got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if got := string(results.Field(host(t), nil)); got != "Authentication-Results: mx.local.test; none\r\n" {
		t.Errorf("%q", got)
	}
}

// Another program reads what we write.
func TestOthersReadIt(t *testing.T) {
	field := results.Field(host(t), []results.Result{
		{Method: "spf", Value: "softfail", Props: []results.Prop{{"smtp", "mailfrom", "a@b.test"}}},
		{Method: "dmarc", Value: "fail", Props: []results.Prop{{"header", "from", "b.test"}}},
	})
	_, value, _ := strings.Cut(strings.ReplaceAll(string(field), "\r\n", ""), ":")
	id, results, err := msgauth.Parse(value)
	if err != nil || id != "mx.local.test" || len(results) != 2 {
		t.Fatalf("%q %v %v", id, results, err)
	}
	if r, ok := results[0].(*msgauth.SPFResult); !ok || r.Value != "softfail" || r.From != "a@b.test" {
		t.Errorf("%+v", results[0])
	}
	if r, ok := results[1].(*msgauth.DMARCResult); !ok || r.Value != "fail" || r.From != "b.test" {
		t.Errorf("%+v", results[1])
	}
}

// Whatever stands in the values, the field stays one field of ASCII, and holds no
// more results than were given.
func FuzzField(f *testing.F) {
	f.Add("a@b.test", "because")
	f.Add("x; dkim=pass", "\" ; dmarc=pass")
	f.Add("a\r\nX: y", "(\\")
	f.Add(strings.Repeat("a", 5000), "\x00ü")
	f.Fuzz(func(t *testing.T, value, words string) {
		b := results.Field(host(t), []results.Result{{Method: "spf", Value: "fail", Reason: words, Comment: words, Props: []results.Prop{{"smtp", "mailfrom", value}}}})
		if !bytes.HasSuffix(b, []byte("\r\n")) {
			t.Fatalf("%q does not end", b)
		}
		for line := range strings.SplitSeq(strings.TrimSuffix(string(b), "\r\n"), "\r\n") {
			if !strings.HasPrefix(line, "Authentication-Results: ") && !strings.HasPrefix(line, "\t") || len(line) > 998 {
				t.Errorf("the line %q", line)
			}
			if strings.IndexFunc(line, func(c rune) bool { return c > '~' || c < ' ' && c != '\t' }) >= 0 {
				t.Errorf("the line %q is not plain ASCII", line)
			}
		}
		_, rest, _ := strings.Cut(strings.ReplaceAll(string(b), "\r\n", ""), ":")
		if _, results, err := msgauth.Parse(rest); err == nil && len(results) > 1 {
			t.Errorf("%q has %d results", b, len(results))
		}
	})
}
