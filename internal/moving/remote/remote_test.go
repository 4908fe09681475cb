package remote

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"sallyport/internal/mailbox"
	"sallyport/internal/moving"
)

// hostile is a server that says what it likes: to each command that begins with a word, a text in
// which THIS stands for the tag. What is not there is answered OK.
type hostile struct {
	answers map[string]func(w *bufio.Writer, tag string)
	heard   chan string
}

func say(text string) func(*bufio.Writer, string) {
	return func(w *bufio.Writer, tag string) { _, _ = w.WriteString(strings.ReplaceAll(text, "THIS", tag)) }
}

// endless writes until nobody reads any more.
func endless(text string) func(*bufio.Writer, string) {
	return func(w *bufio.Writer, tag string) {
		for {
			if _, err := w.WriteString(text); err != nil {
				return
			}
		}
	}
}

func (h *hostile) serve(conn net.Conn) {
	defer conn.Close()
	w := bufio.NewWriter(conn)
	_, _ = w.WriteString("* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR ESEARCH NAMESPACE] x\r\n")
	_ = w.Flush()
	for in := bufio.NewReader(conn); ; {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		select {
		case h.heard <- line:
		default:
		}
		tag, command, _ := strings.Cut(strings.TrimRight(line, "\r\n"), " ")
		for word, answer := range h.answers {
			if strings.HasPrefix(command, word) {
				answer(w, tag)
			}
		}
		if strings.HasSuffix(command, "}") {
			_, _ = w.WriteString("+ go on\r\n")
			_ = w.Flush()
			continue
		}
		_, _ = w.WriteString(tag + " OK done\r\n")
		if w.Flush() != nil {
			return
		}
	}
}

// at opens the mailbox at such a server.
func at(t *testing.T, answers map[string]func(*bufio.Writer, string)) (*Mailbox, *hostile) {
	t.Helper()
	h := &hostile{answers: answers, heard: make(chan string, 100)}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go h.serve(conn)
		}
	}()
	m, err := Open(context.Background(), Options{
		Address: l.Addr().String(), Security: Clear, User: "joe", Secret: "pass",
		Pause: func(context.Context, time.Duration) error { return nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.client.Close() })
	return m, h
}

// taken is what was read of a folder, and what was not.
type taken struct{ messages, unreadable []string }

func (t *taken) Listed([]mailbox.Origin)    {}
func (t *taken) Wanted(mailbox.Origin) bool { return true }
func (t *taken) Remark(string, string)      {}

func (t *taken) Message(m moving.Message) error {
	t.messages = append(t.messages, m.Name)
	return nil
}

func (t *taken) Unreadable(name string, err error) error {
	t.unreadable = append(t.unreadable, name+": "+err.Error())
	return nil
}

// A server that says more than it was asked, in whichever answer, costs neither memory without end
// nor the program.
func TestAServerSaysTooMuch(t *testing.T) {
	const opened = "* 3 EXISTS\r\n* OK [UIDVALIDITY 7] x\r\n"
	for name, answers := range map[string]map[string]func(*bufio.Writer, string){
		"all UIDs there are":    {"EXAMINE": say(opened), "UID SEARCH": say("* ESEARCH (TAG \"THIS\") UID ALL 1:4294967295\r\n")},
		"UIDs without an end":   {"EXAMINE": say(opened), "UID SEARCH": say("* ESEARCH (TAG \"THIS\") UID ALL 1:*\r\n")},
		"an endless SEARCH":     {"EXAMINE": say(opened), "UID SEARCH": func(w *bufio.Writer, tag string) { say("* SEARCH")(w, tag); endless(" 1")(w, tag) }},
		"an endless EXAMINE":    {"EXAMINE": endless("* OK x\r\n")},
		"a line without an end": {"EXAMINE": func(w *bufio.Writer, tag string) { say("* OK ")(w, tag); endless("xxxxxxxxxxxxxxxx")(w, tag) }},
		"an endless FETCH":      {"EXAMINE": say(opened), "UID SEARCH": say("* SEARCH 1 2 3\r\n"), "UID FETCH": endless("* 1 FETCH (UID 1 FLAGS (a))\r\n")},
		"flags without an end":  {"EXAMINE": say(opened), "UID SEARCH": say("* SEARCH 1 2 3\r\n"), "UID FETCH": func(w *bufio.Writer, tag string) { say("* 1 FETCH (FLAGS (")(w, tag); endless("a ")(w, tag) }},
		"bodies without an end": {"EXAMINE": say(opened), "UID SEARCH": say("* SEARCH 1 2 3\r\n"), "UID FETCH": func(w *bufio.Writer, tag string) {
			say("* 1 FETCH (UID 1")(w, tag)
			endless(" BODY[] {1}\r\nx")(w, tag)
		}},
		"a body of many octets": {"EXAMINE": say(opened), "UID SEARCH": say("* SEARCH 1 2 3\r\n"), "UID FETCH": func(w *bufio.Writer, tag string) {
			say("* 1 FETCH (UID 1 BODY[] {9000000000000000000}\r\n")(w, tag)
			endless("x")(w, tag)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, _ := at(t, answers)
			done := make(chan error, 1)
			go func() { done <- m.Read(context.Background(), "INBOX", &taken{}) }()
			select {
			case err := <-done:
				if err == nil {
					t.Error("it is taken")
				}
			case <-time.After(time.Minute):
				t.Error("it is still being read")
			}
		})
	}
	t.Run("folders without an end", func(t *testing.T) {
		m, _ := at(t, map[string]func(*bufio.Writer, string){"LIST": endless("* LIST () \"/\" a\r\n")})
		if _, err := m.Folders(context.Background()); err == nil {
			t.Error("they are taken")
		}
	})
}

// A message that a server has and leaves out is named, and one that is gone is not.
func TestWhatAServerWithholdsIsNamed(t *testing.T) {
	m, _ := at(t, map[string]func(*bufio.Writer, string){
		"EXAMINE": say("* 3 EXISTS\r\n* OK [UIDVALIDITY 7] x\r\n"), "UID FETCH": say("* 1 FETCH (UID 1 BODY[] {3}\r\na: )\r\n"),
		"UID SEARCH": say("* SEARCH 1 2\r\n"), // the third is gone
	})
	m.client.Caps() // they are known
	got := &taken{}
	if err := m.Read(context.Background(), "INBOX", got); err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(got.messages) != "[UID 1]" || len(got.unreadable) != 1 || !strings.HasPrefix(got.unreadable[0], "UID 2: ") {
		t.Errorf("came: %v; named: %v", got.messages, got.unreadable)
	}
}

// The name of a folder is that server's, and is no command of ours.
func TestTheNameOfAFolderIsNoCommand(t *testing.T) {
	m, h := at(t, map[string]func(*bufio.Writer, string){"LIST": say("* LIST () \"/\" {21}\r\na\r\nT99 DELETE INBOX\r\n\r\n* LIST () \"/\" \"b\\\"c\"\r\n")})
	folders, err := m.Folders(context.Background())
	close(h.heard)
	for line := range h.heard {
		if strings.HasPrefix(line, "T99") {
			t.Errorf("the server was told %q; folders %v, %v", line, folders, err)
		}
	}
}
