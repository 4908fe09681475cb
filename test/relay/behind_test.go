package relay

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/emersion/go-smtp"

	"sallyport/internal/relayaudit"
)

// store is a server behind that speaks LMTP, and notes what it was told.
type store struct {
	server *smtp.Server
	ln     net.Listener

	mu       sync.Mutex
	messages [][]byte
	faults   []string
}

// name is the store as the place where a message was found.
const name = "the store behind"

// kept returns what it was given.
func (s *store) kept() (all []relayaudit.Stored) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.messages {
		all = append(all, relayaudit.Stored{Mailbox: name, Octets: m})
	}
	return all
}

func newStore() (*store, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &store{ln: ln}
	s.server = smtp.NewServer(s)
	s.server.Domain, s.server.LMTP = "lmtp.test", true
	go func() { _ = s.server.Serve(ln) }()
	return s, nil
}

func (s *store) addr() string { return s.ln.Addr().String() }

func (s *store) close() { _ = s.server.Close() }

func (s *store) fault(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, what)
}

// NewSession implements smtp.Backend.
func (s *store) NewSession(*smtp.Conn) (smtp.Session, error) { return &stored{store: s}, nil }

// stored is one session of the store.
type stored struct {
	*store
	from string
	to   []string
}

// Mail implements smtp.Session.
func (s *stored) Mail(from string, _ *smtp.MailOptions) error {
	s.from = from
	if from != "" && from != "x@remote.test" { // a question has no sender
		s.fault("a message of " + from)
	}
	return nil
}

// Rcpt implements smtp.Session.
func (s *stored) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.to = append(s.to, to)
	return nil
}

// Reset implements smtp.Session.
func (s *stored) Reset() { s.from, s.to = "", nil }

// Logout implements smtp.Session.
func (s *stored) Logout() error { return nil }

// Data implements smtp.Session: the same answer for each recipient.
func (s *stored) Data(r io.Reader) error {
	text, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	want := []string{"carol@lmtp." + the.server.Domain, "dave@lmtp." + the.server.Domain}
	if slices.Sort(s.to); !slices.Equal(s.to, want) {
		s.fault("a message for " + strings.Join(s.to, ", "))
	}
	if bare(text) {
		s.fault("a message with a bare CR, LF or NUL")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.messages = append(s.messages, text)
	return nil
}

// bare says whether a text holds CR or LF other than as CR LF, or NUL.
func bare(text []byte) bool {
	rest := bytes.ReplaceAll(text, []byte("\r\n"), nil)
	return bytes.ContainsAny(rest, "\r\n\x00")
}

// judge is rows E29: what the store was told is one message for each that was taken, with
// its own sender and recipients and clean ends of lines.
func (s *store) judge(t *testing.T) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.messages) == 0 {
		t.Error("the server behind that speaks LMTP was given nothing")
	}
	for _, f := range s.faults {
		t.Errorf("the server behind that speaks LMTP got %s", f)
	}
}

// filter stands for an Rspamd that lets everything pass, and notes what it was shown.
type filter struct {
	*httptest.Server
	mu     sync.Mutex
	shown  int
	faults []string
}

func newFilter() *filter {
	f := &filter{}
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, err := io.ReadAll(r.Body)
		f.mu.Lock()
		defer f.mu.Unlock()
		f.shown++
		switch {
		case err != nil:
			return // the client went away
		case r.Method != http.MethodPost || r.URL.Path != "/checkv2":
			f.faults = append(f.faults, r.Method+" "+r.URL.Path)
		case bare(text):
			f.faults = append(f.faults, "a message with a bare CR, LF or NUL")
		}
		_, _ = io.WriteString(w, `{"action":"no action","score":0,"required_score":15}`)
	}))
	return f
}

// judge is row E28: whatever came by DATA or BDAT is one message for the filter, with
// clean ends of lines, and nothing of it is a request.
func (f *filter) judge(t *testing.T) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.shown == 0 {
		t.Error("the filter was shown nothing")
	}
	for _, what := range f.faults {
		t.Errorf("the filter got %s", what)
	}
}

var signedFields = regexp.MustCompile(`(?s)DKIM-Signature:.*?[;\s]h=([^;]*);`)

// everySignatureNamesFromTwice is row J33: a signature that names From once more than it
// is there breaks when somebody adds another.
func everySignatureNamesFromTwice(t *testing.T) {
	signed := 0
	for _, m := range the.sink.Kept() {
		for _, found := range signedFields.FindAllSubmatch(m.Octets, -1) {
			signed++
			fields := strings.Split(strings.ToLower(strings.Join(strings.Fields(string(found[1])), "")), ":")
			if n := len(slices.DeleteFunc(fields, func(f string) bool { return f != "from" })); n != 2 {
				t.Errorf("a signature names From %d times: %s", n, found[1])
			}
		}
	}
	if signed == 0 {
		t.Error("nothing that left was signed")
	}
}
