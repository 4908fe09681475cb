package sendmail

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"

	"sallyport/internal/local/door"
	localsocket "sallyport/internal/local/socket"
	"sallyport/internal/mail"
	imf "sallyport/internal/message"
	"sallyport/internal/smtp/wire"
)

// replyTime bounds the wait for each reply. RFC 5321 §4.5.3.2 asks for 10 minutes at
// the end of a message.
const replyTime = 10 * time.Minute

// Caller is who calls, and how the server is found.
type Caller struct {
	Socket   string
	FullName string // of the user, as the host knows it; -F comes before it
}

// Sent is what became of a message.
type Sent struct {
	Account mail.Address
	Reply   mail.Reply // the server's last word
}

// Send reads a message from in and hands it to the server. On a nil error the server
// has made it durable, for every recipient. The error is an *Error.
func Send(ctx context.Context, o Options, c Caller, in io.Reader) (Sent, error) {
	m, err := readMessage(in, o.IgnoreDots)
	if err != nil {
		return Sent{}, err
	}
	defer func() { _ = m.drop(nil) }()
	r, err := m.reader()
	if err != nil {
		return Sent{}, err
	}
	fields, body, whole, err := splitHeader(r)
	if err != nil {
		return Sent{}, err
	}
	h, err := imf.ParseHeader(fields)
	if err != nil {
		return Sent{}, fail(CodeData, "the header cannot be read: %v", err)
	}
	if o.Extract && !whole {
		if err := strayRecipients(h, body); err != nil {
			return Sent{}, err
		}
	}
	s, err := open(ctx, c.Socket)
	if err != nil {
		return Sent{}, err
	}
	defer s.close()
	to, err := recipients(o, h, s.account.Domain())
	if err != nil {
		return Sent{}, err
	}
	from, err := o.sender(s.account)
	if err != nil {
		return Sent{}, err
	}
	head := append(complete(h, author{s.account, orElse(o.Name, c.FullName)}), "\r\n"...)
	size := m.size - int64(len(fields)) + int64(len(head))
	if err := s.begin(o, from, to, size, m.eight, head); err != nil {
		return Sent{}, err
	}
	reply, err := s.data(head, body)
	// The message is decided; what becomes of a farewell changes nothing.
	_ = s.expect("QUIT", "")
	return Sent{s.account, reply}, err
}

// sender is the envelope sender: the account's address unless -f says otherwise. A
// login name stands for the account.
func (o Options) sender(account mail.Address) (mail.ReversePath, error) {
	text := strings.TrimSuffix(strings.TrimPrefix(o.Sender, "<"), ">")
	switch {
	case !o.SenderSet || bareName(text):
		return mail.PathOf(account), nil
	case text == "":
		return mail.NullPath(), nil
	}
	a, err := mail.ParseTyped(text, mail.UTF8)
	if err != nil {
		return mail.ReversePath{}, fail(CodeUsage, "-f: %q is no address: %v", mail.Printable(text, mail.TextShown), err)
	}
	return mail.PathOf(a), nil
}

// session is one conversation with the server.
type session struct {
	nc      net.Conn
	br      *bufio.Reader
	bw      *bufio.Writer
	account mail.Address
	most    int // recipients that the server takes in one message; 0: it did not say
	stop    func() bool
}

// Dial opens a connection for one purpose of package local/door.
func Dial(ctx context.Context, socket, hello string) (net.Conn, error) {
	nc, err := localsocket.Dial(ctx, socket)
	switch {
	case errors.Is(err, localsocket.ErrUntrusted):
		// Not a refusal: whoever put it there must not make callers throw their mail away.
		return nil, fail(CodeTempFail, "nothing is said at %s: %v; nothing was sent, tell the administrator", socket, err)
	case err != nil:
		return nil, fail(CodeTempFail, "the mail server does not answer at %s (%v); nothing was sent, try again later", socket, cause(err))
	}
	if _, err := io.WriteString(nc, hello+"\n"); err != nil {
		return nil, errors.Join(fail(CodeTempFail, "the mail server does not answer at %s (%v); nothing was sent, try again later", socket, cause(err)),
			nc.Close())
	}
	return nc, nil
}

func cause(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err
	}
	return err
}

// open connects, and learns from the greeting whose account this is.
func open(ctx context.Context, socket string) (*session, error) {
	nc, err := Dial(ctx, socket, door.HelloSMTP)
	if err != nil {
		return nil, err
	}
	s := &session{nc: nc, br: bufio.NewReader(nc), bw: bufio.NewWriter(nc)}
	s.stop = context.AfterFunc(ctx, func() { _ = nc.Close() })
	greeting, err := s.reply()
	if err == nil && greeting.Code != 220 {
		err = refusal("", greeting)
	}
	if err == nil {
		s.account, err = accountIn(greeting.Text)
	}
	if err == nil {
		err = s.hello()
	}
	if err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// hello learns what the server takes. RFC 9422 §4.2
func (s *session) hello() error {
	r, err := s.command("EHLO localhost")
	if err != nil {
		return err
	}
	if !r.OK() {
		return refusal("", r)
	}
	for line := range strings.Lines(r.Text) {
		for word := range strings.FieldsSeq(line) {
			if n, found := strings.CutPrefix(word, "RCPTMAX="); found {
				s.most, _ = strconv.Atoi(n)
			}
		}
	}
	return nil
}

// accountIn reads the account from a greeting: "account=<alice@example.org>".
func accountIn(greeting string) (mail.Address, error) {
	_, rest, found := strings.Cut(greeting, "account=<")
	text, _, ended := strings.Cut(rest, ">")
	if a, err := mail.ParseAddress(text, mail.UTF8); found && ended && err == nil {
		return a, nil
	}
	return mail.Address{}, fail(CodeSoftware, "the server at the socket is none of ours: it says %q",
		mail.Printable(greeting, mail.TextShown))
}

func (s *session) close() {
	s.stop()
	_ = s.nc.Close()
}

// lost is a connection that ended before the server had answered.
func lost(err error) *Error {
	e := fail(CodeTempFail, "the connection to the mail server was lost (%v); it has not said that it took the message", cause(err))
	e.lost = true
	return e
}

func (s *session) reply() (mail.Reply, error) {
	if err := s.nc.SetDeadline(time.Now().Add(replyTime)); err != nil {
		return mail.Reply{}, lost(err)
	}
	r, err := wire.ReadReply(s.br, wire.DefaultReplyLimits())
	if err != nil {
		return r, lost(err)
	}
	return r, nil
}

// refusal is a refused command; about names whom it was about.
func refusal(about string, r mail.Reply) *Error {
	if about != "" {
		about += ": "
	}
	return &Error{Code: codeOf(r), Text: about + r.String()}
}

// command sends a command and returns the reply.
func (s *session) command(line string) (mail.Reply, error) {
	if _, err := s.bw.WriteString(line + "\r\n"); err != nil {
		return mail.Reply{}, lost(err)
	}
	if err := s.bw.Flush(); err != nil {
		return mail.Reply{}, lost(err)
	}
	return s.reply()
}

// expect sends a command and wants a success.
func (s *session) expect(line, about string) error {
	r, err := s.command(line)
	if err == nil && !r.OK() {
		return refusal(about, r)
	}
	return err
}

// begin names sender and recipients. When a recipient is refused, nothing is sent to
// any: whoever called knows then that the message is still theirs.
func (s *session) begin(o Options, from mail.ReversePath, to []mail.Address, size int64, eight bool, head []byte) error {
	if s.most > 0 && len(to) > s.most {
		// Never in parts, of which some could fail.
		return fail(CodeUnavailable,
			"%d recipients, and the server takes at most %d in one message (limits.recipients); nothing was sent to any of them",
			len(to), s.most)
	}
	utf8 := !ascii(from.String())
	for _, a := range to {
		utf8 = utf8 || !a.IsASCII()
	}
	line := fmt.Sprintf("MAIL FROM:%s SIZE=%s", from, strconv.FormatInt(size, 10))
	if eight || o.Body == mail.Body8BitMIME {
		line += " BODY=8BITMIME"
	}
	if utf8 || headNeedsUTF8(head) {
		line += " SMTPUTF8"
	}
	switch o.Ret {
	case mail.RetFull:
		line += " RET=FULL"
	case mail.RetHeaders:
		line += " RET=HDRS"
	}
	if o.EnvID != "" {
		line += " ENVID=" + string(wire.AppendXtext(nil, o.EnvID))
	}
	if err := s.expect(line, "sender "+from.String()); err != nil {
		return err
	}
	var refused []*Error
	for _, a := range to {
		err := s.expect("RCPT TO:<"+a.String()+">"+notifyWords(o.Notify), "recipient "+a.String())
		var no *Error
		switch {
		case errors.As(err, &no) && !no.lost:
			refused = append(refused, no)
		case err != nil && len(refused) > 0:
			return together(refused, len(to)) // the server had enough of them
		case err != nil:
			return err
		}
	}
	return together(refused, len(to))
}

// together is one error of several refused recipients. Its code is that of one that is
// refused for good where there is one: the message can never be sent as it is.
func together(refused []*Error, of int) error {
	if len(refused) == 0 {
		return nil
	}
	text, code := make([]string, 0, len(refused)+1), refused[0].Code
	for _, e := range refused {
		text = append(text, e.Text)
		if code == CodeTempFail {
			code = e.Code
		}
	}
	if len(refused) < of {
		text = append(text, "nothing was sent to the other recipients either")
	}
	return &Error{Code: code, Text: strings.Join(text, "\n")}
}

func ascii(s string) bool { return strings.IndexFunc(s, func(r rune) bool { return r > 0x7e }) < 0 }

// headNeedsUTF8 reports whether an address in the header is beyond ASCII, which only
// passes with SMTPUTF8. Elsewhere in a header such octets pass as they are, or the server
// encodes them.
func headNeedsUTF8(head []byte) bool {
	h, err := imf.ParseHeader(head)
	return err == nil && h.NeedsUTF8()
}

// notifyWords is the NOTIFY parameter. RFC 3461 §4.1.
func notifyWords(n mail.Notify) string {
	var words []string
	for _, w := range []struct {
		bit  mail.Notify
		word string
	}{{mail.NotifyNever, "NEVER"}, {mail.NotifySuccess, "SUCCESS"}, {mail.NotifyFailure, "FAILURE"}, {mail.NotifyDelay, "DELAY"}} {
		if n&w.bit != 0 {
			words = append(words, w.word)
		}
	}
	if words == nil {
		return ""
	}
	return " NOTIFY=" + strings.Join(words, ",")
}

// data sends the message. Unless all of it could be read and written, its end is never
// said, and the server takes no part of it.
func (s *session) data(head []byte, body io.Reader) (mail.Reply, error) {
	if _, err := s.bw.WriteString("DATA\r\n"); err != nil {
		return mail.Reply{}, lost(err)
	}
	if err := s.bw.Flush(); err != nil {
		return mail.Reply{}, lost(err)
	}
	r, err := s.reply()
	if err != nil {
		return r, err
	}
	if r.Code != 354 {
		return r, refusal("", r)
	}
	w := wire.NewDataWriter(s.bw)
	for _, part := range []io.Reader{strings.NewReader(string(head)), body} {
		if _, err := io.Copy(writes{w, s.nc}, part); err != nil {
			return s.cutOff(err)
		}
	}
	if err := errors.Join(w.Close(), s.bw.Flush()); err != nil {
		return s.cutOff(err)
	}
	if r, err = s.reply(); err == nil && !r.OK() {
		err = refusedContent(r)
	}
	return r, err
}

// cutOff is the end of a message that could not be written. A server that takes no more
// of it has said why before it closed.
func (s *session) cutOff(why error) (mail.Reply, error) {
	var op *net.OpError
	if !errors.As(why, &op) || op.Op != "write" {
		return mail.Reply{}, lost(why) // the message could not be read, and the server waits for more
	}
	r, err := s.reply()
	if err != nil || r.OK() {
		return mail.Reply{}, lost(why)
	}
	return r, refusedContent(r)
}

// refusedContent is a message that was refused for what it holds.
func refusedContent(r mail.Reply) *Error {
	e := refusal("", r)
	if r.Class() == mail.ClassPermanent && r.Enhanced.Subject == 5 { // its lines: too long, or not ended
		e.Code = CodeData
	}
	return e
}

// writes gives each piece its own time.
type writes struct {
	w  io.Writer
	nc net.Conn
}

// Write writes a piece.
func (w writes) Write(p []byte) (int, error) {
	if err := w.nc.SetDeadline(time.Now().Add(replyTime)); err != nil {
		return 0, err
	}
	return w.w.Write(p)
}
