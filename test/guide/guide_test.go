package guide

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Every block of every guide is run or used by a test that there is, or left with a reason.
func TestEveryBlockHasItsFate(t *testing.T) {
	files, err := filepath.Glob("../../docs/guides/*.md")
	if err != nil || len(files) < 18 {
		t.Fatalf("%d guides, %v", len(files), err)
	}
	want := map[string][]string{}
	for _, f := range files {
		name := filepath.Base(f)
		want[name] = Blocks(Text(t, "guides/"+name))
	}
	tested := map[string]bool{}
	for _, f := range Fates(t) {
		if f.Block != WholeText {
			at := slices.Index(want[f.Guide], f.Block)
			if at < 0 {
				t.Errorf("fates.txt has the block %q of %s, which is not there, or stands twice", f.Block, f.Guide)
				continue
			}
			want[f.Guide] = slices.Delete(want[f.Guide], at, at+1)
		}
		switch f.What {
		case "none":
			if len(f.Why) < 20 {
				t.Errorf("%s, %s: nothing runs it, and nothing says why", f.Guide, f.Block)
			}
		case "run", "file", "shown":
			follows(t, f)
			tested[f.Guide] = true
		default:
			t.Errorf("%s, %s: %q is no fate", f.Guide, f.Block, f.What)
		}
	}
	for name, rest := range want {
		for _, b := range rest {
			t.Errorf("%s has a block %q without a fate in test/guide/fates.txt", name, b)
		}
		if !tested[name] {
			t.Errorf("no test follows %s", name)
		}
	}
}

// follows reports a test that is not there, or does not open the guide.
func follows(t *testing.T, f Fate) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("../..", f.Folder, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	there, opens := false, false
	test, _, _ := strings.Cut(f.Test, "/") // and a part of it
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		there = there || strings.Contains(string(text), "\nfunc "+test+"(t *testing.T) {")
		opens = opens || strings.Contains(string(text), `, "`+f.Guide+`")`)
	}
	if !there || !opens {
		t.Errorf("%s, %s: no %s in %s follows it with guide.Open", f.Guide, f.Block, f.Test, f.Folder)
	}
}

func TestBlocksAndSentences(t *testing.T) {
	text := "a `sallyport reload` and `sallyport queue\nls` and `sallyport`\n\n```\nx `sallyport no`\n```\n\n  ```toml\ny\n  ```\n\n```\nz\n```\n"
	if got := strings.Join(Blocks(text), ", "); got != "- 0, toml 0, - 1" {
		t.Error(got)
	}
	if got := strings.Join(Sentences(text), ", "); got != "sallyport queue ls, sallyport reload" {
		t.Error(got)
	}
}
