package doctor

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

var (
	now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	ip  = netip.MustParseAddr("192.0.2.1")
)

func values(v ...string) Lookup { return Lookup{Values: v} }

// well is a server with which nothing is wrong.
func well() Facts {
	return Facts{
		Now: now, Hostname: "mx.example.org", Host: values(ip.String()), Own: []netip.Addr{ip},
		Reverse:  []ReverseFacts{{ip, values("mx.example.org"), []string{ip.String()}}},
		Resolver: ResolverFacts{Asked: true, Secure: Fine},
		Domains: []DomainFacts{{Name: "example.org", MX: values("mx.example.org"), MXHosts: map[string][]string{"mx.example.org": {ip.String()}},
			SPF: values("something else", "v=spf1 mx -all"), DMARC: values("v=DMARC1; p=reject"), MTASTS: values("v=STSv1; id=1"), TLSRPT: values("v=TLSRPTv1; rua=mailto:x@example.org")}},
		Ports:    []PortFacts{{Door: "mx", Address: "0.0.0.0:25", Greeting: "220 mx.example.org ESMTP"}},
		Outbound: &OutboundFacts{To: "198.51.100.1:25"},
		Provider: &ProviderFacts{Issuer: "https://login.test"},
		Tokens:   []TokenFacts{{For: "route *", At: "login.test", Tried: true}, {For: "route b.test", At: "other.test"}},
		Helpers:  []HelperFacts{{For: "rspamd", At: "127.0.0.1:11333", Defers: true}},
		Behind:   []BehindFacts{{"domain example.org", "10.0.0.5:24", "220 inner LMTP", ""}},
		TLS: TLSFacts{Configured: true, File: "chain.pem", Names: []string{"mx.example.org"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(60 * 24 * time.Hour),
			CoversHostname: true},
		Clock:  ClockFacts{Known: true, Synced: true, Error: time.Millisecond},
		Disk:   DiskFacts{Path: "/data", Free: 50 << 30, Total: 100 << 30, MinFree: 128 << 20, InodesFree: 900, InodesTotal: 1000, SyncTook: time.Millisecond},
		Files:  []FileFacts{{Path: "/data", What: "the data folder", Mode: 0o700, Ours: true, Secret: true, OwnOnly: true}},
		Limits: LimitFacts{Files: 65536, FilesOf: "the running server", Connections: 4096, Backlog: 4096, LocalPorts: 28232},
		Queue:  QueueFacts{Known: true, Messages: 3, Oldest: time.Minute},
		Server: ServerFacts{Running: true, PID: 1, Version: "v1", Here: "v1"},
	}
}

func TestNothingIsSaidOfAServerThatIsWell(t *testing.T) {
	found := Examine(well())
	for _, f := range found {
		if f.State != Fine || f.Remedy != "" || f.What == "" || f.Check == "" || f.Subject == "" {
			t.Errorf("%+v", f)
		}
	}
	if len(found) < 18 {
		t.Errorf("only %d findings: a check is missing", len(found))
	}
}

// Each thing that goes wrong is found, with its state and words, and nothing else is.
func TestEachFaultIsFound(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Facts)
		state  State
		words  string
	}{
		"no server":        {func(f *Facts) { f.Server.Running = false; f.Ports[0] = PortFacts{Door: "mx", Free: true} }, Wrong, "no server runs"},
		"systemd's socket": {func(f *Facts) { f.Server.Running = false; f.Ports[0] = PortFacts{Door: "mx", Held: true} }, Wrong, "no server runs"},
		"a mute server":    {func(f *Facts) { f.Server.Fault = "no answer" }, Wrong, "a server runs, and cannot say how it fares: no answer"},
		"a folder in use":  {func(f *Facts) { f.Server = ServerFacts{Holds: true}; f.Ports[0] = PortFacts{Door: "mx", Free: true} }, Wrong, "another process has the data folder open"},
		"nobody may ask": {func(f *Facts) {
			f.Server = ServerFacts{Unasked: "denied"}
			f.Ports[0] = PortFacts{Door: "mx", Free: true}
		}, Unknown, "nobody could ask whether a server runs: denied"},
		"a failed database":  {func(f *Facts) { f.Server.Database = &DatabaseFacts{Cause: "I/O error"} }, Wrong, "and is being opened anew: I/O error; mail is put off"},
		"opened in vain":     {func(f *Facts) { f.Server.Database = &DatabaseFacts{Cause: "I/O error", Tries: 2, Last: "no"} }, Wrong, "2 tries in vain, the last for: no; mail"},
		"no room for it":     {func(f *Facts) { f.Server.Database = &DatabaseFacts{Cause: "no space", Full: true} }, Wrong, "it waits for space since 0001-01-01 00:00:00 UTC: no space"},
		"parts missing":      {func(f *Facts) { f.Server.Missing = []string{"the accounts (no)"} }, Unknown, "the server could not tell: the accounts (no)"},
		"no provider":        {func(f *Facts) { f.Provider.Error = "404 Not Found" }, Wrong, "nobody signs in with a token once the keys that are known are old: 404"},
		"no token":           {func(f *Facts) { f.Tokens[0].Error = "login.test gives no token: invalid_client: no" }, Wrong, "no token: login.test gives no token: invalid_client: no; mail of this route waits"},
		"token not taken":    {func(f *Facts) { f.Tokens[0].Waits = "the next hop does not take the token" }, Wrong, "the server has no token that is taken"},
		"filter dead":        {func(f *Facts) { f.Helpers[0].Error = "refused" }, Wrong, "127.0.0.1:11333 does not answer: refused; all mail that it is to look at is told to come back (451)"},
		"filter passed by":   {func(f *Facts) { f.Helpers[0].Error, f.Helpers[0].Defers = "refused", false }, Warning, "mail is taken without it"},
		"old server":         {func(f *Facts) { f.Server.Version = "v0" }, Warning, "version v0 runs (pid 1), and v1 is installed"},
		"dead resolver":      {func(f *Facts) { f.Resolver = ResolverFacts{Error: "timeout"} }, Wrong, "cannot be used: timeout"},
		"inventive resolver": {func(f *Facts) { f.Resolver.Invents = []string{"203.0.113.9"} }, Wrong, "invent addresses (203.0.113.9)"},
		"silent resolver":    {func(f *Facts) { f.Resolver.Asked = false }, Unknown, "did not say"},
		"plain resolver":     {func(f *Facts) { f.Resolver.Secure = Note }, Note, "do not validate"},
		"no address":         {func(f *Facts) { f.Host = Lookup{Absent: true} }, Wrong, "has no address for this server's name"},
		"address unknown":    {func(f *Facts) { f.Host = Lookup{Error: "timeout"} }, Unknown, "could not be looked up: timeout"},
		"another's address":  {func(f *Facts) { f.Host = values("198.51.100.7") }, Warning, "this host shows none of these"},
		"no reverse":         {func(f *Facts) { f.Reverse[0].Names = Lookup{Absent: true} }, Wrong, "has no reverse name"},
		"reverse unknown":    {func(f *Facts) { f.Reverse[0].Names = Lookup{Error: "timeout"} }, Unknown, "reverse name could not be looked up"},
		"reverse not back":   {func(f *Facts) { f.Reverse[0].Back = []string{"198.51.100.7"} }, Wrong, "does not lead back"},
		"reverse elsewhere":  {func(f *Facts) { f.Reverse[0].Names = values("host7.provider.example") }, Warning, "its reverse name is host7.provider.example"},
		"no mx":              {func(f *Facts) { f.Domains[0].MX = Lookup{Absent: true} }, Wrong, "has no MX record"},
		"null mx":            {func(f *Facts) { f.Domains[0].MX = values(".") }, Wrong, "takes no mail"},
		"mx unknown":         {func(f *Facts) { f.Domains[0].MX = Lookup{Error: "timeout"} }, Unknown, "mail exchangers could not"},
		"mx elsewhere":       {func(f *Facts) { f.Domains[0].MX = values("mail.other.example") }, Wrong, "none of these is this host"},
		"no spf":             {func(f *Facts) { f.Domains[0].SPF = values("v=spf10 -all") }, Warning, "has no SPF record"},
		"two spf":            {func(f *Facts) { f.Domains[0].SPF = values("v=spf1 mx", "v=spf1 -all") }, Wrong, "has 2 SPF records"},
		"spf of others": {func(f *Facts) {
			f.Domains[0].Senders = []SenderFacts{{Address: "192.0.2.7", Passes: true}, {Address: "192.0.2.1", Verdict: "softfail"}}
		}, Warning, "does not name this server at 192.0.2.1 (softfail): mail of the domain from here looks forged"},
		"spf broken": {func(f *Facts) {
			f.Domains[0].Senders = []SenderFacts{{Address: "192.0.2.1", Broken: "too many"}, {Address: "192.0.2.7", Broken: "too many"}}
		}, Wrong, "its SPF record counts for nothing: too many"},
		"spf not evaluated":  {func(f *Facts) { f.Domains[0].Senders = []SenderFacts{{Address: "192.0.2.1", Unknown: "timeout"}} }, Unknown, "says of 192.0.2.1 could not be found out: timeout"},
		"spf unknown":        {func(f *Facts) { f.Domains[0].SPF = Lookup{Error: "timeout"} }, Unknown, "SPF record could not"},
		"dmarc unread":       {func(f *Facts) { f.Domains[0].DMARC = values("v=DMARC1 p=reject") }, Warning, "counts as none: no semicolon stands behind v=DMARC1"},
		"dmarc misspelt":     {func(f *Facts) { f.Domains[0].DMARC = values("v=DMARC1; rua=mailto:x@y; p=rejekt;") }, Warning, "p=rejekt is no policy"},
		"no dmarc":           {func(f *Facts) { f.Domains[0].DMARC = Lookup{Absent: true} }, Warning, "has no DMARC record"},
		"no mta-sts":         {func(f *Facts) { f.Domains[0].MTASTS = Lookup{Absent: true} }, Note, "has no MTA-STS record"},
		"two tls-rpt":        {func(f *Facts) { f.Domains[0].TLSRPT = values("v=TLSRPTv1;a", "v=TLSRPTv1;b") }, Wrong, "has 2 TLS-RPT records"},
		"another's port":     {func(f *Facts) { f.Ports[0].Greeting = "220 debian ESMTP Postfix" }, Wrong, `another program answers there: "220 debian ESMTP Postfix"`},
		"dead port":          {func(f *Facts) { f.Ports[0] = PortFacts{Error: "refused"} }, Wrong, "does not answer there: refused"},
		"outbound blocked":   {func(f *Facts) { f.Outbound.Error = "timeout" }, Warning, "cannot be reached: timeout"},
		"inner dead":         {func(f *Facts) { f.Behind[0].Error = "refused" }, Wrong, "10.0.0.5:24 does not answer: refused"},
		"inner unwilling":    {func(f *Facts) { f.Behind[0].Greeting = "554 no" }, Wrong, `greets with "554 no"`},
		"no certificate":     {func(f *Facts) { f.TLS = TLSFacts{} }, Note, "no certificate is configured"},
		"broken certificate": {func(f *Facts) { f.TLS.Error = "private key does not match" }, Wrong, "private key does not match"},
		"expired":            {func(f *Facts) { f.TLS.NotAfter = now }, Wrong, "expired on 2026-03-01"},
		"early":              {func(f *Facts) { f.TLS.NotBefore = now.Add(time.Hour) }, Wrong, "is not valid before 2026-03-01"},
		"expires":            {func(f *Facts) { f.TLS.NotAfter = now.Add(13 * 24 * time.Hour) }, Warning, "expires in 13 days, on 2026-03-14"},
		"other name":         {func(f *Facts) { f.TLS.CoversHostname = false }, Wrong, "and not for mx.example.org"},
		"lacks names":        {func(f *Facts) { f.TLS.Lacks = []string{"mta-sts.example.org"} }, Warning, "is not for mta-sts.example.org"},
		"obtained, soon":     {func(f *Facts) { f.TLS.Authority, f.TLS.NotAfter = "https://ca.test/", now.Add(10*time.Minute) }, Warning, "expires in 0 days"},
		"not obtained": {func(f *Facts) {
			f.TLS = TLSFacts{Configured: true, Authority: "https://ca.test/", Pending: true, Fault: "refused"}
		}, Wrong, "nobody can sign in: refused"},
		"being obtained": {func(f *Facts) { f.TLS = TLSFacts{Configured: true, Authority: "https://ca.test/", Pending: true} }, Warning, "it is under way"},
		"not renewed":    {func(f *Facts) { f.TLS.Authority, f.TLS.Fault = "https://ca.test/", "refused" }, Warning, "no new certificate was obtained: refused"},
		"untrusted":      {func(f *Facts) { f.TLS.Chain = "unknown authority" }, Warning, "would not be trusted"},
		"clock unknown":  {func(f *Facts) { f.Clock = ClockFacts{} }, Unknown, "does not say"},
		"clock unkept":   {func(f *Facts) { f.Clock.Synced = false }, Warning, "nothing keeps the clock right"},
		"clock wrong":    {func(f *Facts) { f.Clock.Error = time.Minute }, Wrong, "may be wrong by 1m0s"},
		"no data":        {func(f *Facts) { f.Disk = DiskFacts{Error: "no such folder"} }, Wrong, "no such folder"},
		"disk full":      {func(f *Facts) { f.Disk.Free = 100 << 20 }, Wrong, "no mail is accepted"},
		"disk fills":     {func(f *Facts) { f.Disk.Free = 5 << 30 }, Warning, "only 5120 MB (5 %) are free"},
		"inodes":         {func(f *Facts) { f.Disk.InodesFree = 10 }, Wrong, "only 10 files more"},
		"no sync":        {func(f *Facts) { f.Disk.SyncError = "input/output error" }, Wrong, "cannot be synced"},
		"no room":        {func(f *Facts) { f.Disk.SyncError, f.Disk.Full = "no space left on device", true }, Wrong, "nothing can be written"},
		"no right":       {func(f *Facts) { f.Disk.SyncError, f.Disk.Denied = "permission denied", true }, Unknown, "may not try"},
		"slow sync":      {func(f *Facts) { f.Disk.SyncTook = time.Second }, Warning, "a sync took 1s"},
		"open folder":    {func(f *Facts) { f.Files[0].Mode = 0o750 }, Wrong, "others may use it (mode 0750)"},
		"missing file":   {func(f *Facts) { f.Files[0].Error = "no such file" }, Wrong, "no such file"},
		"another's file": {func(f *Facts) { f.Files[0].Ours = false; f.Files[0].Owner = "root" }, Wrong, "belongs to root"},
		"open socket": {func(f *Facts) {
			f.Files = append(f.Files, FileFacts{Path: "/run/s.sock", What: "the operator's socket", Exposed: "others than its owner may write into the folder /run"})
		}, Warning, "clients will not speak to the server there: others than its owner may write into the folder /run"},
		"few files":     {func(f *Facts) { f.Limits.Files = 1024 }, Warning, "may open 1024, and limits.connections = 4096 may need 12288"},
		"files unknown": {func(f *Facts) { f.Limits.Files = 0 }, Unknown, "the limit is not known"},
		"backlog":       {func(f *Facts) { f.Limits.Backlog = 128 }, Note, "only 128 connections"},
		"local ports":   {func(f *Facts) { f.Limits.LocalPorts = 100 }, Note, "only 100 ports"},
		"queue unknown": {func(f *Facts) { f.Queue = QueueFacts{Why: "no"} }, Unknown, "nobody could look into the queue: no"},
		"queue old":     {func(f *Facts) { f.Queue.Oldest = 5 * time.Hour }, Warning, "the oldest of 3 messages waits for 5h0m0s"},
		"held":          {func(f *Facts) { f.Queue.Held = 2 }, Note, "2 messages are held"},
		"one held":      {func(f *Facts) { f.Queue.Held = 1 }, Note, "1 message is held"},
		"held long": {func(f *Facts) {
			f.Queue.HeldFor = []HeldFacts{{"its domain old.test is not configured any more", 2, 2 * time.Hour}, {"held by an operator", 1, time.Minute}}
		}, Warning, "2 messages are held, the oldest for 2h0m0s, and nobody was told: its domain old.test is not"},
		"nobody told": {func(f *Facts) { f.Telling.Untold = 2 }, Wrong, "was not told of 2 changes of incidents: no mailbox here is the postmaster's"},
		"told inside": {func(f *Facts) { f.Telling.Inside = "bob's@local.test" }, Warning, "alone gets what the postmaster is told, and has no address outside"},
		"webhook dead": {func(f *Facts) {
			f.Telling = TellingFacts{Inside: "bob@local.test", Webhook: "hooks.test", Waiting: 1, Fault: "the receiver answers 500"}
		}, Warning, "was not told of 1 change of incidents: the receiver answers 500"},
		"others": {func(f *Facts) {
			f.Others = []Finding{{"dkim", "example.org", Wrong, "the key is not shown", "show it"}}
		}, Wrong, "the key is not shown"},
	} {
		facts := well()
		c.change(&facts)
		bad := slices.DeleteFunc(Examine(facts), func(f Finding) bool { return f.State == Fine })
		if len(bad) != 1 || bad[0].State != c.state || !strings.Contains(bad[0].What, c.words) {
			t.Errorf("%s: want one %v with %q, found %+v", name, c.state, c.words, bad)
			continue
		}
		if c.state == Wrong && bad[0].Remedy == "" {
			t.Errorf("%s: no remedy", name)
		}
	}
}

// A server that does not run, on a port that is taken, is told so.
// Root is not told to be root.
func TestRootIsNotToldToBeRoot(t *testing.T) {
	f := well()
	f.Queue = QueueFacts{Why: "it is locked"}
	if got := checkQueue(f)[0].Remedy; !strings.Contains(got, "as root") {
		t.Error(got)
	}
	f.Queue.Root = true
	if got := checkQueue(f)[0].Remedy; strings.Contains(got, "as root") || got == "" {
		t.Error(got)
	}
}

func TestAPortThatCannotBeBound(t *testing.T) {
	f := well()
	f.Server.Running = false
	f.Ports[0] = PortFacts{Door: "mx", Address: "0.0.0.0:25", BindErr: "permission denied"}
	if got := checkPorts(f); got[0].State != Wrong || !strings.Contains(got[0].What, "could not listen there: permission denied") {
		t.Errorf("%+v", got)
	}
	f.Ports[0].Greeting, f.Server.Unasked = "220 "+f.Hostname+" ESMTP", "permission denied"
	if got := checkPorts(f); got[0].State != Unknown || !strings.Contains(got[0].What, "a server of this name") {
		t.Errorf("%+v", got)
	}
	f.Ports[0].Greeting, f.Server.Unasked = "", ""
	f.Ports[0].Denied = true
	if got := checkPorts(f); got[0].State != Unknown || !strings.Contains(got[0].Remedy, "run this as root") {
		t.Errorf("%+v", got)
	}
}

// A disk that is full is told once, and not as one that fails.
func TestAFullDiskDoesNotFail(t *testing.T) {
	f := well()
	f.Disk.Free, f.Disk.SyncError, f.Disk.Full = 0, "no space left on device", true
	if got := checkDisk(f); len(got) != 1 || got[0].State != Wrong || !strings.Contains(got[0].What, "no mail is accepted") {
		t.Errorf("%+v", got)
	}
}

// Whatever is missing from the facts, nothing is called fine that nobody looked at.
func TestNoFactsAreNotFine(t *testing.T) {
	for _, f := range Examine(Facts{}) {
		if f.State == Fine && !slices.Contains([]string{"disk"}, f.Check) {
			t.Errorf("nobody looked, and it is fine: %+v", f)
		}
	}
}

// Each error has a remedy of its own; what nobody thought of is for the network.
func TestRemediesOfTokens(t *testing.T) {
	seen := map[string]bool{}
	for _, text := range []string{
		"the next hop does not take the token that x gave", "x gives no token: invalid_client",
		"x gives no token: unauthorized_client: no", "x gives no token: unsupported_grant_type",
		"x gives no token: invalid_scope", "x gives no token: invalid_grant",
		"x cannot be asked for a token: tls: failed to verify certificate",
		"the client's secret cannot be read",
		"x gives no token: it answers 404", "x gives no token: it answers 503", "x cannot be asked for a token: dial tcp: lookup x: no such host", "connection refused",
	} {
		remedy := tokenRemedy(text)
		if seen[remedy] || remedy == "" {
			t.Errorf("%s: %q", text, remedy)
		}
		seen[remedy] = true
	}
}
