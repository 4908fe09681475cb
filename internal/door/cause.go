package door

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"

	"sallyport/internal/smtp/proxy"
)

// Why a TLS handshake failed, as facts tell it: one of these and nothing else. What a client says in
// it (names in a certificate, protocols that it asks for) reaches nobody.
const (
	CauseVersion     = "no version in common"
	CauseCipher      = "no cipher in common"
	CauseExchange    = "no key exchange in common"
	CauseSignature   = "no signature in common"
	CauseCertificate = "bad client certificate"
	CauseDistrust    = "the client does not trust our certificate"
	CauseBrokenOff   = "the client broke it off"
	CauseNoTLS       = "the client does not speak TLS"
	CauseMalformed   = "the client keeps to no rule of TLS"
	CauseLeft        = "the client left"
	CauseTimeout     = "timed out"
	CauseRoom        = "others needed its place"
	CauseShutdown    = "the server stops"
	CauseOurs        = "a fault of ours"
)

// errDisplaced is the error of a handshake that lost its place.
var errDisplaced = errors.New("door: others needed the place")

// displaced returns the error of a handshake, which says so where it had lost its place.
func (h *Handshake) displaced(err error) error {
	select {
	case <-h.gone:
		return fmt.Errorf("%w: %w", errDisplaced, err)
	default:
		return err
	}
}

// HandshakeCause says why a handshake failed.
func HandshakeCause(err error) string {
	var header tls.RecordHeaderError
	var op *net.OpError
	switch {
	case errors.Is(err, errDisplaced), errors.Is(err, net.ErrClosed): // nobody else closes it at our end
		return CauseRoom
	case errors.Is(err, os.ErrDeadlineExceeded):
		return CauseTimeout
	case errors.As(err, &header):
		return CauseNoTLS
	case errors.As(err, &op) && op.Op == "remote error":
		return alertCause(op.Err.Error())
	case lost(err):
		return CauseLeft
	}
	return tlsCause(err.Error())
}

// lost reports whether the other side is gone.
func lost(err error) bool {
	for _, end := range []error{io.EOF, io.ErrUnexpectedEOF, syscall.ECONNRESET, syscall.EPIPE} {
		if errors.Is(err, end) {
			return true
		}
	}
	return false
}

// alertCause says what the client meant that broke a handshake off, by the library's word for its alert. RFC 8446 §6.2.
func alertCause(alert string) string {
	switch strings.TrimPrefix(alert, "tls: ") {
	case "bad certificate", "unsupported certificate", "revoked certificate", "expired certificate", "unknown certificate", "unknown certificate authority",
		"certificate unobtainable", "bad certificate status response", "bad certificate hash value":
		return CauseDistrust
	case "protocol version not supported":
		return CauseVersion
	}
	return CauseBrokenOff
}

// tlsCause reads the library's words, since most of its errors are of no type: each begins with words of its own, whatever a
// client's stand behind them.
func tlsCause(words string) string {
	for _, known := range []struct{ begins, cause string }{
		{"tls: client offered only unsupported versions", CauseVersion},
		{"tls: client using inappropriate protocol fallback", CauseVersion},
		{"tls: no cipher suite supported by both", CauseCipher},
		{"tls: no key exchanges supported by both", CauseExchange},
		{"tls: no supported elliptic curves offered", CauseExchange},
		{"tls: client offered only incompatible point formats", CauseExchange},
		{"tls: peer doesn't support any of the certificate's signature algorithms", CauseSignature},
		{"tls: missing signature_algorithms", CauseSignature},
		{"tls: failed to parse client certificate", CauseCertificate},
		{"tls: client certificate", CauseCertificate},
		{"tls: client sent certificate", CauseCertificate},
		{"tls: client didn't provide a certificate", CauseCertificate},
		{"tls: invalid signature by the client certificate", CauseCertificate},
		{"tls: no certificates configured", CauseOurs},
		{"tls: failed to sign", CauseOurs},
		{"tls: internal error", CauseOurs},
	} {
		if strings.HasPrefix(words, known.begins) {
			return known.cause
		}
	}
	return CauseMalformed
}

// headerCause says why a balancer's connection had no proper header of the PROXY protocol.
func headerCause(err error) string {
	for _, known := range []struct {
		err   error
		cause string
	}{
		{proxy.ErrEnds, "it ended before its PROXY header did"},
		{proxy.ErrNoHeader, "it begins with no PROXY header"},
		{proxy.ErrTooLong, "its PROXY header is too long"},
		{proxy.ErrSyntax, "its PROXY header is malformed"},
		{proxy.ErrAddress, "its PROXY header names no address of a client"},
		{os.ErrDeadlineExceeded, "no PROXY header came in time"},
		{net.ErrClosed, "others needed its place before its PROXY header came"},
	} {
		if errors.Is(err, known.err) {
			return known.cause
		}
	}
	return "it was lost before its PROXY header came"
}
