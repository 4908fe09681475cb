package keys

import (
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sallyport/internal/operate"
	"sallyport/test/cpu"
)

// waiting returns what is said of the message that waits for a domain.
func (s *site) waiting(t *testing.T, domain string) (why string) {
	t.Helper()
	must(t, s.Operator().QueueList(t.Context(), operate.Self(), operate.Select{Domain: domain + ".test"}, func(m operate.Message) error {
		why += fmt.Sprint(m.Recipients)
		return nil
	}))
	return why
}

// budget.person_hour, .person_day, .bulk_hour and .bulk_day, by the clock of the server.
func TestBudgets(t *testing.T) {
	t.Parallel()
	s := newSite(t, "[route.\"*\"]\nto = \"smtp://127.0.0.1:9\"\ntls = \"none\"\n"+
		"[budget]\nperson_hour = 2\nperson_day = 3\nbulk_hour = 4\nbulk_day = 6\n[auth]\nargon_memory = \"8MiB\"\nargon_rounds = 1\n")
	s.start(map[string]string{"alice@local.test": "person", "shop@local.test": "bulk"})
	for _, at := range []struct {
		ahead        time.Duration
		person, bulk int
	}{{0, 2, 4}, {90 * time.Minute, 1, 2}, {26 * time.Hour, 2, 4}} {
		s.ahead.Store(int64(at.ahead))
		for account, want := range map[string]int{"alice@local.test": at.person, "shop@local.test": at.bulk} {
			c, err := s.signIn(account)
			must(t, err)
			taken := 0
			for n := range 8 {
				must(t, c.Mail(account))
				switch got := code(t, c.Rcpt(fmt.Sprintf("r%d@remote.test", n))); got {
				case 0:
					must(t, c.Reset())
					send(t, c, account, fmt.Sprintf("r%d@remote.test", n))
					taken++
				case 451:
					must(t, c.Reset())
				default:
					t.Fatalf("RCPT got %d", got)
				}
			}
			if taken != want {
				t.Errorf("after %v, %s wrote to %d, want %d", at.ahead, account, taken, want)
			}
		}
	}
}

// auth.cache_entries, measured while no other test of this package runs: of two accounts that take
// turns, one password is remembered, or both.
func TestCacheEntries(t *testing.T) {
	const dear = "[auth]\nargon_memory = \"64MiB\"\nargon_rounds = 2\nscram_rounds = 4096\n"
	s := newSite(t, dear+"cache_entries = 1\n")
	s.start(map[string]string{"alice@local.test": "person", "bob@local.test": "person"})
	turns := func() time.Duration {
		before := cpu.Process(t)
		for _, account := range []string{"alice@local.test", "bob@local.test", "alice@local.test", "bob@local.test"} {
			c, err := s.signIn(account)
			must(t, err)
			must(t, c.Close())
		}
		return cpu.Process(t) - before
	}
	turns()
	one := min(turns(), turns())
	s.reload(dear + "cache_entries = 2\n")
	turns()
	two := min(turns(), turns())
	if two > one/2 {
		t.Errorf("four sign-ins of two accounts cost %v where one password is remembered, and %v where both are", one, two)
	}
}

// trace.checkpoint_every: what happened is signed no sooner, and not much later.
func TestCheckpointEvery(t *testing.T) {
	t.Parallel()
	s := newSite(t, "[trace]\ncheckpoint_every = \"1h\"\n")
	s.start(map[string]string{"alice@local.test": "person"})
	grown := func() (signed, size int64) {
		v, err := s.Operator().Status(t.Context(), operate.Self(), struct{}{})
		must(t, err)
		return v.Trace.Signed, int64(v.Trace.Facts)
	}
	visit := func() {
		c, err := s.signIn("alice@local.test")
		must(t, err)
		must(t, c.Quit())
	}
	visit()
	eventually(t, "facts", func() bool { signed, size := grown(); return size > signed })
	before, _ := grown()
	time.Sleep(6 * time.Second) // longer than without the key
	visit()
	if signed, _ := grown(); signed != before {
		t.Errorf("signed up to %d, then to %d, within an hour", before, signed)
	}
	s.reload("[trace]\ncheckpoint_every = \"1s\"\n")
	visit()
	eventually(t, "a checkpoint of everything", func() bool { signed, size := grown(); return signed == size })
}

// acme.directory, .ca, .contact, .names and .agree, as the authority sees them. That the
// challenges are answered, and where, is shown by test/acme with a real one.
func TestACME(t *testing.T) {
	t.Parallel()
	s := newSite(t, "")
	ours := s.authority("authority")
	var mu sync.Mutex
	nonces := 0
	var account struct {
		Contact []string `json:"contact"`
		Agreed  bool     `json:"termsOfServiceAgreed"`
	}
	var order struct {
		Identifiers []struct{ Value string } `json:"identifiers"`
	}
	authority := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		nonces++
		base := "https://" + r.Host
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Replay-Nonce", fmt.Sprintf("nonce%d", nonces))
		var body struct{ Payload string }
		_ = json.NewDecoder(r.Body).Decode(&body)
		payload, _ := base64.RawURLEncoding.DecodeString(body.Payload)
		switch r.URL.Path {
		case "/our/directory":
			fmt.Fprintf(w, `{"newNonce":"%[1]s/nonce","newAccount":"%[1]s/account","newOrder":"%[1]s/order"}`, base)
		case "/account":
			_ = json.Unmarshal(payload, &account)
			w.Header().Set("Location", base+"/account/1")
			w.WriteHeader(http.StatusCreated)
			_, _ = io.WriteString(w, `{"status":"valid"}`)
		case "/order":
			_ = json.Unmarshal(payload, &order)
			w.WriteHeader(http.StatusForbidden)
		}
	}))
	cert, err := tls.LoadX509KeyPair(ours.Cert, ours.Key)
	must(t, err)
	authority.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
	authority.StartTLS()
	t.Cleanup(authority.Close)
	s.configure(fmt.Sprintf("[acme]\nagree = \"yes\"\nlisten = [\"127.0.0.1:0\"]\ndirectory = \"%s/our/directory\"\nca = \"authority/ca.pem\"\ncontact = \"alice@local.test\"\nnames = [\"smtp.local.test\"]\n", authority.URL))
	s.start(nil)
	eventually(t, "an order of two names", func() bool {
		mu.Lock()
		defer mu.Unlock()
		var names []string
		for _, i := range order.Identifiers {
			names = append(names, i.Value)
		}
		slices.Sort(names)
		return slices.Equal(names, []string{"mx.local.test", "smtp.local.test"})
	})
	mu.Lock()
	defer mu.Unlock()
	if got := strings.Join(account.Contact, " "); got != "mailto:alice@local.test" || !account.Agreed {
		t.Errorf("the account of the authority: contact %q, agreed %v", got, account.Agreed)
	}
}
