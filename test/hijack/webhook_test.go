package hijack

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport/internal/tlspolicy/policytest"
	"sallyport/test/load/rig"
	"sallyport/test/port"
)

// receiver is a web server that is told of incidents, and looks at every signature.
type receiver struct {
	t     *testing.T
	at    string
	key   []byte
	cert  tls.Certificate
	stuck chan struct{} // not nil: nothing is answered until it is closed

	mu  sync.Mutex
	got []string
}

func (r *receiver) ServeHTTP(out http.ResponseWriter, in *http.Request) {
	body, err := io.ReadAll(in.Body)
	mac := hmac.New(sha256.New, r.key)
	fmt.Fprintf(mac, "%s.%s.%s", in.Header.Get("Webhook-Id"), in.Header.Get("Webhook-Timestamp"), body)
	var event struct {
		Type string
		Data struct {
			Number  int
			Account string
		}
	}
	if err != nil || json.Unmarshal(body, &event) != nil || in.Method != http.MethodPost || in.URL.Path != "/mail" ||
		in.Header.Get("Webhook-Signature") != "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)) {
		r.t.Errorf("%s %s %v %s", in.Method, in.URL, in.Header, body)
	}
	if r.stuck != nil {
		select {
		case <-r.stuck:
		case <-in.Context().Done():
		}
		out.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.got = append(r.got, fmt.Sprintf("%s %d %s", event.Type, event.Data.Number, event.Data.Account))
}

func (r *receiver) all() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.got)
}

// serve opens the receiver's port until it is stopped.
func (r *receiver) serve() (stop func()) {
	r.t.Helper()
	ln, err := net.Listen("tcp", r.at)
	must(r.t, err)
	s := &http.Server{Handler: r, ErrorLog: log.New(io.Discard, "", 0)}
	go s.Serve(tls.NewListener(ln, &tls.Config{Certificates: []tls.Certificate{r.cert}}))
	stop = func() { _ = s.Close() }
	r.t.Cleanup(stop)
	return stop
}

// A program beside the server is told of a theft and of its end, each once: also when it
// hangs or is away meanwhile, and the server is killed. Containment waits for none of it.
func TestTheWebhookIsTold(t *testing.T) {
	ca, err := policytest.NewAuthority()
	must(t, err)
	cert, err := ca.Issue(policytest.Leaf{Names: []string{"localhost"}})
	must(t, err)
	r := &receiver{t: t, at: port.Loopback(t), key: bytes.Repeat([]byte("k"), 32), cert: cert, stuck: make(chan struct{})}
	_, at, _ := net.SplitHostPort(r.at)
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "ca.pem"), ca.PEM(), 0o600))
	must(t, os.WriteFile(filepath.Join(dir, "key"), []byte("whsec_"+base64.StdEncoding.EncodeToString(r.key)+"\n"), 0o600))
	stop := r.serve()
	s, sink := newServer(t, `hold = "3s"`,
		fmt.Sprintf("[webhook]\nurl = \"https://localhost:%s/mail\"\nkey_file = %q\nca = %q\n", at, filepath.Join(dir, "key"), filepath.Join(dir, "ca.pem")))
	alice := s.Accounts[0]
	began := time.Now()
	blast(t, s, "submissions", alice, 2, 1)
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("containment took %v while the receiver hangs", took)
	}
	if list := cli(t, s, "incident", "ls", "--open"); !strings.Contains(list, alice.Address) {
		t.Fatalf("%s is not contained:\n%s", alice.Address, list)
	}
	close(r.stuck)
	shows(t, s, "the receiver answers 503", "status")
	shows(t, s, "the receiver answers 503", "doctor")
	stop()
	s.Kill()
	r.stuck = nil
	must(t, s.Start(t.Context()))
	shows(t, s, "connection refused", "status")
	r.serve()
	raised := "incident.raised 1 " + alice.Address
	waitForWebhook(t, r, raised)
	cli(t, s, "incident", "release", "1", "--false-alarm", "--all")
	waitForWebhook(t, r, raised, "incident.cleared 1 "+alice.Address)
	must(t, s.Stop())
	must(t, s.Start(t.Context()))
	time.Sleep(time.Second)
	waitForWebhook(t, r, raised, "incident.cleared 1 "+alice.Address)
	if status := cli(t, s, "status"); strings.Contains(status, "webhook") {
		t.Errorf("nothing waits:\n%s", status)
	}
	if trace := cli(t, s, "trace", "--since", "1h"); !strings.Contains(trace, "webhook-fails") {
		t.Errorf("the trace says nothing of a webhook that failed:\n%s", trace)
	}
	_ = sink
}

// shows waits until a command says something.
func shows(t *testing.T, s *rig.Server, words string, args ...string) {
	t.Helper()
	var out string
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if out, _ = s.CLI(t.Context(), "", args...); strings.Contains(out, words) {
			return
		}
	}
	t.Errorf("%v never says %q:\n%s", args, words, out)
}

// waitForWebhook waits until the receiver was told exactly this.
func waitForWebhook(t *testing.T, r *receiver, want ...string) {
	t.Helper()
	for end := time.Now().Add(60 * time.Second); time.Now().Before(end) && !slices.Equal(r.all(), want); {
		time.Sleep(50 * time.Millisecond)
	}
	if got := r.all(); !slices.Equal(got, want) {
		t.Errorf("the webhook was told %q, and not %q", got, want)
	}
}
