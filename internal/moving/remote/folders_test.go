package remote

import (
	"bufio"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"

	"sallyport/internal/mailbox"
)

// A folder is known by what it is there for and where it stands, whatever its name begins with
// there; what shows other folders' mail once more, or belongs to others, does not come by itself.
func TestWhichFoldersCome(t *testing.T) {
	m, _ := at(t, map[string]func(*bufio.Writer, string){
		"LIST": say("* LIST () \".\" INBOX\r\n* LIST (\\Sent) \".\" INBOX.Gone\r\n* LIST (\\Noselect) \".\" INBOX.Nothing\r\n" +
			"* LIST (\\All) \".\" INBOX.Everything\r\n* LIST () \".\" INBOX.Work.2024\r\n* LIST () \".\" shared.team\r\n"),
		"CAPABILITY": say("* CAPABILITY IMAP4rev1 AUTH=PLAIN NAMESPACE\r\n"), // once more, of who has signed in
		"NAMESPACE":  say("* NAMESPACE ((\"INBOX.\" \".\")) NIL ((\"shared.\" \".\"))\r\n"),
		"STATUS":     say("* STATUS INBOX (MESSAGES 3)\r\n"),
	})
	folders, err := m.Folders(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range folders {
		got = append(got, fmt.Sprintf("%s|%s|%v|%t|%d", f.Name, strings.Join(f.Levels, "/"), f.Use, f.Left != "", f.Messages))
	}
	want := fmt.Sprintf("INBOX|INBOX|%v|false|3 INBOX.Gone|Gone|%v|false|-1 INBOX.Everything|Everything|%[1]v|true|-1 INBOX.Work.2024|Work/2024|%[1]v|false|-1 shared.team|shared/team|%[1]v|true|-1",
		mailbox.UseNone, mailbox.UseSent)
	if strings.Join(got, " ") != want {
		t.Errorf("%v\ninstead of %s", got, want)
	}
}

// What a program there noted about a message comes with it; what can be no keyword here is left out.
func TestMarksComeAlong(t *testing.T) {
	got := flags([]imap.Flag{"\\SEEN", "\\Answered", "\\Flagged", "\\Deleted", "\\Draft", "\\Recent", "work", "a b"})
	want := mailbox.NewFlags(mailbox.Seen|mailbox.Answered|mailbox.Flagged|mailbox.Deleted|mailbox.Draft, "work")
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%v instead of %v", got, want)
	}
}

// secured is a server that speaks TLS, with its port.
func secured(t *testing.T, certs []tls.Certificate) (h *hostile, port string) {
	t.Helper()
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: certs})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	h = &hostile{heard: make(chan string, 100)}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go h.serve(conn)
		}
	}()
	_, port, err = net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return h, port
}

// Nobody hears the password but whose certificate verifies, or is the one that is believed, and no other.
func TestWhoIsBelieved(t *testing.T) {
	web := httptest.NewUnstartedServer(nil)
	web.StartTLS()
	t.Cleanup(web.Close)
	sum := sha256.Sum256(web.Certificate().Raw)
	right := hex.EncodeToString(sum[:])
	roots := x509.NewCertPool()
	roots.AddCert(web.Certificate())
	for name, c := range map[string]struct {
		host, fingerprint string
		roots             *x509.CertPool
		want              string // in the error; "": it is let in
	}{
		"it verifies":          {"127.0.0.1", "", roots, ""},
		"nobody vouches":       {"127.0.0.1", "", x509.NewCertPool(), "--fingerprint " + right},
		"another name":         {"localhost", "", roots, "--fingerprint " + right},
		"the one":              {"127.0.0.1", strings.ToUpper(right[:2]) + ":" + right[2:], nil, ""},
		"another one":          {"127.0.0.1", strings.Repeat("0", 64), nil, "and not the one that is believed"},
		"another, which verif": {"127.0.0.1", strings.Repeat("0", 64), roots, "and not the one that is believed"},
	} {
		h, port := secured(t, web.TLS.Certificates)
		m, err := Open(context.Background(), Options{Address: net.JoinHostPort(c.host, port), Roots: c.roots, Fingerprint: c.fingerprint, User: "joe", Secret: "pass",
			Pause: func(context.Context, time.Duration) error { return errors.New("no") }})
		if c.want == "" {
			if err != nil || m.Close() != nil {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), c.want) || len(h.heard) != 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
}
