package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"time"

	"sallyport/test/load"
)

// The addresses of the mail that is sent.
const (
	localRecipient  = "alice@local.test"
	remoteRecipient = "someone@remote.test"
	stranger        = "stranger@elsewhere.test"
	sourceCommand   = "smtp-source" // of the Debian package postfix
)

// sender is who submits mail that leaves.
type sender struct {
	address  string
	password string // empty: the server trusts the network and is not signed in to
}

// traffic is how much is sent and how.
type traffic struct {
	messages, clients, size int
	kept                    bool // many messages over one connection, or each over a new one
}

// source sends mail for localRecipient to the mx door with smtp-source, which fails
// at the first reply that is not the one it wants.
func source(ctx context.Context, addr string, t traffic) error {
	args := []string{
		"-s", strconv.Itoa(t.clients), "-l", strconv.Itoa(t.size), "-m", strconv.Itoa(t.messages),
		"-f", stranger, "-t", localRecipient,
	}
	if t.kept {
		args = append(args, "-d")
	}
	out, err := exec.CommandContext(ctx, sourceCommand, append(args, addr)...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", sourceCommand, err, out)
	}
	return nil
}

// submit sends mail for remoteRecipient with the generator of package load, command by
// command as smtp-source does: in clear to the mx door, or to the submission door with
// STARTTLS and AUTH.
func submit(ctx context.Context, at site, how security, t traffic) error {
	o := load.Options{
		Addr: func() string { return at.mx }, Connections: t.clients, Messages: t.messages, Size: t.size,
		From: at.from.address, To: []string{remoteRecipient}, Prefix: at.prefix,
	}
	if how == signedIn {
		if at.from.password == "" || at.submission == "" {
			return errors.New("nobody can sign in")
		}
		o.Addr, o.Security, o.TLS = func() string { return at.submission }, load.StartTLS, at.tls
		o.User, o.Password = at.from.address, at.from.password
	}
	if !t.kept {
		o.PerConn = 1
	}
	r, err := load.Run(ctx, o)
	if err != nil {
		return err
	}
	if r.Acknowledged != t.messages {
		return fmt.Errorf("%d of %d messages were acknowledged, %d refused, %d deferred, %d connections broken: %s",
			r.Acknowledged, t.messages, r.Refused, r.Deferred, r.Broken, r.LastError)
	}
	return nil
}

// pause waits, if nothing ends it.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// arrivalTimeout is how long mail may take to arrive after it was accepted.
const arrivalTimeout = 2 * time.Minute

// arrive waits until count says want.
func arrive(ctx context.Context, want int, poll time.Duration, count func() (int, error)) error {
	ctx, cancel := context.WithTimeout(ctx, arrivalTimeout)
	defer cancel()
	for {
		n, err := count()
		if err != nil {
			return err
		}
		if n == want {
			return nil
		}
		if n > want {
			return fmt.Errorf("%d messages arrived, want %d", n, want)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d of %d messages arrived: %w", n, want, ctx.Err())
		case <-time.After(poll):
		}
	}
}

// files counts the entries of a folder; one that is not there yet has none.
func files(dir string) (int, error) {
	d, err := os.Open(dir)
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	return len(names), err
}

// idlers holds connections that have said EHLO and then nothing.
type idlers struct {
	mu    sync.Mutex
	conns []net.Conn
	errs  []error
}

// openAtOnce is how many connections are being opened at the same time: OpenSMTPD resets some when
// more than five wait to be taken.
const openAtOnce = 4

// openIdle opens n connections, under TLS if cfg is not nil, and says EHLO on each.
func openIdle(ctx context.Context, addr string, cfg *tls.Config, n int) (*idlers, error) {
	var all idlers
	var wg sync.WaitGroup
	turns := make(chan struct{}, openAtOnce)
	for range n {
		turns <- struct{}{}
		wg.Go(func() {
			defer func() { <-turns }()
			all.add(openOne(ctx, addr, cfg))
		})
	}
	wg.Wait()
	if len(all.errs) > 0 {
		all.close()
		return nil, fmt.Errorf("%d of %d connections could not be opened, one because: %w", len(all.errs), n, all.errs[0])
	}
	return &all, nil
}

func (i *idlers) add(c net.Conn, err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if err != nil {
		i.errs = append(i.errs, err)
		return
	}
	i.conns = append(i.conns, c)
}

func (i *idlers) close() {
	for _, c := range i.conns {
		_ = c.Close() // an idle connection has nothing to lose
	}
}

func openOne(ctx context.Context, addr string, cfg *tls.Config) (net.Conn, error) {
	d := net.Dialer{Timeout: time.Minute}
	c, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	if cfg != nil {
		t := tls.Client(c, cfg)
		if err := t.HandshakeContext(ctx); err != nil {
			return nil, errors.Join(err, c.Close())
		}
		c = t
	}
	if err := hello(c); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// hello reads the greeting, says EHLO and reads the whole answer.
func hello(c net.Conn) error {
	buf := make([]byte, 4096)
	if err := awaitReply(c, buf, "220"); err != nil {
		return err
	}
	if _, err := c.Write([]byte("EHLO idle.invalid\r\n")); err != nil {
		return err
	}
	return awaitReply(c, buf, "250")
}

// awaitReply reads one reply, however many lines and packets it takes.
func awaitReply(c net.Conn, buf []byte, code string) error {
	n := 0
	for n < len(buf) {
		m, err := c.Read(buf[n:])
		n += m
		if lastLine(buf[:n], code) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("instead of %s: %q, %w", code, buf[:n], err)
		}
	}
	return fmt.Errorf("instead of %s: %q", code, buf)
}

// lastLine reports whether reply ends with a complete last line of that code. RFC
// 5321 §4.2.1.
func lastLine(reply []byte, code string) bool {
	text, ok := cutLine(reply)
	return ok && len(text) >= 4 && string(text[:3]) == code && text[3] == ' '
}

// cutLine returns the last line of reply if it is complete.
func cutLine(reply []byte) ([]byte, bool) {
	n := len(reply) - 2
	if n < 0 || reply[n] != '\r' || reply[n+1] != '\n' {
		return nil, false
	}
	begin := n
	for begin > 0 && reply[begin-1] != '\n' {
		begin--
	}
	return reply[begin:n], true
}

// trust returns a client configuration that believes what the certificates in pem
// sign.
func trust(pem []byte, name string) (*tls.Config, error) {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, errors.New("no certificate to trust")
	}
	return &tls.Config{RootCAs: pool, ServerName: name, MinVersion: tls.VersionTLS12}, nil
}
