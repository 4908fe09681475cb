package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"sallyport/internal/config"
	"sallyport/internal/directory"
	"sallyport/internal/gate"
	"sallyport/internal/intake"
	"sallyport/internal/kit/safefile"
	"sallyport/internal/mail"
	"sallyport/internal/operate"
	"sallyport/internal/returnpath/prvs"
	"sallyport/internal/returnpath/srs"
)

const (
	// returnKeyFile signs return paths. It may be made at any time: a lost one makes the
	// return paths that are out in the world look forged, and signing begins anew.
	returnKeyFile = "return-path.key"
	// returnSinceFile says since when return paths are signed with that key, without a
	// break. It is no secret, and stands where the key does: neither means anything
	// without the other.
	returnSinceFile = "return-path.since"
)

func loadReturnKey(cfg config.Config, rnd io.Reader) (prvs.Key, error) {
	path := filepath.Join(cfg.KeysDir(), returnKeyFile)
	secret, err := loadOrMakeKey(path, true, func() ([]byte, error) {
		// What was signed until now was signed with a key that is gone.
		if err := removeSince(cfg); err != nil {
			return nil, err
		}
		return randomKey(rnd)
	})
	if err != nil {
		return prvs.Key{}, err
	}
	k, err := prvs.NewKey(secret)
	if err != nil {
		return prvs.Key{}, damagedKey(path, err)
	}
	return k, nil
}

func sincePath(cfg config.Config) string { return filepath.Join(cfg.KeysDir(), returnSinceFile) }

// readSince returns since when return paths are signed; zero: they are not.
func readSince(cfg config.Config) (time.Time, error) {
	f, err := os.Open(sincePath(cfg))
	if errors.Is(err, fs.ErrNotExist) {
		return time.Time{}, nil
	}
	if err != nil {
		return time.Time{}, err
	}
	b, err := io.ReadAll(io.LimitReader(f, maxKeyOctets))
	if err = errors.Join(err, f.Close()); err != nil {
		return time.Time{}, err
	}
	at, err := time.Parse(time.RFC3339, strings.TrimSpace(string(b)))
	if err != nil {
		return time.Time{}, fmt.Errorf("%s does not say since when return paths are signed: remove it, and they are signed for 14 days anew before anything is refused: %w", sincePath(cfg), err)
	}
	return at.UTC(), nil
}

func writeSince(cfg config.Config, at time.Time) error {
	return writeKey(sincePath(cfg), []byte(at.UTC().Format(time.RFC3339)+"\n"))
}

func removeSince(cfg config.Config) error {
	return safefile.Remove(sincePath(cfg))
}

// signing is how return paths are signed in one generation. The zero value signs none.
type signing struct {
	mode   config.Signing
	age    time.Duration
	since  time.Time
	exempt map[string]bool // by key
	detail byte
}

// buildReturnPath notes when signing begins, durably and before anything is signed, or
// that it has ended.
func (n *Node) buildReturnPath(_ context.Context, next, _ *generation) error {
	cfg, p := next.cfg, next.cfg.ReturnPath
	if p.Sign == config.SignOff {
		next.then = append(next.then, func() {
			if err := removeSince(cfg); err != nil {
				n.log.Error("that return paths are not signed any more could not be noted", "err", err)
			}
		})
		return nil
	}
	since, err := readSince(cfg)
	if err == nil && since.IsZero() {
		since = n.o.Now().UTC().Truncate(time.Second)
		err = writeSince(cfg, since)
		next.undo = append(next.undo, func() { _ = removeSince(cfg) })
	}
	if err != nil {
		return cfg.Fault("return_path.sign", err.Error(), "")
	}
	next.signing = signing{mode: p.Sign, age: p.Age, since: since, exempt: map[string]bool{}, detail: cfg.Detail}
	for _, a := range p.Exempt {
		next.signing.exempt[a.Key()] = true
	}
	return nil
}

// requires reports whether a bounce to the bare address a is refused by now.
func (s signing) requires(a mail.Address, now time.Time) bool {
	if s.mode != config.SignRequire || now.Before(s.since.Add(prvs.Grace)) || !prvs.Fits(a) || srs.Is(a) {
		return false
	}
	base, _, _ := strings.Cut(a.Local(), string(rune(s.detail)))
	if whole, err := a.WithLocal(base); s.detail != 0 && err == nil && s.exempt[whole.Key()] {
		return false
	}
	return !s.exempt[a.Key()]
}

// signs reports whether the addresses of a domain are signed: one of ours, that no
// server behind us could send for by itself.
func signs(dir *directory.Snapshot, d mail.Domain) bool {
	known, ours := dir.Domain(d)
	return ours && known.Deliver != directory.DeliverSMTP
}

// signSender signs the envelope sender of a message that leaves.
func (n *Node) signSender(from mail.Address, received time.Time) (mail.Address, bool) {
	s := n.now().signing
	if s.mode == config.SignOff || srs.Is(from) || !signs(n.dirs.snapshot(), from.Domain()) {
		return mail.Address{}, false
	}
	signed, err := n.returnKey.Sign(from, prvs.End(received, n.o.Now(), s.age))
	return signed, err == nil // what does not fit leaves as it is, and its bounces are taken
}

// readMark tells what the form of a recipient says about return paths of ours. What
// was signed is read whether or not anything is signed now: it may come back for days.
func (n *Node) readMark(dir *directory.Snapshot, a mail.Address, bounce bool) intake.Mark {
	if !signs(dir, a.Domain()) {
		return intake.Mark{}
	}
	s, now := n.now().signing, n.o.Now()
	if prvs.Is(a) {
		return n.readSigned(dir, a, bounce, s.mode != config.SignOff, now)
	}
	if !bounce || !s.requires(a, now) {
		return intake.Mark{}
	}
	c := dir.Classify(a)
	switch c.Destination {
	case gate.DestinationMailbox, gate.DestinationAccountsOnly, gate.DestinationMembersOnly, gate.DestinationNonMember:
	case gate.DestinationUnavailable:
		if len(c.Ask) == 0 {
			return intake.Mark{} // the directory cannot tell
		}
	default:
		return intake.Mark{} // the postmaster, or nobody
	}
	return intake.Mark{Refused: gate.DestinationUnmarked, Note: "not signed, which is required since " + s.since.Add(prvs.Grace).Format(time.RFC3339)}
}

// readSigned reads a recipient in the form of a signed return path. Mail that is no
// bounce may come to one that has ended: its writer knows the address, as he may.
func (n *Node) readSigned(dir *directory.Snapshot, a mail.Address, bounce, refuse bool, now time.Time) intake.Mark {
	if named := dir.Classify(a).Rule; named == directory.RuleAccount || named == directory.RuleAlias {
		return intake.Mark{}
	}
	plain, end, err := n.returnKey.Open(a, now)
	until := end.Format(time.DateOnly)
	switch {
	case err == nil:
		return intake.Mark{Address: plain, Note: a.String() + ", signed until " + until}
	case errors.Is(err, prvs.ErrStale) && (!bounce || !refuse):
		return intake.Mark{Address: plain, Note: a.String() + ", signed until " + until + ", which is over"}
	case !refuse:
		return intake.Mark{}
	case errors.Is(err, prvs.ErrStale):
		return intake.Mark{Refused: gate.DestinationMarkForged, Note: "the signature of " + plain.String() + " ended on " + until}
	}
	return intake.Mark{Refused: gate.DestinationMarkForged, Note: "the signature was not made here"}
}

// ReturnPathOf reads how far the signing of return paths has come; nil: none are signed.
func ReturnPathOf(cfg config.Config) (*operate.ReturnPath, error) {
	if cfg.ReturnPath.Sign == config.SignOff {
		return nil, nil
	}
	since, err := readSince(cfg)
	r := operate.ReturnPath{Sign: cfg.ReturnPath.Sign.String(), Since: since}
	if cfg.ReturnPath.Sign == config.SignRequire && !since.IsZero() {
		r.RefusesFrom = since.Add(prvs.Grace)
	}
	return &r, err
}
