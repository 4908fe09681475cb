package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// terminal opens both ends of a pseudo-terminal.
func terminal(t *testing.T) (person, program *os.File) {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { person.Close() })
	if err := unix.IoctlSetPointerInt(int(person.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(person.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	program, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { program.Close() })
	return person, program
}

// typist types each answer once its prompt stands on the screen.
func typist(screen io.Reader, keyboard io.Writer, answers ...string) *bytes.Buffer {
	seen := &bytes.Buffer{}
	one := make([]byte, 1)
	for _, answer := range answers {
		for !bytes.HasSuffix(seen.Bytes(), []byte(": ")) {
			if _, err := screen.Read(one); err != nil {
				return seen
			}
			seen.Write(one)
		}
		seen.WriteByte(0)
		fmt.Fprintln(keyboard, answer)
	}
	return seen
}

func TestATerminalIsAskedTwiceInSilence(t *testing.T) {
	for _, test := range []struct {
		answers  []string
		password string
		fault    string
	}{
		{[]string{"correct horse", "correct horse"}, "correct horse", ""},
		{[]string{"correct horse", "correct hose"}, "", "the two passwords differ; nothing was changed"},
	} {
		person, program := terminal(t)
		done := make(chan *bytes.Buffer, 1)
		go func() { done <- typist(person, person, test.answers...) }()
		got, err := passwordFlags{}.password(t.Context(), console{in: program, out: io.Discard, err: program}, "alice@local.test")
		if got != test.password || (err != nil) != (test.fault != "") || err != nil && err.Error() != test.fault {
			t.Errorf("%q: got %q, %v", test.answers, got, err)
		}
		select {
		case screen := <-done:
			if strings.Contains(screen.String(), "horse") {
				t.Errorf("the password stands on the screen: %q", screen)
			}
			if !strings.Contains(screen.String(), "Password for alice@local.test: ") {
				t.Errorf("the screen shows %q", screen)
			}
		case <-time.After(5 * time.Second):
			t.Fatal("nobody was asked")
		}
		state, err := unix.IoctlGetTermios(int(program.Fd()), unix.TCGETS)
		if err != nil || state.Lflag&unix.ECHO == 0 {
			t.Errorf("the terminal stays silent afterwards: %v", err)
		}
	}
}

// TestAnInterruptLeavesTheTerminalAsItWas: nobody wants a shell that does not show
// what is typed.
func TestAnInterruptLeavesTheTerminalAsItWas(t *testing.T) {
	person, program := terminal(t)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		typist(person, io.Discard, "") // until the prompt stands there
		cancel()
	}()
	if _, err := (passwordFlags{}).password(ctx, console{in: program, out: io.Discard, err: program}, "alice@local.test"); err == nil {
		t.Error("an interrupt gave a password")
	}
	state, err := unix.IoctlGetTermios(int(program.Fd()), unix.TCGETS)
	if err != nil || state.Lflag&unix.ECHO == 0 {
		t.Errorf("the terminal stays silent: %v", err)
	}
}

func TestMadePasswordsDiffer(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		p, err := newPassword()
		if err != nil {
			t.Fatal(err)
		}
		if seen[p] || !regexp.MustCompile(`^([2-9a-z]{4}-){3}[2-9a-z]{4}$`).MatchString(p) {
			t.Fatalf("made %q", p)
		}
		seen[p] = true
	}
}
