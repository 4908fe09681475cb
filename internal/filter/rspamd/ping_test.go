package rspamd_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"sallyport/internal/filter/rspamd"
)

// A ping tells one that answers, whatever it thinks of the question, from one that does not.
func TestPing(t *testing.T) {
	status := http.StatusOK
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/ping" || r.ContentLength > 0 {
			t.Errorf("asked for %s with %d octets", r.URL.Path, r.ContentLength)
		}
		w.WriteHeader(status)
	}))
	c := rspamd.New(rspamd.Options{URL: s.URL + "/", Limits: rspamd.DefaultLimits()})
	for code, good := range map[int]bool{200: true, 404: true, 500: false} {
		status = code
		if err := c.Ping(t.Context()); (err == nil) != good {
			t.Errorf("%d: %v", code, err)
		}
	}
	s.Close()
	if c.Ping(t.Context()) == nil {
		t.Error("nobody answers")
	}
}
