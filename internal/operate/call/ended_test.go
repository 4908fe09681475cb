package call_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"sallyport/internal/operate/call"
)

// A server that ends while it is asked has said nothing, which is what is told: not an address that nobody knows.
func TestAServerThatEndsWhileItIsAsked(t *testing.T) {
	for begun, play := range map[string]string{"nothing": "", "half": "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"x\":"} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			nc, _, err := w.(http.Hijacker).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			_, _ = io.WriteString(nc, play)
			_ = nc.Close()
		}))
		_, err := call.Do[map[string]string](t.Context(), call.NewClient(to(strings.TrimPrefix(server.URL, "http://"))), "queue.rm", struct{}{})
		server.Close()
		if err == nil || !strings.HasPrefix(err.Error(), "the server ended before it answered queue.rm, which it may have done or not") || strings.Contains(err.Error(), "http://") {
			t.Errorf("%s: %v", begun, err)
		}
	}
}
