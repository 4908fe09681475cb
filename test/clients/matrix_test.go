package clients

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The columns of docs/clients.md.
const (
	chooses  = "chooses"              // the client decides, with user and password at hand
	noAuth   = "certificate, no AUTH" // a certificate in TLS, and then MAIL
	external = "EXTERNAL"
	plus     = "SCRAM-SHA-256-PLUS"
)

var columns = []string{chooses, "PLAIN", "LOGIN", "SCRAM-SHA-256", plus, external, noAuth}

// An attempt is one sign-in of one client by one mechanism at one door.
type attempt struct {
	s              *Server
	column         string
	implicit       bool
	addr           string
	user, password string // both empty where there is no AUTH
	pem            string // certificate and key of the device; empty with a password
	message        sent
	dir            string // for what the client writes
}

// mech is what the client is told to use; empty where it chooses, or uses none.
func (a attempt) mech() string {
	if a.column == chooses || a.column == noAuth {
		return ""
	}
	return a.column
}

// host and port are the door's.
func (a attempt) host() string { h, _, _ := strings.Cut(a.addr, ":"); return h }
func (a attempt) port() string { _, p, _ := strings.Cut(a.addr, ":"); return p }

// to is the message's only recipient.
func (a attempt) to() string { return a.message.to[0] }

// body is the message without its header, for programs that write the header themselves.
func (a attempt) body() string { return "Last line, " + a.message.mark + "\n" }

// lf is the message as a file of this system has it.
func (a attempt) lf() string { return strings.ReplaceAll(string(a.message.octets), "\r\n", "\n") }

// run runs a program with standard input for at most a minute.
func (a attempt) run(t *testing.T, stdin, name string, args ...string) error {
	return a.runIn(t, a.dir, stdin, name, args...)
}

func (a attempt) runIn(t *testing.T, dir, stdin, name string, args ...string) error {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, Tool(t, name), args...)
	cmd.Dir, cmd.Stdin, cmd.WaitDelay = dir, strings.NewReader(stdin), time.Second
	cmd.Env = append(os.Environ(), "HOME="+a.dir, "DEAD="+filepath.Join(a.dir, "dead.letter"))
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", name, err, out)
	}
	return nil
}

// TestMatrixIsWhatTheTableSays tries every mechanism with every client at both doors, and
// holds docs/clients.md against what was seen. Clients that `make test` does not install
// are tried with SALLYPORT_CLIENTS set, as `make clients` does.
func TestMatrixIsWhatTheTableSays(t *testing.T) {
	written := table(t, "../../docs/clients.md")
	worlds := map[bool]*world{false: newWorld(t, false), true: newWorld(t, true)}
	listed := 0
	for _, c := range matrix() {
		row, ok := written[c.name]
		if !ok {
			t.Errorf("docs/clients.md has no row for %s", c.name)
			continue
		}
		listed++
		if c.more && os.Getenv("SALLYPORT_CLIENTS") == "" {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			for _, column := range columns {
				if seen := worlds[column == plus].cell(t, c, column); seen != row[column] {
					t.Errorf("%s: the run shows %q, docs/clients.md says %q", column, seen, row[column])
				}
			}
		})
	}
	if listed != len(written) {
		t.Errorf("docs/clients.md has %d rows, and %d of them are tried", len(written), listed)
	}
}

// table reads the first table of a document: client, then column, then cell.
func table(t *testing.T, file string) map[string]map[string]string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]map[string]string{}
	var head []string
	for line := range strings.Lines(string(b)) {
		if !strings.HasPrefix(line, "|") {
			if len(rows) > 0 {
				break
			}
			continue
		}
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		for i, c := range cells {
			cells[i] = strings.Trim(strings.TrimSpace(c), "`")
		}
		switch {
		case head == nil:
			head = cells
		case !strings.HasPrefix(cells[0], "---"):
			row := map[string]string{}
			for i, c := range cells[1:] {
				row[head[i+1]] = c
			}
			rows[cells[0]] = row
		}
	}
	return rows
}

// A world is a server with a device certificate for alice and one for bob, who may send
// without AUTH.
type world struct {
	s      *Server
	pem    map[string]string
	dir    string
	number int
}

func newWorld(t *testing.T, offersPlus bool) *world {
	w := &world{s: Start(t), pem: map[string]string{}, dir: t.TempDir()}
	if offersPlus {
		offerBinding(t, w.s)
	}
	for _, local := range []string{"alice", "bob"} {
		address := w.s.Account(local).Address
		Run(t, nil, w.s.Binary, "cert", "issue", address, "laptop", "--as", "pem", "--dir", w.dir, "-c", w.s.Config)
		w.pem[local] = filepath.Join(w.dir, address+"-laptop.pem")
	}
	Run(t, nil, w.s.Binary, "account", "sign-in", w.s.Account("bob").Address, "any", "--without-auth", "-c", w.s.Config)
	return w
}

// cell is what the two doors show: "yes", "no", "587" or "465", or for chooses the mechanism.
func (w *world) cell(t *testing.T, c client, column string) string {
	first, second := w.try(t, c, column, false), w.try(t, c, column, true)
	switch {
	case first == second:
		return first
	case first == "no":
		return "465"
	case second == "no" && column != chooses:
		return "587"
	case second == "no":
		return first
	}
	return first + " at 587, " + second + " at 465"
}

// try is one attempt: "no", "yes", or for chooses the mechanism. Only what the server
// wrote down of the sign-in, and what arrived, counts.
func (w *world) try(t *testing.T, c client, column string, implicit bool) string {
	w.number++
	local, other := "alice", "bob"
	if column == noAuth {
		local, other = "bob", "alice"
	}
	account := w.s.Account(local)
	a := attempt{s: w.s, column: column, implicit: implicit, addr: w.s.Submission(), user: account.Address, password: account.Password,
		message: compose(w.s, fmt.Sprintf("matrix-%d-end", w.number), w.s.Account(other).Address), dir: t.TempDir()}
	a.message.from = account.Address
	a.message.octets = []byte(strings.ReplaceAll(string(a.message.octets), "From: Alice <"+w.s.Account("alice").Address, "From: Alice <"+account.Address))
	if implicit {
		a.addr = w.s.Submissions()
	}
	if column == external || column == noAuth {
		a.pem, a.password = w.pem[local], ""
	}
	if column == noAuth {
		a.user = ""
	}
	began := time.Now().Truncate(time.Microsecond)
	if err := c.run(t, a); err != nil {
		t.Logf("%s, %s: %v", c.name, column, err)
		return "no"
	}
	if !c.signsInOnly {
		find(t, w.s.Account(other).Maildir, a.message.mark)
	}
	if column == noAuth {
		return "yes"
	}
	after := w.signIns(t, account.Address, began)
	if len(after) == 0 {
		t.Errorf("%s, %s: sent, and no sign-in is in the trace", c.name, column)
		return "no"
	}
	used := after[len(after)-1]
	if column == chooses {
		return used
	}
	if used != column {
		t.Logf("%s took %s instead of %s", c.name, used, column)
		return "no"
	}
	return "yes"
}

// signIns are the mechanisms of the account's sign-ins since then that succeeded, in their
// order.
func (w *world) signIns(t *testing.T, address string, since time.Time) []string {
	t.Helper()
	cmd := exec.Command(w.s.Binary, "trace", address, "--kind", "sign-in", "--json", "-c", w.s.Config)
	out, _ := cmd.Output() // nothing found is a status of its own
	var used []string
	for line := range strings.Lines(string(out)) {
		var entry struct {
			Fact struct {
				At       time.Time `json:"at"`
				Code     int       `json:"code"`
				Evidence []string  `json:"evidence"`
			} `json:"fact"`
		}
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Fatalf("the trace printed %q: %v", line, err)
		}
		for i := 0; i+1 < len(entry.Fact.Evidence); i += 2 {
			if entry.Fact.Code == 235 && !entry.Fact.At.Before(since) && entry.Fact.Evidence[i] == "mechanism" {
				used = append(used, entry.Fact.Evidence[i+1])
			}
		}
	}
	return used
}
