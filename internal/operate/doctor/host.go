package doctor

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"sallyport/internal/kit/words"
	"sallyport/internal/mail"
)

func checkServer(f Facts) []Finding {
	s := f.Server
	one := func(st State, what, remedy string) []Finding {
		return []Finding{{"server", f.Hostname, st, what, remedy}}
	}
	switch {
	case s.Unasked != "":
		return one(Unknown, "nobody could ask whether a server runs: "+s.Unasked, "run this as root or as the server's user")
	case s.Holds:
		return one(Wrong,
			"another process has the data folder open, and no server answers: one is starting or stopping, or hangs",
			"try again in a moment, then look into its log; fuser DATA/store/lock names the process")
	case s.Fault != "":
		return one(Wrong, "a server runs, and cannot say how it fares: "+s.Fault, "look into its log")
	case !s.Running:
		return one(Wrong, "no server runs on this data folder: no mail comes in, and none leaves",
			"start it: systemctl start sallyport, or sallyport serve; what keeps it from starting, sallyport check or the log says")
	case s.Version != "" && s.Version != s.Here:
		return one(Warning,
			fmt.Sprintf("version %s runs (pid %d), and %s is installed", s.Version, s.PID, s.Here),
			"restart the server to run what is installed")
	}
	return one(Fine, fmt.Sprintf("runs, pid %d", s.PID), "")
}

func checkPorts(f Facts) (all []Finding) {
	for _, p := range f.Ports {
		add := func(s State, what, remedy string) {
			all = append(all, Finding{"ports", p.Door + " " + p.Address, s, what, remedy})
		}
		ours := strings.Contains(p.Greeting, f.Hostname)
		switch {
		case ours && f.Server.Running:
			add(Fine, "this server answers there", "")
		case ours && f.Server.Unasked != "":
			add(Unknown, "a server of this name answers there, and nobody could ask whether it is this one", "run this as root or as the server's user")
		case p.Greeting != "":
			add(Wrong, fmt.Sprintf("another program answers there: %q", p.Greeting), "stop it, or listen elsewhere; ss -ltnp names it")
		case f.Server.Running:
			add(Wrong, "the server runs, and does not answer there: "+p.Error,
				"look into its log; was the configuration changed since it started? is a firewall in the way?")
		case p.Held:
			add(Fine, "systemd listens there for the server, and starts it with the first connection", "")
		case p.Free:
			add(Fine, "nobody is there, and the server can listen", "")
		case p.Denied:
			add(Unknown, "whoever asks may not listen there: "+p.BindErr,
				"run this as root; a server that is started without root, CAP_NET_BIND_SERVICE or the sockets of systemd cannot listen below port 1024 either")
		default:
			add(Wrong, "the server could not listen there: "+p.BindErr,
				"ss -ltnp names whoever is there: stop it, unless it is systemd with a socket of this server's; ports below 1024 need root or CAP_NET_BIND_SERVICE")
		}
	}
	return all
}

func checkOutbound(f Facts) []Finding {
	o := f.Outbound
	switch {
	case o == nil:
		return nil
	case o.Error != "":
		return []Finding{{"ports", o.To, Warning, "cannot be reached: " + o.Error, "many providers block port 25 until you ask; another host to try: --outbound DOMAIN"}}
	}
	return []Finding{{"ports", o.To, Fine, "port 25 of other hosts can be reached", ""}}
}

func checkBehind(f Facts) (all []Finding) {
	for _, b := range f.Behind {
		switch {
		case b.Error != "":
			all = append(all, Finding{
				"hops", b.For, Wrong, b.At + " does not answer: " + b.Error,
				"look whether that server runs and lets this host in; mail waits until it does",
			})
		case !strings.HasPrefix(b.Greeting, "220"):
			all = append(all, Finding{
				"hops", b.For, Wrong, fmt.Sprintf("%s greets with %q", b.At, b.Greeting),
				"look into that server's log: it turns us away, or is no mail server",
			})
		default:
			all = append(all, Finding{"hops", b.For, Fine, b.At + " answers", ""})
		}
	}
	return all
}

// checkHelpers tells who is asked about the content of mail and does not answer.
func checkHelpers(f Facts) (all []Finding) {
	for _, h := range f.Helpers {
		switch {
		case h.Error != "" && h.Defers:
			all = append(all, Finding{
				"content", h.For, Wrong,
				h.At + " does not answer: " + h.Error + "; all mail that it is to look at is told to come back (451)",
				"start it, or see its log; nothing is lost meanwhile, and down = \"accept\" in its table takes mail without it",
			})
		case h.Error != "":
			all = append(all, Finding{
				"content", h.For, Warning,
				h.At + " does not answer: " + h.Error + "; mail is taken without it",
				"start it, or see its log",
			})
		default:
			all = append(all, Finding{"content", h.For, Fine, h.At + " answers", ""})
		}
	}
	return all
}

// Times before a certificate's end at which somebody should look.
const (
	certificateSoon = 14 * 24 * time.Hour // of one from files
)

func checkTLS(f Facts) (all []Finding) {
	t := f.TLS
	subject, again := t.File, "renew it, then: sallyport reload"
	if t.Authority != "" {
		subject, again = t.Authority, "see below why it was not renewed, then: sallyport reload"
	}
	add := func(s State, what, remedy string) {
		all = append(all, Finding{"certificate", subject, s, what, remedy})
	}
	switch {
	case !t.Configured:
		return []Finding{{"certificate", f.Hostname, Note, "no certificate is configured: mail comes in clear, and nobody can submit any", "name one in [tls], or let one be obtained by [acme]"}}
	case t.Error != "":
		add(Wrong, "cannot be used: "+t.Error, "put the certificate and the key that belongs to it where [tls] says")
		return all
	case t.Pending:
		return append(all, checkObtaining(f, subject)...)
	}
	soon := certificateSoon
	if t.Authority != "" {
		soon = t.NotAfter.Sub(t.NotBefore) / 4 // it is renewed when a third is left
	}
	left := t.NotAfter.Sub(f.Now)
	switch {
	case left <= 0:
		add(Wrong, "expired on "+t.NotAfter.UTC().Format(time.DateOnly), again)
	case f.Now.Before(t.NotBefore):
		add(Wrong, "is not valid before "+t.NotBefore.UTC().Format(time.DateOnly), "look at the clock, or use the former one until then")
	case left < soon:
		add(Warning,
			fmt.Sprintf("expires in %s, on %s", words.Count(int(left.Hours()/24), "day"), t.NotAfter.UTC().Format(time.DateOnly)),
			"renew it; whatever renews it by itself has not")
	default:
		add(Fine, "is valid until "+t.NotAfter.UTC().Format(time.DateOnly), "")
	}
	if !t.CoversHostname {
		add(Wrong, "is for "+strings.Join(t.Names, ", ")+", and not for "+f.Hostname, "get one for that name: clients refuse this one")
	}
	if len(t.Lacks) > 0 {
		add(Warning, "is not for "+strings.Join(t.Lacks, ", "), lacksRemedy(t))
	}
	if t.Chain != "" {
		add(Warning, "would not be trusted by clients: "+t.Chain,
			"put the intermediate certificates behind it into the same file; one of an authority of your own, as quickstart makes for trying out, serves only clients that know that authority: for everybody else get one of a public authority, as [acme] does")
	}
	return append(all, checkObtaining(f, subject)...)
}

func lacksRemedy(t TLSFacts) string {
	if t.Authority != "" {
		return "let these names lead to where the host name leads, then: sallyport reload"
	}
	return "get one for these names, too: who looks for a policy there finds none"
}

// checkObtaining judges how it goes with a certificate that an authority gives.
func checkObtaining(f Facts, subject string) []Finding {
	t := f.TLS
	one := func(s State, what, remedy string) []Finding {
		return []Finding{{"certificate", subject, s, what, remedy}}
	}
	remedy := "the authority must be within reach, every name must lead to this host, and the port of the challenge to acme.listen; then: sallyport reload"
	if !t.Next.IsZero() {
		remedy += "; without it the next attempt is made on " + t.Next.UTC().Format("2006-01-02 15:04 UTC")
	}
	switch {
	case t.Pending && t.Fault != "":
		return one(Wrong, "no certificate was obtained yet, so that nobody can sign in: "+t.Fault, remedy)
	case t.Fault != "":
		return one(Warning, "no new certificate was obtained: "+t.Fault, remedy)
	case t.Pending && f.Server.Running:
		return one(Warning, "no certificate was obtained yet, so that nobody can sign in: it is under way", "look again in a minute")
	case t.Pending:
		return one(Warning, "no certificate was obtained yet", "start the server: it obtains one")
	}
	return nil
}

// clockBound is how wrong a clock may be before tickets, signatures and certificates
// suffer.
const clockBound = 10 * time.Second

func checkClock(f Facts) []Finding {
	c := f.Clock
	one := func(s State, what, remedy string) []Finding { return []Finding{{"clock", "kernel", s, what, remedy}} }
	switch {
	case !c.Known:
		return one(Unknown, "the kernel does not say whether its clock is right", "run chrony or systemd-timesyncd")
	case !c.Synced:
		return one(Warning, "nothing keeps the clock right",
			"run chrony or systemd-timesyncd; certificates, signatures and traces need the time")
	case c.Error > clockBound:
		return one(Wrong, fmt.Sprintf("the clock may be wrong by %s", c.Error.Round(time.Second)),
			"look at chronyc tracking or timedatectl timesync-status")
	}
	return one(Fine, "the clock is kept right", "")
}

// From where on a disk is told of.
const (
	diskLow  = 10                     // percent of a disk: with less free, or less than four times limits.min_free, it will soon be full
	filesLow = 5                      // percent of the files that a disk can hold: with room for fewer, mailboxes, where each message is a file, soon take no more
	syncSlow = 500 * time.Millisecond // of a sync: a slower one makes every sender wait noticeably
)

func checkDisk(f Facts) (all []Finding) {
	d := f.Disk
	add := func(s State, what, remedy string) { all = append(all, Finding{"disk", d.Path, s, what, remedy}) }
	if d.Error != "" {
		add(Wrong, d.Error, "make the folder, or mount its disk")
		return all
	}
	share := func(free, total uint64) uint64 { return 100 * free / max(total, 1) }
	switch {
	case d.Free < d.MinFree:
		add(Wrong,
			fmt.Sprintf("%d MB are free, less than limits.min_free: no mail is accepted, and none goes into mailboxes", d.Free>>20),
			"free space; see docs/operations.md, the disk is full")
	case share(d.Free, d.Total) < diskLow || d.Free < 4*d.MinFree:
		add(Warning, fmt.Sprintf("only %d MB (%d %%) are free", d.Free>>20, share(d.Free, d.Total)), "free space before it is needed")
	default:
		add(Fine, fmt.Sprintf("%d MB are free", d.Free>>20), "")
	}
	if d.InodesTotal > 0 && share(d.InodesFree, d.InodesTotal) < filesLow {
		add(Wrong, fmt.Sprintf("only %s more can be made", words.Count(int(d.InodesFree), "file")),
			"remove files, or make the file system anew with more inodes: each message in a mailbox is a file")
	}
	switch {
	case d.Denied:
		add(Unknown, "whether writes are synced, whoever asks may not try: "+d.SyncError, "run this as root or as the server's user")
	case d.Full && len(all) > 0 && all[len(all)-1].State == Wrong: // which said it
	case d.Full:
		add(Wrong, "nothing can be written: "+d.SyncError, "free space; a quota, or blocks that are kept for root, may leave the server's user less than the disk has")
	case d.SyncError != "":
		add(Wrong, "a write cannot be synced: "+d.SyncError, "look at dmesg: the disk fails, or is mounted read-only")
	case d.SyncTook > syncSlow:
		add(Warning,
			fmt.Sprintf("a sync took %s: every message waits for one", d.SyncTook.Round(time.Millisecond)),
			"look for what else writes there; a disk with a write cache that survives a power cut helps")
	default:
		add(Fine, "writes are synced", "")
	}
	return all
}

func checkFiles(f Facts) (all []Finding) {
	for _, p := range f.Files {
		add := func(s State, what, remedy string) {
			all = append(all, Finding{"files", p.Path, s, p.What + ": " + what, remedy})
		}
		forbidden := uint32(0o022)
		if p.Secret {
			forbidden = 0o037
		}
		if p.OwnOnly {
			forbidden = 0o077
		}
		switch {
		case p.Exposed != "":
			add(Warning, "its clients will not speak to the server there: "+p.Exposed,
				"let every folder on the way to it belong to root or the server's user, and let nobody else write there (chmod go-w), or let the socket be elsewhere")
		case p.Error != "":
			add(Wrong, p.Error, "put it back, from a backup if need be")
		case p.Mode&forbidden != 0:
			add(Wrong, fmt.Sprintf("others may use it (mode %04o)", p.Mode),
				fmt.Sprintf("chmod %o %s; if it was so for long, consider a secret stolen", p.Mode&^(forbidden|0o7000), p.Path))
		case !p.Ours:
			add(Wrong, "belongs to "+p.Owner+", and not to the owner of the data folder",
				"chown it to the server's user: run sallyport as that user, never as another")
		}
	}
	if !slices.ContainsFunc(all, func(x Finding) bool { return x.State != Fine }) && len(f.Files) > 0 {
		all = append(all, Finding{
			"files", f.Files[0].Path, Fine,
			fmt.Sprintf("%d files and folders have the right owner and mode", len(f.Files)), "",
		})
	}
	return all
}

// filesBeside is how many open files a server needs beside its connections: store, bodies, mailboxes.
const filesBeside = 4096

// Kernel settings below which a busy server suffers.
const (
	backlogLow = 1024
	portsLow   = 10_000
)

func checkLimits(f Facts) (all []Finding) {
	l := f.Limits
	add := func(s State, subject, what, remedy string) {
		all = append(all, Finding{"limits", subject, s, what, remedy})
	}
	need := uint64(max(l.Connections, 0))*2 + filesBeside
	switch {
	case l.Files == 0:
		add(Unknown, "open files", "the limit is not known", "")
	case l.Files < need:
		add(Warning, "open files",
			fmt.Sprintf("%s may open %d, and limits.connections = %d may need %d", l.FilesOf, l.Files, l.Connections, need),
			fmt.Sprintf("LimitNOFILE=%d in the unit, or ulimit -n %d, or fewer connections", need, need))
	default:
		add(Fine, "open files", fmt.Sprintf("%s may open %d", l.FilesOf, l.Files), "")
	}
	if l.Backlog > 0 && l.Backlog < backlogLow {
		add(Note, "net.core.somaxconn",
			fmt.Sprintf("only %s may wait to be accepted", words.Count(l.Backlog, "connection")),
			fmt.Sprintf("sysctl net.core.somaxconn=%d", 4*backlogLow))
	}
	if l.LocalPorts > 0 && l.LocalPorts < portsLow {
		add(Note, "net.ipv4.ip_local_port_range",
			fmt.Sprintf("only %d ports for connections to other hosts", l.LocalPorts),
			`sysctl net.ipv4.ip_local_port_range="32768 60999"`)
	}
	return all
}

// queueOld is the age of the oldest waiting message at which somebody should look.
const queueOld = 4 * time.Hour

// heldOld is the age from which what is held is no act of the moment any more.
const heldOld = time.Hour

func checkQueue(f Facts) (all []Finding) {
	q := f.Queue
	add := func(s State, what, remedy string) { all = append(all, Finding{"queue", f.Hostname, s, what, remedy}) }
	switch {
	case !q.Known && q.Root:
		add(Unknown, "nobody could look into the queue: "+q.Why, "docs/operations.md: the server does not run")
	case !q.Known:
		add(Unknown, "nobody could look into the queue: "+q.Why, "run this as root or as the server's user")
	case q.Oldest > queueOld:
		add(Warning,
			fmt.Sprintf("the oldest of %s waits for %s", words.Count(q.Messages-q.Held, "message"), q.Oldest.Round(time.Minute)),
			"sallyport queue ls --no-held --older-than 4h; queue show ID says what the other side answers")
	default:
		add(Fine, waiting(q.Messages-q.Held), "")
	}
	if q.Known && q.Held > 0 {
		add(Note, words.Are(q.Held, "message")+" held until somebody decides",
			"sallyport queue ls --held; then queue release, queue redirect or queue rm")
	}
	for _, h := range q.HeldFor {
		if h.Oldest > heldOld {
			add(Warning, fmt.Sprintf("%s held, the oldest for %s, and nobody was told: %s", words.Are(h.Messages, "message"), h.Oldest.Round(time.Minute), h.Reason),
				"sallyport queue ls --held; mend the reason and queue release, or queue redirect, or queue rm: docs/operations.md, Mail is held")
		}
	}
	return all
}

// waiting says how many messages wait, none of them for long.
func waiting(n int) string {
	switch n {
	case 0:
		return "no message waits"
	case 1:
		return "1 message waits, and not for long"
	}
	return words.Count(n, "message") + " wait, none for long"
}

// checkTelling tells of incidents of which somebody does not hear.
func checkTelling(f Facts) (all []Finding) {
	t := f.Telling
	if t.Untold > 0 {
		all = append(all, Finding{"incidents", f.Hostname, Wrong, "the administrator was not told of " + words.Count(t.Untold, "change") + " of incidents: no mailbox here is the postmaster's",
			"set postmaster to an account of yours, then: sallyport reload; he is told of all of it within a minute. Until then: sallyport incident ls"})
	}
	if t.Inside != "" && t.Webhook == "" {
		all = append(all, Finding{"incidents", t.Inside, Warning, "alone gets what the postmaster is told, and has no address outside: if it is stolen, nobody may hear of it who can act",
			"sallyport account set " + mail.ShellWord(t.Inside) + " --notify ADDRESS, one that is not of this server; or a [webhook] (docs/webhook.md)"})
	}
	if t.Fault != "" {
		all = append(all, Finding{"incidents", t.Webhook, Warning, "the webhook was not told of " + words.Count(t.Waiting, "change") + " of incidents: " + t.Fault,
			"look into the log of whoever listens there; it is tried again by itself, and at once after another [webhook] and sallyport reload"})
	}
	return all
}

// full is at how many percent of its quota a mailbox, or a domain, is told to refuse mail.
const full = 100

// checkMailboxes tells of mailboxes that are full, and of those that will be.
func checkMailboxes(f Facts) (all []Finding) {
	for _, m := range f.Mailboxes {
		found := Finding{
			"mailbox", m.Whose, Warning, fmt.Sprintf("holds %d %% of %s", m.Share, m.Quota),
			"its owner was told to make room; or give it more: sallyport account set " + mail.ShellWord(m.Whose) + " --quota SIZE",
		}
		if m.Domain {
			found.What = fmt.Sprintf("its mailboxes together hold %d %% of %s", m.Share, m.Quota)
			found.Remedy = "see which are the largest: sallyport mailbox ls; or raise domain.NAME.quota_total"
		}
		if m.Share >= full {
			found.What += ": mail for it is refused"
		}
		all = append(all, found)
	}
	return all
}
