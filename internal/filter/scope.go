package filter

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"strings"
	"sync/atomic"
	"syscall"

	"sallyport/internal/fact"
	"sallyport/internal/filter/milter"
	"sallyport/internal/filter/rspamd"
	"sallyport/internal/gate"
	"sallyport/internal/intake"
	"sallyport/internal/kit/shortage"
	"sallyport/internal/mail"
)

// Down says what becomes of a message when a check gives no answer that can be
// understood. The zero Down defers it.
type Down uint8

const (
	DownDefer Down = iota
	DownAccept
)

// Scope says which messages a check is shown.
type Scope struct {
	// Accounts adds what our own people submit to what strangers bring.
	Accounts bool
	// MaxSize is the largest message that is shown, in octets; larger ones pass
	// unseen, which is noted.
	MaxSize int64
	Down    Down
}

// covers reports whether a message is of those that the check is shown.
func (s Scope) covers(m intake.Message) bool {
	return s.Accounts && !m.Account.IsZero() || m.Account.IsZero() && m.Door == gate.DoorMX
}

// oversize returns the finding for a message that is too large to be shown.
func (s Scope) oversize(check string, octets int64) intake.Finding {
	return intake.Finding{
		Action: intake.Pass,
		Notes:  []fact.Pair{{Name: check, Value: fmt.Sprintf("not asked: %d octets are more than %d", octets, s.MaxSize)}},
	}
}

// failed returns the finding for a message about which a check gave no answer. Where
// what was missing is ours, the message waits, whatever the administrator says of a
// check that is down: else who makes us short of it would get past the check.
func (s Scope) failed(check string, err error, h *health) intake.Finding {
	if lacking(err, h) {
		return intake.Finding{
			Action: intake.Defer, Rule: check + "-crowded",
			Reply: mail.R(451, "4.3.2", "this server is too busy to check the message; try again later"),
			Notes: []fact.Pair{{Name: check, Value: "not asked: " + err.Error()}},
		}
	}
	f := intake.Finding{Action: intake.Pass, Notes: []fact.Pair{{Name: check, Value: "no answer: " + err.Error()}}}
	if s.Down != DownAccept {
		f.Action, f.Rule = intake.Defer, check+"-unavailable"
		f.Reply = mail.R(451, "4.3.0", "the content check is not available; try again later")
	}
	return f
}

// Named returns the name that the address of a client proves, which leads back to it; "": none is known.
type Named func(ctx context.Context, client netip.Addr) string

// of returns the name of the client of a message. Many programs hold it against a client that it has none.
func (n Named) of(ctx context.Context, m intake.Message) string {
	if n == nil || !m.Peer.IsValid() || m.Peer.IsLoopback() {
		return ""
	}
	return n(ctx, m.Peer)
}

// health logs when a check stops to answer and when it answers again, once each.
type health struct {
	down   atomic.Bool
	logger *slog.Logger
}

func (h *health) saw(check string, err error) {
	switch {
	case err != nil && lacking(err, h): // it says nothing of the check
	case err != nil && h.down.CompareAndSwap(false, true):
		h.logger.Warn("a content check does not answer", "check", check, "err", err)
	case err == nil && h.down.CompareAndSwap(true, false):
		h.logger.Info("a content check answers again", "check", check)
	}
}

// whole reads the message with what inspectors before added to it, and tells its
// octets.
func whole(c intake.Content) (io.Reader, int64, error) {
	r, err := c.Open()
	if err != nil {
		return nil, 0, fmt.Errorf("%w: %w", errStored, err)
	}
	return io.MultiReader(bytes.NewReader(c.Added), stored{r}), int64(len(c.Added)) + c.Size, nil
}

// errStored marks what failed in reading the message itself.
var errStored = errors.New("the message cannot be read")

// stored is the message as our own disk gives it.
type stored struct{ r io.Reader }

// Read implements io.Reader.
func (s stored) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && err != io.EOF {
		err = fmt.Errorf("%w: %w", errStored, err)
	}
	return n, err
}

// lacking reports whether an error says that this server lacks something: files,
// memory, ports, the message itself, or a turn at a check that answers others. That
// all turns are taken while the check does not answer is the check's doing.
func lacking(err error, h *health) bool {
	if errors.Is(err, milter.ErrBusy) || errors.Is(err, rspamd.ErrBusy) {
		return !h.down.Load()
	}
	return shortage.Of(err) || errors.Is(err, errStored) || errors.Is(err, syscall.EADDRNOTAVAIL)
}

// security names version and cipher of a connection; empty for clear text.
func security(s *tls.ConnectionState) (version, cipher string) {
	if s == nil {
		return "", ""
	}
	return strings.ReplaceAll(tls.VersionName(s.Version), " ", "v"), tls.CipherSuiteName(s.CipherSuite)
}

// words returns a text of a program that we asked, fit for a reply or a header field;
// "" if there is nothing in it to read.
func words(s string) string { return strings.TrimSpace(mail.PlainLine(s, maxWords)) }

// maxWords bounds such a text.
const maxWords = 200
