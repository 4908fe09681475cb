package door

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"sallyport/internal/kit/pki"
	"sallyport/internal/smtp/proxy"
)

// causes are all that may be told.
func causes() []string {
	return []string{
		CauseVersion, CauseCipher, CauseExchange, CauseSignature, CauseCertificate, CauseDistrust, CauseBrokenOff, CauseNoTLS, CauseMalformed,
		CauseLeft, CauseTimeout, CauseRoom, CauseShutdown, CauseOurs,
	}
}

// serving is the configuration of a door at which people sign in.
func serving(t *testing.T) *tls.Config {
	t.Helper()
	files := pki.In(t.TempDir())
	if err := files.Ensure("test", pki.Names{Hosts: []string{"mx.test"}}, time.Now()); err != nil {
		t.Fatal(err)
	}
	certificate, err := tls.LoadX509KeyPair(files.Cert, files.Key)
	if err != nil {
		t.Fatal(err)
	}
	return TLS{}.Of(&tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}, true).Own()
}

// failing returns how the handshake of a client fails at the server.
func failing(t *testing.T, serve *tls.Config, within time.Duration, client func(net.Conn)) error {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			return
		}
		defer c.Close()
		client(c)
	}()
	raw, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	if err := raw.SetDeadline(time.Now().Add(within)); err != nil {
		t.Fatal(err)
	}
	limits := DefaultLimits()
	h := NewAdmission().Handshake(&limits, AddrPort(raw.RemoteAddr()).Addr(), time.Now(), func() {})
	defer h.End()
	if _, _, err = h.Over(raw, serve); err == nil {
		t.Error("the handshake does not fail")
	}
	return err
}

// Each way in which a handshake fails has words of its own, and none of a client's own words are among them.
func TestWhatAHandshakeFailsAt(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	shake := func(c *tls.Config) func(net.Conn) {
		return func(nc net.Conn) {
			over := tls.Client(nc, c)
			if over.Handshake() == nil {
				_, _ = io.Copy(io.Discard, over)
			}
		}
	}
	say := func(text string) func(net.Conn) {
		return func(nc net.Conn) { _, _ = io.WriteString(nc, text); _, _ = io.Copy(io.Discard, nc) }
	}
	narrow := serving(t)
	narrow.CurvePreferences = []tls.CurveID{tls.X25519}
	const own = "a name of the client's own"
	for name, c := range map[string]struct {
		serve  *tls.Config
		client func(net.Conn)
		want   string
	}{
		"an old version":      {serving(t), shake(&tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}), CauseVersion},
		"another cipher":      {serving(t), shake(&tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_RSA_WITH_RC4_128_SHA}}), CauseCipher},
		"another exchange":    {narrow, shake(&tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13, CurvePreferences: []tls.CurveID{tls.CurveP521}}), CauseExchange},
		"no trust":            {serving(t), shake(&tls.Config{ServerName: "mx.test"}), CauseDistrust},
		"no TLS":              {serving(t), say("EHLO " + own + "\r\n"), CauseNoTLS},
		"nonsense":            {serving(t), say("\x16\x03\x01\x00\x05" + own), CauseMalformed},
		"gone":                {serving(t), func(net.Conn) {}, CauseLeft},
		"gone in the middle":  {serving(t), func(nc net.Conn) { _, _ = io.WriteString(nc, "\x16\x03\x01\x01\x00\x01") }, CauseLeft},
		"broken off":          {serving(t), say("\x15\x03\x01\x00\x02\x02\x28"), CauseBrokenOff},
		"an unknown alert":    {serving(t), say("\x15\x03\x01\x00\x02\x02\xc8"), CauseBrokenOff},
		"no certificate here": {TLS{}.Of(&tls.Config{}, true).Own(), shake(&tls.Config{InsecureSkipVerify: true, ServerName: "mx.test"}), CauseOurs},
		"a bad certificate": {serving(t), shake(&tls.Config{InsecureSkipVerify: true, GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return &tls.Certificate{Certificate: [][]byte{[]byte(own)}, PrivateKey: key}, nil
		}}), CauseCertificate},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := failing(t, c.serve, 20*time.Second, c.client)
			got := HandshakeCause(err)
			if got != c.want || !slices.Contains(causes(), got) || strings.Contains(got, own) {
				t.Errorf("%q of %v, want %q", got, err, c.want)
			}
		})
	}
	wait := make(chan struct{})
	defer close(wait)
	if got := HandshakeCause(failing(t, serving(t), 50*time.Millisecond, func(net.Conn) { <-wait })); got != CauseTimeout {
		t.Errorf("who says nothing: %q", got)
	}
}

// Who loses the place of his handshake is told apart from who left.
func TestADisplacedHandshakeSaysSo(t *testing.T) {
	limits := DefaultLimits()
	limits.Handshakes = 1
	a := NewAdmission()
	ours, theirs := net.Pipe()
	defer theirs.Close()
	first := a.Handshake(&limits, AddrPort(ours.RemoteAddr()).Addr(), time.Now(), func() { _ = ours.Close() })
	defer first.End()
	serve, failed := serving(t), make(chan error, 1)
	go func() {
		_, _, err := first.Over(ours, serve)
		failed <- err
	}()
	second := a.Handshake(&limits, AddrPort(ours.RemoteAddr()).Addr(), time.Now(), func() {})
	defer second.End()
	if err := <-failed; HandshakeCause(err) != CauseRoom {
		t.Errorf("%q of %v", HandshakeCause(err), err)
	}
}

// What no handshake of a test brings about has its words, too; whatever else an error says, it is one of ours.
func TestCausesOfErrors(t *testing.T) {
	for err, want := range map[error]string{
		errors.New("tls: peer doesn't support any of the certificate's signature algorithms"):    CauseSignature,
		errors.New("tls: client didn't provide a certificate"):                                   CauseCertificate,
		errors.New("tls: invalid signature by the client certificate: x"):                        CauseCertificate,
		errors.New("tls: no supported elliptic curves offered"):                                  CauseExchange,
		errors.New("tls: internal error: x"):                                                     CauseOurs,
		&net.OpError{Op: "remote error", Err: errors.New("tls: protocol version not supported")}: CauseVersion,
		&net.OpError{Op: "remote error", Err: errors.New("tls: unknown certificate authority")}:  CauseDistrust,
		&net.OpError{Op: "remote error", Err: errors.New("tls: user canceled")}:                  CauseBrokenOff,
		&net.OpError{Op: "local error", Err: errors.New("tls: unexpected message")}:              CauseMalformed,
		fmt.Errorf("read: %w", syscall.ECONNRESET):                                               CauseLeft,
		fmt.Errorf("read: %w", net.ErrClosed):                                                    CauseRoom,
		fmt.Errorf("read: %w", os.ErrDeadlineExceeded):                                           CauseTimeout,
		errors.New("client offered only unsupported versions\x1b[2J"):                            CauseMalformed,
	} {
		if got := HandshakeCause(err); got != want {
			t.Errorf("%v: %q, want %q", err, got, want)
		}
	}
	seen := map[string]bool{}
	for _, err := range []error{
		proxy.ErrNoHeader, fmt.Errorf("%w: %w", proxy.ErrNoHeader, proxy.ErrEnds), proxy.ErrTooLong, proxy.ErrSyntax, proxy.ErrAddress, os.ErrDeadlineExceeded, net.ErrClosed,
		errors.New("connection reset by\x00peer"),
	} {
		why := headerCause(err)
		if seen[why] || !strings.Contains(why, "PROXY header") || strings.Contains(why, "\x00") {
			t.Errorf("%v: %q", err, why)
		}
		seen[why] = true
	}
}
