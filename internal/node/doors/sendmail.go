package doors

import (
	"net"
	"os"

	"sallyport/internal/config"
	"sallyport/internal/door"
	"sallyport/internal/fact"
	"sallyport/internal/intake"
	localdoor "sallyport/internal/local/door"
	"sallyport/internal/local/socket"
	"sallyport/internal/mail"
	"sallyport/internal/operate"
	"sallyport/internal/smtp/server"
)

// listenSendmail binds the socket of the sendmail command.
func (d *Doors) listenSendmail(path string) (net.Listener, error) {
	d.warnExposed(path)
	queue := d.ownQueue()
	return localdoor.Listen(path, localdoor.DefaultLimits(), localdoor.Handler{Queue: queue.List, Retry: queue.Retry, Unserved: d.unserved}, d.o.Now)
}

// ownQueue is what users of this host may ask of the queue.
func (d *Doors) ownQueue() operate.OwnQueue {
	return operate.OwnQueue{Operator: d.to.Operator(), Owner: uint32(os.Geteuid()), Account: func(uid uint32) (mail.Address, string) {
		u := d.LocalUser(uid)
		return u.Account, u.Why
	}, Refused: d.notAnswered}
}

// notAnswered records that a user of this host asked about the queue in vain.
func (d *Doors) notAnswered(uid uint32, rule string) {
	d.to.Data.Trace.Stranger(fact.Refused{
		At: d.o.Now(), Rule: rule, Session: fact.Session{Door: server.KindSendmail.String()}, Detail: intake.LocalUser{Name: localdoor.NameOf(uid)}.Who(uid),
	}.Fact())
}

// unserved records a connection to that socket of which nobody else hears.
func (d *Doors) unserved(u localdoor.Unserved) {
	at, session, who := d.o.Now(), fact.Session{Door: server.KindSendmail.String()}, u.Why
	if u.Known {
		who = intake.LocalUser{Name: localdoor.NameOf(u.UID)}.Who(u.UID)
	}
	f := fact.Disconnected{At: at, Rule: fact.RuleConnectionEnded, Session: session, Why: u.Why + ": " + who}.Fact()
	switch u.Why {
	case localdoor.EndNobody:
		f = fact.Refused{At: at, Rule: intake.RuleLocalUserUnknown, Session: session, Detail: who}.Fact()
	case localdoor.EndCrowded:
		f = fact.Refused{At: at, Rule: door.RuleConnectionsCrowded, Session: session, Reply: u.Reply, Detail: who}.Fact()
	}
	d.to.Data.Trace.Stranger(f)
}

// warnExposed says in the log, when a socket begins, that who calls there will not speak to
// this server: a mail or an operator's command that fails does not say so in our log.
func (d *Doors) warnExposed(path string) {
	if err := socket.Exposed(path, uint32(os.Geteuid())); err != nil {
		d.o.Logger.Warn("clients will not speak at this socket: others could put one of their own there", "path", path, "err", err,
			"hint", "let every folder on the way to it belong to root or the server's user, and let nobody else write there")
	}
}

// LocalUser says whose account a user of this host sends as.
func (d *Doors) LocalUser(uid uint32) intake.LocalUser {
	u := intake.LocalUser{Name: localdoor.NameOf(uid)}
	u.Account, u.Why = localUsers(d.o.Config()).Account(uid, u.Name, func(a mail.Address) bool {
		_, exists := d.to.Data.Accounts.Lookup(a)
		return exists
	})
	return u
}

func localUsers(cfg config.Config) localdoor.Users {
	return localdoor.Users{Named: cfg.Sendmail.Users, Domain: cfg.Sendmail.Domain}
}
