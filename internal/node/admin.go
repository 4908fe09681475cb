package node

import (
	"context"
	"os"
	"slices"

	"sallyport/internal/ldap/roll"
	"sallyport/internal/mail"
	"sallyport/internal/node/metering"
	"sallyport/internal/node/settings"
	"sallyport/internal/node/survey"
	"sallyport/internal/operate"
	"sallyport/internal/operate/backup"
	"sallyport/internal/store"
)

func (n *Node) openOperator(_ context.Context) error {
	d := n.data
	n.operator = operate.New(operate.Options{
		People: operate.People{
			Accounts: d.Accounts, Credentials: d.Accounts, DeviceCA: d.DeviceCA, Guesses: d.Accounts, EndSessions: n.endFallen, Sessions: n.desk.Sessions, Incidents: n.watchers.Incidents,
			Greeting: func() (mail.Domain, string) { return n.config().Hostname, n.config().Notice }, Watch: n.watchers.Watch, Binding: n.binding, Findings: d.Findings,
			Ledger: d.Ledger, Allowance: settings.Allowing(n.config), Renaming: n.renaming, Naming: n.naming, ContactReplaced: n.letters.Notices.Wake,
		},
		Messages: operate.Messages{
			Queue: d.Spool, Wake: n.outflow.Wake, Redirects: n.outflow.Dispatch, WhyWaits: n.watchers.Watch.WhyWaits, Mailboxes: d.Mailboxes, Mail: d.Mail, Quota: d.Quota,
		},
		Domains:   operate.Domains{Book: n.book, SigningKeys: d.Ring, Callouts: n.outflow.Callouts},
		Strangers: operate.Strangers{Screen: n.inspection.Screen, Inflow: d.Inflow},
		Journal:   operate.Journal{Trace: d.Trace, Facts: d.Facts, Write: d.Trace.Write},
		Condition: operate.Condition{
			Server: n.server, Data: n.config().Data, DiskLow: d.Disks.IsLow, Database: metering.Ailing(d.Trouble), Damage: metering.Damaged(d.Damage), Certificate: n.identity.Leaf, Obtained: n.identity.Obtained,
			ReturnPath: func() (*operate.ReturnPath, error) { return survey.ReturnPath(n.config()) }, Networks: n.watchers.Networks.Reports, Tokens: n.outflow.Tokenless,
			Directories: func() []roll.Report { return n.now().roll.Reports() }, Notices: n.letters.Notices.State, Inside: n.letters.Notices.Inside, Webhook: n.letters.Webhook.State,
		},
		Upkeep: operate.Upkeep{Backup: n.backup(), Reload: n.Reload},
		Now:    n.o.Now, Logger: n.log,
	})
	n.metering.Read(metering.Rooms{
		World: n.o.World, Config: n.config, Started: n.started.Load, Data: d, Doors: n.doors,
		Identity: n.identity, Letters: n.letters, Outflow: n.outflow, Watchers: n.watchers,
		Operator: n.operator,
	})
	return nil
}

// endFallen ends the sessions of an account whose sign-in gives no right any more, and cuts
// what of its mail is under way and may not leave; a server beside us ends what it has.
func (n *Node) endFallen(account mail.Address) int {
	n.outflow.Recheck(account)
	n.doors.End(account)
	return n.desk.EndFallen(account)
}

// backup is what copies of everything are made of.
func (n *Node) backup() *backup.Source {
	cfg := n.config()
	s := backup.NewSource(backup.SourceOptions{
		Places: backup.Places{Data: cfg.Data, Store: cfg.StoreDir(), Checkpoints: cfg.CheckpointDir(), Mailboxes: cfg.Maildir.Root},
		Store:  n.data.Store, Hostname: cfg.Hostname.ASCII(), Program: n.o.Version, Logger: n.log,
	})
	if err := s.Clean(); err != nil {
		n.log.Warn("what a backup left behind is not removed", "err", err)
	}
	return s
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
	if leaf := n.identity.Leaf(); leaf != nil {
		s.CertificateEnds = leaf.NotAfter
	}
	return s
}

// renaming plans what rooms that no command asks keep of an account under its address.
func (n *Node) renaming(from, to mail.Address) []store.Planner {
	return slices.Concat(n.data.Moving(from, to), []store.Planner{n.watchers.Watch.Moving(from, to)}, n.letters.Moving(from, to))
}

// naming is what the configuration in force says of addresses.
func (n *Node) naming(meant func(mail.Address) bool) []string {
	return settings.Naming(n.config(), meant)
}
