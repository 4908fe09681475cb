package walk

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"net"
	"net/smtp"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// sink is a server of others: it takes mail for everybody but ghosts.
type sink struct {
	ln  net.Listener
	mu  sync.Mutex
	got []string // recipients
	// texts are the messages, each with the lines as they came.
	texts []string
	all   []net.Conn
}

func listen(t *testing.T, address string) *sink {
	t.Helper()
	ln, err := net.Listen("tcp", address)
	must(t, err)
	s := &sink{ln: ln}
	t.Cleanup(s.close)
	go func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.all = append(s.all, nc)
			s.mu.Unlock()
			go s.serve(nc)
		}
	}()
	return s
}

// close ends it, with the connections that were kept for more.
func (s *sink) close() {
	_ = s.ln.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, nc := range s.all {
		_ = nc.Close()
	}
}

// has says whether a message for an address came.
func (s *sink) has(address string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Contains(s.got, address)
}

// message returns the text of what came with a subject, or nothing.
func (s *sink) message(subject string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, text := range s.texts {
		if strings.Contains(text, "\r\nSubject: "+subject+"\r\n") {
			return text
		}
	}
	return ""
}

func (s *sink) serve(nc net.Conn) {
	defer nc.Close()
	in := bufio.NewReader(nc)
	answer := "220 sink.test"
	var to []string
	for {
		if _, err := fmt.Fprintf(nc, "%s\r\n", answer); err != nil {
			return
		}
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		switch answer = "250 2.0.0 fine"; strings.ToUpper(strings.TrimSpace(line[:min(len(line), 5)])) {
		case "MAIL", "RSET":
			to = nil
		case "RCPT":
			a := line[strings.IndexByte(line, '<')+1 : strings.IndexByte(line, '>')]
			if strings.HasPrefix(a, "ghost") {
				answer = "550 5.1.1 nobody"
				continue
			}
			to = append(to, a)
		case "DATA":
			fmt.Fprintf(nc, "354 go on\r\n")
			text := ""
			for line := ""; err == nil && line != ".\r\n"; text += line {
				line, err = in.ReadString('\n')
			}
			s.mu.Lock()
			s.texts = append(s.texts, text)
			s.got = append(s.got, to...)
			s.mu.Unlock()
		case "QUIT":
			fmt.Fprintf(nc, "221 2.0.0 bye\r\n")
			return
		}
	}
}

// client is an SMTP client that keeps the answer to its data.
type client struct{ *smtp.Client }

func dial(t *testing.T, address string) client {
	t.Helper()
	nc, err := net.DialTimeout("tcp", address, 10*time.Second)
	must(t, err)
	must(t, nc.SetDeadline(time.Now().Add(time.Minute)))
	c, err := smtp.NewClient(nc, "127.0.0.1")
	must(t, err)
	must(t, c.Hello("client.remote.test"))
	return client{c}
}

// signIn begins TLS and signs in with the password that everybody here has.
func signIn(c client, who string) error { return signInWith(c, who, password) }

func signInWith(c client, who, secret string) error {
	if err := c.StartTLS(&tls.Config{InsecureSkipVerify: true}); err != nil {
		return err
	}
	return c.Auth(smtp.PlainAuth("", who, secret, "127.0.0.1"))
}

// data sends a message and returns the answer.
func (c client) data(message string) (string, error) {
	if err := c.Text.PrintfLine("DATA"); err != nil {
		return "", err
	}
	if _, _, err := c.Text.ReadResponse(354); err != nil {
		return "", err
	}
	if _, err := fmt.Fprintf(c.Text.W, "%s.\r\n", message); err != nil {
		return "", err
	}
	if err := c.Text.W.Flush(); err != nil {
		return "", err
	}
	_, text, err := c.Text.ReadResponse(250)
	return text, err
}

func netCommand(args ...string) ([]byte, error) { return exec.Command("ip", args...).CombinedOutput() }
