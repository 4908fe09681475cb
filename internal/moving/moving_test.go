package moving

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"sallyport/internal/mailbox"
)

func TestPlanSaysWhatFoldersBecome(t *testing.T) {
	there := func(names ...string) (all []Folder) {
		for _, n := range names {
			use := mailbox.UseNone
			if name, said, ok := strings.Cut(n, "="); ok {
				n, use = name, mailbox.Use(said)
			}
			all = append(all, Folder{Name: n, Levels: strings.Split(n, ".")})
			all[len(all)-1].Use = use
		}
		return all
	}
	for name, c := range map[string]struct {
		folders []Folder
		choice  Choice
		want    string
	}{
		"usual names":   {there("inbox", "Sent Items", "Sent Items.2020", "Deleted Items", "Spam", "Other"), Choice{}, "INBOX, Sent(Sent), Sent/2020, Trash(Trash), Junk(Junk), Other"},
		"what is said":  {there("Sent", "Gesendet=Sent"), Choice{}, "Sent, Gesendet(Sent)"},
		"one of two":    {there("Sent Items", "Sent Messages"), Choice{}, "Sent(Sent), Sent Messages"},
		"names kept":    {there("Sent Items"), Choice{Keep: true}, "Sent Items"},
		"into":          {there("INBOX", "Sent Items"), Choice{Into: "Old"}, "Old, Old/Sent Items"},
		"some":          {there("INBOX", "Lists.Go", "Lists.C", "Listsx"), Choice{Folders: []string{"Lists"}, Exclude: []string{"Lists/C"}}, "-, Lists/Go, -, -"},
		"patterns":      {there("INBOX", "Lists.Go", "Trash"), Choice{Exclude: []string{"*/*", "trash"}}, "INBOX, -, -"},
		"hostile names": {there("a/b\x00.*%", "..x", "\xff"), Choice{}, "a_b_/__, _/_/x, _"},
	} {
		steps, err := Plan(c.folders, c.choice)
		if err != nil {
			t.Fatal(name, err)
		}
		var got []string
		for _, s := range steps {
			text := s.To
			if s.Use != mailbox.UseNone {
				text += "(" + string(s.Use) + ")"
			}
			if s.Left != "" {
				text = "-"
			}
			got = append(got, text)
		}
		if strings.Join(got, ", ") != c.want {
			t.Errorf("%s: %s, want %s", name, strings.Join(got, ", "), c.want)
		}
	}
	if _, err := Plan(there("a"), Choice{Folders: []string{"[x"}}); err == nil {
		t.Error("a pattern that does not read is taken")
	}
}

// place has messages by folder; "!" is one that cannot be read, and "lost" ends the way to it.
type place map[string][]string

func (p place) Identity() string                          { return "place" }
func (p place) Close() error                              { return nil }
func (p place) Folders(context.Context) ([]Folder, error) { return nil, nil }

func (p place) Read(_ context.Context, folder string, r Receiver) error {
	var all []mailbox.Origin
	for i, m := range p[folder] {
		all = append(all, mailbox.OriginOf(folder, m, fmt.Sprint(i)))
	}
	r.Listed(all)
	for i, m := range p[folder] {
		switch {
		case m == "lost":
			return fmt.Errorf("%w: away", ErrLost)
		case !r.Wanted(all[i]):
			continue
		case m == "!":
			if err := r.Unreadable("!", errors.New("torn")); err != nil {
				return err
			}
			continue
		}
		if err := r.Message(Message{Origin: all[i], Name: m, Octets: []byte(m)}); err != nil {
			return err
		}
	}
	return nil
}

// target keeps what came.
type target struct {
	came    []mailbox.Came
	got     []string
	batches int
}

func (t *target) Came(_ context.Context, _ string, fn func(mailbox.Came)) error {
	for _, c := range t.came {
		fn(c)
	}
	return nil
}

func (t *target) Add(_ context.Context, b Batch) (out []mailbox.Arrived, err error) {
	t.batches++
	for _, m := range b.Messages {
		a := mailbox.Arrived{Origin: m.Origin}
		switch {
		case m.Known:
			a.There = true
		case string(m.Octets) == "refuse":
			a.Refused = "no"
		default:
			t.got = append(t.got, b.Folder+":"+string(m.Octets))
			m.Digest = mailbox.DigestOf(m.Octets)
		}
		if a.Refused == "" {
			t.came = append(t.came, mailbox.Came{Origin: m.Origin, Digest: m.Digest, Folder: b.Folder})
		}
		out = append(out, a)
	}
	return out, nil
}

func imported(t *testing.T, p place, to *target, o Options, folders ...string) (all []Tally, err error) {
	t.Helper()
	var steps []Step
	for _, f := range folders {
		steps = append(steps, Step{From: Folder{Name: f}, To: f})
	}
	err = Import(t.Context(), p, to, steps, o, func(f Tally) error { all = append(all, f); return nil })
	return all, err
}

func TestImportBringsEachOnceAndNamesWhatDoesNotCome(t *testing.T) {
	p, to := place{"A": {"one", "!", "two", "refuse"}, "B": {"two", "two"}}, &target{}
	var said []string
	o := Options{Say: func(text string) { said = append(said, text) }}
	if all, err := imported(t, p, to, Options{DryRun: true}, "A", "B"); err != nil || to.batches != 0 || all[0].Moved != 3 {
		t.Errorf("dry: %+v %v", all, err)
	}
	all, err := imported(t, p, to, o, "A", "B")
	if err != nil || !reflect.DeepEqual(to.got, []string{"A:one", "A:two", "B:two", "B:two"}) {
		t.Errorf("%v %v", to.got, err)
	}
	if all[0].Found != 4 || all[0].Moved != 2 || all[0].Unreadable != 1 || all[0].Refused != 1 || all[0].Whole() || !all[1].Whole() {
		t.Errorf("%+v", all)
	}
	if !reflect.DeepEqual(said, []string{"A: !: cannot be read: torn", "A: refuse: was refused: no"}) {
		t.Errorf("%q", said)
	}
	all, err = imported(t, p, to, Options{}, "A", "B")
	if err != nil || len(to.got) != 4 || all[0].There != 2 || all[1].There != 2 {
		t.Errorf("again: %v %+v %v", to.got, all, err)
	}
	// The place names everything anew, has one of two less, and one more.
	p["B"] = []string{"new", "two"}
	all, err = imported(t, p, to, Options{}, "B")
	if err != nil || len(to.got) != 5 || all[0].There != 1 || all[0].Moved != 1 {
		t.Errorf("anew: %v %+v %v", to.got, all, err)
	}
}

func TestImportEndsWhereThePlaceIsLost(t *testing.T) {
	p, to := place{"A": {"one", "lost", "two"}, "B": {"three"}}, &target{}
	all, err := imported(t, p, to, Options{}, "A", "B")
	if !errors.Is(err, ErrLost) || len(all) != 1 || all[0].Fault == "" || !reflect.DeepEqual(to.got, []string{"A:one"}) {
		t.Errorf("%+v %v %v", all, to.got, err)
	}
	p["A"] = []string{"one", "and", "two"}
	if _, err = imported(t, p, to, Options{}, "A", "B"); err != nil || len(to.got) != 4 {
		t.Errorf("%v %v", to.got, err)
	}
}

func TestBatchesAreBounded(t *testing.T) {
	p, to := place{}, &target{}
	for i := range 2*batchMessages + 1 {
		p["A"] = append(p["A"], fmt.Sprint(i))
	}
	if _, err := imported(t, p, to, Options{}, "A", "empty"); err != nil || len(to.got) != 2*batchMessages+1 || to.batches != 4 {
		t.Errorf("%d in %d batches, %v", len(to.got), to.batches, err)
	}
}
