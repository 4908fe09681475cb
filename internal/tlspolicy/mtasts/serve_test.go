package mtasts

import (
	"net/http/httptest"
	"strings"
	"testing"

	"sallyport/internal/mail"
)

// M11: one path of known hosts, and nothing that was asked comes back.
func TestServing(t *testing.T) {
	p, err := ParsePolicy([]byte(goodPolicy))
	check(t, err)
	s := Server{Ours: func(d mail.Domain) bool { return d.ASCII() == "ours.test" }, Policy: p}
	for _, c := range []struct {
		method, host, path string
		want               int
	}{
		{"GET", "mta-sts.ours.test", Path, 200},
		{"GET", "MTA-STS.Ours.test:443", Path, 200},
		{"GET", "mta-sts.ours.test", Path + "?x=1", 200},
		{"HEAD", "mta-sts.ours.test", Path, 200},
		{"POST", "mta-sts.ours.test", Path, 405},
		{"GET", "ours.test", Path, 404},
		{"GET", "mta-sts.remote.test", Path, 404},
		{"GET", "mta-sts.mta-sts.ours.test", Path, 404},
		{"GET", "", Path, 404},
		{"GET", "127.0.0.1", Path, 404},
		{"GET", "mta-sts.ours.test", "/", 404},
		{"GET", "mta-sts.ours.test", Path + "/", 404},
		{"GET", "mta-sts.ours.test", "/.well-known/acme-challenge/x", 404},
		{"GET", "mta-sts.ours.test", "/x/.." + Path, 404},
		{"GET", "mta-sts.ours.test", "/%2ewell-known/mta-sts.txt", 404},
		{"GET", "mta-sts.ours.test", "/.well-known/../../etc/passwd", 404},
		{"GET", "mta-sts.ours.test", "/.well-known/mta-sts.txt%00", 404},
	} {
		r := httptest.NewRequest(c.method, "https://x.test"+c.path, nil)
		r.Host = c.host
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		body := w.Body.String()
		if w.Code != c.want || (c.want != 200) != (body == "") {
			t.Errorf("%s %s%s: %d %q", c.method, c.host, c.path, w.Code, body)
		}
		if c.want == 200 {
			if back, err := ParsePolicy([]byte(body)); err != nil || back.Mode != ModeEnforce {
				t.Errorf("%q: %v", body, err)
			}
		}
		for k, v := range w.Header() {
			if strings.Contains(strings.Join(v, ""), "test") {
				t.Errorf("%s repeats the question: %q", k, v)
			}
		}
	}
}
