package server_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The transcripts of testdata/scripts, each with a mailbox of its own. "1> X" is what client 1
// sends, as a command that gets a tag, or with "1>> X" as it stands; "1< X" is a response that must
// come, in this order among those up to the answer, where … stands for anything; "1! X" must not.
// "\n" in what is sent is a line end, {*} announces the rest of what is sent as a literal, and
// "message N" appends a message with the subject N to the INBOX.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/scripts/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal(err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			s := &script{w: newWorld(t), clients: map[string]*client{}}
			for n, line := range strings.Split(string(text), "\n") {
				if s.line(t, n+1, line); t.Failed() {
					t.Fatalf("after %s:%d, the responses were\n%s", file, n+1, strings.Join(s.have, "\n"))
				}
			}
		})
	}
}

type script struct {
	w       *world
	clients map[string]*client
	have    []string // responses to the last command
	at      int      // how many of them were expected
}

func (s *script) line(t *testing.T, n int, line string) {
	t.Helper()
	if line == "" || line[0] == '#' {
		return
	}
	who, rest, _ := strings.Cut(line, " ")
	if who == "message" {
		s.client("0").append("INBOX", "", "From: Joe <joe@example.org>\nSubject: "+rest+"\n\nText of "+rest+"\n")
		return
	}
	c := s.client(who[:1])
	rest = strings.ReplaceAll(rest, `\n`, "\r\n")
	if head, literal, found := strings.Cut(rest, "{*}\r\n"); found {
		rest = fmt.Sprintf("%s{%d+}\r\n%s", head, len(literal), literal)
	}
	switch who[1:] {
	case ">":
		s.have, s.at = c.do(rest), 0
	case ">>":
		c.send(rest + "\r\n")
		s.have, s.at = nil, 0
	case "<<":
		s.have, s.at = append(s.have, c.read()), len(s.have)
		fallthrough
	case "<":
		for s.at < len(s.have) {
			if s.at++; matches(rest, s.have[s.at-1]) {
				return
			}
		}
		t.Errorf("line %d: %s did not come", n, rest)
	case "!":
		for _, h := range s.have {
			if matches(rest, h) {
				t.Errorf("line %d: %s came", n, h)
			}
		}
	default:
		t.Fatalf("line %d is none of a script", n)
	}
}

func (s *script) client(who string) *client {
	if s.clients[who] == nil {
		s.clients[who] = s.w.login()
	}
	return s.clients[who]
}

// matches compares a response with what is expected of it; anything may follow an answer's
// status.
func matches(want, have string) bool {
	var b strings.Builder
	for i, part := range strings.Split(want, "…") {
		if i > 0 {
			b.WriteString("(?s:.*)")
		}
		b.WriteString(regexp.QuoteMeta(part))
	}
	if strings.HasPrefix(want, "t ") {
		b.WriteString("(?s:.*)")
	}
	return regexp.MustCompile("^" + b.String() + "$").MatchString(have)
}
