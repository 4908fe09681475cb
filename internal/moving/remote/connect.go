// Package remote reads a mailbox on another server by IMAP, to import from it. It opens folders
// for reading only and changes nothing there. Unless it is told otherwise it speaks TLS and
// believes nobody whose certificate does not verify. A connection that is lost is made again, and
// reading goes on where it was.
package remote

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
	"github.com/emersion/go-sasl"
)

// Security is how a connection is protected.
type Security uint8

// The ways to protect a connection.
const (
	TLS      Security = iota // from the first octet
	StartTLS                 // or nothing
	Clear                    // not at all
)

// Options name a mailbox on another server.
type Options struct {
	Address  string // host:port
	Security Security
	Roots    *x509.CertPool // nil: those of this machine
	// Fingerprint is the SHA-256 of the certificate that is believed, and no other, in
	// hexadecimal; "": one that verifies.
	Fingerprint string
	User        string
	As          string // whose mailbox it is, if User is a master user who may open it; SASL PLAIN's authzid
	Secret      string // password or token
	Token       bool   // Secret is an OAuth token
	Dialer      net.Dialer
	// Pause waits before a connection is made again.
	Pause func(ctx context.Context, d time.Duration) error
}

// handshake bounds how long a greeting and a handshake may take.
const handshake = 30 * time.Second

// Mailbox is one on another server.
type Mailbox struct {
	o      Options
	wire   *bounded
	client *imapclient.Client
	unhook func() bool
	names  map[string]string // how folders are called there
}

// Open connects and signs in.
func Open(ctx context.Context, o Options) (*Mailbox, error) {
	m := &Mailbox{o: o}
	return m, m.connect(ctx)
}

func (m *Mailbox) connect(ctx context.Context) error {
	host, _, err := net.SplitHostPort(m.o.Address)
	if err != nil {
		return err
	}
	conn, err := m.o.Dialer.DialContext(ctx, "tcp", m.o.Address)
	if err != nil {
		return err
	}
	m.unhook = context.AfterFunc(ctx, func() { _ = conn.Close() })
	m.wire = &bounded{Conn: conn}
	m.wire.allow(maxWords)
	if err := m.begin(m.wire, m.tls(host)); err != nil {
		m.unhook()
		return errors.Join(err, closed(conn.Close()))
	}
	return nil
}

func closed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// tls verifies by the roots, or by the fingerprint alone.
func (m *Mailbox) tls(host string) *tls.Config {
	c := &tls.Config{ServerName: host, RootCAs: m.o.Roots, MinVersion: tls.VersionTLS12}
	if m.o.Fingerprint == "" {
		return c
	}
	want := strings.ToLower(strings.ReplaceAll(m.o.Fingerprint, ":", ""))
	c.InsecureSkipVerify = true // the certificate is known by its digest, below
	c.VerifyConnection = func(s tls.ConnectionState) error {
		sum := sha256.Sum256(s.PeerCertificates[0].Raw)
		if is := hex.EncodeToString(sum[:]); is != want {
			return fmt.Errorf("the certificate of %s has the SHA-256 %s, and not the one that is believed", host, is)
		}
		return nil
	}
	return c
}

func (m *Mailbox) begin(conn net.Conn, config *tls.Config) (err error) {
	_ = conn.SetDeadline(time.Now().Add(handshake))
	switch m.o.Security {
	case TLS:
		config.NextProtos = []string{"imap"}
		secure := tls.Client(conn, config)
		if err := secure.Handshake(); err != nil {
			return hinted(err)
		}
		_ = conn.SetDeadline(time.Time{})
		m.client = imapclient.New(secure, nil)
	case StartTLS:
		m.client, err = imapclient.NewStartTLS(conn, &imapclient.Options{TLSConfig: config})
		if err != nil {
			return hinted(err)
		}
		// The handshake takes place with what is read next.
		if err := m.client.Noop().Wait(); err != nil {
			return hinted(err)
		}
		_ = conn.SetDeadline(time.Time{})
	default:
		_ = conn.SetDeadline(time.Time{})
		m.client = imapclient.New(conn, nil)
	}
	if err := m.client.WaitGreeting(); err != nil {
		return err
	}
	return m.signIn()
}

// hinted says what can be done about a certificate that nobody vouches for.
func hinted(err error) error {
	var unknown *tls.CertificateVerificationError
	if errors.As(err, &unknown) && len(unknown.UnverifiedCertificates) > 0 {
		sum := sha256.Sum256(unknown.UnverifiedCertificates[0].Raw)
		return fmt.Errorf("%w; if it is the right one: --ca FILE names who signed it, and --fingerprint %s believes this one alone",
			err, hex.EncodeToString(sum[:]))
	}
	return err
}

// errSignIn: the server does not let anybody in, so that asking again is no use.
var errSignIn = errors.New("the other server does not let in")

func (m *Mailbox) signIn() error {
	caps := m.client.Caps()
	var err error
	switch {
	case m.o.Token && caps.Has(imap.AuthCap(sasl.OAuthBearer)):
		host, _, _ := net.SplitHostPort(m.o.Address)
		err = m.client.Authenticate(sasl.NewOAuthBearerClient(&sasl.OAuthBearerOptions{Username: m.o.User, Token: m.o.Secret, Host: host}))
	case m.o.Token:
		err = m.client.Authenticate(xoauth2{m.o.User, m.o.Secret})
	case caps.Has(imap.AuthCap(sasl.Plain)):
		err = m.client.Authenticate(sasl.NewPlainClient(m.o.As, m.o.User, m.o.Secret))
	case m.o.As != "":
		err = errors.New("it does not offer AUTH=PLAIN, by which a master user opens the mailbox of another")
	case caps.Has(imap.CapLoginDisabled):
		err = errors.New("it takes no password on this connection: use imaps:// or imap:// with STARTTLS")
	default:
		err = m.client.Login(m.o.User, m.o.Secret).Wait()
	}
	var refused *imap.Error
	if err != nil && (errors.As(err, &refused) || caps.Has(imap.CapLoginDisabled)) {
		return fmt.Errorf("%w %s: %w", errSignIn, m.o.User, err)
	}
	return err
}

// xoauth2 is Google's and Microsoft's mechanism from before RFC 7628.
type xoauth2 struct{ user, token string }

// Start implements sasl.Client.
func (x xoauth2) Start() (string, []byte, error) {
	return "XOAUTH2", []byte("user=" + x.user + "\x01auth=Bearer " + x.token + "\x01\x01"), nil
}

// Next answers the error that a refusal begins with.
func (x xoauth2) Next([]byte) ([]byte, error) { return []byte{}, nil }

// Identity implements moving.Place.
func (m *Mailbox) Identity() string {
	whose := m.o.User
	if m.o.As != "" {
		whose = m.o.As
	}
	return "imap " + whose + " at " + m.o.Address
}

// Close ends the connection.
func (m *Mailbox) Close() error {
	if m.client == nil {
		return nil
	}
	defer m.unhook()
	_ = m.client.Logout().Wait() // it may be gone
	_ = m.client.Close()
	return nil
}
