package node

import (
	"context"
	"os"

	"sallyport/internal/callout"
	"sallyport/internal/expiry"
	"sallyport/internal/filter/flood"
	"sallyport/internal/incident"
	"sallyport/internal/incident/notice"
	"sallyport/internal/ldap/roll"
	"sallyport/internal/letter/notify"
	"sallyport/internal/mail"
	"sallyport/internal/node/survey"
	"sallyport/internal/operate"
	"sallyport/internal/operate/backup"
	"sallyport/internal/screen/policy"
)

func (n *Node) openOperator(_ context.Context) error {
	n.incidents = incident.Keeper{Log: incident.NewLog(n.data.Store), Accounts: n.data.Accounts, Queue: n.data.Spool, EndSessions: n.endFallen, Clearing: n.watch.Clearing, Resuming: n.watch.Resuming, Now: n.o.Now,
		Raised: func(incident.Incident) {
			n.notices.Wake()
			n.webhook.Wake()
		}}
	n.post = &notify.Post{
		Hostname: n.config().Hostname, Directory: n.book.Snapshot, Queue: n.data.Spool, Handoff: n.dispatch.Offer, Sign: n.signer().SignOurs, Now: n.o.Now, Rand: n.o.Rand, Logger: n.log,
	}
	n.notices = notice.New(notice.Options{Log: n.incidents.Log, Store: n.data.Store, Directory: n.book.Snapshot, Post: n.post, Limits: notice.DefaultLimits(), Now: n.o.Now, Logger: n.log})
	n.warnings = expiry.New(expiry.Options{Store: n.data.Store, Directory: n.book.Snapshot, Post: n.post, Endings: n.data.Accounts.Endings, Authority: n.data.DeviceCA.Signing, Limits: expiry.DefaultLimits(), Now: n.o.Now, Logger: n.log})
	n.digest = flood.NewDigest(flood.Options{Gauge: n.flood, Queue: n.data.Spool, Store: n.data.Store, Send: n.post.Send, Limits: flood.DefaultLimits(), Now: n.o.Now, Logger: n.log})
	n.operator = operate.New(operate.Options{
		Incidents: n.incidents,
		Accounts:  n.data.Accounts, Credentials: n.data.Accounts, Guesses: n.data.Accounts, DeviceCA: n.data.DeviceCA, Queue: n.data.Spool, Trace: n.data.Trace, Facts: n.data.Facts, Book: n.book, Ledger: n.data.Ledger, Allowance: n.allowance, Now: n.o.Now,
		EndSessions: n.endFallen, Sessions: n.desk.Sessions, Server: n.server,
		Write: n.data.Trace.Write, Mailboxes: n.data.Mailboxes, Mail: n.data.Mail, Renaming: n.renaming, Naming: n.naming, Backup: n.backup(), Data: n.config().Data, Certificate: n.leaf, Obtained: n.obtained, Tokens: n.tokenTroubles, Logger: n.log,
		ReturnPath: func() (*operate.ReturnPath, error) { return survey.ReturnPath(n.config()) }, Reload: n.Reload,
		Greeting:        func() (mail.Domain, string) { return n.config().Hostname, n.config().Notice },
		ContactReplaced: func() { n.notices.Wake() },
		Webhook:         n.webhook.State,
		Notices:         n.notices.State,
		Binding:         n.binding, Findings: n.data.Findings,
		Networks:    n.networks.Reports,
		Directories: func() []roll.Report { return n.now().roll.Reports() },
		Watch:       n.watch, SigningKeys: n.data.Ring, Redirects: n.dispatch, Callouts: func() *callout.Asker { return n.now().ways.Callouts() },
		Screen: func() *policy.Screen { return n.now().screen }, Inflow: n.data.Inflow, Quota: n.data.Quota,
	})
	return nil
}

// endFallen ends the sessions of an account whose sign-in gives no right any more, and cuts
// what of its mail is under way and may not leave; a server beside us ends what it has.
func (n *Node) endFallen(account mail.Address) int {
	n.dispatch.Recheck(account)
	n.doors.End(account)
	return n.desk.EndFallen(account)
}

// backup is what copies of everything are made of.
func (n *Node) backup() *backup.Source {
	cfg := n.config()
	return backup.NewSource(backup.SourceOptions{
		Places: backup.Places{Data: cfg.Data, Store: cfg.StoreDir(), Checkpoints: cfg.CheckpointDir(), Mailboxes: cfg.Maildir.Root},
		Store:  n.data.Store, Hostname: cfg.Hostname.ASCII(), Program: n.o.Version, Logger: n.log,
	})
}

// Operator returns every operator action on this node. Without Serve, changes are
// made durable all the same, and a server started later finds them.
func (n *Node) Operator() *operate.Operator { return n.operator }

// server describes the running server; nil while none of our doors is bound.
func (n *Node) server() *operate.Server {
	started := n.started.Load()
	if started == nil {
		return nil
	}
	s := &operate.Server{Version: n.o.Version, PID: os.Getpid(), Started: *started, Listen: n.doors.Table(), Generation: n.now().number}
	if leaf := n.leaf(); leaf != nil {
		s.CertificateEnds = leaf.NotAfter
	}
	return s
}
