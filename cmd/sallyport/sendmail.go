package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"syscall"

	"sallyport/internal/config"
	"sallyport/internal/kit/words"
	"sallyport/internal/local/door"
	"sallyport/internal/local/sendmail"
	"sallyport/internal/mail"
	"sallyport/internal/operate"
)

// defaultSendmail is where the command looks for the server when nothing names
// another place.
const defaultSendmail = "/run/sallyport/sendmail.sock"

const sendmailHelp = `Usage: sallyport sendmail [FLAGS] [RECIPIENT ...] <MESSAGE
       sallyport sendmail -bp | -q | -bs | -bi

Hands a message to the running server, as sendmail(1) does. Linked as sendmail,
mailq or newaliases, the program behaves as those. Who may send, and as whom,
the server decides by the uid of the caller: see [sendmail] in docs/config.md.

  -t            take recipients from To, Cc and Bcc (those named are added), and
                remove Bcc
  -i, -oi       a line that holds only a dot does not end the message
  -f, -r ADDR   the envelope sender; a name without a domain stands for the
                account, <> for none
  -F NAME       the full name, where the message has no From field
  -N WHEN       when to be told: never, or a list of success, failure, delay
  -R full|hdrs  how much of a message comes back with a failure
  -V ID         an envelope id, which comes back with it
  -B 7BIT|8BITMIME
  -v            say what became of it
  -bp           list the messages of the caller's account; for root and the
                server's user, all (mailq)
  -q            try every waiting message now; root and the server's user only
  -bs           speak SMTP on standard input and output; lines may end in LF
  -bi           nothing: aliases need no building (newaliases)

Of the classic flags, those that only tune a delivery are ignored (-n -m -U -G
-A -L -h -d -p, -om -oo -os -o7 -o8 -oeX -odX, and -O with DeliveryMode,
ErrorMode, MeToo, OldStyleHeaders, SevenBitInput, EightBitMode,
NoRecipientAction or a Timeout; -O IgnoreDots=true is -i). Those that read,
write or run something, or take another configuration, are refused. A message
goes to all its recipients or to none. The server is found by
SALLYPORT_SENDMAIL, then by listen.sendmail of the configuration if the caller
may read it, then at
` + defaultSendmail + `.

Exit codes are those of sysexits(3): 0 the message is durable, 64 usage,
65 message or address malformed, 67 no such recipient, 68 no such domain,
69 refused, or too large or for too many at once, 74 the message could not be
read, 75 try again later, 77 not allowed.
`

// sendmailCommand makes the command stand in the help; its arguments are not kong's.
type sendmailCommand struct {
	Args []string `arg:"" optional:"" passthrough:"" help:"As sendmail(1) takes them; see: sallyport sendmail --help."`
}

// Run hands the arguments over.
func (s sendmailCommand) Run(_ context.Context, c console) error {
	if code := runSendmail("sendmail", s.Args, c); code != exitFine {
		return exitStatus(code)
	}
	return nil
}

// exitStatus is an exit code that a command has chosen by itself, and explained.
type exitStatus int

func (e exitStatus) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

// sendmailCall reports whether the program was called to send mail: as a command, or
// under one of the names of sendmail(1).
func sendmailCall(args []string) (name string, rest []string, ok bool) {
	if len(args) == 0 {
		return "", nil, false
	}
	switch base := filepath.Base(args[0]); {
	case base == "sendmail" || base == "mailq" || base == "newaliases":
		return base, args[1:], true
	case len(args) > 1 && args[1] == "sendmail":
		return "sendmail", args[2:], true
	}
	return "", nil, false
}

// runSendmail runs the command and returns its exit code.
func runSendmail(name string, args []string, c console) int {
	if len(args) == 1 && args[0] == "--help" {
		c.lines(sendmailHelp)
		return exitFine
	}
	err := doSendmail(context.Background(), name, args, c)
	if err == nil {
		return exitFine
	}
	for line := range strings.Lines(err.Error()) {
		fmt.Fprintf(c.err, "%s: %s\n", name, mail.Shown(strings.TrimSuffix(line, "\n")))
	}
	var known *sendmail.Error
	if errors.As(err, &known) {
		return int(known.Code)
	}
	return int(sendmail.CodeSoftware)
}

func doSendmail(ctx context.Context, name string, args []string, c console) error {
	o, err := sendmail.Parse(name, args)
	if err != nil {
		return err
	}
	at := sendmail.Caller{Socket: sendmailSocket(), FullName: fullName()}
	switch o.Mode {
	case sendmail.ModeQueue:
		return printMailq(ctx, at.Socket, c)
	case sendmail.ModeRetry:
		return sendmail.Ask(ctx, at.Socket, door.HelloRetry, func(line []byte) error {
			var changed operate.QueueChanged
			if err := json.Unmarshal(line, &changed); err != nil || !o.Verbose {
				return err
			}
			c.printf("%s due now\n", words.Count(changed.Count, "message"))
			return nil
		})
	case sendmail.ModeAliases:
		if o.Verbose {
			c.printf("aliases need no building\n")
		}
		return nil
	case sendmail.ModeSMTP:
		return sendmail.Relay(ctx, at.Socket, c.in, raw(c.out))
	}
	if closedInput(c.in) {
		return &sendmail.Error{Code: sendmail.CodeIO, Text: "standard input is closed: there is no message"}
	}
	sent, err := sendmail.Send(ctx, o, at, c.in)
	if err == nil && o.Verbose {
		c.printf("%s, from %s\n", sent.Reply.Text, sent.Account)
	}
	return err
}

// closedInput reports whether the program was started without a standard input. The
// runtime then opens the null device for it, to read and to write, which nobody does who
// means an empty message.
func closedInput(in io.Reader) bool {
	f, ok := in.(*os.File)
	if !ok {
		return false
	}
	flags, _, e := syscall.Syscall(syscall.SYS_FCNTL, f.Fd(), syscall.F_GETFL, 0)
	var at, null syscall.Stat_t
	if e != 0 {
		return true
	}
	if flags&syscall.O_ACCMODE != syscall.O_RDWR || syscall.Fstat(int(f.Fd()), &at) != nil || syscall.Stat(os.DevNull, &null) != nil {
		return false
	}
	return at.Mode&syscall.S_IFMT == syscall.S_IFCHR && at.Rdev == null.Rdev
}

// sendmailSocket is where the server is. This program has no more rights than its
// caller, who may name any place.
func sendmailSocket() string {
	if at := os.Getenv("SALLYPORT_SENDMAIL"); at != "" {
		return at
	}
	path := os.Getenv("SALLYPORT_CONFIG")
	if path == "" {
		path = defaultConfig
	}
	if cfg, err := config.Locate(path); err == nil && cfg.Sendmail.Socket != "" {
		return cfg.Sendmail.Socket
	}
	return defaultSendmail
}

// fullName is the caller's, as this host knows it.
func fullName() string {
	u, err := user.Current()
	if err != nil {
		return ""
	}
	name, _, _ := strings.Cut(u.Name, ",")
	return name
}

// printMailq lists the queue as mailq(1) does.
func printMailq(ctx context.Context, socket string, c console) error {
	w := bufio.NewWriter(c.out)
	n, octets := 0, int64(0)
	err := sendmail.Ask(ctx, socket, door.HelloQueue, func(line []byte) error {
		var m operate.Message
		if err := json.Unmarshal(line, &m); err != nil {
			return err
		}
		if n == 0 {
			fmt.Fprintf(w, "-Queue ID-----------------  --Size-- ---Arrival Time---- -Sender/Recipient-------\n")
		}
		n, octets = n+1, octets+m.Size
		printQueued(w, m)
		return nil
	})
	if err != nil {
		return errors.Join(err, w.Flush())
	}
	if n == 0 {
		fmt.Fprintln(w, "Mail queue is empty")
	} else {
		fmt.Fprintf(w, "-- %d Kbytes in %s.\n", (octets+1023)/1024, words.Count(n, "Request"))
	}
	return w.Flush()
}

// printQueued writes one message: "!" behind the id of one that is held.
func printQueued(w io.Writer, m operate.Message) {
	mark := ""
	if strings.HasPrefix(m.State, "held") {
		mark = "!"
	}
	sender := strings.Trim(m.Sender, "<>")
	if sender == "" {
		sender = "MAILER-DAEMON"
	}
	fmt.Fprintf(w, "%-26s %9d %s %s\n", m.ID+mark, m.Size, moment(m.Received), mail.Shown(sender))
	last := ""
	for _, r := range m.Recipients {
		if r.State != "pending" {
			continue
		}
		if r.Last != "" && r.Last != last {
			fmt.Fprintf(w, "    (%s)\n", mail.Shown(r.Last))
			last = r.Last
		}
		fmt.Fprintf(w, "%57s%s\n", "", mail.Shown(r.Address))
	}
	fmt.Fprintln(w)
}
