package node

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"os/user"
	"strconv"
	"strings"

	"sallyport/internal/config"
	"sallyport/internal/intake"
	localdoor "sallyport/internal/local/door"
	"sallyport/internal/local/socket"
	"sallyport/internal/mail"
	"sallyport/internal/operate"
)

// overflowUID is what the kernel says of a user whom it cannot name here: one of
// another user namespace, such as a container's. All of them are one uid.
const overflowUID = 65534

// listenSendmail binds the socket of the sendmail command.
func (n *Node) listenSendmail(path string) (net.Listener, error) {
	n.warnExposed(path)
	return localdoor.Listen(path, localdoor.DefaultLimits(), localdoor.Handler{Queue: n.localQueue, Retry: n.localRetry}, n.o.Now)
}

// warnExposed says in the log, when a socket begins, that who calls there will not speak to
// this server: a mail or an operator's command that fails does not say so in our log.
func (n *Node) warnExposed(path string) {
	if err := socket.Exposed(path, uint32(os.Geteuid())); err != nil {
		n.log.Warn("clients will not speak at this socket: others could put one of their own there", "path", path, "err", err,
			"hint", "let every folder on the way to it belong to root or the server's user, and let nobody else write there")
	}
}

// serve serves one listener; the socket of the sendmail command learns first what each
// connection is for.
func (d *door) serve(ctx context.Context) error {
	local, ok := d.listener.(*localdoor.Door)
	if !ok {
		return d.engine.Serve(ctx, d.listener)
	}
	both, stop := context.WithCancel(ctx)
	defer stop()
	received := make(chan error, 1)
	go func() {
		defer stop()
		received <- local.Run(both)
	}()
	err := d.engine.Serve(both, local)
	stop()
	return errors.Join(err, ignoreClosed(<-received))
}

// localUID is the kernel's word for who is at the other end.
func localUID(c net.Conn) (uid uint32, ok bool) {
	ours, ok := c.(*localdoor.Conn)
	if !ok {
		return 0, false
	}
	return ours.UID(), true
}

// localUser says whose account a user of this host sends as.
func (n *Node) localUser(uid uint32) intake.LocalUser {
	u := intake.LocalUser{}
	if known, err := user.LookupId(strconv.FormatUint(uint64(uid), 10)); err == nil {
		u.Name = known.Username
	}
	u.Account, u.Why = localAccount(n.config().Sendmail, uid, u.Name, func(a mail.Address) bool {
		_, exists := n.identity.Lookup(a)
		return exists
	})
	return u
}

// plainName reports whether a name means the same as a local part and as a user:
// without capitals, since accounts have none, and without signs that part or quote.
func plainName(name string) bool {
	if name == "" || len(name) > mail.SureLocalPartOctets || name[0] == '.' || name[0] == '-' {
		return false
	}
	return strings.IndexFunc(name, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '_' || r == '.' || r == '-')
	}) < 0
}

// localAccount decides whose account a user sends as, or why nobody's.
func localAccount(c config.Sendmail, uid uint32, name string, exists func(mail.Address) bool) (account mail.Address, why string) {
	const remedy = "the administrator can name his account in [sendmail.users]"
	if uid == overflowUID {
		return mail.Address{}, "the kernel does not say who this user is; he may be in another user namespace"
	}
	if a, ok := c.Users[strconv.FormatUint(uint64(uid), 10)]; ok {
		return a, ""
	}
	if name == "" {
		return mail.Address{}, "this host knows no such user; " + remedy
	}
	// A name in digits is not the uid that it looks like, which is another user's.
	if a, ok := c.Users[name]; ok && strings.Trim(name, "0123456789") != "" {
		return a, ""
	}
	if c.Domain.IsZero() || !plainName(name) {
		return mail.Address{}, "this user has no account to send as; " + remedy
	}
	a, err := mail.NewAddress(name, c.Domain)
	if err != nil || !exists(a) {
		return mail.Address{}, "there is no account " + name + "@" + c.Domain.ASCII() + "; " + remedy
	}
	return a, ""
}

// localQueue lists the messages of the caller's account, one JSON object a line; for
// root and the owner, all.
func (n *Node) localQueue(ctx context.Context, uid uint32, w io.Writer) error {
	choice := operate.Select{}
	if !ownerOrRoot(uid) {
		u := n.localUser(uid)
		if u.Account.IsZero() {
			return errors.New(u.Why)
		}
		choice.Account = u.Account.String()
	}
	enc := json.NewEncoder(w)
	return n.operator.QueueList(ctx, operate.Caller{UID: uid, Known: true}, choice, func(m operate.Message) error { return enc.Encode(m) })
}

// localRetry makes every message due now.
func (n *Node) localRetry(ctx context.Context, uid uint32, w io.Writer) error {
	if !ownerOrRoot(uid) {
		return errors.New("only root and the server's own user may run the queue")
	}
	r := operate.QueueChange{}
	r.All = true
	changed, err := n.operator.QueueRetry(ctx, operate.Caller{UID: uid, Known: true}, r)
	if err != nil {
		return err
	}
	return json.NewEncoder(w).Encode(changed)
}

func ownerOrRoot(uid uint32) bool { return uid == 0 || uid == uint32(os.Geteuid()) }
