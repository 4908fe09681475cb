// Command sallyport is the mail server and everything that an operator does with
// it. Every command exits with 0 when all is well, 1 when it found something
// wrong, and 2 when it was not understood.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"sallyport/internal/config"

	"github.com/alecthomas/kong"
)

// Exit codes of every command.
const (
	exitFine  = 0
	exitWrong = 1
	exitUsage = 2
)

func main() {
	c := console{in: os.Stdin, out: onScreen(os.Stdout), err: onScreen(os.Stderr)}
	if name, args, ok := sendmailCall(os.Args); ok {
		os.Exit(runSendmail(name, args, c))
	}
	os.Exit(run(os.Args[1:], c))
}

// console is what a command reads and writes.
type console struct {
	in       io.Reader
	out, err io.Writer
	config   string // that was named with -c; "": none was
}

// printf writes for people; every text among the arguments stays on its line. A terminal
// or pipe that has gone away is no reason to stop: what a command does is done all the
// same.
func (c console) printf(format string, args ...any) {
	_, _ = fmt.Fprintf(c.out, c.againIn(format), shownArgs(args)...)
}

// lines writes what has been made for people already, as several lines.
func (c console) lines(text string) { _, _ = io.WriteString(c.out, text) }

// errReaderGone means that who read our output went away, as head(1) does.
var errReaderGone = errors.New("nobody reads the output any more")

// output tells a reader of ours that went away from any other broken pipe, and remembers
// that something could not be written: most of what is written for people is not asked.
type output struct {
	io.Writer
	failed atomic.Pointer[error] // the first
}

// Write writes to the output.
func (o *output) Write(b []byte) (int, error) {
	n, err := o.Writer.Write(b)
	switch {
	case errors.Is(err, syscall.EPIPE):
		return n, errReaderGone
	case err != nil && !errors.Is(err, syscall.EIO): // a terminal that is gone
		o.failed.CompareAndSwap(nil, &err)
	}
	return n, err
}

// whole returns the error of a command, or why not all that it wrote came through.
func (o *output) whole(err error) error {
	said := err == nil || errors.Is(err, errSilent) // in what could not be written
	if failed := o.failed.Load(); said && failed != nil {
		return *failed
	}
	return err
}

// prose writes for people as printf does; on a terminal, lines that are wider fold, but
// for those with a quoted text, which may be a record to copy.
func (c console) prose(format string, args ...any) {
	text := fmt.Sprintf(c.againIn(format), shownArgs(args)...)
	if width := widthOf(c.out); width > 0 {
		text = foldedProse(text, width)
	}
	_, _ = io.WriteString(c.out, text)
}

// run runs one command to its end and returns its exit code.
func run(args []string, c console) int {
	args = asked(args)
	if configFirst(args) {
		fmt.Fprintln(c.err, "sallyport: the configuration is named behind the command, as in: sallyport status -c FILE")
		return exitUsage
	}
	helped := false
	parser, err := grammar(askedFor(args), kong.Writers(c.out, c.err), kong.Exit(func(int) { helped = true }))
	if err != nil {
		fmt.Fprintln(c.err, "sallyport:", err)
		return exitWrong
	}
	parsed, err := parser.Parse(args)
	if groupAlone(err) {
		_, err = parser.Parse(append(args[:len(args):len(args)], "--help"))
	}
	if helped {
		return exitFine
	}
	var unwritten *fs.PathError
	if errors.As(err, &unwritten) && unwritten.Op == "write" { // a help
		return exitCode(err, c)
	}
	if err != nil {
		// The grammar has an empty word where a flag need not be given.
		fmt.Fprintln(c.err, "sallyport:", strings.Replace(indented(notUnderstood(args, err)), `must be one of "",`, "must be one of ", 1))
		fmt.Fprintln(c.err, configAlone(notUnderstood(args, err))+tryHelp(err))
		return exitUsage
	}
	out := &output{Writer: c.out}
	c.out, c.config = out, namedConfig(parsed)
	return finish(parsed, c, out)
}

// finish runs the parsed command until it ends or is interrupted: once asks it to
// stop in order, twice does not wait.
func finish(parsed *kong.Context, c console, out *output) int {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	defer signal.Stop(signals)
	// A reader that went away must not kill the server: writes fail instead.
	signal.Ignore(syscall.SIGPIPE)

	done := make(chan error, 1)
	go func() {
		parsed.BindTo(ctx, (*context.Context)(nil))
		done <- parsed.Run(c, parsed.Kong)
	}()
	var first time.Time
	for {
		select {
		case err := <-done:
			return exitCode(out.whole(err), c)
		case <-signals:
			switch {
			case first.IsZero():
				first = time.Now()
				cancel()
			case time.Since(first) > sameInterrupt:
				fmt.Fprintln(c.err, "sallyport: stopped without waiting; nothing that was accepted is lost")
				return exitWrong
			}
		}
	}
}

// sameInterrupt is how close two signals count as one: supervisors signal a process
// and its group, and one key press reaches both.
const sameInterrupt = 500 * time.Millisecond

// usageError is a command that was understood by its grammar, but makes no sense.
type usageError struct{ text string }

func (e usageError) Error() string { return e.text }

// errSilent makes a command exit with 1 without a word: it has said everything.
var errSilent = errors.New("found something wrong")

func exitCode(err error, c console) int {
	var usage usageError
	var chosen exitStatus
	var faults config.Faults
	switch {
	case err == nil, errors.Is(err, errReaderGone): // it has seen enough
		return exitFine
	case errors.As(err, &chosen):
		return int(chosen)
	case errors.Is(err, errSilent):
		return exitWrong
	case errors.As(err, &usage):
		fmt.Fprintln(c.err, "sallyport:", c.again(indented(usage)))
		return exitUsage
	case errors.As(err, &faults):
		fmt.Fprintln(c.err, faults.Error())
		return exitWrong
	}
	text := "sallyport: " + c.again(indented(err)) + "\n"
	if width := widthOf(c.err); width > 0 {
		text = foldedProse(text, width)
	}
	fmt.Fprint(c.err, text)
	return exitWrong
}

// errNotShown stands for an error that would quote an argument where a password may be.
var errNotShown = errors.New("an argument is not understood; it is not shown, since it may be a password, which is never an argument: --password-stdin reads it, and 'sallyport account --help' says what there is")

// notUnderstood is why the command line was not understood. What stands behind the verb
// of an account command goes into no terminal's history of others and no log of a program
// that calls us: it may be a password in the wrong place.
func notUnderstood(args []string, err error) error {
	if len(args) < 3 || args[0] != "account" {
		return err
	}
	for i, a := range args[2:] {
		if before := args[i+1]; before == "--role" || before == "--reason" || before == "-c" || before == "--config" {
			continue
		}
		name, value, flag := strings.Cut(a, "=")
		if !strings.HasPrefix(name, "-") {
			value, flag = a, true
		}
		if flag && value != "" && strings.Contains(err.Error(), value) {
			return errNotShown
		}
	}
	return err
}

// indented is an error's text whose lines after the first cannot be taken for others of
// ours.
func indented(err error) string { return strings.ReplaceAll(err.Error(), "\n", "\n  ") }
