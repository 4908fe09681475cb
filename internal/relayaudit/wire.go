package relayaudit

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"sallyport/internal/mail"
)

// Outcomes of a step that are not the three digits of a reply.
const (
	OutcomeClose   = "close"   // the server ended the connection instead
	OutcomeAlert   = "alert"   // a TLS alert came instead
	OutcomeSkip    = "skip"    // the step was not due (no 354, no 334, no 220)
	OutcomeOK      = "ok"      // the TLS handshake succeeded
	OutcomeFail    = "fail"    // the TLS handshake failed
	OutcomeTimeout = "timeout" // nothing came: always a fault
	OutcomeGarbage = "garbage" // what came is no reply: always a fault
)

// tlsAlert is the content type of an alert record. RFC 8446 §5.1.
const tlsAlert = 0x15

// wire is one connection, beneath any engine: it writes what it is told and reads
// replies with suspicion.
type wire struct {
	lim  Limits
	raw  *net.TCPConn
	tls  *tls.Conn // nil in clear
	br   *bufio.Reader
	gone bool // the server closed, or we did
}

// readOctets is how much of a connection is read ahead.
const readOctets = 4096

// dial connects from source to addr.
func dial(ctx context.Context, source netip.Addr, addr netip.AddrPort, lim Limits) (*wire, error) {
	if !addr.IsValid() {
		return nil, errors.New("the target has no such door")
	}
	d := net.Dialer{Timeout: lim.Dial}
	if source.IsValid() {
		d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(source, 0))
	}
	d.SetMultipathTCP(false)
	c, err := d.DialContext(ctx, "tcp", addr.String())
	if err != nil {
		return nil, err
	}
	raw, ok := c.(*net.TCPConn)
	if !ok {
		c.Close()
		return nil, errors.New("not a TCP connection")
	}
	return &wire{lim: lim, raw: raw, br: bufio.NewReaderSize(raw, readOctets)}, nil
}

// conn returns the topmost layer.
func (w *wire) conn() net.Conn {
	if w.tls != nil {
		return w.tls
	}
	return w.raw
}

// handshake starts TLS. Octets of the server that were read but not consumed are
// a fault of the server: they would have been taken for protected ones.
func (w *wire) handshake(ctx context.Context, cfg *tls.Config) error {
	if w.br.Buffered() > 0 {
		return errors.New("the server sent more than one reply before the handshake")
	}
	ctx, cancel := context.WithTimeout(ctx, w.lim.Dial)
	defer cancel()
	c := tls.Client(w.raw, cfg)
	if err := c.HandshakeContext(ctx); err != nil {
		return err
	}
	w.tls = c
	w.br.Reset(c)
	return nil
}

// write sends b whole. A failure only notes that the server is gone: what it said
// before can still be read.
func (w *wire) write(b []byte) {
	if w.gone || len(b) == 0 {
		return
	}
	_ = w.conn().SetWriteDeadline(time.Now().Add(w.lim.Reply))
	_, _ = w.conn().Write(b)
}

// writeBytes sends b octet by octet; the middle of a long text goes in one piece.
func (w *wire) writeBytes(b []byte) {
	head := min(len(b), w.lim.ByteOctets)
	tail := max(head, len(b)-w.lim.ByteOctets)
	w.trickle(b[:head])
	w.write(b[head:tail])
	w.trickle(b[tail:])
}

func (w *wire) trickle(b []byte) {
	for i := range b {
		if w.gone {
			return
		}
		w.write(b[i : i+1])
		time.Sleep(w.lim.BytePause)
	}
}

// writeBeneath sends b in clear under an established TLS layer.
func (w *wire) writeBeneath(b []byte) {
	if !w.gone {
		_ = w.raw.SetWriteDeadline(time.Now().Add(w.lim.Reply))
		_, _ = w.raw.Write(b)
	}
}

// closeNotify ends the TLS layer and goes on in clear.
func (w *wire) closeNotify() {
	if w.tls != nil && !w.gone {
		_ = w.tls.CloseWrite()
	}
}

// readReply reads one reply. outcome is its code, or one of the Outcome words.
func (w *wire) readReply() (r mail.Reply, outcome string) {
	if w.gone {
		return mail.Reply{}, OutcomeClose
	}
	_ = w.conn().SetReadDeadline(time.Now().Add(w.lim.Reply))
	var lines []string
	for {
		line, err := w.readLine()
		if err != nil {
			return mail.Reply{}, w.failed(err)
		}
		code, last, text, err := cutReplyLine(line)
		if err != nil || len(lines) >= w.lim.Lines || r.Code != 0 && code != r.Code {
			return mail.R(0, "", printable([]byte(line))), OutcomeGarbage
		}
		r.Code = code
		if last || text != "" {
			lines = append(lines, text)
		}
		if last {
			return finish(code, lines), strconv.Itoa(code)
		}
	}
}

func finish(code int, lines []string) mail.Reply {
	text := strings.Join(lines, "\n")
	e, rest, ok := mail.ParseEnhanced(text)
	if !ok {
		return mail.Reply{Code: code, Text: text}
	}
	return mail.Reply{Code: code, Enhanced: e, Text: rest}
}

var errLine = errors.New("no reply line")

// readLine reads a line that ends in exactly CR LF, and cuts it.
func (w *wire) readLine() (string, error) {
	var b []byte
	for len(b) < w.lim.LineOctets {
		c, err := w.br.ReadByte()
		if err != nil {
			return "", err
		}
		b = append(b, c)
		if c == tlsAlert && len(b) == 1 {
			return "", errAlert
		}
		if c != '\n' {
			continue
		}
		if len(b) < 2 || b[len(b)-2] != '\r' {
			return "", fmt.Errorf("%w: a bare LF", errLine)
		}
		return string(b[:len(b)-2]), nil
	}
	return "", fmt.Errorf("%w: too long", errLine)
}

var errAlert = errors.New("a TLS alert")

// cutReplyLine splits a reply line. RFC 5321 §4.2.
func cutReplyLine(s string) (code int, last bool, text string, err error) {
	if len(s) < 3 {
		return 0, false, "", errLine
	}
	for _, c := range []byte(s[:3]) {
		if c < '0' || c > '9' {
			return 0, false, "", errLine
		}
	}
	code, err = strconv.Atoi(s[:3])
	if err != nil || code < 200 || code > 599 {
		return 0, false, "", errLine
	}
	if len(s) == 3 {
		return code, true, "", nil
	}
	if s[3] != ' ' && s[3] != '-' {
		return 0, false, "", errLine
	}
	return code, s[3] == ' ', s[4:], nil
}

// failed names what a failed read means.
func (w *wire) failed(err error) string {
	w.gone = true
	switch {
	case errors.Is(err, errLine):
		return OutcomeGarbage
	case errors.Is(err, errAlert):
		return OutcomeAlert
	case errors.Is(err, os.ErrDeadlineExceeded):
		return OutcomeTimeout
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, net.ErrClosed):
		return OutcomeClose
	}
	var alert tls.AlertError
	var record tls.RecordHeaderError
	if errors.As(err, &alert) || errors.As(err, &record) || strings.Contains(err.Error(), "tls: ") {
		return OutcomeAlert
	}
	return OutcomeClose
}

// surplus reads until the server closes and counts the replies that come.
func (w *wire) surplus() (replies int, outcome string) {
	for {
		_, outcome := w.readReply()
		if _, err := strconv.Atoi(outcome); err != nil {
			return replies, outcome
		}
		replies++
		if replies > w.lim.Lines {
			return replies, OutcomeGarbage
		}
	}
}

// buffered reports whether octets wait that nobody asked for.
func (w *wire) buffered() bool { return !w.gone && w.br.Buffered() > 0 }

// close closes the connection in the ordinary way.
func (w *wire) close() {
	w.gone = true
	_ = w.raw.Close()
}

// reset aborts the connection, so that the server sees a RST.
func (w *wire) reset() {
	_ = w.raw.SetLinger(0)
	w.close()
}
