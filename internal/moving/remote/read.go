package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"sallyport/internal/mailbox"
	"sallyport/internal/moving"
)

// Folders implements moving.Place.
func (m *Mailbox) Folders(ctx context.Context) ([]moving.Folder, error) {
	caps := m.client.Caps()
	var o *imap.ListOptions
	if caps.Has(imap.CapListExtended) || caps.Has(imap.CapIMAP4rev2) {
		o = &imap.ListOptions{ReturnSubscribed: true, ReturnSpecialUse: caps.Has(imap.CapSpecialUse)}
	}
	m.wire.allow(maxList)
	list, err := m.client.List("", "*", o).Collect()
	if err != nil {
		return nil, err
	}
	m.wire.allow(maxWords)
	var spaces imap.NamespaceData
	if caps.Has(imap.CapNamespace) {
		if s, err := m.client.Namespace().Wait(); err == nil {
			spaces = *s
		}
	}
	prefix := commonPrefix(list, spaces)
	var all []moving.Folder
	m.names = map[string]string{}
	for _, d := range list {
		if slices.Contains(d.Attrs, imap.MailboxAttrNoSelect) || slices.Contains(d.Attrs, imap.MailboxAttrNonExistent) {
			continue
		}
		f := moving.Folder{Name: d.Mailbox, Levels: levels(d, prefix), Use: useOf(d.Attrs), Messages: -1, Left: left(d, spaces)}
		f.Subscribed = o == nil || slices.Contains(d.Attrs, imap.MailboxAttrSubscribed)
		if f.Left == "" {
			m.wire.allow(maxWords)
			s, err := m.client.Status(d.Mailbox, &imap.StatusOptions{NumMessages: true}).Wait()
			if err == nil && s.NumMessages != nil {
				f.Messages = int(*s.NumMessages)
			}
		}
		m.names[f.Name] = d.Mailbox
		all = append(all, f)
	}
	return all, ctx.Err()
}

// commonPrefix is what the names of all folders but the INBOX begin with: that of the personal
// namespace, as Courier and Cyrus have it.
func commonPrefix(list []*imap.ListData, spaces imap.NamespaceData) string {
	if len(spaces.Personal) > 0 && spaces.Personal[0].Prefix != "" {
		return spaces.Personal[0].Prefix
	}
	prefix := ""
	for _, d := range list {
		if strings.EqualFold(d.Mailbox, mailbox.Inbox) || d.Delim == 0 {
			continue
		}
		prefix = mailbox.Inbox + string(d.Delim)
		if !strings.HasPrefix(strings.ToUpper(d.Mailbox), prefix) {
			return ""
		}
	}
	return prefix
}

func levels(d *imap.ListData, prefix string) []string {
	name := d.Mailbox
	if len(name) > len(prefix) && strings.EqualFold(name[:len(prefix)], prefix) {
		name = name[len(prefix):]
	}
	if d.Delim == 0 {
		return []string{name}
	}
	all := strings.Split(name, string(d.Delim))
	if len(all) > 1 && (all[0] == "[Gmail]" || all[0] == "[Google Mail]") {
		all = all[1:]
	}
	return all
}

func useOf(attrs []imap.MailboxAttr) mailbox.Use {
	for _, a := range attrs {
		switch a {
		case imap.MailboxAttrArchive:
			return mailbox.UseArchive
		case imap.MailboxAttrDrafts:
			return mailbox.UseDrafts
		case imap.MailboxAttrJunk:
			return mailbox.UseJunk
		case imap.MailboxAttrSent:
			return mailbox.UseSent
		case imap.MailboxAttrTrash:
			return mailbox.UseTrash
		}
	}
	return mailbox.UseNone
}

// left says why a folder does not come by itself.
func left(d *imap.ListData, spaces imap.NamespaceData) string {
	for _, a := range d.Attrs {
		if a == imap.MailboxAttrAll || a == imap.MailboxAttrFlagged || a == "\\Important" {
			return "it shows messages of the other folders once more"
		}
	}
	for _, s := range append(spaces.Other, spaces.Shared...) {
		if s.Prefix != "" && strings.HasPrefix(d.Mailbox, s.Prefix) {
			return "it belongs to others too"
		}
	}
	return ""
}

// atOnce is how many messages one command asks for, and tries how often a connection is made
// again without a message having come.
const (
	atOnce = 500
	tries  = 6
)

// Read implements moving.Place.
func (m *Mailbox) Read(ctx context.Context, name string, r moving.Receiver) error {
	validity, uids, err := m.open(ctx, name)
	if err != nil && !m.wire.spent() && m.again(ctx, 0) == nil {
		validity, uids, err = m.open(ctx, name)
	}
	if err != nil {
		return m.told(ctx, err)
	}
	origin := func(uid imap.UID) mailbox.Origin {
		return mailbox.OriginOf(m.Identity(), name, strconv.FormatUint(uint64(validity), 10), strconv.FormatUint(uint64(uid), 10))
	}
	origins := make([]mailbox.Origin, len(uids))
	for i, uid := range uids {
		origins[i] = origin(uid)
	}
	r.Listed(origins)
	uids = slices.DeleteFunc(uids, func(uid imap.UID) bool { return !r.Wanted(origin(uid)) })
	f := &fetching{m: m, name: name, validity: validity, origin: origin, r: r, left: uids, atOnce: atOnce}
	return f.all(ctx)
}

// open looks at a folder and what is in it.
func (m *Mailbox) open(ctx context.Context, name string) (validity uint32, uids []imap.UID, err error) {
	m.wire.allow(maxWords)
	s, err := m.client.Select(name, &imap.SelectOptions{ReadOnly: true}).Wait()
	if err != nil {
		return 0, nil, err
	}
	if s.NumMessages == 0 {
		return s.UIDValidity, nil, ctx.Err()
	}
	m.wire.allow(maxNumbers)
	found, err := m.client.UIDSearch(&imap.SearchCriteria{}, nil).Wait()
	if err != nil {
		return 0, nil, err
	}
	if uids, err = uidsOf(found.All); err != nil {
		return 0, nil, err
	}
	if len(uids) == 0 {
		return 0, nil, fmt.Errorf("%w: it has %d, and names none", errNumbers, s.NumMessages)
	}
	return s.UIDValidity, uids, ctx.Err()
}

// told is a fault of a whole folder: what the server said, or that it is gone.
func (m *Mailbox) told(ctx context.Context, err error) error {
	var refused *imap.Error
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &refused) && !errors.Is(err, errSignIn), errors.Is(err, errNumbers):
		return err
	case m.wire.spent():
		return errEndless
	}
	return fmt.Errorf("%w: %w", moving.ErrLost, err)
}

// again connects anew, after a while.
func (m *Mailbox) again(ctx context.Context, failures int) error {
	select {
	case <-m.client.Closed():
	default:
		if m.client.State() != imap.ConnStateLogout {
			return nil // it stands
		}
	}
	m.unhook()
	_ = m.client.Close()
	var err error
	for n := failures; n < tries; n++ {
		if err = m.o.Pause(ctx, time.Second<<n); err != nil {
			return err
		}
		if err = m.connect(ctx); err == nil || errors.Is(err, errSignIn) || ctx.Err() != nil {
			return err
		}
	}
	return err
}

// fetching reads the messages of one folder.
type fetching struct {
	m        *Mailbox
	name     string
	validity uint32
	origin   func(imap.UID) mailbox.Origin
	r        moving.Receiver
	left     []imap.UID // that are still to be read
	atOnce   int
	failures int // since a message came last
}

func (f *fetching) all(ctx context.Context) error {
	for len(f.left) > 0 {
		some := f.left[:min(len(f.left), f.atOnce)]
		came, err := f.some(some)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		var of receiverError
		if errors.As(err, &of) {
			return of.error
		}
		if len(came) > 0 {
			f.failures = 0
		}
		if err == nil {
			if err := f.withheld(some, came); err != nil {
				return err
			}
			f.left = f.left[len(some):]
			f.atOnce = atOnce
			continue
		}
		f.left = slices.DeleteFunc(slices.Clone(f.left), func(uid imap.UID) bool { return came[uid] })
		if err := f.failed(ctx, len(some), err); err != nil {
			return err
		}
	}
	return nil
}

// withheld names what did not come although the server says OK, unless it is gone there.
func (f *fetching) withheld(asked []imap.UID, came map[imap.UID]bool) error {
	missing := slices.DeleteFunc(slices.Clone(asked), func(uid imap.UID) bool { return came[uid] })
	if len(missing) == 0 {
		return nil
	}
	f.m.wire.allow(maxNumbers)
	found, err := f.m.client.UIDSearch(&imap.SearchCriteria{UID: []imap.UIDSet{imap.UIDSetNum(missing...)}}, nil).Wait()
	var there []imap.UID
	if err == nil {
		there, err = uidsOf(found.All)
	}
	for _, uid := range missing {
		if err == nil && !slices.Contains(there, uid) {
			continue
		}
		if err := f.r.Unreadable(nameOf(uid), errWithheld); err != nil {
			return err
		}
	}
	return nil
}

var errWithheld = errors.New("the server has it, and does not show it")

func nameOf(uid imap.UID) string { return "UID " + strconv.FormatUint(uint64(uid), 10) }

// failed goes on after the server, or the way to it, failed. A message that fails by itself twice
// is one that cannot be read.
func (f *fetching) failed(ctx context.Context, asked int, err error) error {
	if errors.Is(err, errEndless) || f.m.wire.spent() {
		return errEndless // it would say the same again
	}
	f.failures++
	if asked == 1 && f.failures > 2 && len(f.left) > 0 {
		uid := f.left[0]
		f.left, f.failures = f.left[1:], 0
		if err := f.r.Unreadable(nameOf(uid), err); err != nil {
			return err
		}
	}
	f.atOnce = 1
	if err := f.m.again(ctx, min(f.failures, tries-1)); err != nil {
		return f.m.told(ctx, err)
	}
	f.m.wire.allow(maxWords)
	s, err := f.m.client.Select(f.name, &imap.SelectOptions{ReadOnly: true}).Wait()
	switch {
	case err != nil && f.failures > tries:
		return f.m.told(ctx, err)
	case err == nil && s.UIDValidity != f.validity:
		return errors.New("its messages got other UIDs meanwhile; import it again")
	}
	return nil
}

// receiverError is what the receiver returned.
type receiverError struct{ error }

// some asks for messages, and hands on what comes.
func (f *fetching) some(uids []imap.UID) (came map[imap.UID]bool, err error) {
	came = map[imap.UID]bool{}
	section := &imap.FetchItemBodySection{Peek: true}
	f.m.wire.allow(maxBetween)
	cmd := f.m.client.Fetch(imap.UIDSetNum(uids...), &imap.FetchOptions{
		UID: true, Flags: true, InternalDate: true, BodySection: []*imap.FetchItemBodySection{section},
	})
	for {
		data := cmd.Next()
		if data == nil {
			return came, cmd.Close()
		}
		g, err := f.gather(data)
		if errors.Is(err, errEndless) { // nobody waits for the end of it
			return came, errors.Join(err, closed(f.m.wire.Close()), cmd.Close())
		}
		if err != nil {
			return came, errors.Join(err, cmd.Close())
		}
		if g.uid == 0 || !slices.Contains(uids, g.uid) || came[g.uid] || !g.body {
			continue // of a change that somebody made
		}
		came[g.uid] = true
		f.m.wire.allow(maxBetween)
		if err := f.hand(g); err != nil {
			_ = cmd.Close()
			return came, receiverError{err}
		}
	}
}

func (f *fetching) hand(g gathered) error {
	name := nameOf(g.uid)
	if g.none {
		return f.r.Unreadable(name, errors.New("the server has it, and shows nothing of it"))
	}
	if g.over {
		return f.r.Unreadable(name, fmt.Errorf("it has more than %d octets", int64(mailbox.MaxArrival)))
	}
	return f.r.Message(moving.Message{Origin: f.origin(g.uid), Name: name, Flags: flags(g.flags), Date: g.date, Octets: g.octets})
}

// gathered is what a server says of a message.
type gathered struct {
	uid        imap.UID
	flags      []imap.Flag
	date       time.Time
	octets     []byte
	body, over bool
	none       bool // the server has it, and cannot read it
}

// gather reads what a server says, in whichever order it says it.
func (f *fetching) gather(data *imapclient.FetchMessageData) (g gathered, err error) {
	for {
		item := data.Next()
		if item == nil {
			return g, err
		}
		switch i := item.(type) {
		case imapclient.FetchItemDataUID:
			g.uid = i.UID
		case imapclient.FetchItemDataFlags:
			g.flags = i.Flags
		case imapclient.FetchItemDataInternalDate:
			g.date = i.Time
		case imapclient.FetchItemDataBodySection:
			if i.Literal != nil && (g.body || i.Literal.Size() > maxSkipped) {
				return g, errEndless
			}
			g.body = true
			if g.none = i.Literal == nil; g.none {
				continue
			}
			f.m.wire.more(i.Literal.Size())
			if g.over = i.Literal.Size() > mailbox.MaxArrival; g.over {
				continue
			}
			g.octets = make([]byte, i.Literal.Size())
			_, err = io.ReadFull(i.Literal, g.octets)
		}
	}
}

// flags are those of a message here: words that can be no keyword are left out.
func flags(all []imap.Flag) mailbox.Flags {
	var s mailbox.System
	var words []string
	for _, f := range all {
		switch strings.ToLower(string(f)) {
		case "\\seen":
			s |= mailbox.Seen
		case "\\answered":
			s |= mailbox.Answered
		case "\\flagged":
			s |= mailbox.Flagged
		case "\\deleted":
			s |= mailbox.Deleted
		case "\\draft":
			s |= mailbox.Draft
		default:
			if mailbox.IsKeyword(string(f)) {
				words = append(words, string(f))
			}
		}
	}
	return mailbox.NewFlags(s, words...)
}
