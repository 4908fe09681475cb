package authors

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"sallyport/internal/bind"
	"sallyport/internal/mail"
	"sallyport/internal/message"
)

// alice owns her address, and those with a detail behind a "+".
type alice struct{}

func (alice) Owns(a mail.Address) bool {
	local, _, _ := strings.Cut(strings.ToLower(a.Local()), "+")
	return local == "alice" && a.Domain().ASCII() == "local.test"
}

// is reports whether what a reader names is Alice. Some readers give local-parts
// without their quotes.
func (o alice) is(address string) bool {
	address = strings.TrimSpace(strings.ReplaceAll(address, "\ufffd", "\u00fc")) // undecoded, or with a blank, but hers
	at := strings.LastIndexByte(address, '@')
	d, err := mail.ParseDomain(address[at+1:])
	if at < 0 || err != nil {
		return false
	}
	local := address[:at]
	if a, err := mail.ParseAddress(address, mail.UTF8); err == nil {
		return o.Owns(a)
	}
	a, err := mail.NewAddress(local, d)
	return err == nil && o.Owns(a)
}

// submitted does to a header section what the doors of submission do. false: refused.
func submitted(section []byte, cs mail.Charset) (message.Header, bool) {
	h, _, err := message.ReadHeader(message.Begin(bytes.NewReader(section)), message.DefaultLimits())
	if err != nil {
		return h, false
	}
	h = h.Settled()
	return h, bind.Header(alice{}, bind.Authors(h.Authors(cs))).OK
}

// job is one field of a message, for the readers.
type job struct {
	Name string `json:"name"`
	Raw  string `json:"raw"`
	raw  []byte
	came string
}

// Of each header that Alice may submit, every reader names Alice or nobody.
func TestAuthorsToEveryReader(t *testing.T) {
	n, seed := number(t, "AUTHORS", 2500), number(t, "SEED", 1)
	g := generator{rand.New(rand.NewPCG(uint64(seed), 9))}
	var jobs []job
	accepted, kept := 0, 0
	for range n {
		section := []byte(g.section())
		cs := mail.ASCII
		if g.chance(4) {
			cs = mail.UTF8
		}
		h, ok := submitted(section, cs)
		if !ok {
			continue
		}
		accepted++
		if bytes.Equal(h.Raw(), section) {
			kept++
		}
		for _, name := range []string{"From", "Sender", "Resent-From", "Resent-Sender"} {
			if h.Count(name) > 0 {
				raw := append(slices.Clone(h.Raw()), "hello\r\n"...)
				jobs = append(jobs, job{Name: name, Raw: hex.EncodeToString(raw), raw: raw, came: string(section)})
			}
		}
	}
	t.Logf("seed %d: %d headers, %d accepted, of them %d to the octet; %d fields", seed, n, accepted, kept, len(jobs))
	if accepted < n/20 || kept < n/100 || accepted-kept < n/100 {
		t.Fatal("the generator no longer makes what is accepted, or what is written anew")
	}
	answers := goReaders(jobs)
	for _, p := range programs() {
		maps.Copy(answers, p.ask(t, jobs))
	}
	judge(t, jobs, answers)
}

// judge counts, and shows what is wrong.
func judge(t *testing.T, jobs []job, answers map[string][][]string) {
	for _, reader := range slices.Sorted(maps.Keys(answers)) {
		named, nobody, wrong := 0, 0, 0
		for i, found := range answers[reader] {
			found = slices.DeleteFunc(found, func(a string) bool { return !strings.Contains(a, "@") })
			switch {
			case len(found) == 0:
				nobody++
			case slices.ContainsFunc(found, func(a string) bool { return !alice{}.is(a) }):
				if wrong++; wrong <= 5 {
					t.Errorf("%s names %q as %s; it came as %q and left as\n%q", reader, found, jobs[i].Name, jobs[i].came, jobs[i].raw)
				}
			default:
				named++
			}
		}
		t.Logf("%-50s %6d name Alice, %5d nobody, %d somebody else", reader, named, nobody, wrong)
		if named == 0 && len(jobs) > 0 {
			t.Errorf("%s never names Alice: it does not read at all", reader)
		}
	}
}

func number(t *testing.T, name string, otherwise int) int {
	n, err := strconv.Atoi(cmp.Or(os.Getenv(name), fmt.Sprint(otherwise)))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// lines are the jobs as the programs read them.
func lines(jobs []job) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	for _, j := range jobs {
		_ = e.Encode(j) // into memory
	}
	return b.Bytes()
}
