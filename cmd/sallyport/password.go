package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"math/big"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// maxPasswordLine bounds what is read as a password; package accounts has the
// real bound.
const maxPasswordLine = 4096

// passwordFlags say where a new password comes from.
type passwordFlags struct {
	PasswordStdin bool `help:"Read the password from standard input, one line." xor:"password"`
	Generate      bool `help:"Make a password and print it." xor:"password"`
}

// password returns the new password.
func (f passwordFlags) password(ctx context.Context, c console, address string) (string, error) {
	if f.Generate {
		return newPassword()
	}
	if f.PasswordStdin {
		return readLine(c.in)
	}
	tty, ok := c.in.(*os.File)
	if !ok || !isTerminal(tty) {
		return "", usageError{"there is no terminal to ask for a password: use --password-stdin or --generate"}
	}
	first, err := ask(ctx, tty, c.err, "Password for "+address+": ")
	if err != nil {
		return "", err
	}
	second, err := ask(ctx, tty, c.err, "Once more: ")
	if err != nil {
		return "", err
	}
	if first != second {
		return "", errors.New("the two passwords differ; nothing was changed")
	}
	return first, nil
}

// shown returns a password that nobody knows yet.
func (f passwordFlags) shown(password string) string {
	if f.Generate {
		return password
	}
	return ""
}

// readLine reads one line, and refuses a second: a password with a line end inside
// is a mistake.
func readLine(r io.Reader) (string, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxPasswordLine+1))
	if err != nil {
		return "", err
	}
	line, rest, _ := strings.Cut(string(text), "\n")
	if rest != "" || len(text) > maxPasswordLine {
		return "", usageError{"standard input must hold one line, the password"}
	}
	if line = strings.TrimSuffix(line, "\r"); line == "" {
		return "", usageError{"standard input holds no password"}
	}
	return line, nil
}

// ask reads a line from a terminal without showing it. An interrupt ends it, and
// the terminal shows again what is typed.
func ask(ctx context.Context, tty *os.File, prompt io.Writer, text string) (line string, err error) {
	fd := int(tty.Fd())
	before, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return "", err
	}
	silent := *before
	silent.Lflag &^= unix.ECHO
	if err := unix.IoctlSetTermios(fd, unix.TCSETSF, &silent); err != nil {
		return "", err
	}
	defer func() {
		fmt.Fprintln(prompt)
		err = errors.Join(err, unix.IoctlSetTermios(fd, unix.TCSETSF, before))
	}()
	fmt.Fprint(prompt, text)
	typed := make(chan answer, 1)
	go func() {
		text, err := bufio.NewReader(tty).ReadString('\n')
		typed <- answer{text, err}
	}()
	select {
	case a := <-typed:
		return strings.TrimRight(a.text, "\r\n"), a.err
	case <-ctx.Done():
		return "", errors.New("interrupted; nothing was changed")
	}
}

// answer is what was typed.
type answer struct {
	text string
	err  error
}

func isTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// passwordLetters has no letters that look alike. Sixteen of its 31 are 79 bits.
const passwordLetters = "23456789abcdefghjkmnpqrstuvwxyz"

// newPasswordLetters is how many letters a password has that is made, and groupLetters in how large
// groups they are told.
const (
	newPasswordLetters = 16
	groupLetters       = 4
)

// newPassword makes a password of sixteen letters in groups of four.
func newPassword() (string, error) {
	var b strings.Builder
	for i := range newPasswordLetters {
		if i > 0 && i%groupLetters == 0 {
			b.WriteByte('-')
		}
		n, err := rand.Int(rand.Reader, big.NewInt(int64(len(passwordLetters))))
		if err != nil {
			return "", err
		}
		b.WriteByte(passwordLetters[n.Int64()])
	}
	return b.String(), nil
}
