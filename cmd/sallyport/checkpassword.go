package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"

	"sallyport/internal/access/partner"
	partnersocket "sallyport/internal/operate/partner"
)

// checkPasswordTime is how long the server may take for one answer; a hash waits its turn there.
const checkPasswordTime = 25 * time.Second

// checkPasswordFile is the descriptor on which a partner says who signs in.
const checkPasswordFile = 3

type checkPasswordCommand struct {
	Socket  string   `placeholder:"PATH" default:"/run/sallyport/checkpassword.sock" help:"Where the server listens: checkpassword.socket of its configuration (default: ${default})."`
	Program []string `arg:"" passthrough:"" help:"What runs in place of this once somebody has signed in, with USER set to the account's address. Dovecot appends its own."`
}

// Help says how it is called.
func (checkPasswordCommand) Help() string {
	return `Another mail server runs this, nobody by hand. It reads user and password from descriptor 3 and the client's
address, service and certificate from the environment, asks the running server, and exits with 1 when
they open nothing and with 111 when nothing was decided, as when no server runs. No password stands
in an argument or in the environment.

Examples:
  passdb {
    driver = checkpassword
    args = /usr/bin/sallyport checkpassword
  }`
}

// Run asks, and becomes the program.
func (a checkPasswordCommand) Run(ctx context.Context, c console) error {
	said, err := io.ReadAll(io.LimitReader(os.NewFile(checkPasswordFile, "descriptor 3"), partner.MaxSaid+1))
	if err != nil {
		return a.later(c, partner.ExitMisuse, fmt.Errorf("nothing says who signs in: %w", err))
	}
	login, err := partner.ParseLogin(said, os.Environ())
	clear(said)
	switch {
	case errors.Is(err, partner.ErrNoSignIn):
		return a.later(c, partner.ExitLater, err)
	case err != nil:
		return a.later(c, partner.ExitMisuse, err)
	}
	answer, err := a.ask(ctx, login)
	switch {
	case err != nil:
		return a.later(c, partner.ExitLater, err)
	case answer.Verdict == partner.VerdictRefused:
		return exitStatus(partner.ExitRefused)
	case answer.Verdict != partner.VerdictIn || answer.Account == "":
		if answer.Why == "" {
			return exitStatus(partner.ExitLater)
		}
		return a.later(c, partner.ExitLater, errors.New(answer.Why))
	}
	program, err := exec.LookPath(a.Program[0])
	if err == nil {
		err = syscall.Exec(program, a.Program, partner.ReplyEnviron(os.Environ(), answer.Account))
	}
	return a.later(c, partner.ExitLater, fmt.Errorf("%s cannot be run: %w", a.Program[0], err))
}

// ask asks the running server.
func (a checkPasswordCommand) ask(ctx context.Context, login partner.Login) (partner.Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, checkPasswordTime)
	defer cancel()
	o, err := partnersocket.Dial(ctx, a.Socket)
	if err != nil {
		return partner.Answer{}, err
	}
	defer o.Close()
	return o.SignIn(ctx, login)
}

// later says for the partner's log why nobody was let in.
func (checkPasswordCommand) later(c console, code int, err error) error {
	fmt.Fprintln(c.err, "sallyport checkpassword:", indented(err))
	return exitStatus(code)
}
